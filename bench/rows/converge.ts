import { bareLoop, curlLoop, type Loop, runLoops } from "../loops.ts";
import type { BenchOptions, Result } from "../report.ts";
import { type BenchSystems, GROUPS_EACH, withSystems } from "../with-systems.ts";
import { startWorkers } from "../workers.ts";

const PEOPLE = 200;
/**
 * The simulated Nextcloud is this many times slower than in other rows: the faster it is, the more weighs our own time, which
 * beside a real one is next to nothing.
 */
const SLOWER = 4;
/** Four saturate Nextcloud, and the stack has no more. */
const WORKERS = [1, 2, 4];
/** Measuring a rate needs fewer people than the whole row. */
const BARE_SHARE = 0.25;
const CURL_SHARE = 0.1;
const AT_LEAST = { ofTheBareLoop: 0.95, ofTheCurlLoop: 2 };

/**
 * Row 3: people without accounts, jobs for all of them in the queue, and a number of workers. Against equally many bare loops that
 * make the same calls and nothing else; and against as many of an administrator's loops of curl.
 */
export async function converge({ people = PEOPLE, onProgress, ...given }: BenchOptions): Promise<Result[]> {
  const options = { ...given, scale: Math.max(1, given.scale / SLOWER) };
  const results: Result[] = [];
  for (const workers of WORKERS) {
    const pipeline = await withSystems(options, people, (systems) => runWorkers(workers, systems));
    onProgress(`${workers} workers: ${words(pipeline.peoplePerSecond)}`);
    const loops = (share: number, loop: Loop) =>
      withSystems(options, Math.ceil(people * share), (systems) =>
        runLoops(workers, systems.nextcloud, systems.people, loop),
      );
    const bare = await loops(BARE_SHARE, bareLoop);
    const curl = await loops(CURL_SHARE, curlLoop);
    const against = (name: string, baseline: number, atLeast: number): Result => ({
      row: "converge",
      measured: `${workers} workers, ${people} people with ${GROUPS_EACH} groups`,
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
  const workers = await startWorkers(count, clavex, nextcloud, people);
  try {
    const started = performance.now();
    await workers.done;
    const peoplePerSecond = (people.length / (performance.now() - started)) * 1000;
    const wrong = await process.wrong();
    if (wrong > 0) throw new Error(`${wrong} of ${people.length} people have not the account that they should have`);
    return { peoplePerSecond, waiting: workers.waiting() };
  } finally {
    await workers.stop();
  }
}
