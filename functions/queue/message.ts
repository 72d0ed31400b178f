import { deduplicationId, type Job, jobSchema, messageGroupId } from "../core/job.ts";
import { briefly } from "../core/problems.ts";
import { UnreadableJob } from "./errors.ts";

/** A job on its way into a queue. */
export interface Outgoing {
  body: string;
  group: string;
  deduplicationId: string;
}

/** @param source what the job is deduplicated by, together with its subject */
export function outgoing(job: Job, source: string): Outgoing {
  return {
    body: JSON.stringify(job),
    group: messageGroupId(job),
    deduplicationId: deduplicationId(source, job),
  };
}

/**
 * Reads the body of a queue message.
 *
 * @throws {UnreadableJob} when it is not a job
 */
export function parseJob(body: string): Job {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new UnreadableJob("not JSON");
  }
  const result = jobSchema.safeParse(json, { error: briefly });
  if (result.success) return result.data;
  throw new UnreadableJob(
    result.error.issues
      .map((issue) => `${issue.path.map(String).join(".") || "the message"} ${issue.message}`)
      .join("; "),
  );
}
