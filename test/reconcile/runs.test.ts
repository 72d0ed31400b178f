import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { aboutWhom } from "../../functions/core/job.ts";
import { QueueUnavailable } from "../../functions/queue/errors.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Choices, IDENTITIES, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const GB = 1024 ** 3;
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const { build } = useOrganizations();

async function settled(number: number, choices: Choices = {}): Promise<{ company: Company; people: ClavexUser[] }> {
  const company = withPipeline(await build(choices));
  const people = company.people(number, ["eng"]);
  await company.settle();
  return { company, people };
}

async function one(choices: Choices = {}): Promise<{ company: Company; ada: ClavexUser }> {
  const { company, people } = await settled(2, choices);
  return { company, ada: people[0] ?? expect.fail() };
}

const rename = (company: Company, person: ClavexUser, last_name: string): void =>
  void company.clavex.updateUser(company.slug, person.id, { last_name });
const subjects = (company: Company): string[] => company.sent.map(aboutWhom);

describe("light and full", () => {
  test("nothing is different: neither run sends a job, a light one asks Nextcloud nothing", async () => {
    const { company } = await settled(3);
    for (const mode of ["light", "full"] as const) {
      expect(await company[mode]()).toMatchObject({ result: "done", sent: 0, waiting: 0, refused: 0, held: undefined });
      if (mode === "light") expect(company.nextcloud.requests).toEqual([]);
    }
    expect(company.nextcloud.requests.every(({ method }) => method === "GET")).toBe(true);
  });

  test("both send a job of kind reconcile for whoever differs, and for nobody else, and write nothing themselves", async () => {
    const { company, people } = await settled(5);
    const [renamed, moved, suspended] = people;
    if (!renamed || !moved || !suspended) return expect.fail();
    rename(company, renamed, "King");
    company.assign(moved, "ops");
    company.clavex.suspend(company.slug, suspended.id);
    const joiner = company.person();
    const expected = [renamed, moved, suspended, joiner].map(({ id }) => id).sort();
    expect((await company.look("full")).differences.map(({ subject }) => subject).sort()).toEqual(expected);
    const run = await company.light();
    expect(subjects(company).sort()).toEqual(expected);
    expect(run.report.differences.map(({ kind }) => kind).sort()).toEqual([
      "create",
      "deprovision",
      "update",
      "update",
    ]);
    expect(new Set(company.sent.map(({ trigger }) => trigger.kind))).toEqual(new Set(["reconcile"]));
    expect(company.nextcloud.requests.filter(({ method }) => method !== "GET")).toEqual([]);
  });

  test("jobs are sent in batches of ten", async () => {
    const company = withPipeline(await build());
    company.people(23);
    const progress: number[] = [];
    await company.light({ onProgress: (phase, count) => void (phase === "jobs sent" && progress.push(count)) });
    expect(progress).toEqual([10, 20, 23]);
    expect(await company.queued()).toBe(23);
  });

  test("each run leaves one log line with what it found and sent", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    await company.full();
    expect(company.lines).toEqual([
      {
        level: "info",
        message: "reconcile",
        fields: {
          organization: company.slug,
          mode: "full",
          people: 2,
          known: 2,
          accounts: 2,
          differences: 1,
          sent: 1,
          waiting: 0,
          refused: 0,
          notes: 0,
        },
      },
    ]);
  });

  test("a changed policy reaches everybody with the next light run", async () => {
    const { company, people } = await settled(12, { quota: { default: "5 GB" } });
    company.configure({ quota: { default: "10 GB" } });
    expect(await company.light()).toMatchObject({ sent: 12, held: undefined });
    await company.work();
    expect(people.map((person) => company.account(person)?.quota)).toEqual(people.map(() => 10 * GB));
    expect(await company.light()).toMatchObject({ sent: 0 });
  });

  test("groups that are no longer managed are left alone, and joined no more", async () => {
    const { company, people } = await settled(2);
    company.configure({ groups: { managed: ["*"], never: ["eng"] } });
    await company.light();
    await company.work();
    expect(people.map((person) => company.groupsOf(person))).toEqual([["eng"], ["eng"]]);
    expect((await company.look("full")).differences).toEqual([]);
  });

  test("an organization without an API key is left out: nothing is read, nothing sent", async () => {
    const company = withPipeline(await build({ apiKey: false }));
    company.people(2);
    for (const mode of ["light", "full"] as const) {
      expect(await company.reconcile(company.slug, mode)).toEqual({ result: "unreadable" });
    }
    expect([...company.clavex.requests, ...company.nextcloud.requests]).toEqual([]);
  });

  test("an unknown organization is a configuration error", async () => {
    const company = withPipeline(await build());
    await expect(company.reconcile("nobody", "light")).rejects.toMatchObject({ code: "organization-unknown" });
  });

  test("a changed identity stops the run, instead of queueing a second account for everybody", async () => {
    const { company } = await settled(3);
    company.configure({ identity: { scheme: "user_oidc", providerId: 2, uniqueUserIds: true } });
    for (const mode of ["light", "full"] as const) {
      await expect(company[mode]()).rejects.toMatchObject({ code: "identity-changed", failureClass: "configuration" });
    }
    expect(company.sent).toEqual([]);
  });
});

