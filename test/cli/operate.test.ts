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
      () => office.here("activity"),
      ({ stdout }) => stdout.trim().split("\n").length === 4,
    );
    expect(all.stdout).toMatch(
      new RegExp(`Z {2}applied +Ada Lovelace \\(${ada.id}\\) {2}user.created {2}account created, joined Engineering\n`),
    );
    const ofGrace = await office.here("activity", "--user", grace.id, "--result", "applied", "--json");
    expect(JSON.parse(ofGrace.stdout)).toMatchObject({ subject: grace.id, operations: ["upsert account"] });
    expect(ofGrace.stdout).not.toMatch(/Hopper|@/);
    expect(ofGrace.code).toBe(0);
    const nothing = await office.here("activity", "--result", "parked");
    expect(nothing.stdout).toBe("Nothing of this kind has happened lately.\n");
  });
});

describe("clavex-nextcloud status", () => {
  test("says in ten lines whether everybody is in sync, and what to do next, with exit code 2 while they are not", async () => {
    const before = await office.here("status");
    expect(before.stdout).toMatch(/^No full reconciliation of acme has ended yet\.\n/);
    expect(before.stdout).toContain("    npx clavex-nextcloud apply --organization acme\n");
    expect(before.code).toBe(2);
    office.people(2);
    await office.here("reconcile", "--yes");
    const after = await until(
      () => office.here("status"),
      ({ code }) => code === 0,
    );
    expect(after.stdout.replaceAll(/\d\d:\d\d/g, "14:02").split("\n")).toEqual([
      "All 4 people are in sync as of 14:02 UTC.",
      "",
      "acme",
      "  people       4 people in Clavex, 4 with an enabled account of ours",
      "  jobs         none",
      "  last runs    full 14:02 UTC done (2 differences), light never, watch never",
      "  brake        holds nobody",
      "  dead letters none",
      "",
    ]);
    const json = JSON.parse((await office.here("status", "--json")).stdout);
    expect(json).toMatchObject({ inSync: true, concerns: [], organizations: [{ organization: "acme", people: 4 }] });
  });

  test("says when nobody works on the queue", async () => {
    const other = await openOffice();
    const { stdout, code } = await other.here("status");
    expect(stdout).toMatch(/^No pipeline runs on the state folder .*state\.\n/);
    expect(stdout).toContain('    Start it with "npm start"');
    expect(code).toBe(2);
    await other.close();
  });
});
