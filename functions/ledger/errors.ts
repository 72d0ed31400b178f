import { PipelineFailure } from "../core/failure.ts";

/** The table did not answer: throttled, unreachable, or not permitted. */
export class LedgerUnavailable extends PipelineFailure {
  constructor(cause: unknown) {
    const name = cause instanceof Error ? cause.name : "unknown error";
    const setup = name === "ResourceNotFoundException" || name === "AccessDeniedException";
    super(
      setup ? "configuration" : "transient",
      "ledger-unavailable",
      `the ledger cannot be used (${name})`,
      "subject",
      {
        cause,
        ...(setup ? { fix: "Deploy the stack again: the table or the permission for it is missing." } : {}),
      },
    );
  }
}

/** Two workers had the same subject (a visibility timeout ran out): the slower one tries again and finds what was done. */
export class LedgerConflict extends PipelineFailure {
  constructor(organization: string, subject: string) {
    super(
      "transient",
      "ledger-conflict",
      `another worker wrote subject ${subject} of ${organization} in between`,
      "subject",
    );
  }
}

/** An item of the table has another form than this version knows. */
export class LedgerUnreadable extends PipelineFailure {
  constructor(item: string) {
    super("configuration", "ledger-unreadable", `the ledger's item ${item} has an unknown form`, "subject", {
      fix: "It was written by another version: deploy that version again.",
    });
  }
}