describe("jobs that wait or were refused are not sent again", () => {
  test("20 light runs in a Nextcloud outage add at most one job per person", async () => {
    const { company, people } = await settled(6);
    const [renamed, moved, suspended] = people;
    if (!renamed || !moved || !suspended) return expect.fail();
    rename(company, renamed, "King");
    company.assign(moved, "ops");
    company.clavex.suspend(company.slug, suspended.id);
    const joiner = company.person();
    await company.nextcloud.down();
    for (let run = 0; run < 20; run += 1) {
      expect(await company.light()).toMatchObject({ sent: run === 0 ? 4 : 0, waiting: run === 0 ? 0 : 4 });
      await company.attempt();
      company.clock.now += 10 * MINUTE;
    }
    expect(new Set(subjects(company)).size).toBe(4);
    expect(company.sent).toHaveLength(4);
    expect(await company.queued()).toBe(4);

    await company.nextcloud.up();
    await company.work();
    expect(company.account(renamed)?.displayName).toBe("Ada King");
    expect(company.groupsOf(moved)).toEqual(["eng", "ops"]);
    expect(company.account(suspended)?.enabled).toBe(false);
    expect(company.account(joiner)?.enabled).toBe(true);
    expect(await company.light()).toMatchObject({ sent: 0, waiting: 0 });
  });

  test("a full run, too, sends nothing for a person whose job waits", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    await company.light();
    expect(await company.full()).toMatchObject({ sent: 0, waiting: 1 });
    expect(await company.queued()).toBe(1);
  });

  test("a person whose data changes again while a job waits gets one more", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    await company.light();
    rename(company, ada, "Byron");
    expect(await company.light()).toMatchObject({ sent: 1, waiting: 0 });
    expect(await company.light()).toMatchObject({ sent: 0, waiting: 1 });
    await company.work();
    expect(company.account(ada)?.displayName).toBe("Ada Byron");
  });

  test("a job that the queue lost is sent again when it cannot be there any more, after 14 days", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    await company.light();
    await company.lose();
    company.clock.now += 14 * DAY - MINUTE;
    expect(await company.light()).toMatchObject({ sent: 0, waiting: 1 });
    company.clock.now += 2 * MINUTE;
    expect(await company.light()).toMatchObject({ sent: 1, waiting: 0 });
  });

  test("a full run does not believe that for more than a day: a run may have been killed before it sent", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    await company.light();
    await company.lose();
    company.clock.now += DAY - MINUTE;
    expect(await company.full()).toMatchObject({ sent: 0, waiting: 1 });
    company.clock.now += 2 * MINUTE;
    expect(await company.light()).toMatchObject({ sent: 0, waiting: 1 });
    expect(await company.full()).toMatchObject({ sent: 1, waiting: 0 });
    await company.work();
    expect(company.account(ada)?.displayName).toBe("Ada King");
  });

  test("jobs that the queue did not take are not taken for waiting", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    const joiner = company.person();
    company.onSend = async () => {
      throw new QueueUnavailable(new Error("throttled"));
    };
    await expect(company.light()).rejects.toMatchObject({ code: "queue-unavailable" });
    company.onSend = (_jobs, send) => send();
    expect(await company.light()).toMatchObject({ sent: 2, waiting: 0 });
    await company.work();
    expect(company.account(ada)?.displayName).toBe("Ada King");
    expect(company.account(joiner)?.enabled).toBe(true);
  });

  test("a worker that has the job at once is not disturbed: no attempt fails", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    const joiner = company.person();
    let working: Promise<void> = Promise.resolve();
    company.onSend = async (_jobs, send) => {
      const before = company.nextcloud.requests.length;
      company.nextcloud.faults.add({ kind: "slow", ms: 100, times: 2 });
      await send();
      // One after the other: the clock moves on while a worker waits for another's messages.
      working = working.then(() => company.work());
      // The worker has read the ledger by the time that it asks Nextcloud.
      while (company.nextcloud.requests.length < before + 1) await new Promise((resolve) => setImmediate(resolve));
    };
    await company.light();
    await working;
    expect(company.lines.filter(({ message }) => message === "job failed")).toEqual([]);
    expect(company.account(ada)?.displayName).toBe("Ada King");
    for (const person of [ada, joiner]) expect((await company.record(person))?.queued).toBeUndefined();
  });

  describe("the mark that a job waits is forgotten when the job ends", () => {
    test.each([
      ["applied", async () => undefined],
      [
        "unchanged",
        async (company: Company, ada: ClavexUser) => company.logIn(ada, { name: "Ada King", email: ada.email }),
      ],
      [
        "parked",
        async (company: Company, ada: ClavexUser) => {
          await company.administer("DELETE", `cloud/users/${company.accountId(ada)}`);
          company.nextcloud.addLocalUser({ id: company.accountId(ada) });
        },
      ],
    ])("%s", async (result, before) => {
      const { company, ada } = await one();
      rename(company, ada, "King");
      await company.light();
      expect(await company.record(ada)).toMatchObject({ queued: { hash: expect.any(String), at: expect.any(Number) } });
      await before(company, ada);
      await company.work();
      expect(company.lines).toContainEqual(
        expect.objectContaining({ message: "job", fields: expect.objectContaining({ subject: ada.id, result }) }),
      );
      expect((await company.record(ada))?.queued).toBeUndefined();
      // So the same change, made a second time, is not taken for waiting.
      rename(company, ada, "Byron");
      expect(await company.light()).toMatchObject({ sent: 1, waiting: 0 });
    });

    test("but not when it is only put off", async () => {
      const { company, ada } = await one();
      rename(company, ada, "King");
      await company.light();
      company.nextcloud.maintenance = true;
      await company.attempt();
      expect(await company.record(ada)).toMatchObject({ queued: { hash: expect.any(String) } });
    });
  });

  describe("a subject that was refused", () => {
    /** Somebody whose name Nextcloud cannot hold. */
    async function refused(): Promise<{ company: Company; person: ClavexUser }> {
      const { company } = await one();
      const person = company.person({ last_name: "x".repeat(300) });
      expect(await company.light()).toMatchObject({ sent: 1 });
      await company.work();
      expect(await company.ledger.deadLetters.get(company.slug, person.id)).toMatchObject({
        reason: "profile-refused",
      });
      return { company, person };
    }

    test("gets no job from light runs while it is desired the same", async () => {
      const { company } = await refused();
      for (let run = 0; run < 3; run += 1) {
        expect(await company.light()).toMatchObject({ sent: 0, refused: 1, waiting: 0 });
        company.clock.now += DAY;
      }
      expect(await company.queued()).toBe(0);
    });

    test("is reported by a full run, which sends no job and finds no difference", async () => {
      const { company, person } = await refused();
      const run = await company.full();
      expect(run).toMatchObject({ sent: 0, report: { differences: [] } });
      expect(run.report.notes).toEqual([
        { subject: person.id, note: expect.stringMatching(/^the display name has 304 characters/) },
      ]);
    });

    test("gets a job again when its data has changed, and the dead letter is gone", async () => {
      const { company, person } = await refused();
      rename(company, person, "Lovelace");
      expect(await company.light()).toMatchObject({ sent: 1, refused: 0 });
      await company.work();
      expect(company.account(person)?.displayName).toBe("Ada Lovelace");
      expect(await company.ledger.deadLetters.get(company.slug, person.id)).toBeUndefined();
      expect(await company.light()).toMatchObject({ sent: 0, refused: 0 });
    });

    test("by Nextcloud itself gets no job from light runs either", async () => {
      const { company } = await one();
      const person = company.person();
      company.nextcloud.faults.add({
        kind: "status",
        status: 400,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ocs: { meta: { status: "failure", statuscode: 101, message: "no" }, data: [] } }),
        match: ({ method, body }) => method === "POST" && body.includes(person.id),
      });
      await company.light();
      await company.work();
      expect(await company.ledger.deadLetters.get(company.slug, person.id)).toMatchObject({
        reason: "nextcloud-ocs-101",
      });
      expect(await company.light()).toMatchObject({ sent: 0, refused: 1 });
    });
  });
});

