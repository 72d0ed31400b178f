import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildSync } from "esbuild";
import {
  ALIASES,
  BUNDLING,
  type BundledFile,
  bundle,
  FUNCTIONS,
  type FunctionName,
  writeBundle,
} from "../../infra/bundling.ts";
import { type BenchOptions, median, type Result } from "../report.ts";
import type { ColdStart } from "./cold-process.ts";
import { type Invocation, startWorld, type World } from "./cold-world.ts";

const ROUNDS = 7;
/** A process that takes longer is ended, and with it the bench. */
const TIMEOUT_MS = 30_000;
/** Of a failed process's log: a minified bundle has lines of a megabyte. */
const LONGEST_LINE = 300;
/** For the imports. Clavex waits for the receiver's. */
const AT_MOST: Partial<Record<string, number>> = { receive: 1.1, provision: 1.6, reconcile: 1.8 };
const PROCESS = fileURLToPath(new URL("cold-process.ts", import.meta.url));

const BASELINE = "SQS client alone";
/** The SQS client with the functions' own credential provider: what cannot be saved. */
const SLIM = "SQS client, slim";
/** A bundle under its name, and whose events it gets. */
const BUNDLES: { name: string; invoked: FunctionName | "client"; files: () => BundledFile[] }[] = [
  { name: BASELINE, invoked: "client", files: () => sqsClient({}) },
  { name: SLIM, invoked: "client", files: () => sqsClient(ALIASES) },
  ...FUNCTIONS.map((name) => ({ name, invoked: name, files: () => bundle(name) })),
];

type Times = Pick<ColdStart, "importMs" | "importCpuMs" | "requestMs">;

/**
 * Row 6: each function's bundle in a fresh process: the CPU time of its import, which is all that an import takes and on Lambda,
 * with a third of a processor, decides how long; and the time of import and first invocation. Against a bundle that holds the SQS
 * client alone, as it comes, and its first SendMessage.
 */
export async function cold({ onProgress }: BenchOptions): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-cold-"));
  try {
    for (const { name, files } of BUNDLES) writeBundle(files(), join(folder, name));
    const world = await startWorld();
    try {
      return report(await measureByTurns(folder, world, onProgress));
    } finally {
      await world.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** By turns, so that other load on the machine affects all of them alike. */
async function measureByTurns(
  folder: string,
  world: World,
  onProgress: (text: string) => void,
): Promise<Map<string, Times[]>> {
  const times = new Map<string, Times[]>(BUNDLES.map(({ name }) => [name, []]));
  onProgress(`starts ${BUNDLES.length} bundles ${ROUNDS} times by turns`);
  // The first round only fills the machine's caches.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { name, invoked } of BUNDLES) {
      const invocation = await world.invocation(invoked);
      const taken = await coldStart(join(folder, name), invocation).catch((error: Error) => {
        throw new Error(`the first request to ${name} failed: ${error.message}`);
      });
      if (round > 0) times.get(name)?.push(taken);
    }
  }
  return times;
}

function report(times: Map<string, Times[]>): Result[] {
  const alone = times.get(BASELINE) ?? [];
  const imports = ({ importCpuMs }: Times): number => importCpuMs;
  const whole = ({ importMs, requestMs }: Times): number => importMs + requestMs;
  return Array.from(times).flatMap(([name, each]): Result[] => {
    if (name === BASELINE) return [];
    const atMost = AT_MOST[name];
    const target = atMost === undefined ? {} : { target: { atMost } };
    return [
      { ...compare(each, alone, imports), measured: `${name}: CPU time of the import`, ...target },
      { ...compare(each, alone, whole), measured: `${name}: import and first request` },
    ];
  });
}

/** The ratio is the median of the rounds': what ran at about the same time is compared, whatever else the machine did then. */
function compare(ours: Times[], alone: Times[], of: (times: Times) => number): Omit<Result, "measured"> {
  const [ms, baselineMs] = [median(ours.map(of)), median(alone.map(of))];
  const ratios = ours.map((times, round) => of(times) / of(alone[round] ?? times));
  return {
    row: "cold",
    figures: `${ms.toFixed(0)} ms`,
    baseline: `${BASELINE}: ${baselineMs.toFixed(0)} ms`,
    ratio: median(ratios),
    numbers: { ms, baselineMs },
  };
}

/**
 * Runs a bundle in a process that does not inherit this one's environment.
 *
 * @throws when the process ends without an answer, logs an error, or gives another answer than it should
 */
async function coldStart(folder: string, { event, environment, check }: Invocation): Promise<Times> {
  const file = pathToFileURL(join(folder, "index.mjs")).href;
  const child = spawn(process.execPath, [PROCESS, file, JSON.stringify(event)], {
    cwd: folder,
    env: { HOME: folder, ...environment },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    timeout: TIMEOUT_MS,
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
  let result: ColdStart | undefined;
  child.once("message", (message) => {
    result = message as ColdStart;
  });
  const [code, signal] = await once(child, "close");
  const lines = log.split("\n").map((line) => line.slice(0, LONGEST_LINE));
  if (result === undefined) throw new Error(`its process ended with ${code ?? signal}\n${lines.join("\n")}`);
  if (log.includes('"level":"ERROR"')) throw new Error(`it logged an error\n${lines.join("\n")}`);
  check(result.answer);
  return result;
}

/** A bundle whose handler sends one message, and that holds nothing but what that needs. */
function sqsClient(alias: Record<string, string>): BundledFile[] {
  const contents = `
    import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
    export async function handler(input) {
      const { MessageId } = await new SQSClient().send(new SendMessageCommand(input));
      return { sent: MessageId !== undefined };
    }`;
  const stdin = { contents, resolveDir: import.meta.dirname };
  const { outputFiles } = buildSync({ ...BUNDLING, alias, stdin, outfile: "index.mjs", write: false });
  return outputFiles.map((file) => ({ name: basename(file.path), contents: file.contents }));
}
