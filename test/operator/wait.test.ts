import { describe, expect, it } from "vitest";
import { newBrake } from "../../functions/core/brake.ts";
import { awaitedOf, type WaitState, waitForJobs } from "../../functions/operator/wait.ts";
import type { Drift } from "../../functions/reconcile/drift-report.ts";
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