describe("accounts that login made before the pipeline was there", () => {
  let company: Company;
  let people: ClavexUser[];

  beforeEach(async () => {
    company = withPipeline(await build({ quota: { default: "5 GB" } }));
    people = company.people(3);
    for (const person of people) {
      company.logIn(person, { name: "Ada Lovelace", email: person.email, quota: "5 GB" });
    }
  });

  test("are taken note of by a full run, and nothing is written to Nextcloud", async () => {
    const run = await company.full();
    expect(run.report.differences).toEqual(
      people.map(() => expect.objectContaining({ kind: "adopt", operations: [] })),
    );
    await company.work();
    expect(company.nextcloud.requests.filter(({ method }) => method !== "GET")).toEqual([]);
    for (const person of people) expect(await company.record(person)).toMatchObject({ state: "active" });
    expect(await company.full()).toMatchObject({ sent: 0, report: { known: 3, accounts: 3, differences: [] } });
  });

  test("are taken over by a light run as well, at one look each", async () => {
    expect(await company.light()).toMatchObject({ sent: 3 });
    await company.work();
    expect(company.nextcloud.requests.map(({ method }) => method)).toEqual(["GET", "GET", "GET"]);
    expect(await company.light()).toMatchObject({ sent: 0 });
  });

  test("of people who leave afterwards are disabled", async () => {
    const [stayed = expect.fail()] = company.people(3);
    await company.full();
    await company.work();
    for (const person of people) company.clavex.deleteUser(company.slug, person.id);
    await company.light();
    await company.work();
    expect(people.map((person) => company.account(person)?.enabled)).toEqual([false, false, false]);
    expect(company.account(stayed)?.enabled).toBe(true);
  });

  test("keep the groups that login gave them, as far as Clavex has them too", async () => {
    const [ada = expect.fail()] = people;
    for (const name of ["eng", "old"]) {
      company.nextcloud.addGroup(company.groupId(name), name);
      company.nextcloud.addMember(company.groupId(name), company.accountId(ada));
    }
    company.assign(ada, "eng");
    await company.full();
    await company.work();
    // Nobody knows where "old" comes from: no group of the directory has its id.
    expect(company.groupsOf(ada)).toEqual(["eng", "old"]);
    company.unassign(ada, "eng");
    await company.light();
    await company.work();
    expect(company.groupsOf(ada)).toEqual(["old"]);
  });
});

