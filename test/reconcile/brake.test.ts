import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { aboutWhom } from "../../functions/core/job.ts";
import type { CompletedRun } from "../../functions/reconcile/reconcile.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Choices, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const HOUR = 60 * 60_000;
const DAY = 24 * HOUR;

/** A company of this many people whose accounts are in sync. */
async function settled(number: number, choices: Choices = {}): Promise<{ company: Company; people: ClavexUser[] }> {
  const company = withPipeline(await build({ reconcile: { maxDeprovisions: { count: 10 } }, ...choices }));
  const people = company.people(number, ["eng"]);
  await company.settle();
  return { company, people };
}

const suspend = (company: Company, people: ClavexUser[]): void => {
  for (const person of people) company.clavex.suspend(company.slug, person.id);
};
const enabled = (company: Company, people: ClavexUser[]): number =>
  people.filter((person) => company.account(person)?.enabled).length;

/** Nobody lost access, a joiner and a mover were seen to all the same, and there was an alarm with a sentence. */
async function expectHeld(
  company: Company,
  run: CompletedRun,
  expected: { reason: string; people: number; sentence: RegExp },
): Promise<void> {
  expect(run.held).toMatchObject({ reason: expected.reason, people: expected.people });
  expect(run.held?.explanation).toMatch(expected.sentence);
  expect(company.counted.filter((counter) => counter === "BrakeHeld")).toHaveLength(1);
  expect(company.lines).toContainEqual({
    level: "error",
    message: "deprovisioning held",
    fields: {
      organization: company.slug,
      reason: expected.reason,
      people: expected.people,
      problem: expect.stringMatching(expected.sentence),
    },
  });
  await company.work();
  expect(company.nextcloud.users().filter((account) => !account.enabled)).toEqual([]);
}

const MODES = ["light", "full"] as const;

