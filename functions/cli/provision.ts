import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { uuidSchema } from "../clavex/user.ts";
import { EXIT } from "./exit-codes.ts";
import { followJobs } from "./follow-jobs.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { requireOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { now, print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization: string;
  user: string;
  wait?: boolean;
  json?: boolean;
}

/** `provision`: queues a job that brings one person up to date, now. */
export function provisionCommand(): Command {
  return withConnection(new Command("provision"))
    .description("Brings one person up to date: reads Clavex and Nextcloud and applies the difference.")
    .requiredOption("--organization <slug>", "the organization")
    .requiredOption("--user <id>", "the person's subject (UUID)")
    .option(
      "--wait",
      "wait until it is done, and say what became of it; exit code 1 when it was refused, 3 when it is held",
    )
    .option("--json", "print JSON")
    .action(provision);
}

async function provision(options: Options): Promise<void> {
  const subject = uuidSchema.safeParse(options.user);
  if (!subject.success) throw new CommandError(`--user: ${options.user} is not a UUID`);
  const connection = await connect(options);
  try {
    const organization = await requireOrganization(connection.organizations, options.organization);
    if (organization.clavex.apiKey === undefined) {
      throw new CommandError(
        `organization ${organization.slug} has no clavex.apiKey: without it nobody can be read from Clavex`,
      );
    }
    const job = {
      version: 2,
      kind: "person",
      organization: organization.slug,
      subject: subject.data,
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
