import { Command } from "commander";
import { recording } from "../activity/recorder.ts";
import { type Clients, createClients } from "../clients.ts";
import { counted } from "../core/text.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { applyPlan, losers, makePlan, type Plan, refusal, type Sent } from "../operator/apply.ts";
import { WHY_NOTHING } from "../operator/run-in-words.ts";
import { createReconcile } from "../reconcile/reconcile.ts";
import { EXIT } from "./exit-codes.ts";
import { followJobs } from "./follow-jobs.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization, type OrganizationFailure } from "./organizations.ts";
import { type Connection, connect } from "./pipeline.ts";
import { planForMachines, showPlan } from "./plan.ts";
import { confirm, confirmNumber } from "./prompt.ts";
import { silent, uncounted } from "./reconcile.ts";
import { CommandError } from "./report.ts";
import { clearReading, complain, now, print, printJson, reading } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  dryRun?: boolean;
  yes?: boolean;
  json?: boolean;
}

const CONNECTIONS = 4;

/** `apply`: shows the plan, asks, queues a job for each person, and waits until all jobs are done. */
export function applyCommand(): Command {
  return withConnection(new Command("apply"))
    .description(
      "Shows the plan, asks, and brings everybody in sync: waits for the jobs and says what became of each. Exit code 1 when a job was refused, 3 when the brake holds people.",
    )
    .option("--organization <slug>", "only this organization")
    .option("--dry-run", "only show the plan")
    .option("--yes", "do not ask")
    .option("--json", "print JSON: what became of each, or with --dry-run the plan")
    .action(apply);
}

async function apply(options: Options): Promise<void> {
  const connection = await connect(options);
  const { organizations, secrets } = connection;
  const clients = createClients({ secrets, nextcloudConnections: CONNECTIONS });
  try {
    const { plans, failures } = await look(options, connection, clients);
    const differences = plans.reduce((sum, { report }) => sum + report.differences.length, 0);
    if (options.dryRun && options.json)
      return printJson([...plans.map(({ report }) => planForMachines(report)), ...failures]);
    if (options.dryRun) return;
    if (differences > 0) await ask(plans, options.yes);
    const reconcile = createReconcile({
      ...connection,
      clients,
      log: recording(silent, connection.activities.record),
      counters: uncounted,
    });
    const sent: Sent[] = [];
    const since = now();
    let result: 0 | typeof EXIT.failed | typeof EXIT.held = failures.length > 0 ? EXIT.failed : 0;
    const unsent = await eachOrganization(
      plans.map(({ report }) => report.organization),
      organizations,
      async ({ slug }) => {
        const plan = plans.find(({ report }) => report.organization === slug);
        if (!plan) return;
        // Also without a difference: that everything is in sync is what the ledger has to know.
        const run = await applyPlan(reconcile, plan, { onSent: (jobs) => sent.push(...jobs) });
        if (run.result !== "done") {
          if (plan.report.differences.length === 0) return;
          result = EXIT.failed;
          return complain(nothingDone(slug, run.result));
        }
        for (const held of [run.held, run.heldLeaves]) {
          if (!held) continue;
          complain(`${slug}: held: ${held.explanation}`);
          result ||= EXIT.held;
        }
      },
    );
    if (unsent.length > 0) result = EXIT.failed;
    if (differences === 0) {
      if (options.json) printJson([...failures, ...unsent]);
    } else if (connection.stopped) {
      connection.sayIfItWaits();
      result = EXIT.failed;
    } else if (sent.length > 0) await followJobs(connection, sent, { ...options, since });
    else if (options.json) printJson([]);
    else print("No job was sent.");
    process.exitCode ||= result;
  } finally {
    await clients.close();
    await connection.close();
  }
}

const nothingDone = (slug: string, why: keyof typeof WHY_NOTHING): string =>
  `${slug}: nothing was done: ${WHY_NOTHING[why](slug)}`;

/** Computes and shows the plan of each organization. One that is paused is left out, which makes the exit code 1. */
async function look(
  options: Options,
  { organizations, ledger, startsPaused }: Connection,
  clients: Clients,
): Promise<{ plans: Plan[]; failures: OrganizationFailure[] }> {
  const plans: Plan[] = [];
  const isPaused = createAskPaused(ledger, startsPaused);
  const slugs = await chosenSlugs(organizations, options.organization);
  const failures = await eachOrganization(slugs, organizations, async (organization) => {
    const { slug, clavex } = organization;
    if (clavex.apiKey === undefined) return complain(`${slug}: left out: ${WHY_NOTHING.unreadable(slug)}`);
    if (!options.dryRun && (await isPaused(organization))) {
      process.exitCode = EXIT.failed;
      return complain(nothingDone(slug, "paused"));
    }
    const looking = {
      ledger,
      clients: clients.of(organization),
      onProgress: reading(slug),
      sameAddresses: true,
      now,
    };
    const plan = await makePlan(organization, looking);
    plans.push(plan);
    clearReading();
    if (!options.json) showPlan(organization, plan.report);
  });
  return { plans, failures };
}

/**
 * Asks whether to apply the plans; where people lose something, for their number.
 *
 * @throws {CommandError} when the answer is no, or came too late
 */
async function ask(plans: readonly Plan[], yes: boolean | undefined): Promise<void> {
  const losing = losers(plans);
  let typed: string | undefined;
  if (losing === 0) await confirm("Apply this now?", yes);
  else {
    const whom = counted(losing, "person", "people");
    typed = await confirmNumber(`Apply this now? It takes access or groups away from ${whom}.`, losing, yes);
  }
  const why = refusal(plans, typed, now());
  if (why !== undefined) throw new CommandError(why);
}
