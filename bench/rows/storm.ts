import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { NEVER } from "../../functions/core/schedule.ts";
import { startPipeline } from "../../functions/local/pipeline.ts";
import type { Log } from "../../functions/telemetry/log.ts";
import { bareLoop, runLoops } from "../loops.ts";
import type { ProfileName } from "../nextcloud-times.ts";
import { benchOrganization, benchSecrets } from "../organization.ts";
import { startProcess } from "../process.ts";
import type { BenchOptions, Result } from "../report.ts";
import { stormPlan } from "../storm-plan.ts";
import type { SystemsServices } from "../systems-process.ts";
import { withSystems } from "../with-systems.ts";

const PEOPLE = 1_000;
const DELIVERIES = 10_000;
const GROUPS = 20;
const GROUPS_EACH = 1;
const SEED = 20261124;
/** How many times faster than the measured server, and than the minute that the storm lasts; with more it would be a different kind of load. */
const SCALE = 3;
/** As many as the pipeline has on one machine. */
const CONNECTIONS = 4;
/** Measuring a rate needs fewer people. */
const BARE_SHARE = 0.1;
const AT_MOST = 1.3;

/**
 * Row 5: a minute in which Clavex sends 10,000 deliveries for 1,000 new people, duplicates and late ones included, to the
 * pipeline as `npm start` runs it. Time: from the first delivery until no job is left, against bare loops that make only the
 * calls that these people need, on as many connections, as if all were known when the storm begins. Requests to
 * Nextcloud: against a worker that looks at Nextcloud, and changes it, for each delivery by itself.
 */
export async function storm({ profile, onProgress }: BenchOptions): Promise<Result[]> {
  const stateFolder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-storm-"));
  const systems = startProcess<SystemsServices>("systems-process.ts");
  try {
    const urls = await systems.open(profile, SCALE);
    await systems.hire(PEOPLE, GROUPS, GROUPS_EACH);
    const organization = benchOrganization(urls);
    const results = new Map<string, number>();
    const pipeline = await startPipeline({
      organizations: fixedOrganizations([organization]),
      secrets: benchSecrets(),
      log: countingLog(results),
      port: 0,
      intervals: NEVER,
      stateFolder,
    });
    try {
      const started = performance.now();
      const url = `${pipeline.url}/webhooks/clavex/${organization.slug}`;
      const sent = await systems.storm(url, DELIVERIES, 60 / SCALE, SEED);
      onProgress(`${sent.accepted} deliveries accepted in ${sent.seconds.toFixed(0)} s, ${sent.refused} refused`);
      await pipeline.idle();
      const seconds = (performance.now() - started) / 1000;
      const { nextcloud, clavex, nextcloudSeconds } = await systems.work();
      const wrong = await systems.wrong();
      const alone = await callsAlone(profile);
      const each = requestsOneByOne();
      const jobs = Object.fromEntries([...results].sort());
      const numbers = { ...sent, converged: seconds, alone, wrong, nextcloud, clavex, oneByOne: each, ...jobs };
      const line = { row: "storm", numbers };
      return [
        {
          ...line,
          measured: `${DELIVERIES} deliveries for ${PEOPLE} people`,
          figures: `converged after ${seconds.toFixed(1)} s, ${(nextcloudSeconds / seconds).toFixed(1)} calls under way at Nextcloud`,
          baseline: `the calls of these people alone, bare loops: ${alone.toFixed(1)} s`,
          ratio: seconds / alone,
          target: { atMost: AT_MOST },
        },
        {
          ...line,
          measured: "requests to Nextcloud",
          figures: `${nextcloud}; ${words(jobs)}`,
          baseline: `each delivery by itself: ${each}`,
          ratio: nextcloud / each,
        },
        {
          ...line,
          measured: "lost",
          figures: `${wrong} people not as in Clavex, ${DELIVERIES - sent.accepted} deliveries not accepted`,
          baseline: `all people: ${PEOPLE}`,
          ratio: (wrong + DELIVERIES - sent.accepted) / PEOPLE,
          target: { atMost: 0 },
        },
      ];
    } finally {
      await pipeline.stop();
    }
  } finally {
    await systems.stop();
    await rm(stateFolder, { recursive: true });
  }
}

/** How many seconds the least calls for all these people take, one after the other on each connection. */
async function callsAlone(profile: ProfileName): Promise<number> {
  const rate = await withSystems(
    { profile, scale: SCALE },
    PEOPLE * BARE_SHARE,
    ({ nextcloud, people }) => runLoops(CONNECTIONS, nextcloud, people, bareLoop),
    GROUPS_EACH,
  );
  return PEOPLE / rate;
}

const words = (jobs: Record<string, number>): string =>
  Object.entries(jobs)
    .map(([result, count]) => `${count} ${result}`)
    .join(", ");

/** A GET for each delivery that SQS does not drop, two or three calls more where something has happened. */
function requestsOneByOne(): number {
  const calls = { created: 2 + GROUPS_EACH, changed: 2, late: 1, again: 0 };
  return stormPlan(PEOPLE, DELIVERIES, SEED).reduce((sum, { kind }) => sum + calls[kind], 0);
}

/** Counts how the jobs ended. */
function countingLog(results: Map<string, number>): Log {
  const ignore = () => undefined;
  return {
    debug: ignore,
    warn: console.error,
    error: console.error,
    info: (message, { result } = {}) => {
      if (message === "job") results.set(String(result), (results.get(String(result)) ?? 0) + 1);
    },
  };
}
