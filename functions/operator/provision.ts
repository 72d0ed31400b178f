import { randomUUID } from "node:crypto";
import { PipelineFailure } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
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

/**
 * Queues a job that brings one person up to date, now.
 *
 * @throws {NoDirectory} when the organization has no API key
 * @throws {QueueUnavailable}
 */
export async function bringUpToDate(
  queue: Pick<Sender, "send">,
  { slug, clavex }: Organization,
  subject: string,
): Promise<Job> {
  if (clavex.apiKey === undefined) throw new NoDirectory(slug);
  const job = { version: 2, kind: "person", organization: slug, subject, trigger: { kind: "manual" } } as const;
  await queue.send(job, randomUUID());
  return job;
}
