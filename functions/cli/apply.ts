import { Command } from "commander";
import { recording } from "../activity/recorder.ts";
import { createClients } from "../clients.ts";
import { awaitedOf } from "../operator/wait.ts";
import { driftReport, type FullReport } from "../reconcile/drift-report.ts";
import { createReconcile } from "../reconcile/reconcile.ts";
import { EXIT } from "./exit-codes.ts";
import { type Followed, followJobs } from "./follow-jobs.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { showPlan } from "./plan.ts";
import { confirm } from "./prompt.ts";
import { silent, WHY_NOTHING } from "./reconcile.ts";
import { clearReading, complain, now, print, printJson, reading } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  dryRun?: boolean;
  yes?: boolean;
  json?: boolean;
}

const CONNECTIONS = 4;
/** A plan that was on screen for longer than this is computed again. */
const FRESH_MS = 10 * 60_000;

/** `apply`: shows the plan, asks, queues a job for each person, and waits until all jobs are done. */
export function applyCommand(): Command {
  return withConnection(new Command("apply"))
    .description(
      "Shows the plan, asks, and brings everybody in sync: waits for the jobs and says what became of each. Exit code 1 when a job was refused, 3 when the brake holds people.",
    )
    .option("--organization <slug>", "only this organization")
    .option("--dry-run", "only show the plan")
    .option("--yes", "do not ask")
    .option("--json", "print JSON: what became of each")
    .action(apply);
}

interface Planned {
  slug: string;
  report: FullReport;
  readAt: number;
}

async function apply(options: Options): Promise<void> {
  const connection = await connect(options);
  const { organizations, secrets, ledger } = connection;
  const clients = createClients({ secrets, nextcloudConnections: CONNECTIONS });
  try {
    const plans: Planned[] = [];
    const slugs = await chosenSlugs(organizations, options.organization);
    const failures = await eachOrganization(slugs, organizations, async (organization) => {
      const { slug, clavex } = organization;
      if (clavex.apiKey === undefined) return complain(`${slug}: left out: ${WHY_NOTHING.unreadable(slug)}`);
      const readAt = now();
      const looking = { ledger, clients: clients.of(organization), onProgress: reading(slug), sameAddresses: true };
      const report = await driftReport(organization, "full", looking);
      plans.push({ slug, report, readAt });
      clearReading();
      if (!options.json) showPlan(organization, report);
    });
    const differences = plans.reduce((sum, { report }) => sum + report.differences.length, 0);
    if (options.dryRun || differences === 0) return options.json ? printJson(failures) : undefined;
    await confirm("Apply this now?", options.yes);
    const reconcile = createReconcile({
      ...connection,
      clients,
      log: recording(silent, connection.activities.record),
      counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
    });
    const sent: Followed[] = [];
    const since = now();
    let result: 0 | typeof EXIT.failed | typeof EXIT.held = failures.length > 0 ? EXIT.failed : 0;
    const unsent = await eachOrganization(
      plans.map(({ slug }) => slug),
      organizations,
      async ({ slug }) => {
        const shown = plans.find((each) => each.slug === slug);
        const isFresh = shown !== undefined && now() - shown.readAt < FRESH_MS;
        const run = await reconcile(slug, "full", {
          ...(isFresh ? { shown } : {}),
          onSent: (drifts) => sent.push(...drifts.map((drift) => ({ ...awaitedOf(slug, drift), name: drift.name }))),
        });
        if (run.result !== "done") {
          result = EXIT.failed;
          return complain(`${slug}: nothing was done: ${WHY_NOTHING[run.result](slug)}`);
        }
        for (const held of [run.held, run.heldLeaves]) {
          if (!held) continue;
          complain(`${slug}: held: ${held.explanation}`);
          result ||= EXIT.held;
        }
      },
    );
    if (unsent.length > 0) result = EXIT.failed;
    if (connection.stopped) {
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
