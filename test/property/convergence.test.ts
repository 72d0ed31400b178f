import { describe, test } from "vitest";
import { type PersonJob, replayOf } from "../../functions/core/job.ts";
import { runs, SEED } from "../support/chance.ts";
import { fc, salts } from "../support/fast-check.ts";
import { changes, inScene, type Mode, type Scene } from "./scene.ts";

const MODES: (Mode & { runs: number })[] = [
  { name: "with an API key, hashed ids", apiKey: true, hashed: true, runs: 60 },
  { name: "with an API key, raw ids", apiKey: true, hashed: false, runs: 60 },
  { name: "without an API key, hashed ids", apiKey: false, hashed: true, runs: 60 },
  { name: "without an API key, raw ids", apiKey: false, hashed: false, runs: 50 },
];

/** One arrival of a delivery: how many changes later, in which order among those that are due, and in which container. */
interface Arrival {
  delay: number;
  order: number;
  container: number;
  /** The message was sent at the time of the change and waited; else it is sent when it arrives. */
  waited: boolean;
  /** It was in the dead letters, and an operator has replayed it. */
  replayed: boolean;
}

const arrival: fc.Arbitrary<Arrival> = fc.record({
  delay: fc.nat(6),
  order: fc.nat(999),
  container: fc.nat(1),
  waited: fc.boolean(),
  replayed: fc.boolean(),
});

/** A change, the seconds until the next one, and every arrival of the deliveries about it: none when they are lost. */
const step = fc.record({
  change: changes,
  seconds: fc.oneof(fc.nat(5), fc.nat(90)),
  arrivals: fc.array(arrival, { maxLength: 3 }),
  /** How the delivery arrives at the very end; if it is not the last one about its person, only where `straggles`. */
  last: arrival,
  straggles: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/**
 * A map of groups may be a minute old for a plain user webhook; a difference that is younger is for reconciliation to find. So
 * where such a webhook is the last that is heard of a person, it comes later than that.
 */
const MAP_AGE_SECONDS = 61;

interface Counts {
  people: number;
  changes: number;
  deliveries: number;
  arrivals: number;
}

describe("the final Nextcloud state is the one that the final directory state demands, and nothing foreign is ever touched", () => {
  test.each(MODES)("$name", async (mode) => {
    const counts: Counts = { people: 0, changes: 0, deliveries: 0, arrivals: 0 };
    await fc.assert(
      fc.asyncProperty(salts, fc.array(step, { minLength: 6, maxLength: 30, size: "max" }), async (salt, steps) => {
        await inScene(mode, salt, (scene) => play(scene, steps, counts));
      }),
      { numRuns: runs(mode.runs), endOnFailure: false },
    );
    console.log(
      `convergence ${mode.name}: seed ${SEED}, ${runs(mode.runs)} directories, ${counts.people} people, ` +
        `${counts.changes} changes, ${counts.deliveries} deliveries, ${counts.arrivals} arrivals`,
    );
  });
});

async function play(scene: Scene, steps: Step[], counts: Counts): Promise<void> {
  const { clock } = scene.tenant;
  const containers = [scene.tenant.container(), scene.tenant.container()];
  let waiting: { job: PersonJob; sentAt: number; due: number; arrival: Arrival }[] = [];
  const newest = new Map<string, { job: PersonJob; sentAt: number; arrival: Arrival }>();

  const arrive = async (upTo: number): Promise<void> => {
    const due = waiting.filter((each) => each.due <= upTo).sort((a, b) => a.arrival.order - b.arrival.order);
    waiting = waiting.filter((each) => each.due > upTo);
    for (const { job, sentAt, arrival: how } of due) {
      await containers[how.container]?.(how.replayed ? replayOf(job) : job, how.waited ? sentAt : undefined);
      scene.checkForeign();
      counts.arrivals += 1;
    }
  };

  const stragglers: typeof waiting = [];
  const groupsChanged = new Map<string, number>();

  for (const [index, { change, seconds, arrivals, last, straggles }] of steps.entries()) {
    const jobs = scene.change(change);
    if (jobs.length > 0) counts.changes += 1;
    for (const job of jobs) {
      counts.deliveries += 1;
      newest.set(job.subject, { job, sentAt: clock.now, arrival: last });
      if (straggles) stragglers.push({ job, sentAt: clock.now, due: steps.length, arrival: last });
      if (job.trigger.kind === "reconcile") groupsChanged.set(job.subject, clock.now);
      for (const each of arrivals) waiting.push({ job, sentAt: clock.now, due: index + each.delay, arrival: each });
    }
    await arrive(index);
    clock.now += seconds * 1_000;
  }
  // Whatever else was lost: the last delivery about each person arrives, among those that are late.
  for (const each of newest.values()) waiting.push({ ...each, due: steps.length });
  waiting.push(...stragglers);
  const young = Array.from(newest, ([subject, { job }]) =>
    job.trigger.kind === "webhook" ? (groupsChanged.get(subject) ?? 0) : 0,
  );
  clock.now = Math.max(clock.now, ...young.map((changed) => changed + MAP_AGE_SECONDS * 1_000));
  await arrive(Number.POSITIVE_INFINITY);
  scene.checkConverged();
  counts.people += scene.people.length;
}
