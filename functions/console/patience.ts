import { setTimeout as sleep } from "node:timers/promises";
import { PipelineFailure } from "../core/failure.ts";

/** How long a page waits for a server, in milliseconds: somebody sits in front of it. */
export const PATIENCE_MS = 5_000;

/** A server took longer than somebody in front of a page waits. */
class NoAnswerYet extends PipelineFailure {
  constructor(what: string, milliseconds: number) {
    super(
      "transient",
      "no-answer-yet",
      `${what} did not answer within ${counted(milliseconds)}: it is slow, or away`,
      "organization",
      { fix: "Try again, or see what Checks says." },
    );
  }
}

const counted = (milliseconds: number): string =>
  milliseconds === 1_000 ? "a second" : `${milliseconds / 1_000} seconds`;

/**
 * Waits for something, but not for long; what was begun goes on unseen.
 *
 * @param what is asked, for the message
 * @throws {NoAnswerYet} when it takes longer than `milliseconds`, and whatever `work` throws before
 */
export async function within<T>(what: string, work: Promise<T>, milliseconds = PATIENCE_MS): Promise<T> {
  const ended = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: ended.signal }).then(() => {
    throw new NoAnswerYet(what, milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    work.catch(() => undefined);
    late.catch(() => undefined);
    ended.abort();
  }
}
