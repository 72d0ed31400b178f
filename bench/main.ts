import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { renderChart } from "./chart.ts";
import { PROFILE_NAMES } from "./nextcloud-times.ts";
import { startProcess } from "./process.ts";
import { type BenchOptions, isMet, type Result, renderTable } from "./report.ts";
import type { RowProcess } from "./row-process.ts";
import { ROWS } from "./rows.ts";

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
  const startedAt = Date.now();
  const results: Result[] = [];
  for (const name of Object.keys(ROWS)) {
    if (rows.length > 0 && !rows.includes(name)) continue;
    const row = startProcess<RowProcess>("row-process.ts");
    try {
      results.push(...(await row.measure(name, options, startedAt)));
    } finally {
      await row.stop();
    }
  }
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  console.log(renderTable(results));
  const missed = results.filter((result) => !isMet(result));
  console.log(`${seconds} s on ${availableParallelism()} cores, Node ${process.version}`);
  console.log(missed.length === 0 ? "every target is met" : `${missed.length} targets are missed`);
  await writeFile(RESULTS, `${JSON.stringify({ node: process.version, ...options, results }, null, 2)}\n`);
  if (rows.length === 0) await writeFile(CHART, renderChart(results));
  if (missed.length > 0) process.exitCode = 1;
}
