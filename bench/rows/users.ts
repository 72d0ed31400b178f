import { setTimeout as sleep } from "node:timers/promises";
import { bareLoop, runLoops } from "../loops.ts";
import { realNextcloud } from "../real-nextcloud.ts";
import { type BenchOptions, median, quantile, type Result } from "../report.ts";
import { type BenchSystems, withSystems } from "../with-systems.ts";
import { startWorkers } from "../workers.ts";

/** As many workers as the stack has containers. */
const WORKERS = 4;
const BROWSERS = 4;
/** More than can be provisioned in that time. */
const PEOPLE = 2_000;
/** How many times faster than the measured server; beyond it, this machine's own pauses would pass for the server's. */
const SCALE = 5;
const MS = { alone: 1_000, import: 3_000, settle: 3_000, measured: 4_000 };
const AT_MOST = 0.95;

/**
 * Row 7: what the other users of Nextcloud notice. While thousands of accounts are being made, four browsers begin to ask one
 * thing after the other; how long their answers take when the workers have made room, against bare loops on as many
 * connections, which never do.
 */
export async function users({ profile, onProgress }: BenchOptions): Promise<Result[]> {
  if (realNextcloud()) {
    onProgress("left out: it is only for the simulated Nextcloud");
    return [];
  }
  const measure = (begin: (systems: BenchSystems) => Promise<() => Promise<void>>) =>
    withSystems({ profile, scale: SCALE }, PEOPLE, (systems) => browseDuring(begin, systems));
  const pipeline = await measure(async ({ clavex, nextcloud, people }) => {
    const workers = await startWorkers(WORKERS, clavex, nextcloud);
    await workers.send(people);
    return () => workers.stop();
  });
  const loops = await measure(async ({ nextcloud, people }) => {
    let goesOn = true;
    const running = runLoops(WORKERS, nextcloud, people, bareLoop, () => goesOn);
    return async () => {
      goesOn = false;
      await running;
    };
  });
  const words = ({ during, alone }: Browsing): string =>
    `p50 ${median(during).toFixed(1)} ms, p95 ${quantile(during, 0.95).toFixed(1)} ms (alone ${median(alone).toFixed(1)} ms)`;
  return [
    {
      row: "users",
      measured: `${BROWSERS} browsers during an import by ${WORKERS} workers`,
      figures: words(pipeline),
      baseline: `bare loops, as many: ${words(loops)}`,
      ratio: median(pipeline.during) / median(loops.during),
      target: { atMost: AT_MOST },
      numbers: {
        alone: median(pipeline.alone),
        p50: median(pipeline.during),
        p95: quantile(pipeline.during, 0.95),
        loopsP50: median(loops.during),
        loopsP95: quantile(loops.during, 0.95),
      },
    },
  ];
}

/** How long the answers took that browsers got, in milliseconds. */
interface Browsing {
  alone: number[];
  during: number[];
}

async function browseDuring(
  begin: (systems: BenchSystems) => Promise<() => Promise<void>>,
  systems: BenchSystems,
): Promise<Browsing> {
  const { process } = systems;
  await process.browse(BROWSERS);
  await sleep(MS.alone);
  const alone = await process.browsed(true);
  const stop = await begin(systems);
  try {
    await sleep(MS.import);
    await process.browse(BROWSERS);
    await sleep(MS.settle);
    await process.browsed(false);
    await sleep(MS.measured);
    return { alone, during: await process.browsed(true) };
  } finally {
    await stop();
  }
}
