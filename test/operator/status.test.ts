import { describe, expect, it } from "vitest";
import { activityOf } from "../../functions/core/activity.ts";
import { assess } from "../../functions/core/status.ts";
import { readStatus } from "../../functions/operator/status.ts";
import type { Countable } from "../../functions/queue/queue.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { named, refusal } from "../support/requests.ts";

const office = useOrganizations();

/** What is said about a company, with the queue of its pipeline. */
async function told(acme: Company) {
  const status = await readStatus(
    {
      ...acme,
      queue: acme.dependencies.queue as Company["dependencies"]["queue"] & Countable,
      deadLetterQueue: { count: async () => 0 },
      activities: {
        last: async ({ result }) => ({
          activities: acme.lines
            .flatMap(({ message, fields }) => activityOf({ at: acme.clock.now, message, fields }) ?? [])
            .filter((each) => each.result === result),
          next: "",
        }),
      },
      now: () => acme.clock.now,
    },
    [acme.slug],
  );
  return { ...status, ...assess(status) };
}

describe("status", () => {
  it("says that all are in sync once the last full run's differences are applied", async () => {
    const acme = withPipeline(await office.build());
    acme.people(3);
    expect((await told(acme)).concerns).toMatchObject([{ kind: "not-reconciled" }]);
    await acme.full();
    expect((await told(acme)).sentence).toMatch(/^3 jobs are under way, since \d\d:\d\d UTC\.$/);
    await acme.work();
    const status = await told(acme);
    expect(status.sentence).toMatch(/^All 3 people are in sync as of \d\d:\d\d UTC\.$/);
    expect(status.organizations).toMatchObject([
      { people: 3, accounts: 0, enabled: 0, jobs: { jobs: 0 }, deadLetters: 0, leaversStillEnabled: 0, held: {} },
    ]);
    await acme.light();
    expect((await told(acme)).organizations).toMatchObject([{ people: 3, enabled: 3 }]);
  });

  it("counts people as the last run saw them, though it was a light one", async () => {
    const acme = withPipeline(await office.build());
    acme.people(2);
    await acme.settle();
    acme.people(3);
    await acme.light();
    await acme.work();
    const { sentence, organizations } = await told(acme);
    expect(sentence).toMatch(/^All 5 people are in sync as of /);
    expect(organizations).toMatchObject([{ people: 5 }]);
  });

  it("says for whom people wait while Nextcloud is away", async () => {
    const acme = withPipeline(await office.build());
    acme.people(2);
    await acme.full();
    acme.nextcloud.faults.add({ kind: "status", status: 503, body: "away" });
    await acme.attempt();
    const { sentence, concerns } = await told(acme);
    expect(sentence).toMatch(/^2 people wait for Nextcloud, since \d\d:\d\d UTC: /);
    expect(concerns[0]?.fixes[0]).toBe(`npx clavex-nextcloud doctor --organization ${acme.slug}`);
    acme.nextcloud.faults.clear();
    await acme.work();
    expect((await told(acme)).inSync).toBe(true);
  });

  it("says whom the brake holds, and how to allow it; afterwards all are in sync", async () => {
    const acme = withPipeline(await office.build({ reconcile: { maxDeprovisions: { count: 1, percent: 0 } } }));
    const leavers = acme.people(2);
    acme.people(3);
    await acme.settle();
    for (const { id } of leavers) acme.clavex.updateUser(acme.slug, id, { is_active: false });
    await acme.light();
    const { sentence, concerns } = await told(acme);
    expect(sentence).toMatch(/^Deprovisioning is blocked for 2 people/);
    expect(concerns[0]?.fixes).toContain(
      `npx clavex-nextcloud reconcile --organization ${acme.slug} --allow-deprovisions 2`,
    );
    await acme.full({ allowDeprovisions: 2 });
    await acme.work();
    expect((await told(acme)).inSync).toBe(true);
  });

  it("says that not everybody could be read, and does not call deprovisioning blocked: whoever was read loses access", async () => {
    const acme = withPipeline(await office.build());
    const [leaver, unread] = [acme.person({ email: "a@acme.example" }), acme.person({ email: "z@acme.example" })];
    await acme.settle();
    acme.clavex.suspend(acme.slug, leaver.id);
    acme.clavex.faults.add({
      kind: "changed",
      match: ({ path }) => /\/users/.test(path),
      change: (answer) => (answer.body?.includes(unread.id) ? { status: 500, body: "" } : answer),
    });
    await acme.full();
    const [status] = (await told(acme)).organizations;
    expect(status).toMatchObject({ held: {} });
    await acme.work();
    expect(acme.account(leaver)).toMatchObject({ enabled: false });
    const { sentence, inSync, concerns } = await told(acme);
    acme.clavex.faults.clear();
    expect(sentence).toMatch(
      /^The list of people could not be read to its end: whoever was not read is left as they are/,
    );
    expect([inSync, concerns[0]?.fixes]).toEqual([false, [`npx clavex-nextcloud doctor --organization ${acme.slug}`]]);
    await acme.full();
    expect((await told(acme)).inSync).toBe(true);
  });

  it("tells of dead letters, of leavers who can still log in, and of a pause", async () => {
    const acme = withPipeline(await office.build());
    const [leaver] = acme.people(1);
    await acme.settle();
    if (!leaver) throw new Error("nobody");
    acme.clavex.updateUser(acme.slug, leaver.id, { is_active: false });
    const body = refusal(105, "not today");
    acme.nextcloud.faults.add({ kind: "status", status: 400, body, match: named("PUT disable") });
    await acme.full();
    await acme.work();
    expect((await told(acme)).concerns.map(({ kind }) => kind)).toEqual(["leavers", "dead-letters"]);
    // A leaver whose dead letter is gone is known from the next run on.
    await acme.ledger.deadLetters.drop(acme.slug, leaver.id);
    expect((await told(acme)).concerns).toEqual([]);
    await acme.light();
    expect((await told(acme)).concerns.map(({ kind }) => kind)).toContain("leavers");
    acme.nextcloud.faults.clear();
    acme.nextcloud.faults.add({ kind: "status", status: 400, body, match: named("PUT disable") });
    await acme.ledger.pauses.put(acme.slug, { paused: true, at: acme.clock.now });
    expect((await told(acme)).concerns.map(({ kind }) => kind)).toEqual(["leavers", "paused"]);
  });

  it("asks neither Clavex nor Nextcloud, and reads no list of people", async () => {
    const acme = withPipeline(await office.build());
    acme.people(2);
    await acme.settle();
    const [mark, asked] = [acme.mark(), acme.clavex.requests.length];
    let listed = 0;
    const all = acme.ledger.subjects.all;
    acme.ledger.subjects.all = (organization) => {
      listed += 1;
      return all(organization);
    };
    expect((await told(acme)).inSync).toBe(true);
    acme.ledger.subjects.all = all;
    expect([acme.since(mark), acme.clavex.requests.length - asked, listed]).toEqual([[], 0, 0]);
  });
});
