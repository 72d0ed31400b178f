import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Office, openOffice } from "../support/office.ts";

describe("unknown, for accounts that nobody is known to have", () => {
  let office: Office;
  let left: string[];
  let ada: string;

  beforeEach(async () => {
    office = await openOffice();
    const person = office.person();
    for (const id of [person.id, randomUUID(), randomUUID()])
      office.nextcloud.simulateLogin({ providerId: 1, sub: id, claims: { name: "Grace Hopper" } });
    ada = office.accountId(person);
    left = office.nextcloud
      .users()
      .filter(({ id, backend }) => backend === "user_oidc" && id !== ada && id !== office.nextcloud.username)
      .map(({ id }) => id)
      .toSorted();
    await office.start();
    await office.stop();
  });
  afterEach(() => office.close());

  const enabled = (id: string) => office.nextcloud.user(id)?.enabled;

  test("are listed with their last login, also by plan, where they are no difference", async () => {
    const listed = await office.command("unknown", "list");
    expect(listed.code).toBe(0);
    expect(
      listed.lines
        .filter((line) => line.includes("last login 20"))
        .map((line) => /\((.+)\)/.exec(line)?.[1])
        .toSorted(),
    ).toEqual(left);
    const json = JSON.parse((await office.command("unknown", "list", "--json")).output);
    expect(json).toMatchObject({ listed: true, unread: 0, accounts: [{ displayName: "Grace Hopper" }, {}] });
    const plan = await office.command("plan");
    for (const id of left) expect(plan.output).toContain(`  ? Grace Hopper (${id})  last login 20`);
    expect(JSON.parse((await office.command("plan", "--json")).output)).toMatchObject([
      { unknown: { accounts: [{}, {}] } },
    ]);
  });

  test("are disabled when they are named, after a question, and only then", async () => {
    const [grace = "", linus = ""] = left;
    const asked = await office.command("unknown", "disable", grace);
    expect([asked.code, asked.output]).toEqual([1, expect.stringContaining("--yes")]);
    const dry = await office.command("unknown", "disable", grace, "--dry-run");
    expect(dry.output).toContain("1 account would be disabled. Nothing was changed.");
    expect(enabled(grace)).toBe(true);
    expect(await office.command("unknown", "disable", grace, "--yes")).toMatchObject({
      code: 0,
      output: expect.stringContaining(`disabled ${grace}`),
    });
    expect([enabled(grace), enabled(linus), enabled(ada)]).toEqual([false, true, true]);
    expect((await office.command("unknown", "list")).output).not.toContain(grace);
  });

  test("what is somebody's, of another backend, or the pipeline's own is refused; the rest is done", async () => {
    office.nextcloud.addLocalUser({ id: "local" });
    const [grace = ""] = left;
    const own = office.nextcloud.username;
    const done = await office.command("unknown", "disable", ada, "local", own, grace, "--yes", "--json");
    expect(done.code).toBe(1);
    expect(JSON.parse(done.output)).toMatchObject({
      dryRun: false,
      disabled: [grace],
      refused: [
        { id: ada, refusal: "it is of acme, whose reconciliation decides about it" },
        { id: "local", refusal: "it is of the backend Database, not of user_oidc" },
        { id: own, refusal: "the pipeline works with this account" },
      ],
    });
    expect([ada, "local", own, grace].map(enabled)).toEqual([true, true, true, false]);
  });
});
