import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Endpoints } from "../../test/support/embedded.ts";
import type { EmbeddedServices } from "../embedded-process.ts";
import { startProcess } from "../process.ts";
import { type BenchOptions, median, type Result } from "../report.ts";
import type { Measured, Round } from "./receiver-process.ts";

const AT_LEAST = 0.85;
const PROCESS = fileURLToPath(new URL("receiver-process.ts", import.meta.url));

/**
 * Row 1: signed deliveries through the receiver, eight at once, each a real SendMessage to the embedded queue, with the log
 * and the metrics of production. Against a bare Hono app that reads and parses the body and sends a message of the same size. The queue
 * is a process of its own, and so is what is measured.
 */
export async function receiver({ onProgress }: BenchOptions): Promise<Result[]> {
  const embedded = startProcess<EmbeddedServices>("embedded-process.ts");
  try {
    const { pipeline, baseline } = await measure(await embedded.open());
    const ratios = pipeline.map(({ perSecond }, index) => perSecond / (baseline[index]?.perSecond ?? Number.NaN));
    onProgress(`ratios of the rounds: ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}`);
    const ours = medians(pipeline);
    const bare = medians(baseline);
    return [
      {
        row: "receiver",
        measured: "signed deliveries, 8 at once",
        figures: words(ours),
        baseline: `bare Hono app: ${words(bare)}`,
        ratio: median(ratios),
        target: { atLeast: AT_LEAST },
        numbers: {
          ...ours,
          baselinePerSecond: bare.perSecond,
          baselineP50: bare.p50,
          baselineP99: bare.p99,
          baselineCpuMs: bare.cpuMs,
        },
      },
    ];
  } finally {
    await embedded.stop();
  }
}

/** Runs the measuring process. Its stdout is the log of the receiver: nobody reads it. */
async function measure(endpoints: Endpoints): Promise<Measured> {
  const child = fork(PROCESS, [JSON.stringify(endpoints)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  let measured: Measured | undefined;
  child.once("message", (message) => {
    measured = message as Measured;
  });
  const [code] = await once(child, "exit");
  if (measured === undefined) throw new Error(`the receiver's process ended with ${code} and no measurements`);
  return measured;
}

function medians(rounds: Round[]): Round {
  const of = (name: keyof Round): number => median(rounds.map((round) => round[name]));
  return { perSecond: of("perSecond"), p50: of("p50"), p99: of("p99"), cpuMs: of("cpuMs") };
}

function words({ perSecond, p50, p99, cpuMs }: Round): string {
  const milliseconds = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, CPU ${cpuMs.toFixed(2)} ms each`;
  return `${Math.round(perSecond)} deliveries/s, ${milliseconds}`;
}
