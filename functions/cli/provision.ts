import { Command } from "commander";
import { printable } from "../core/text.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { bringUpToDate, QUEUED } from "../operator/provision.ts";
import { EXIT } from "./exit-codes.ts";
import { linesToDo, lookAt, planForMachines } from "./explain.ts";
import { followJobs } from "./follow-jobs.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { findSubject, namedPerson, personLabel, requireSubject, USER_HELP, USER_OPTION } from "./people.ts";
import { connect } from "./pipeline.ts";
import { now, print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user: string;
  wait?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `provision`: queues a job that brings one person up to date, now. */
export function provisionCommand(): Command {
  return withConnection(new Command("provision"))
    .description("Brings one person up to date: reads Clavex and Nextcloud and applies the difference.")
    .option("--organization <slug>", "the organization; needed where there are several")
    .requiredOption(USER_OPTION, USER_HELP)
    .option(
      "--wait",
      "wait until it is done, and say what became of it; exit code 1 when it was refused, 3 when it is held",
    )
    .option("--dry-run", "only show what would be done")
    .option("--json", "print JSON")
    .action(provision);
}

/** Shows what the job would do; queues nothing. */
async function preview(options: Options): Promise<void> {
  const explanation = await lookAt(options);
  const { organization, subject, person, decision } = explanation;
  if (options.json)
    return printJson({ dryRun: true, organization: organization.slug, subject, plan: planForMachines(decision) });
  print(`${person ? personLabel(namedPerson(person)) : printable(subject)}:`);
  for (const line of linesToDo(explanation)) print(`  ${printable(line)}`);
  for (const note of decision.plan.notes) print(`  ! ${printable(note)}`);
  print("Nothing was changed.");
}

async function provision(options: Options): Promise<void> {
  const { user } = options;
  if (options.dryRun) return preview(options);
  const isAddress = user.includes("@");
  if (!isAddress) requireSubject(user);
  const connection = await connect(options);
  const { queue, ledger, startsPaused } = connection;
  const isPaused = createAskPaused(ledger, startsPaused);
  try {
    const organization = await oneOrganization(connection.organizations, options.organization);
    const subject = isAddress ? (await findSubject(connection, [organization.slug], user)).user : requireSubject(user);
    const before = options.wait ? await ledger.subjects.get(organization.slug, subject) : undefined;
    const since = now();
    const job = await bringUpToDate({ queue, isPaused }, organization, subject);
    if (options.wait && !connection.stopped) {
      // What it takes away is not known yet: only the job can say that a brake holds it.
      const awaited = { organization: organization.slug, subject, before, loses: undefined, name: undefined };
      return await followJobs(connection, [awaited], { ...options, since });
    }
    if (options.wait) process.exitCode = EXIT.failed;
    if (options.json) printJson({ status: "queued", job });
    else print(QUEUED);
    connection.sayIfItWaits();
  } finally {
    await connection.close();
  }
}
