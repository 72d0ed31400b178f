import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { EXIT } from "./exit-codes.ts";
import { followJobs } from "./follow-jobs.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { findSubject, requireSubject, USER_HELP, USER_OPTION } from "./people.ts";
import { connect } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { now, print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user: string;
  wait?: boolean;
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
    .option("--json", "print JSON")
    .action(provision);
}

async function provision(options: Options): Promise<void> {
  const { user } = options;
  const isAddress = user.includes("@");
  if (!isAddress) requireSubject(user);
  const connection = await connect(options);
  try {
    const organization = await oneOrganization(connection.organizations, options.organization);
    if (organization.clavex.apiKey === undefined) {
      throw new CommandError(
        `organization ${organization.slug} has no clavex.apiKey: without it nobody can be read from Clavex`,
      );
    }
    const subject = isAddress ? (await findSubject(connection, [organization.slug], user)).user : requireSubject(user);
    const job = {
      version: 2,
      kind: "person",
      organization: organization.slug,
      subject,
      trigger: { kind: "manual" },
    } as const;
    const before = options.wait ? await connection.ledger.subjects.get(job.organization, job.subject) : undefined;
    const since = now();
    await connection.queue.send(job, randomUUID());
    if (options.wait && !connection.stopped) {
      const { organization: slug, subject: whom } = job;
      // Nobody knows yet what it takes away: a brake that holds it is known by what the job says.
      const awaited = { organization: slug, subject: whom, before, loses: undefined, name: undefined };
      return await followJobs(connection, [awaited], { ...options, since });
    }
    if (options.wait) process.exitCode = EXIT.failed;
    if (options.json) printJson({ status: "queued", job });
    else
      print(
        "Queued. If an earlier job of this person waits for another attempt, this one goes after it, up to 20 minutes later.",
      );
    connection.sayIfItWaits();
  } finally {
    await connection.close();
  }
}
