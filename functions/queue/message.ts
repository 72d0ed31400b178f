import { deduplicationId, type Job, messageGroupId } from "../core/job.ts";

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