describe.each(MODES)("a %s run", (mode) => {
  test("lets as many people go as the brake's count, and one more holds them all", async () => {
    const { company, people } = await settled(24);
    suspend(company, people.slice(0, 10));
    const run = await company[mode]();
    expect(run).toMatchObject({ sent: 10, held: undefined });
    await company.work();
    expect(enabled(company, people)).toBe(14);
    company.clock.now += 2 * HOUR;

    suspend(company, people.slice(10, 21));
    const second = await company[mode]();
    expect(second).toMatchObject({ sent: 0, held: { reason: "brake", people: 11 } });
    await company.work();
    expect(enabled(company, people)).toBe(14);
  });

  test("that holds people tells how many, the limit, and the command that lets them go; others are seen to", async () => {
    const { company, people } = await settled(14);
    suspend(company, people.slice(0, 11));
    const mover = people[13] ?? expect.fail();
    company.assign(mover, "ops");
    const joiner = company.person();
    const run = await company[mode]();
    expect(run.sent).toBe(2);
    await expectHeld(company, run, {
      reason: "brake",
      people: 11,
      sentence: new RegExp(
        `^11 people would lose access, more than the 10 .* --organization ${company.slug} --allow-deprovisions 11$`,
      ),
    });
    expect(company.groupsOf(mover)).toEqual(["eng", "ops"]);
    expect(company.account(joiner)?.enabled).toBe(true);
  });

  test("counts those who are gone, erased, suspended and out of scope together", async () => {
    const { company, people } = await settled(14, { scope: { groups: ["eng"] } });
    suspend(company, people.slice(0, 3));
    for (const person of people.slice(3, 6)) company.clavex.deleteUser(company.slug, person.id);
    for (const person of people.slice(6, 9)) company.clavex.eraseUser(company.slug, person.id, "erased");
    for (const person of people.slice(9, 12)) company.unassign(person, "eng");
    await expectHeld(company, await company[mode](), { reason: "brake", people: 12, sentence: /^12 people/ });
  });

  test.each(["erased", "anonymized"] as const)("holds a GDPR mass erasure (%s)", async (form) => {
    const { company, people } = await settled(14);
    for (const person of people.slice(0, 12)) company.clavex.eraseUser(company.slug, person.id, form);
    await expectHeld(company, await company[mode](), { reason: "brake", people: 12, sentence: /^12 people/ });
  });

  test("holds what a mistyped scope would do to everybody", async () => {
    const { company } = await settled(12, { scope: { groups: ["eng"] } });
    company.configure({ scope: { groups: ["engineering"] } });
    await expectHeld(company, await company[mode](), { reason: "brake", people: 12, sentence: /^12 people/ });
  });

  test("deprovisions nobody when the directory is empty, whatever an operator allows", async () => {
    const { company, people } = await settled(3);
    for (const person of people) company.clavex.deleteUser(company.slug, person.id);
    const run = await company[mode]({ allowDeprovisions: 3 });
    expect(run.sent).toBe(0);
    await expectHeld(company, run, {
      reason: "empty-directory",
      people: 3,
      sentence: /^Clavex shows no people, but the ledger knows 3: nobody is deprovisioned$/,
    });
  });

  test("deprovisions nobody when a proxy answers every list with an empty one", async () => {
    const { company } = await settled(3);
    company.clavex.faults.add({
      kind: "status",
      status: 200,
      headers: { "content-type": "application/json" },
      body: '{"items":[],"has_more":false}',
    });
    const run = await company[mode]();
    company.clavex.faults.clear();
    await expectHeld(company, run, { reason: "empty-directory", people: 3, sentence: /no people/ });
  });

  describe("over two pages of users", () => {
    /** One person on the first page, a mover too, and one on the second; between them people who never had access. */
    async function twoPages() {
      const { company } = await settled(0);
      const [first, mover, last] = ["a", "b", "z"].map((name) => company.person({ email: `${name}@acme.example` }));
      if (!first || !mover || !last) return expect.fail();
      for (let index = 0; index < 200; index += 1)
        company.person({ email: `m${index}@acme.example`, is_active: false });
      await company.settle();
      suspend(company, [first]);
      company.assign(mover, "ops");
      return { company, first, mover, last };
    }
    const secondPage = ({ path }: { path: string }): boolean => path.includes("after=");

    test("deprovisions nobody who was not read when the walk breaks off every time; of the page that was read all is seen to", async () => {
      const { company, first, mover, last } = await twoPages();
      company.clavex.faults.add({ kind: "status", status: 500, match: secondPage });
      const run = await company[mode]();
      company.clavex.faults.clear();
      expect(company.sent.map(aboutWhom)).toEqual([mover.id, first.id]);
      expect(run.held).toMatchObject({ reason: "partial-read", holds: "unread", people: 0 });
      await company.work();
      expect(company.account(first)?.enabled).toBe(false);
      expect(company.groupsOf(mover)).toEqual(["ops"]);
      expect(company.account(last)?.enabled).toBe(true);
    });

    test("begins the walk again when it breaks off", async () => {
      const { company } = await twoPages();
      company.clavex.faults.add({ kind: "status", status: 500, times: 2, match: secondPage });
      expect(await company[mode]()).toMatchObject({ sent: 2, held: undefined, report: { people: 203 } });
    });

    test("takes a person for gone who is missing from the last walk, whatever an earlier one has read", async () => {
      const { company, mover } = await twoPages();
      company.clavex.faults.add({
        kind: "slow",
        ms: 0,
        times: 1,
        match: (request) => {
          const found = secondPage(request);
          const cursor = new URLSearchParams(request.path.split("?")[1]).get("after");
          if (cursor !== null && found)
            for (const id of [mover.id, cursor]) company.clavex.deleteUser(company.slug, id);
          return found;
        },
      });
      const run = await company[mode]();
      expect(run).toMatchObject({ held: undefined, report: { people: 201 } });
      expect(run.report.differences).toContainEqual(
        expect.objectContaining({ subject: mover.id, kind: "deprovision" }),
      );
    });

    test("begins the walk again when the person at the end of a page is deleted during it", async () => {
      const { company, first } = await twoPages();
      company.clavex.faults.add({
        kind: "slow",
        ms: 0,
        times: 1,
        match: (request) => {
          const found = secondPage(request);
          const cursor = new URLSearchParams(request.path.split("?")[1]).get("after");
          if (cursor !== null && found) company.clavex.deleteUser(company.slug, cursor);
          return found;
        },
      });
      const run = await company[mode]();
      expect(run).toMatchObject({ held: undefined, report: { people: 202 } });
      expect(run.report.differences.map(({ subject }) => subject)).toContain(first.id);
      const walks = company.clavex.requests.filter(({ path }) => path.endsWith("/users?limit=200"));
      expect(walks).toHaveLength(2);
    });
  });

  test.each([
    ["no page of the users can be read", /\/users/, 500, "transient", "clavex-unavailable"],
    ["the groups cannot be read", /\/groups\?/, 500, "transient", "clavex-unavailable"],
    ["a proxy answers 404 for everything", /./, 404, "configuration", "clavex-misrouted"],
    ["a proxy answers with a login page", /./, 200, "configuration", "clavex-misrouted"],
    ["a proxy redirects", /./, 302, "configuration", "clavex-misrouted"],
    ["the key was revoked", /./, 401, "configuration", "clavex-key-refused"],
  ])("fails and sends nothing when %s, and the next run is whole again", async (_what, path, status, failureClass, code) => {
    const { company, people } = await settled(3);
    suspend(company, people.slice(0, 1));
    const itself = code !== "clavex-misrouted";
    company.clavex.faults.add({
      kind: "status",
      status,
      headers: { "content-type": itself ? "application/json" : "text/html" },
      body: itself ? '{"error":"Refused","message":"not now"}' : "<html>not here</html>",
      match: (request) => path.test(request.path),
    });
    await expect(company[mode]()).rejects.toMatchObject({ failureClass, code });
    expect(company.sent).toEqual([]);
    company.clavex.faults.clear();
    expect(await company[mode]()).toMatchObject({ result: "done", sent: 1 });
  });

  test("fails and sends nothing with the API key of another organization (403)", async () => {
    const { company } = await settled(3);
    company.configure({ organizationId: randomUUID() });
    await expect(company[mode]()).rejects.toMatchObject({
      code: "clavex-key-refused",
      fix: expect.stringMatching(/users:read and groups:read/),
    });
    expect(company.sent).toEqual([]);
  });

  test("whose time is over while it still reads fails, says so and sends nothing", async () => {
    const { company, people } = await settled(3);
    suspend(company, people.slice(0, 1));
    await expect(company[mode]({ deadline: AbortSignal.abort() })).rejects.toMatchObject({
      code: "reconcile-over-time",
      fix: expect.stringMatching(/clavex-nextcloud reconcile/),
    });
    expect(company.sent).toEqual([]);
    expect(await company[mode]()).toMatchObject({ result: "done", sent: 1 });
  });

  test("whose time is over while it sends leaves the rest, those who would lose access among it, to the next one", async () => {
    const { company, people } = await settled(14);
    suspend(company, people.slice(0, 2));
    company.people(12);
    const over = new AbortController();
    company.onSend = async (_jobs, send) => {
      await send();
      over.abort();
    };
    const run = await company[mode]({ deadline: over.signal });
    expect(run.sent).toBe(10);
    await expectHeld(company, run, { reason: "time-over", people: 2, sentence: /left to the next one/ });
    expect(await company[mode]()).toMatchObject({ sent: 4, held: undefined });
  });
});

