import { CommanderError } from "commander";
import { ConfigurationError, Failure, fixOf } from "../core/failure.ts";
import { printable } from "../core/text.ts";
import { isSystemError, systemSentence, systemWords } from "../system-errors.ts";
import { EXIT } from "./exit-codes.ts";
import { complain } from "./terminal.ts";

/** A command cannot continue: the message says what is wrong, and it or `fix` what to do about it. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly fix: string | undefined;

  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

/** Somebody ended the command from the keyboard: nothing is printed, and the exit code is that of Ctrl-C. */
export class Interrupted extends Error {
  override name = "Interrupted";
}

/** Ends the program after an error: those of the arguments, and the help, were printed already. */
export function endWith(error: unknown): void {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else report(error);
}

/**
 * Prints an error on stderr so that a person can act on it, and sets exit code 1; of Ctrl-C only the code, 130. Only bugs get a
 * stack trace.
 */
export function report(error: unknown): void {
  process.exitCode = error instanceof Interrupted ? EXIT.interrupted : EXIT.failed;
  if (error instanceof Interrupted) return;
  for (const line of describe(error)) complain(line);
}

/** What happens when nobody reads the output any more. */
let onClosedOutput = (): void => process.exit(1);

/**
 * Watches stdout and stderr. When whoever read them is gone (a pipe into `head`, a pager that was left), or they cannot be
 * written for another reason, the process says so in one sentence, if it still can, and ends with 1.
 */
export function watchOutput(): void {
  let closed = false;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (closed) return;
      closed = true;
      process.exitCode = 1;
      if (stream === process.stdout) console.error(`the output cannot be written: ${systemWords(error)}`);
      onClosedOutput();
    });
  }
}

/** Registers work to finish first when nobody reads the output any more. */
export function whenOutputCloses(finish: () => void): void {
  onClosedOutput = finish;
}

function describe(error: unknown): string[] {
  if (error instanceof CommandError) return withFix([printable(error.message)], error);
  if (error instanceof ConfigurationError) {
    const problems = error.problems.map((problem) => printable(problem));
    const told =
      problems.length === 1 ? problems : ["The configuration cannot be used:", ...problems.map((each) => `  ${each}`)];
    return withFix(told, error);
  }
  if (error instanceof Failure) return withFix([printable(error.message)], { fix: fixOf(error) });
  if (isSystemError(error)) return [printable(systemSentence(error))];
  return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
}

function withFix(lines: string[], { fix }: { fix: string | undefined }): string[] {
  return fix === undefined ? lines : [...lines, fix];
}
