import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { renderChart } from "./chart.ts";
import { PROFILE_NAMES } from "./nextcloud-times.ts";
import { type BenchOptions, isMet, type Result, type Row, renderTable } from "./report.ts";

/** In the order of the table; each is loaded only when it runs. */
const ROWS: Record<string, () => Promise<Row>> = {
  receiver: async () => (await import("./rows/receiver.ts")).receiver,
  requests: async () => (await import("./rows/requests.ts")).requests,
  converge: async () => (await import("./rows/converge.ts")).converge,
  users: async () => (await import("./rows/users.ts")).users,
  reconcile: async () => (await import("./rows/reconcile.ts")).reconcile,
  edits: async () => (await import("./rows/edits.ts")).edits,
  storm: async () => (await import("./rows/storm.ts")).storm,
  cold: async () => (await import("./rows/cold.ts")).cold,
  queue: async () => (await import("./rows/queue.ts")).queue,
  "how-soon": async () => (await import("./rows/how-soon.ts")).howSoon,
};
const RESULTS = new URL("results.json", import.meta.url);
/** Shown by docs/performance.md; only a run of all rows renews it. */
const CHART = new URL("../docs/performance.svg", import.meta.url);

function whole(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 10) return number;
  throw new InvalidArgumentError("must be a whole number from 10");
}

await new Command("npm run bench --")
  .description(
    "Measures the pipeline. Every line is a ratio against a named baseline of the same run; bench/results.json gets the " +
      "numbers, and a run of all rows draws docs/performance.svg. Exit code 1 when a target is missed.",
  )
  .argument("[rows...]", `which rows: ${Object.keys(ROWS).join(", ")}; default all`)
  .addOption(
    new Option(
      "--profile <server>",
      "the measured Nextcloud that the simulated one answers like: 27.1, or 34.0 with the skeleton empty or of 20 MB",
    )
      .choices(PROFILE_NAMES)
      .default("27"),
  )
  .option(
    "--people <number>",
    "how many people the row converge provisions, and whose quotas the row edits changes",
    whole,
  )
  .action(run)
  .parseAsync();

async function run(rows: string[], options: Omit<BenchOptions, "onProgress">, command: Command): Promise<void> {
  const unknown = rows.filter((row) => !Object.hasOwn(ROWS, row));
  if (unknown.length > 0)
    command.error(`there is no row ${unknown.join(", ")}; there are: ${Object.keys(ROWS).join(", ")}`);
  const started = performance.now();
  const results: Result[] = [];
  const seconds = () => Math.round((performance.now() - started) / 1000);
  for (const [name, load] of Object.entries(ROWS)) {
    if (rows.length > 0 && !rows.includes(name)) continue;
    const onProgress = (text: string) => console.error(`${String(seconds()).padStart(4)} s  ${name}: ${text}`);
    onProgress("begins");
    results.push(...(await (await load())({ ...options, onProgress })));
  }
  console.log(renderTable(results));
  const missed = results.filter((result) => !isMet(result));
  console.log(`${seconds()} s on ${availableParallelism()} cores, Node ${process.version}`);
  console.log(missed.length === 0 ? "every target is met" : `${missed.length} targets are missed`);
  await writeFile(RESULTS, `${JSON.stringify({ node: process.version, ...options, results }, null, 2)}\n`);
  if (rows.length === 0) await writeFile(CHART, renderChart(results));
  if (missed.length > 0) process.exitCode = 1;
}
