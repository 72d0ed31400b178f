import { counted } from "../../functions/core/text.ts";
import { bareLoop, curlLoop, type Loop, runLoops } from "../loops.ts";
import { realNextcloud } from "../real-nextcloud.ts";
import type { BenchOptions, Result } from "../report.ts";
import { type BenchSystems, GROUPS_EACH, withSystems } from "../with-systems.ts";
import { startWorkers } from "../workers.ts";

/** Two batches for each worker; alone it has four, so that the first one's way through the queue weighs little. */
const PEOPLE_EACH = 20;
const LEAST_PEOPLE = 40;
/** Whom each worker provisions before the clock starts: one batch. A container makes the groups and proves the identity once in its life. */
const WARM_UP = 10;
/**
 * Not faster than the measured Nextcloud: the faster it is, the more weigh our own time and the gap between two batches, which
 * beside a real one are next to nothing.
 */
const SCALE = 1;
/** Four saturate Nextcloud, and the stack has no more. */
const WORKERS = [1, 2, 4];
/** Measuring a rate needs fewer people, as many for each loop. */
const [BARE_PEOPLE, CURL_PEOPLE] = [16, 8];
const AT_LEAST = { ofTheBareLoop: 0.95, ofTheCurlLoop: 2 };

/**
 * Row 3: people without accounts, a job for each of them, and a number of workers that are warm. Against equally many bare loops that
 * make the same calls and nothing else; and against as many of an administrator's loops of curl.
 */
export async function converge({ people: given, profile, onProgress }: BenchOptions): Promise<Result[]> {
  const options = { profile, scale: SCALE };
  const results: Result[] = [];
  for (const workers of WORKERS) {
    const people = given ?? Math.max(LEAST_PEOPLE, workers * PEOPLE_EACH);
    const pipeline = await withSystems(options, people + workers * WARM_UP, (systems) => runWorkers(workers, systems));
    onProgress(`${counted(workers, "worker")}: ${words(pipeline.peoplePerSecond)}`);
    const loops = (count: number, loop: Loop) =>
      withSystems(options, count, (systems) => runLoops(workers, systems.nextcloud, systems.people, loop));
    const bareRate = loops(BARE_PEOPLE, bareLoop);
    // A real server would have to answer both at once.
    if (realNextcloud()) await bareRate;
    const [bare, curl] = await Promise.all([bareRate, loops(CURL_PEOPLE, curlLoop)]);
    const against = (name: string, baseline: number, atLeast: number): Result => ({
      row: "converge",
      measured: `${counted(workers, "worker")}, ${people} people with ${GROUPS_EACH} groups`,
      figures: `${words(pipeline.peoplePerSecond)}, ${Math.round(pipeline.waiting * 100)} % waiting for Nextcloud`,
      baseline: `${name}: ${words(baseline)}`,
      ratio: pipeline.peoplePerSecond / baseline,
      target: { atLeast },
      numbers: { workers, ...pipeline, baseline },
    });
    results.push(against("bare loop, same calls", bare, AT_LEAST.ofTheBareLoop));
    results.push(against("admin's curl loop", curl, AT_LEAST.ofTheCurlLoop));
  }
  return results;
}

const words = (peoplePerSecond: number): string => `${peoplePerSecond.toFixed(1)} people/s`;

/** @returns people per second, and the part of the time in which a worker had a call with Nextcloud */
async function runWorkers(count: number, { clavex, nextcloud, people, process }: BenchSystems) {
  const workers = await startWorkers(count, clavex, nextcloud);
  try {
    await workers.send(people.slice(0, count * WARM_UP));
    await workers.done();
    const timed = people.slice(count * WARM_UP);
    const [started, waitedBefore] = [performance.now(), workers.waited()];
    await workers.send(timed);
    await workers.done();
    const milliseconds = performance.now() - started;
    const wrong = await process.wrong();
    if (wrong > 0) throw new Error(`${wrong} of ${people.length} people have not the account that they should have`);
    return {
      peoplePerSecond: (timed.length / milliseconds) * 1000,
      waiting: (workers.waited() - waitedBefore) / milliseconds,
    };
  } finally {
    await workers.stop();
  }
}