describe("two runs of one organization never overlap", () => {
  test("of runs that begin together one works, the others say so and have done nothing", async () => {
    const { company, ada } = await one();
    rename(company, ada, "King");
    const modes = ["light", "full", "light"] as const;
    const runs = await Promise.all(modes.map((mode) => company.reconcile(company.slug, mode)));
    expect(runs.map(({ result }) => result).sort()).toEqual(["busy", "busy", "done"]);
    expect(runs.filter(({ result }) => result === "busy")).toEqual([1, 2].map(() => ({ result: "busy" })));
    expect(company.sent).toHaveLength(1);
  });

  test("a run that does not end blocks the next ones for 16 minutes", async () => {
    const { company } = await one();
    company.clavex.faults.add({ kind: "slow", ms: 1_000, times: 1 });
    const stuck = expect(company.light()).rejects.toMatchObject({ code: "clavex-unavailable" });
    // Its groups and its people are asked for at once.
    while (company.clavex.requests.length < 2) await new Promise((resolve) => setImmediate(resolve));
    company.clock.now += 15 * MINUTE;
    expect(await company.reconcile(company.slug, "light")).toEqual({ result: "busy" });
    expect(company.clavex.requests).toHaveLength(2);
    company.clock.now += 2 * MINUTE;
    expect(await company.light()).toMatchObject({ result: "done" });
    await stuck;
  });

  test("a run that failed gives the lock back", async () => {
    const { company } = await one();
    company.clavex.faults.add({ kind: "status", status: 500 });
    await expect(company.light()).rejects.toThrow();
    company.clavex.faults.clear();
    expect(await company.light()).toMatchObject({ result: "done" });
  });

  test("runs of different organizations do not wait for each other", async () => {
    const [first, second] = [await one(), await one()];
    const runs = await Promise.all([first.company.light(), second.company.light()]);
    expect(runs.map(({ result }) => result)).toEqual(["done", "done"]);
  });
});