test("a full run fails and sends nothing when Nextcloud cannot be read", async () => {
  const { company, people } = await settled(3);
  suspend(company, people.slice(0, 1));
  company.nextcloud.maintenance = true;
  await expect(company.full()).rejects.toMatchObject({ code: "nextcloud-unavailable" });
  expect(company.sent).toEqual([]);
  company.nextcloud.maintenance = false;
  expect(await company.full()).toMatchObject({ sent: 1 });
});

test("people who joined and were seen to while a run was reading are not taken for gone", async () => {
  const { company } = await settled(3);
  const found = await company.look("light", async () => {
    for (const person of company.people(12)) {
      await company.deliver(company.clavex.delivery("user.created", person));
    }
    await company.work();
  });
  expect(found).toMatchObject({ people: 27, known: 15, held: undefined });
  expect(new Set(found.differences.map(({ kind }) => kind))).toEqual(new Set(["create"]));
});

describe("the percentage of the known people", () => {
  test("is the limit where it is more than the count, rounded down", async () => {
    const { company, people } = await settled(30, { reconcile: { maxDeprovisions: { count: 2, percent: 15 } } });
    suspend(company, people.slice(0, 5));
    expect(await company.look("light")).toMatchObject({
      held: { people: 5, explanation: expect.stringMatching(/the 4 /) },
    });
    company.clavex.updateUser(company.slug, people[0]?.id ?? "", { is_active: true });
    expect(await company.look("light")).toMatchObject({ held: undefined });
  });

  test("is of those who have access: people who left long ago do not raise it", async () => {
    const { company, people } = await settled(20, { reconcile: { maxDeprovisions: { count: 0, percent: 50 } } });
    suspend(company, people.slice(0, 10));
    await company.light({ allowDeprovisions: 10 });
    await company.work();
    expect(enabled(company, people)).toBe(10);
    suspend(company, people.slice(10, 16));
    expect((await company.look("full")).held).toMatchObject({
      people: 6,
      explanation: expect.stringMatching(/the 5 /),
    });
  });

  test("of zero, with a count of zero, lets nobody go", async () => {
    const { company, people } = await settled(3, { reconcile: { maxDeprovisions: { count: 0, percent: 0 } } });
    suspend(company, people.slice(0, 1));
    await expectHeld(company, await company.light(), { reason: "brake", people: 1, sentence: /^1 person/ });
  });

  test("lets the worker do what the run has sent: all of the limit, not some of it", async () => {
    const { company, people } = await settled(30, { reconcile: { maxDeprovisions: { count: 2, percent: 20 } } });
    suspend(company, people.slice(0, 6));
    expect(await company.light()).toMatchObject({ sent: 6, held: undefined });
    await company.attempt();
    expect(enabled(company, people)).toBe(24);
  });
});

