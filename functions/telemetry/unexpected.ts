import type { Log } from "./log.ts";
import { problemOf } from "./problem.ts";

/** What Lambda's runtime may print of an unexpected error: its name, and nothing of its message. */
class HandlerFailed extends Error {
  override name = "HandlerFailed";

  constructor(name: string) {
    super(`${name}; the log has where it was thrown`);
    delete this.stack;
  }
}

/**
 * Does the work of one invocation. Lambda's runtime prints the message of what a handler throws, and it may hold anything.
 *
 * @throws {HandlerFailed} when the work fails, after it was logged without its message
 */
export async function loggingUnexpected<T>(log: Log, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const problem = problemOf(error);
    log.error("invocation failed", { ...problem });
    throw new HandlerFailed(problem.code === "unexpected" ? problem.problem : problem.code);
  }
}
