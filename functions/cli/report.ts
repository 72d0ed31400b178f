import { ConfigurationError, Failure } from "../core/failure.ts";
import { printable } from "../core/text.ts";

/** A command cannot continue: the message says what is wrong and what to do about it. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** Prints an error on stderr so that a person can act on it, and sets exit code 1. Only bugs get a stack trace. */
export function report(error: unknown): void {
  process.exitCode = 1;
  for (const line of describe(error)) console.error(line);
}

function describe(error: unknown): string[] {
  if (error instanceof CommandError) return [printable(error.message)];
  if (error instanceof ConfigurationError) {
    const problems = error.problems.map((problem) => printable(problem));
    const told =
      problems.length === 1 ? problems : ["The configuration cannot be used:", ...problems.map((each) => `  ${each}`)];
    return [...told, ...(error.fix === undefined ? [] : [error.fix])];
  }
  if (error instanceof Failure) return [printable(error.message), ...(error.fix === undefined ? [] : [error.fix])];
  return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
}
