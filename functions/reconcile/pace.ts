import { setTimeout as sleep } from "node:timers/promises";
import type { Countable } from "../queue/queue.ts";

/**
 * Waits until the queue has room for jobs that nobody waits for, or until the deadline.
 *
 * @throws {QueueUnavailable}
 */
export type Pace = (jobs: number, deadline?: AbortSignal) => Promise<void>;

/**
 * How many jobs may wait while more are sent that are not urgent. The queue has no priorities: whoever joins or leaves meanwhile
 * comes behind these, which a server of two cores works off in two to four seconds (docs/facts/nextcloud.md 9).
 */
const MOST_WAITING = 100;
const LOOK_MS = 1_000;
/** Then as many are sent in any case: what waits may be another organization's, whose server is slow. */
const LONGEST_MS = 10_000;

/** @param slug whose jobs are counted, where the queue tells organizations apart */
export function createPace(queue: Countable, slug: string, wait: (ms: number) => Promise<unknown> = sleep): Pace {
  let room = 0;
  return async (jobs, deadline) => {
    for (let waited = 0; room < jobs && !deadline?.aborted; waited += LOOK_MS) {
      const { waiting } = (await queue.countsOf(slug)) ?? (await queue.counts());
      room = waited < LONGEST_MS ? MOST_WAITING - waiting : MOST_WAITING;
      if (room < jobs) await wait(LOOK_MS);
    }
    room -= jobs;
  };
}