describe("deprovision.deleted: delete, with grace days", () => {
  const choices: Choices = { deprovision: { deleted: "delete", graceDays: 30 } };
  let company: Company;
  let ada: ClavexUser;

  beforeEach(async () => {
    ({ company, ada } = await one(choices));
  });

  const leave = async (): Promise<void> => {
    company.clavex.deleteUser(company.slug, ada.id);
    await company.light();
    await company.work();
  };
  const run = async (mode: "light" | "full"): Promise<void> => {
    await company[mode]();
    await company.work();
  };

  test("the account is disabled now, with everything in it", async () => {
    await leave();
    expect(company.account(ada)).toMatchObject({ enabled: false, homeExists: true });
    expect(company.groupsOf(ada)).toEqual(["eng"]);
  });

  test("it is deleted by the first full run after the days, and by no other path", async () => {
    await leave();
    company.clock.now += 30 * DAY - 10 * MINUTE;
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
    company.clock.now += 20 * MINUTE;
    await run("light");
    await company.deliver(company.clavex.delivery("user.deleted", ada));
    await company.work();
    expect(company.account(ada)?.enabled, "neither a light run nor a webhook deletes").toBe(false);

    const found = await company.look("full");
    expect(found.differences.map(({ kind, operations }) => [kind, operations])).toEqual([
      ["delete", [{ kind: "delete", effect: "deletes" }]],
    ]);
    await run("full");
    expect(company.account(ada)).toBeUndefined();
    for (const mode of ["light", "full"] as const) expect((await company.look(mode)).differences).toEqual([]);
  });

  test("a person who came back between the run and its job is not deleted", async () => {
    await leave();
    company.clock.now += 31 * DAY;
    await company.full();
    company.clavex.addUser(company.slug, { ...ada });
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true, homeExists: true });
  });

  test("who comes back within the days has the same account again, with its groups", async () => {
    await leave();
    const before = company.account(ada);
    company.clock.now += 20 * DAY;
    company.clavex.addUser(company.slug, { ...ada });
    company.assign(ada, "ops");
    await run("light");
    expect(company.account(ada)).toMatchObject({ id: before?.id, enabled: true, homeExists: true });
    expect(company.groupsOf(ada)).toEqual(["ops"]);
    company.clock.now += 40 * DAY;
    await run("full");
    expect(company.account(ada)?.enabled, "the days are forgotten").toBe(true);
  });

  test("the days begin anew when somebody leaves a second time", async () => {
    await leave();
    company.clock.now += 20 * DAY;
    company.clavex.addUser(company.slug, { ...ada });
    await run("light");
    await leave();
    company.clock.now += 20 * DAY;
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
  });

  test("the days count from when the person was gone, not from an earlier suspension", async () => {
    company.clavex.suspend(company.slug, ada.id);
    await run("light");
    company.clock.now += 60 * DAY;
    await leave();
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
  });

  test("an account that a Nextcloud administrator had disabled before is never deleted", async () => {
    company.nextcloud.setEnabled(company.accountId(ada), false);
    await leave();
    company.clock.now += 100 * DAY;
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
    expect((await company.look("full")).differences).toEqual([]);
  });

  test("an account that an administrator has let in again is disabled first, and not deleted in the same breath", async () => {
    await leave();
    company.nextcloud.setEnabled(company.accountId(ada), true);
    company.clock.now += 31 * DAY;
    expect((await company.look("full")).differences.map(({ kind }) => kind)).toEqual(["deprovision"]);
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
  });

  test("an erased person is treated as one who is gone", async () => {
    company.clavex.eraseUser(company.slug, ada.id, "erased");
    await run("light");
    expect(company.account(ada)?.enabled).toBe(false);
    company.clock.now += 31 * DAY;
    await run("full");
    expect(company.account(ada)).toBeUndefined();
  });

  test("suspended people are not deleted, however long it lasts", async () => {
    company.clavex.suspend(company.slug, ada.id);
    await run("light");
    company.clock.now += 400 * DAY;
    await run("full");
    expect(company.account(ada)?.enabled).toBe(false);
  });
});

test("with the default policy nobody's account is ever deleted", async () => {
  const { company, ada } = await one();
  company.clavex.deleteUser(company.slug, ada.id);
  await company.light();
  await company.work();
  company.clock.now += 1000 * DAY;
  await company.full();
  await company.work();
  expect(company.account(ada)).toMatchObject({ enabled: false });
});

