import { Command } from "commander";
import type { LastRun } from "../core/schedule.ts";
import { assess, clockTime, type OrganizationStatus, type PipelineStatus } from "../core/status.ts";
import { counted, printable } from "../core/text.ts";
import { readStatus } from "../operator/status.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs } from "./organizations.ts";
import { openForReading } from "./pipeline.ts";
import { now, paint, print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  json?: boolean;
}

/** `status`: in a few lines whether everybody is in sync, and what to do if not. */
export function statusCommand(): Command {
  return withConnection(new Command("status"))
    .description("Says whether everybody is in sync, and what to do if not. Exit code 2 when they are not.")
    .option("--organization <slug>", "only this organization")
    .option("--json", "print JSON")
    .action(status);
}

async function status(options: Options): Promise<void> {
  const { close, activities, stopped, ...sources } = await openForReading(options);
  try {
    const slugs = await chosenSlugs(sources.organizations, options.organization);
    // A stage's logs are read only when somebody asks for them: each look costs.
    const local = options.stage === undefined ? { activities } : {};
    const found = await readStatus({ ...sources, ...local, stopped: stopped?.finding, now }, slugs);
    const assessment = assess(found);
    if (!assessment.inSync) process.exitCode = EXIT.found;
    if (options.json) return printJson({ ...assessment, ...found });
    show(assessment, found);
  } finally {
    await close();
  }
}

function show({ sentence, inSync, concerns }: ReturnType<typeof assess>, found: PipelineStatus): void {
  print(paint(inSync ? "good" : "warning", printable(sentence)));
  for (const each of found.organizations) {
    print();
    print(paint("strong", `${each.organization}${each.paused ? " (paused)" : ""}`));
    for (const line of linesOf(each, found)) print(printable(line));
  }
  const urgent = concerns.filter(({ fixes }) => fixes.length > 0);
  if (urgent.length === 0) return;
  print();
  print("What to do next:");
  for (const { sentence: why, fixes } of urgent) {
    print(`  ${printable(why)}`);
    for (const fix of fixes) print(`    ${printable(fix)}`);
  }
}

function linesOf(status: OrganizationStatus, { at, jobs: all }: PipelineStatus): string[] {
  const { people, enabled, jobs, deadLetters, leaversStillEnabled, runs } = status;
  const row = (name: string, ...values: (string | undefined)[]) =>
    `  ${name.padEnd(13)}${values.filter((value) => value !== undefined).join(", ")}`;
  const brakes = Object.entries(status.held).map(([braked, { people: number }]) =>
    number === undefined ? `${braked} are blocked` : `${braked} are blocked for ${counted(number, "person", "people")}`,
  );
  const { jobs: waiting, delayed, oldestAgeMs } = jobs ?? all;
  return [
    row(
      "people",
      people === undefined ? "not counted before a run" : `${counted(people, "person", "people")} in Clavex`,
      enabled === undefined ? undefined : `${enabled} had an account of ours when the last run looked`,
    ),
    row(
      jobs ? "jobs" : "jobs of all",
      waiting === 0 ? "none" : counted(waiting, "job"),
      delayed > 0 ? `${delayed} waiting for another attempt` : undefined,
      oldestAgeMs === undefined || waiting === 0 ? undefined : `the oldest since ${clockTime(at - oldestAgeMs, at)}`,
      status.editsWaiting > 0 ? `${counted(status.editsWaiting, "edit")} waiting for Nextcloud's limit` : undefined,
    ),
    status.readable
      ? row("last runs", ...(["full", "light", "watch"] as const).map((kind) => `${kind} ${runText(runs[kind], at)}`))
      : row("last runs", "none, without clavex.apiKey"),
    row("brake", brakes.length === 0 ? "holds nobody" : brakes.join(", ")),
    row(
      "dead letters",
      deadLetters === 0 ? "none" : String(deadLetters),
      leaversStillEnabled > 0 ? `${leaversStillEnabled} of people who left and can still log in` : undefined,
    ),
  ];
}

function runText(run: LastRun | undefined, at: number): string {
  if (run === undefined) return "never";
  const time = clockTime(run.beganAt, at);
  if (run.endedAt === undefined) return `under way since ${time}`;
  if (run.result !== "done") return `${time} failed (${run.result ?? "unknown"})`;
  return `${time} done${run.found ? ` (${counted(run.found.differences, "difference")})` : ""}`;
}
