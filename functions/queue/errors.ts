import { Failure, PipelineFailure } from "../core/failure.ts";

/** The queue does not answer, or cannot store a job. */
export class QueueUnavailable extends PipelineFailure {
  constructor(cause: unknown) {
    const reason = cause instanceof Failure ? cause.message : cause instanceof Error ? cause.name : "unknown error";
    super("transient", "queue-unavailable", `the queue cannot be used (${reason})`, "subject", {
      cause,
      ...(cause instanceof Failure && cause.fix !== undefined ? { fix: cause.fix } : {}),
    });
  }
}

/** A message that is not a job of a version this code knows. */
export class UnreadableJob extends PipelineFailure {
  constructor(problem: string) {
    super("configuration", "job-unreadable", `a queue message cannot be read: ${problem}`, "subject", {
      fix: "It was written by another version: deploy that version again, or look at the message in the SQS dead-letter queue.",
    });
  }
}
