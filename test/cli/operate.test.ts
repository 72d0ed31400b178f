import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Office, type OfficePipeline, openOffice } from "../support/office.ts";
import { until } from "../support/processes.ts";

let office: Office;
let pipeline: OfficePipeline;
beforeAll(async () => {
  office = await openOffice({}, { skeleton: "empty" });
  pipeline = await office.start();
});
afterAll(() => office.close());

describe("clavex-nextcloud activity", () => {
  test("shows what happened with names, one line each, and only what is asked for", async () => {
    const [ada, grace] = [
      office.person({ first_name: "Ada", last_name: "Lovelace" }, ["Engineering"]),
      office.person({ first_name: "Grace", last_name: "Hopper" }),
    ];
    for (const person of [ada, grace]) await pipeline.deliver("user.created", person);
    await until(
      () => office.account(grace) && office.groupsOf(ada).length,
      (joined) => joined === 1,
    );
    const all = await until(
      () => office.command("activity"),
      ({ stdout }) => stdout.trim().split("\n").length === 4,
    );
    expect(all.stdout).toMatch(
      new RegExp(`Z {2}applied +Ada Lovelace \\(${ada.id}\\) {2}user.created {2}account created, joined Engineering\n`),
    );
    const ofGrace = await office.command("activity", "--user", grace.id, "--result", "applied", "--json");
    expect(JSON.parse(ofGrace.stdout)).toMatchObject({ subject: grace.id, operations: ["upsert account"] });
    expect(ofGrace.stdout).not.toMatch(/Hopper|@/);
    expect(ofGrace.code).toBe(0);
    const nothing = await office.command("activity", "--result", "parked");
    expect(nothing.stdout).toBe("Nothing of this kind has happened lately.\n");
  });
});