describe("an account that has a person's bare subject as its id", () => {
  test.each([
    ["hashed ids", IDENTITIES.hashed, true],
    ["provider-based ids", IDENTITIES.providerBased, true],
    ["raw ids, where it is the person's own", IDENTITIES.raw, false],
  ])("is reported with %s: %s", async (_ids, identity, reported) => {
    const company = withPipeline(await build({ identity }));
    const [ada, grace] = company.people(2);
    await company.settle();
    if (!ada || !grace) return expect.fail();
    if (reported) for (const id of [ada.id, randomUUID(), "somebody"]) company.nextcloud.addLocalUser({ id });
    const { notes, differences } = await company.look("full");
    expect({ notes, differences }).toEqual({
      notes: reported ? [{ subject: ada.id, note: expect.stringMatching(/bare subject/) }] : [],
      differences: [],
    });
  });

  test("is reported of nobody who is gone from Clavex", async () => {
    const company = withPipeline(await build({ identity: IDENTITIES.providerBased }));
    const [ada] = company.people(2);
    await company.settle();
    if (!ada) return expect.fail();
    company.nextcloud.addLocalUser({ id: ada.id });
    company.clavex.deleteUser(company.slug, ada.id);
    expect((await company.look("full")).notes).toEqual([]);
  });
});

describe("what a full run reports and leaves as it is, without counting it as a difference", () => {
  test("an account that a Nextcloud administrator disabled", async () => {
    const { company, ada } = await one();
    company.nextcloud.setEnabled(company.accountId(ada), false);
    const run = await company.full();
    expect(run).toMatchObject({ sent: 0, report: { differences: [] } });
    expect(run.report.notes).toEqual([
      { subject: ada.id, note: expect.stringMatching(/disabled, but not by us: a Nextcloud administrator/) },
    ]);
    await company.work();
    expect(company.account(ada)?.enabled).toBe(false);
  });

  test.each([
    ["a local account of the person's id", (id: string) => id],
    ["a local account of the same id in other letter case", (id: string) => id.toUpperCase()],
  ])("%s", async (_what, id) => {
    const { company } = await one();
    const person = company.person();
    company.nextcloud.addLocalUser({ id: id(company.accountId(person)), displayName: "Local" });
    const run = await company.full();
    expect(run).toMatchObject({ sent: 0, report: { differences: [] } });
    expect(run.report.notes).toEqual([
      { subject: person.id, note: expect.stringMatching(/belongs to Nextcloud's backend Database|was asked for/) },
    ]);
    expect(company.account(person)).toMatchObject({ displayName: "Local", enabled: true, backends: ["Database"] });
  });

  test("the account of a person who is gone, where a local account has taken the id", async () => {
    const { company } = await one();
    const person = company.person();
    company.nextcloud.addLocalUser({ id: company.accountId(person) });
    company.clavex.suspend(company.slug, person.id);
    const run = await company.full();
    expect(run).toMatchObject({ sent: 0, held: undefined, report: { differences: [] } });
    expect(company.account(person)?.enabled).toBe(true);
  });

  test("a local group of the same id, where ids are not hashed", async () => {
    const company = withPipeline(await build({ identity: { scheme: "database" } }));
    company.nextcloud.addGroup("eng", "Local engineers");
    const person = company.person({}, ["eng", "ops"]);
    await company.full();
    await company.work();
    expect(company.account(person)?.groups).toEqual(["ops"]);
    const second = await company.full();
    expect(second).toMatchObject({ sent: 0, report: { differences: [] } });
    expect(second.report.notes).toEqual([
      { subject: person.id, note: expect.stringMatching(/^group eng is skipped: Nextcloud had a group of this id/) },
    ]);
  });

  test("a policy that keeps the accounts of suspended people", async () => {
    const { company, ada } = await one({ deprovision: { suspended: "keep" } });
    company.clavex.suspend(company.slug, ada.id);
    await company.light();
    await company.work();
    const run = await company.full();
    expect(run).toMatchObject({ sent: 0, report: { differences: [] } });
    expect(run.report.notes).toEqual([{ subject: ada.id, note: expect.stringMatching(/suspended is "keep"/) }]);
    expect(company.account(ada)?.enabled).toBe(true);
  });
});

describe("accounts are found in whichever backend and on whichever page they are", () => {
  /** A company with local accounts, and people whose accounts login made. */
  async function withAccounts(locals: number, number: number) {
    const company = withPipeline(await build());
    for (let index = 0; index < locals; index += 1) company.nextcloud.addLocalUser({ id: `local-${index}` });
    const people = company.people(number);
    for (const person of people) company.logIn(person, { name: "Ada Lovelace", email: person.email });
    const allAdopted = { accounts: number, notes: [], differences: people.map(() => ({ kind: "adopt" })) };
    const calls = (path: string) => company.nextcloud.requests.filter((request) => request.path.includes(path)).length;
    return { company, allAdopted, calls };
  }

  test("few among many local accounts: with one GET each", async () => {
    const { company, allAdopted, calls } = await withAccounts(300, 3);
    expect(await company.look("full")).toMatchObject(allAdopted);
    expect([calls("/cloud/users?"), calls("/details?"), calls("/cloud/users/")]).toEqual([2, 0, 3]);
  });

  test("many: page by page with their details, although a page holds that of each backend", async () => {
    const { company, allAdopted, calls } = await withAccounts(450, 210);
    expect(await company.look("full")).toMatchObject(allAdopted);
    expect([calls("/cloud/users?"), calls("/details?"), calls("/cloud/users/")]).toEqual([2, 4, 4]);
  });

  test("those whose details the pages did not show, as when the pages shift, are asked for one by one", async () => {
    const { company, allAdopted } = await withAccounts(0, 30);
    company.nextcloud.faults.add({
      kind: "status",
      status: 200,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ocs: { meta: { status: "ok", statuscode: 200, message: "OK" }, data: { users: [] } } }),
      match: ({ path }) => path.includes("/details?"),
    });
    expect(await company.look("full")).toMatchObject(allAdopted);
  });
});

