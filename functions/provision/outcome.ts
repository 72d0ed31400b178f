import type { SubjectState } from "../core/account.ts";
import type { Job } from "../core/job.ts";

/** A job as it was taken from the queue. */
export interface ReceivedJob<J extends Job = Job> {
  job: J;
  /** When its message was sent (milliseconds since the epoch). */
  sentAt: number;
  /** How often the message has been received, this time included. */
  receiveCount: number;
}

/**
 * How a job ended. `applied`: Nextcloud was changed. `unchanged`: it was right already. `superseded`: a newer reading than the
 * job's message has been applied. `stale`: without an API key, a newer snapshot or a deletion came first. `ignored`: there is
 * nothing to act on. `parked`: nothing can succeed until somebody changes something; the job is in the dead letters. Its
 * `revoke` says whether Nextcloud refused to take access away, for the first time or again.
 * `followed`: a group hint became jobs for the people whose groups are others now.
 */
export type Outcome =
  | {
      result: "applied" | "unchanged";
      accountId: string;
      state: SubjectState;
      operations: string[];
      /** What is not in sync although the job is done, and why. */
      notes: string[];
      /** More people have lost access within a day than raise an alarm; this one among them. */
      overDaily?: true;
    }
  | { result: "superseded" | "stale"; accountId: string | undefined }
  | { result: "ignored"; why: string }
  | {
      result: "parked";
      accountId: string;
      reason: string;
      problem: string;
      /** What was done anyway. */
      done: readonly string[];
      revoke: "none" | "refused" | "refused-again";
    }
  | { result: "followed"; queued: number };
