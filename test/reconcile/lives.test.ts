import { describe, expect, test } from "vitest";
import { DEFAULT_INTERVALS, TICK_MS } from "../../functions/core/schedule.ts";
import { createReport, createTick } from "../../functions/reconcile/tick.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;

/** Works as a minute of the schedule does: edits whose turn has come, a light run, the queue. */
async function minute(company: Company): Promise<void> {
  company.clock.now += TICK_MS;
  const report = createReport(company.dependencies);
  await createTick({ ...company.dependencies, intervals: DEFAULT_INTERVALS, report, run: async () => undefined })();
  await company.light();
  await company.attempt();
}

/** The person makes the files of their home their own. */
function settleIn(company: Company, person: ClavexUser): void {
  company.logIn(person);
  const files = company.nextcloud.files(company.accountId(person));
  files.set("Readme.md", `of ${person.id}`);
  files.delete("Documents/");
}

describe("on a Nextcloud that behaves as 34 does", () => {
  test("joiner, mover, leaver and returner come out right, no file of anybody who has logged in is touched, no 429 is met", async () => {
    const company = withPipeline(await build({ version: 34, quota: { default: "5 GB", byGroup: { board: "9 GB" } } }));
    const { slug, clavex, nextcloud } = company;
    const staff = company.people(56, ["eng"]);
    // Somebody whose e-mail address is that of a person of ours: found by address, and never touched.
    const boss = nextcloud.addLocalUser({ id: "boss", displayName: "Boss", email: staff[0]?.email ?? "" });
    await company.settle();
    for (const person of staff) expect(nextcloud.card(company.accountId(person))).toBe("Ada Lovelace");
    for (const person of staff) settleIn(company, person);

    // Everybody gets another quota at once, more than Nextcloud takes in ten minutes.
    company.configure({ quota: { default: "6 GB", byGroup: { board: "9 GB" } } });
    await minute(company);
    const [mover, leaver, returner] = staff.slice(-3) as [ClavexUser, ClavexUser, ClavexUser];
    const joiner = company.person({ first_name: "Grace", last_name: "Hopper" }, ["eng"]);
    company.unassign(mover, "eng");
    company.assign(mover, "board");
    for (const { id } of [leaver, returner]) clavex.suspend(slug, id);
    await minute(company);
    // None of them waited for the edits.
    expect(company.account(joiner)).toMatchObject({ displayName: "Grace Hopper", quota: 6 * GB });
    expect(company.groupsOf(mover)).toEqual(["board"]);
    for (const person of [leaver, returner]) expect(company.account(person)?.enabled).toBe(false);
    clavex.updateUser(slug, returner.id, { is_active: true });
    await minute(company);
    expect(company.account(returner)?.enabled).toBe(true);

    for (let passed = 0; passed < 12; passed += 1) await minute(company);
    for (const person of staff) {
      if (person === leaver) continue;
      expect(company.account(person)?.quota).toBe((person === mover ? 9 : 6) * GB);
    }
    for (const person of staff)
      expect(Object.fromEntries(nextcloud.files(company.accountId(person)))).toEqual({
        "Readme.md": `of ${person.id}`,
      });
    expect(nextcloud.user("boss")).toEqual(boss);
    expect((await company.look("full")).differences).toEqual([]);
    expect(company.lines.filter(({ level }) => level === "error")).toEqual([]);
    const account = company.organization.nextcloud.username;
    const { slots } = await company.ledger.edits.slots({ origin: nextcloud.url, account, verb: "PATCH" });
    expect(slots).toMatchObject({ blockedUntil: 0, taken: expect.any(Array) });
    expect(slots.taken.length).toBeGreaterThan(0);
    for (const person of staff) expect(await company.record(person)).toMatchObject({ pendingEdit: undefined });
  });
});