test("the differences come in the order of names, however Nextcloud's pages are ordered", async () => {
  const company = withPipeline(await build());
  for (const first_name of ["Linus", "Ada", "Grace"]) company.person({ first_name });
  const settled = company.person({ first_name: "Barbara" });
  company.logIn(settled, { name: "Somebody Else", email: settled.email });
  const { differences } = await company.look("full");
  expect(differences.map(({ name }) => name.split(" ")[0])).toEqual(["Ada", "Barbara", "Grace", "Linus"]);
});

test.each([
  ["hashed", { scheme: "user_oidc", providerId: 1, uniqueUserIds: true }],
  ["raw", { scheme: "database" }],
] as const)("however many people share a group, whose it is is asked once (%s ids)", async (_ids, identity) => {
  const company = withPipeline(await build({ identity, groups: { always: ["everyone"] } }));
  company.nextcloud.addGroup("everyone");
  // Whoever brings a new group brings a known one with it.
  company.people(10, ["eng"]);
  company.people(10, ["eng", "ops"]);
  const found = await company.look("full");
  expect(found.differences).toHaveLength(20);
  const groups = [company.groupId("eng"), company.groupId("ops")];
  expect([...new Set(company.asked)].sort()).toEqual(["everyone", ...groups].sort());
  expect(company.asked.length).toBeLessThanOrEqual(3);
  const looked = company.nextcloud.requests.filter(({ path }) => path.includes("/cloud/groups/"));
  expect(looked).toHaveLength(identity.scheme === "database" ? 2 : 0);
});

