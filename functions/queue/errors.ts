import { PipelineFailure } from "../core/failure.ts";

/** SQS did not take a job. */
export class QueueUnavailable extends PipelineFailure {
  constructor(cause: unknown) {
    super(
      "transient",
      "queue-unavailable",
      `the queue did not take the job (${cause instanceof Error ? cause.name : "unknown error"})`,
      "organization",
      { cause },
    );
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
