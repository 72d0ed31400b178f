import { describe, expect, it } from "vitest";
import { createActivityRing } from "../../functions/activity/ring.ts";
import { activityOf } from "../../functions/core/activity.ts";
import { newBrake } from "../../functions/core/brake.ts";
import { openDatabase } from "../../functions/database.ts";
import { awaitedOf, hindranceOf, type WaitState, waitForJobs } from "../../functions/operator/wait.ts";
import type { Drift } from "../../functions/reconcile/drift-report.ts";
import { personJob } from "../support/jobs.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { named, refusal } from "../support/requests.ts";

const office = useOrganizations();

/** Sends what a full look has found, and waits for it; the worker works between two looks. */
async function applied(acme: Company, rounds = 5, work = () => acme.attempt(), ledger = acme.ledger) {
  const report = await acme.look("full");
  const sent: Drift[] = [];
  const run = await acme.full({ shown: { report, readAt: acme.clock.now }, onSent: (some) => sent.push(...some) });
  const ending = new AbortController();
  const states: WaitState[] = [];
  const sources = { ledger, everyMs: 1, since: 0, signal: ending.signal };
  for await (const state of waitForJobs(
    sources,
    sent.map((each) => awaitedOf(acme.slug, each)),
  )) {
    states.push(state);
    if (states.length > rounds) ending.abort();
    else if (state.waiting > 0) await work();
  }
  const fates = states.flatMap(({ ended }) => ended).map(({ awaited: { subject }, fate }) => ({ subject, ...fate }));
  return { run, sent, fates, waiting: states.at(-1)?.waiting };
}

describe("waiting for jobs", () => {
  it("ends when all are done, and tells of each what became of it, from the ledger alone", async () => {
    const acme = withPipeline(await office.build());
    const people = acme.people(3);
    const { run, fates, waiting } = await applied(acme);
    expect([run.sent, waiting]).toEqual([3, 0]);
    expect(new Set(fates.map(({ subject }) => subject))).toEqual(new Set(people.map(({ id }) => id)));
    expect(fates.map(({ result }) => result)).toEqual(["done", "done", "done"]);
  });

  it("reads nothing again of what was shown, and dates the run by when that was read", async () => {
    const acme = withPipeline(await office.build());
    acme.people(1);
    const report = await acme.look("full");
    const [readAt, asked, mark] = [acme.clock.now, acme.clavex.requests.length, acme.mark()];
    const sent: Drift[] = [];
    await acme.full({ shown: { report, readAt }, onSent: (some) => sent.push(...some) });
    expect([acme.clavex.requests.length - asked, acme.since(mark)]).toEqual([0, []]);
    expect((await acme.ledger.runs.of(acme.slug)).full).toMatchObject({ result: "done", doneAt: readAt });
    expect(sent).toHaveLength(1);
  });

  it("tells who was refused, and why", async () => {
    const acme = withPipeline(await office.build());
    acme.people(1);
    const body = refusal(101, "not this one");
    acme.nextcloud.faults.add({ kind: "status", status: 400, body, match: named("POST oidc") });
    acme.nextcloud.faults.add({ kind: "status", status: 400, body, match: ({ method }) => method === "POST" });
    const { fates } = await applied(acme);
    expect(fates).toMatchObject([{ result: "parked", reason: expect.any(String), problem: expect.any(String) }]);
  });

  it("tells why also where the dead letter is written a moment after the mark", async () => {
    const acme = withPipeline(await office.build());
    acme.people(1);
    const body = refusal(101, "not this one");
    acme.nextcloud.faults.add({ kind: "status", status: 400, body, match: ({ method }) => method === "POST" });
    const { deadLetters } = acme.ledger;
    let looks = 0;
    const get: typeof deadLetters.get = async (...whose) => {
      looks += 1;
      return looks === 1 ? undefined : deadLetters.get(...whose);
    };
    const { fates } = await applied(acme, 5, undefined, { ...acme.ledger, deadLetters: { ...deadLetters, get } });
    expect(fates).toMatchObject([{ result: "parked", problem: expect.stringContaining("not this one") }]);
  });

  it("tells who is held by the brake, and waits no longer for them", async () => {
    const acme = withPipeline(await office.build());
    const [leaver] = acme.people(5);
    await acme.settle();
    if (!leaver) throw new Error("nobody");
    acme.clavex.updateUser(acme.slug, leaver.id, { is_active: false });
    acme.person();
    const { fates, waiting } = await applied(acme, 5, async () => {
      // Between the run and its jobs too many others have left.
      const brake = await acme.ledger.brakes.get(acme.slug);
      const held = { ...(brake?.state ?? newBrake()), held: true, heldAt: acme.clock.now };
      await acme.ledger.brakes.put(acme.slug, held, brake?.revision ?? 0);
      await acme.attempt();
    });
    expect(waiting).toBe(0);
    expect(fates.find(({ subject }) => subject === leaver.id)).toMatchObject({
      result: "held",
      braked: "deprovisions",
    });
    expect(fates.map(({ result }) => result).toSorted()).toEqual(["done", "held"]);
  });

  it("ends when it is to, and the jobs go on", async () => {
    const acme = withPipeline(await office.build());
    const [ada] = acme.people(1);
    const { fates, waiting } = await applied(acme, 2, async () => undefined);
    expect([fates, waiting]).toEqual([[], 1]);
    await acme.work();
    expect(ada && acme.account(ada)?.enabled).toBe(true);
  });
});

