import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildSync } from "esbuild";
import { ALIASES, BUNDLING, type BundledFile, bundle, FUNCTIONS, writeBundle } from "../infra/bundling.ts";

/**
 * `npm run bench:cold`: how long the import of each function's bundle takes in a fresh Node process, against a bundle that
 * holds the SQS client alone, as it comes. The receiver, which Clavex waits for, may take 1.5 times as long; more ends with
 * exit code 1. The second row is the SQS client with the functions' own credential provider: what cannot be saved.
 */
const RUNS = 21;
const MOST = 1.5;
const BASELINE = "SQS client alone";
const SLIM_BASELINE = "SQS client, slim";

const folder = mkdtempSync(join(tmpdir(), "clavex-nextcloud-cold-"));
try {
  writeBundle(sqsClient({}), join(folder, BASELINE));
  writeBundle(sqsClient(ALIASES), join(folder, SLIM_BASELINE));
  for (const name of FUNCTIONS) writeBundle(bundle(name), join(folder, name));

  const names = [BASELINE, SLIM_BASELINE, ...FUNCTIONS];
  const times = new Map(names.map((name): [string, number[]] => [name, []]));
  // By turns, so that whatever else the machine does meets all of them alike; the first round only fills its caches.
  for (let round = 0; round <= RUNS; round += 1) {
    for (const name of names) {
      const milliseconds = importTime(join(folder, name, "index.mjs"));
      if (round > 0) times.get(name)?.push(milliseconds);
    }
  }
  const alone = median(times.get(BASELINE));
  console.log(`import in a fresh process, median of ${RUNS}, Node ${process.version}`);
  for (const name of names) {
    const time = median(times.get(name));
    console.log(`  ${name.padEnd(18)} ${time.toFixed(1).padStart(7)} ms   ${(time / alone).toFixed(2)}`);
  }
  const ratio = median(times.get("receive")) / alone;
  console.log(`receiver against the SQS client alone: ${ratio.toFixed(2)} (at most ${MOST})`);
  if (ratio > MOST) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

function sqsClient(alias: Record<string, string>): BundledFile[] {
  const contents = 'export { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";';
  const stdin = { contents, resolveDir: process.cwd() };
  const { outputFiles } = buildSync({ ...BUNDLING, alias, stdin, outfile: "index.mjs", write: false });
  return outputFiles.map((file) => ({ name: basename(file.path), contents: file.contents }));
}

function importTime(file: string): number {
  const script = `const t = performance.now(); await import(${JSON.stringify(pathToFileURL(file).href)}); console.log(performance.now() - t);`;
  return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" }));
}

function median(values: number[] = []): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
