import { Command } from "commander";
import { recording } from "../activity/recorder.ts";
import { createClients } from "../clients.ts";
import { counted } from "../core/text.ts";
import { runInWords } from "../operator/run-in-words.ts";
import { type CompletedRun, createReconcile, type Run } from "../reconcile/reconcile.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, parseCount, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { CommandError } from "./report.ts";
import { clearReading, print, printJson, reading } from "./terminal.ts";
import { describeUnknown } from "./unknown.ts";

interface Options extends ConnectOptions {
  organization?: string;
  light?: boolean;
  allowDeprovisions?: number;
  allowLeaves?: number;
  dryRun?: boolean;
  json?: boolean;
  yes?: boolean;
}

const CONNECTIONS = 4;
/** A command says itself what it does. */
export const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
/** What is counted is for alarms, which a command needs none of. */
export const uncounted = { count: () => undefined, measure: () => undefined, flush: () => undefined };

/** What `--json` shows of a run that did nothing. */
const NOTHING_DONE = { sent: 0, waiting: 0, refused: 0, held: undefined, heldLeaves: undefined };

/** `reconcile`: finds every difference now and queues a job for each person. */
export function reconcileCommand(): Command {
  return withConnection(new Command("reconcile"))
    .description(
      "Finds everybody whose account is out of sync and queues a job for each. plan shows what the jobs will change.",
    )
    .option("--organization <slug>", "only this organization")
    .option("--light", "read only Clavex, and compare with what was applied last")
    .option("--allow-deprovisions <number>", "let this many people beyond the brake's limit lose access", parseCount)
    .option("--allow-leaves <number>", "let this many people beyond the brake's limit lose a group", parseCount)
    .option("--dry-run", "only say how many jobs it would send")
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .action(reconcile);
}

async function reconcile(options: Options): Promise<void> {
  const { organization, allowDeprovisions, allowLeaves } = options;
  const allowing: [string, number | undefined, string][] = [
    ["--allow-deprovisions", allowDeprovisions, "access"],
    ["--allow-leaves", allowLeaves, "a group"],
  ];
  for (const [option, number, what] of allowing) {
    if (number === undefined) continue;
    if (organization === undefined) throw new CommandError(`${option} needs --organization`);
    if (options.dryRun) continue;
    await confirm(
      `Let ${counted(number, "more person", "more people")} of ${organization} lose ${what} than the brake's limit?`,
      options.yes,
    );
  }
  const connection = await connect(options);
  const clients = createClients({ secrets: connection.secrets, nextcloudConnections: CONNECTIONS });
  const log = recording(silent, connection.activities.record);
  const run = createReconcile({ ...connection, clients, log, counters: uncounted });
  try {
    const slugs = await chosenSlugs(connection.organizations, options.organization);
    const runs: ({ organization: string; dryRun?: boolean; result: Run["result"] } & Omit<
      CompletedRun,
      "result" | "report"
    >)[] = [];
    const failures = await eachOrganization(slugs, connection.organizations, async ({ slug }) => {
      const done = await run(slug, options.light ? "light" : "full", {
        onProgress: reading(slug),
        ...(allowDeprovisions === undefined ? {} : { allowDeprovisions }),
        ...(allowLeaves === undefined ? {} : { allowLeaves }),
        dryRun: options.dryRun ?? false,
      });
      if (!options.json) show(slug, done, options.dryRun ?? false);
      const { report: _, ...result } = { ...NOTHING_DONE, report: undefined, ...done };
      runs.push({ organization: slug, ...(options.dryRun ? { dryRun: true } : {}), ...result });
    });
    if (options.json) printJson([...runs, ...failures]);
    if (!options.dryRun && runs.some((each) => each.sent > 0)) connection.sayIfItWaits();
    const asked = options.organization !== undefined;
    const failed = runs.some(
      ({ result }) => result === "busy" || result === "paused" || (asked && result === "unreadable"),
    );
    if (failed || failures.length > 0) process.exitCode = EXIT.failed;
    else if (runs.some(({ held, heldLeaves }) => held || heldLeaves)) process.exitCode = EXIT.held;
  } finally {
    await clients.close();
    await connection.close();
  }
}

function show(slug: string, run: Run, dryRun: boolean): void {
  clearReading();
  for (const line of runInWords(slug, run, dryRun)) print(line);
  if (run.result !== "done") return;
  if (run.unknown) for (const line of describeUnknown(run.unknown)) print(`${slug}: ${line}`);
}
