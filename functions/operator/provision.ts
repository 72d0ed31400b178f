import { randomUUID } from "node:crypto";
import { PipelineFailure } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { AskPaused } from "../ledger/pause.ts";
import type { Sender } from "../queue/queue.ts";

/** What is said when somebody's job was queued. */
export const QUEUED =
  "Queued. If an earlier job of this person waits for another attempt, this one goes after it, up to 20 minutes later.";

/** Without a directory to read, nobody can be brought up to date from it. */
class NoDirectory extends PipelineFailure {
  constructor(organization: string) {
    super(
      "configuration",
      "no-api-key",
      `organization ${organization} has no clavex.apiKey: without it nobody can be read from Clavex`,
      "organization",
    );
  }
}

/** A job of a paused organization would do nothing. */
class NothingDone extends PipelineFailure {
  constructor(organization: string) {
    super(
      "configuration",
      "organization-paused",
      `nothing was done: the organization ${organization} is paused`,
      "organization",
      {
        fix: `Look at npx clavex-nextcloud plan, then: npx clavex-nextcloud resume --organization ${organization}`,
      },
    );
  }
}

/**
 * Queues a job that brings one person up to date, now.
 *
 * @throws {NoDirectory} when the organization has no API key
 * @throws {NothingDone} when it is paused
 * @throws {QueueUnavailable} or {LedgerUnavailable}
 */
export async function bringUpToDate(
  { queue, isPaused }: { queue: Pick<Sender, "send">; isPaused: AskPaused },
  organization: Organization,
  subject: string,
): Promise<Job> {
  const { slug, clavex } = organization;
  if (clavex.apiKey === undefined) throw new NoDirectory(slug);
  if (await isPaused(organization)) throw new NothingDone(slug);
  const job = { version: 2, kind: "person", organization: slug, subject, trigger: { kind: "manual" } } as const;
  await queue.send(job, randomUUID());
  return job;
}
