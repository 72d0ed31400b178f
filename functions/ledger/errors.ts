import { Failure, type FailureClass, PipelineFailure } from "../core/failure.ts";

/** The errors of DynamoDB that only a deployment can fix. */
const OF_DEPLOYMENT = new Set(["ResourceNotFoundException", "AccessDeniedException"]);

/** The table did not answer: throttled, unreachable, full, damaged, or not permitted. */
export class LedgerUnavailable extends PipelineFailure {
  constructor(cause: unknown) {
    const reason = reasonOf(cause);
    const { failureClass, fix } = cause instanceof Failure ? cause : verdictOn(reason);
    super(failureClass, "ledger-unavailable", `the ledger cannot be used (${reason})`, "subject", {
      cause,
      ...(fix === undefined ? {} : { fix }),
    });
  }
}

function verdictOn(reason: string): { failureClass: FailureClass; fix?: string } {
  if (!OF_DEPLOYMENT.has(reason)) return { failureClass: "transient" };
  return {
    failureClass: "configuration",
    fix: "Deploy the stack again: the table or the permission for it is missing.",
  };
}

/** What the error is called. Its message is not taken: that may name a path. */
function reasonOf(error: unknown): string {
  if (error instanceof Failure)
    return error.cause === undefined ? error.code : `${error.code}: ${reasonOf(error.cause)}`;
  if (!(error instanceof Error)) return "unknown error";
  // SQLite's own, fixed text for its result code.
  return "errstr" in error ? String(error.errstr) : error.name;
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