describe("what is in the way of a job that does not end", () => {
  /** What happened until now, as the pipeline on one machine records it. */
  function told(acme: Company) {
    const database = openDatabase(undefined);
    acme.atEnd(database.close);
    const ring = createActivityRing(database);
    for (const { message, fields } of acme.lines) {
      const activity = activityOf({ at: acme.clock.now, message, fields });
      if (activity) ring.record(activity);
    }
    acme.lines.length = 0;
    ring.flush();
    return ring;
  }
  async function inTheWay(acme: Company, subject: string, activities = told(acme)) {
    const { ledger, organizations, dependencies, clock } = acme;
    const sources = { ledger, organizations, queue: dependencies.queue, activities };
    await new Promise((resolve) => setImmediate(resolve));
    return hindranceOf(sources, [{ organization: acme.slug, subject }], clock.now);
  }
  const send = (acme: Company, subject: string) => acme.dependencies.queue.send(personJob(acme.slug, subject), subject);

  it("is nothing while it is only under way", async () => {
    const acme = withPipeline(await office.build());
    const [ada] = acme.people(1);
    if (!ada) throw new Error("nobody");
    await send(acme, ada.id);
    expect(await inTheWay(acme, ada.id)).toBeUndefined();
  });

  it("behind an open circuit is the server, since when, why, and when it is tried again", async () => {
    const acme = withPipeline(await office.build());
    const [ada, grace] = acme.people(2);
    if (!ada || !grace) throw new Error("nobody");
    await acme.nextcloud.down();
    await send(acme, ada.id);
    await acme.attempt();
    const activities = told(acme);
    await send(acme, grace.id);
    expect(await inTheWay(acme, grace.id, activities)).toMatch(
      /^1 person waits for Nextcloud, since \d\d:\d\d UTC: .*ECONNREFUSED.*; next attempt at \d\d:\d\d:\d\d UTC$/,
    );
  });

  it("that waits for its retry is what its last attempt said, and when the next one is", async () => {
    const acme = withPipeline(await office.build());
    const [ada] = acme.people(1);
    if (!ada) throw new Error("nobody");
    acme.nextcloud.faults.add({ kind: "status", status: 503, body: "", match: ({ method }) => method === "POST" });
    await send(acme, ada.id);
    await acme.attempt();
    expect(await inTheWay(acme, ada.id)).toMatch(
      /^the attempt at \d\d:\d\d UTC failed: .*503.*; next attempt at \d\d:\d\d:\d\d UTC$/,
    );
  });

  it("of a paused organization is that", async () => {
    const acme = withPipeline(await office.build());
    const [ada] = acme.people(1);
    await acme.ledger.pauses.put(acme.slug, { paused: true, at: acme.clock.now });
    expect(await inTheWay(acme, ada?.id ?? "")).toBe(`the organization ${acme.slug} is paused`);
  });

  it("is a brake that holds people, and since when", async () => {
    const acme = withPipeline(await office.build());
    const [ada] = acme.people(1);
    await acme.ledger.brakes.put(acme.slug, { ...newBrake(), held: true, heldAt: acme.clock.now }, 0);
    expect(await inTheWay(acme, ada?.id ?? "")).toMatch(/^Deprovisioning is blocked, since \d\d:\d\d UTC$/);
  });

  it("is a configuration that cannot be used", async () => {
    const acme = withPipeline(await office.build());
    const organizations = { ...acme.organizations, get: async () => undefined };
    const sources = { ledger: acme.ledger, organizations, queue: acme.dependencies.queue };
    expect(await hindranceOf(sources, [{ organization: "acme", subject: "x" }], acme.clock.now)).toMatch(
      /configuration of acme cannot be used/,
    );
  });
});