describe("people who keep their account while out of scope", () => {
  test("are counted when they are suspended later", async () => {
    const { company, people } = await settled(14, {
      scope: { groups: ["eng"] },
      deprovision: { outOfScope: "keep" },
    });
    for (const person of people.slice(0, 11)) company.unassign(person, "eng");
    expect(await company.light()).toMatchObject({ sent: 11, held: undefined });
    await company.work();
    expect(enabled(company, people)).toBe(14);
    suspend(company, people.slice(0, 11));
    for (const mode of MODES) {
      expect((await company.look(mode)).held).toMatchObject({ reason: "brake", people: 11 });
    }
    await expectHeld(company, await company.light(), { reason: "brake", people: 11, sentence: /^11 people/ });
  });
});

describe("an operator who allows a real departure wave", () => {
  test.each(MODES)("lets exactly that wave go (%s), and the next one is held again", async (mode) => {
    const { company, people } = await settled(26);
    suspend(company, people.slice(0, 12));
    expect((await company[mode]()).held).toMatchObject({ people: 12 });
    const run = await company[mode]({ allowDeprovisions: 12 });
    expect(run).toMatchObject({ sent: 12, held: undefined });
    await company.work();
    expect(enabled(company, people)).toBe(14);
    expect(await company.ledger.brakes.get(company.slug)).toMatchObject({ state: { allowed: 0, held: false } });

    suspend(company, people.slice(12, 23));
    expect((await company[mode]()).held).toMatchObject({ reason: "brake", people: 11 });
    await company.work();
    expect(enabled(company, people)).toBe(14);
  });

  test("allows what goes beyond the limit: fewer than the wave are enough", async () => {
    const { company, people } = await settled(14);
    suspend(company, people.slice(0, 12));
    expect(await company.light({ allowDeprovisions: 1 })).toMatchObject({ sent: 0, held: { people: 12 } });
    expect(await company.light({ allowDeprovisions: 1 })).toMatchObject({ sent: 12, held: undefined });
    await company.work();
    expect(enabled(company, people)).toBe(2);
  });

  test("lets the people go whom the worker held because of several small waves within an hour", async () => {
    const { company, people } = await settled(20);
    suspend(company, people.slice(0, 6));
    expect(await company.light()).toMatchObject({ sent: 6, held: undefined });
    await company.work();
    suspend(company, people.slice(6, 12));
    expect(await company.light(), "a run counts what the hour has seen").toMatchObject({
      sent: 0,
      held: { people: 6 },
    });
    for (const { id } of people.slice(6, 12)) {
      const suspended = company.clavex.suspend(company.slug, id);
      await company.deliver(company.clavex.delivery("user.updated", suspended));
    }
    company.clock.now += 61_000;
    await company.attempt();
    expect(enabled(company, people)).toBe(10);
    expect(company.counted.filter((counter) => counter === "BrakeHeld").length).toBeGreaterThan(0);
    company.clock.now += 3 * HOUR;
    await company.attempt();
    expect(enabled(company, people), "a new hour releases nobody").toBe(10);
    suspend(company, people.slice(12, 13));
    expect(await company.light(), "nor anybody else").toMatchObject({ sent: 0, held: { people: 3 } });

    await company.light({ allowDeprovisions: 3 });
    await company.work();
    expect(enabled(company, people)).toBe(7);
    expect(await company.queued()).toBe(0);
  });
});

describe("accounts that are to be deleted for good", () => {
  const choices = { deprovision: { deleted: "delete", graceDays: 30 } } as const;

  /** Twelve people are gone, with an operator's consent, and the grace days are over. */
  async function gone(): Promise<{ company: Company; people: ClavexUser[] }> {
    const { company, people } = await settled(14, choices);
    for (const person of people.slice(0, 12)) company.clavex.deleteUser(company.slug, person.id);
    await company.light({ allowDeprovisions: 12 });
    await company.work();
    company.clock.now += 30 * DAY;
    company.lines.length = 0;
    company.counted.length = 0;
    return { company, people: people.slice(0, 12) };
  }

  test("are held by the brake as those are who lose access, and let go by an operator", async () => {
    const { company, people } = await gone();
    const run = await company.full();
    expect(run).toMatchObject({ sent: 0, held: { reason: "brake", people: 12 } });
    expect(company.counted).toContain("BrakeHeld");
    await company.work();
    expect(people.filter((person) => company.account(person))).toHaveLength(12);

    expect(await company.full({ allowDeprovisions: 12 })).toMatchObject({ sent: 12, held: undefined });
    await company.work();
    expect(people.filter((person) => company.account(person))).toHaveLength(0);
  });

  test("use up what the operator allowed", async () => {
    const { company } = await gone();
    await company.full({ allowDeprovisions: 12 });
    await company.work();
    expect(await company.ledger.brakes.get(company.slug)).toMatchObject({ state: { allowed: 0 } });
  });
});
