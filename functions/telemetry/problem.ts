import { Failure, type FailureClass } from "../core/failure.ts";

/** What a log line says about an error. */
export type Problem = Foreseen | Unexpected;

interface Foreseen {
  class: FailureClass;
  code: string;
  problem: string;
  fix: string | undefined;
}

interface Unexpected {
  class: "transient";
  code: "unexpected";
  /** The error's name. */
  problem: string;
  /** Where it was thrown: the frames alone, `at function (file:line:column)`. */
  stack: string[] | undefined;
  /** The names of what caused it, the nearest first. */
  causes: string[] | undefined;
}

/**
 * What may be logged of an error. A Failure speaks for itself; the message of any other error may hold personal data, and so
 * may the first lines of its stack: only names and stack frames are logged.
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof Failure) {
    const { failureClass, code, message, fix } = error;
    return { class: failureClass, code, problem: message, fix };
  }
  const [problem = "", ...causes] = chain(error).map(nameOf);
  const stack = framesOf(error);
  return {
    class: "transient",
    code: "unexpected",
    problem,
    stack: stack.length > 0 ? stack : undefined,
    causes: causes.length > 0 ? causes : undefined,
  };
}

const MOST_CAUSES = 5;
const MOST_FRAMES = 20;

/** The error and what caused it; a chain may be a ring. */
function chain(error: unknown): unknown[] {
  const errors = [error];
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause !== undefined && errors.length <= MOST_CAUSES) {
    errors.push(cause);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return errors;
}

/** The name, with the code of Node's own errors (`Error ECONNRESET`). Servers name errors too: only what looks like a name. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  const { name, code } = error as Error & { code?: unknown };
  const shown = /^[\w.$-]{1,80}$/.test(name) ? name : "Error";
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? `${shown} ${code}` : shown;
}

const FRAME = /^at .*(?::\d+:\d+|<anonymous>|native|index \d+)\)?$/;

/** A message may have lines that look like frames: it is taken out before they are looked for. */
function framesOf(error: unknown): string[] {
  if (!(error instanceof Error) || typeof error.stack !== "string") return [];
  const stack = error.stack.replace(error.message, () => "");
  const lines = stack.split("\n").map((line) => line.trim());
  const firstOfOthers = lines.findLastIndex((line) => !FRAME.test(line)) + 1;
  return lines.slice(firstOfOthers, firstOfOthers + MOST_FRAMES);
}