describe("hints about groups lead to a job for exactly the people whose groups have changed", () => {
  let company: Company;
  let people: ClavexUser[];

  beforeEach(async () => {
    ({ company, people } = await settled(6));
  });

  const audit = (action: string, resource_id: string) => ({
    specversion: "1.0",
    id: randomUUID(),
    source: `https://id.example.com/${company.organization.organizationId}`,
    type: `com.clavex.audit.${action}`,
    time: new Date(company.clock.now).toISOString(),
    orgid: company.organization.organizationId,
    datacontenttype: "application/json",
    data: { action, status: "success", resource_type: "group", resource_id, metadata: {} },
  });
  const member = (event: string, data: object) => ({
    id: randomUUID(),
    event,
    occurred_at: new Date(company.clock.now).toISOString(),
    data: { org_id: company.organization.organizationId, ...data },
  });
  const groupId = (name: string) => company.clavex.groupByName(company.slug, name)?.id ?? expect.fail(name);
  /** The people that jobs were sent for, but for the hint's own job. */
  const concerned = () => subjects(company).filter((subject) => subject !== "groups");

  test.each([
    ["group.created, which names the group", () => audit("group.created", "ops")],
    ["group.deleted, which gives its id", () => audit("group.deleted", randomUUID())],
    ["group.updated", () => audit("group.updated", randomUUID())],
    ["group.member.added without a user", () => member("group.member.added", { group_id: groupId("ops") })],
    ["group.member.removed without a user", () => member("group.member.removed", { group_name: "ops" })],
  ])("%s", async (_event, hint) => {
    const [first = expect.fail(), second = expect.fail()] = people;
    company.assign(first, "ops");
    company.unassign(second, "eng");
    expect(await company.deliver(hint())).toEqual({ status: 202, said: { status: "queued" } });
    await company.work();
    expect(concerned().sort()).toEqual([first.id, second.id].sort());
    expect([company.groupsOf(first), company.groupsOf(second)]).toEqual([["eng", "ops"], []]);
    expect(await company.light()).toMatchObject({ sent: 0 });
  });

  test("a group that is deleted: all its members, nobody else", async () => {
    const [outsider = expect.fail(), ...members] = people;
    company.clavex.addGroup(company.slug, "ops");
    company.unassign(outsider, "eng");
    await company.light();
    await company.work();
    company.sent.length = 0;
    const id = groupId("eng");
    company.clavex.deleteGroup(company.slug, id);
    await company.deliver(audit("group.deleted", id));
    await company.work();
    expect(concerned().sort()).toEqual(members.map((person) => person.id).sort());
    expect(people.map((person) => company.groupsOf(person))).toEqual(people.map(() => []));
  });

  test("group.member.* that names a person: that person only, with groups that are read anew", async () => {
    const [named = expect.fail(), other = expect.fail()] = people;
    company.assign(named, "ops");
    company.assign(other, "ops");
    await company.deliver(member("group.member.added", { user_id: named.id, group_id: groupId("ops") }));
    await company.work();
    expect(subjects(company)).toEqual([named.id]);
    expect([company.groupsOf(named), company.groupsOf(other)]).toEqual([["eng", "ops"], ["eng"]]);
  });

  test("many hints at once are one look at the groups, and one job per person", async () => {
    const [first = expect.fail(), second = expect.fail()] = people;
    company.assign(first, "ops");
    company.assign(second, "ops");
    for (let hint = 0; hint < 40; hint += 1) await company.deliver(audit("group.updated", randomUUID()));
    expect(await company.queued()).toBe(40);
    await company.attempt();
    expect(concerned().sort()).toEqual([first.id, second.id].sort());
    expect(await company.queued()).toBe(0);
    // One look for the hints, and at most one for each of the two jobs.
    expect(company.clavex.requests.filter(({ path }) => path.includes("/groups?")).length).toBeLessThanOrEqual(3);
    expect(company.groupsOf(second)).toEqual(["eng", "ops"]);
  });

  test("a hint after which nothing is different sends nothing", async () => {
    await company.deliver(audit("group.updated", randomUUID()));
    await company.work();
    expect(concerned()).toEqual([]);
    expect(company.nextcloud.requests).toEqual([]);
  });

  test("people who are suspended, and groups that are never managed, lead to no job", async () => {
    const [suspended = expect.fail()] = people;
    company.clavex.suspend(company.slug, suspended.id);
    await company.light();
    await company.work();
    company.configure({ groups: { never: ["secret*"] } });
    company.sent.length = 0;
    company.assign(suspended, "ops");
    for (const person of people) company.assign(person, "secret-1");
    await company.deliver(audit("group.created", "secret-1"));
    await company.work();
    expect(concerned()).toEqual([]);
  });

  test("a group that decides only the quota, or who is in scope, concerns its members", async () => {
    const [rich = expect.fail()] = people;
    company.configure({ groups: { managed: ["eng"] }, quota: { byGroup: { finance: "50 GB" } } });
    company.assign(rich, "finance");
    await company.deliver(audit("group.created", "finance"));
    await company.work();
    expect(concerned()).toEqual([rich.id]);
    expect(company.account(rich)?.quota).toBe(50 * GB);
    expect(company.groupsOf(rich)).toEqual(["eng"]);
  });

  test("where no group matters to the organization, a hint leads to no job at all", async () => {
    const other = await settled(3, { groups: { managed: [] } });
    await other.company.deliver({
      ...audit("group.created", "ops"),
      orgid: other.company.organization.organizationId,
    });
    await other.company.work();
    expect(subjects(other.company)).toEqual(["groups"]);
  });

  test("without an API key a hint is ignored, with the reason", async () => {
    const keyless = withPipeline(await build({ apiKey: false }));
    const hint = { ...audit("group.created", "ops"), orgid: keyless.organization.organizationId };
    expect(await keyless.deliver(hint)).toEqual({
      status: 202,
      said: { status: "ignored", reason: "without clavex.apiKey no groups can be read" },
    });
  });
});
