import { CommandError, Interrupted } from "./report.ts";
import { forPrompt } from "./terminal.ts";

/** One question. */
export interface Question {
  message: string;
  /** What Enter alone answers. */
  suggestion?: string | undefined;
  /** What is wrong with an answer, in one sentence, or undefined; it is asked again until nothing is. */
  check?: (answer: string) => Promise<string | undefined> | string | undefined;
}

/** What a prompt works with: questions are shown on stderr, because stdout is for the command's output. */
interface Where {
  output: NodeJS.WritableStream;
  signal: AbortSignal;
}

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/**
 * Asks for a text, and asks again while something is wrong with it.
 *
 * @returns the answer without spaces around it
 * @throws {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function askFor({ message, suggestion = "", check = () => undefined }: Question): Promise<string> {
  const { input } = await prompts();
  const validate = async (text: string) => {
    const problem = await check(text.trim());
    return problem === undefined || forPrompt(problem);
  };
  const answer = await ask((where) => input({ message: forPrompt(message), default: suggestion, validate }, where));
  return answer.trim();
}

/**
 * Asks for a secret without showing it.
 *
 * @throws {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function hidden(message: string): Promise<string> {
  const { password } = await prompts();
  return (await ask((where) => password({ message: forPrompt(message), toggleMask: false }, where))).trim();
}

/**
 * Asks a yes-or-no question; Enter alone means no.
 *
 * @throws {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function askWhether(message: string): Promise<boolean> {
  const { confirm: yesOrNo } = await prompts();
  return ask((where) => yesOrNo({ message: forPrompt(message), default: false }, where));
}

/**
 * Lets somebody choose one of several.
 *
 * @throws {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function choose<T extends string>(
  message: string,
  choices: readonly { value: T; name: string; description?: string }[],
): Promise<T> {
  const { select } = await prompts();
  return ask((where) => select({ message: forPrompt(message), choices }, where));
}

/**
 * Asks before something is changed. `--yes` answers for the operator; without a terminal to ask on it is needed.
 *
 * @throws {CommandError} when the answer is no, and {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!canAsk()) throw new CommandError(`${question} Confirm with --yes.`);
  if (!(await askWhether(question))) throw new CommandError("Nothing was changed.");
}

/**
 * Asks for a number that shows that the question was read. `--yes` answers for the operator, as with `confirm`.
 *
 * @returns what was typed; undefined where `--yes` stood for it
 * @throws {CommandError} without a terminal to ask on, and {Interrupted} on Ctrl-C and Ctrl-D
 */
export async function confirmNumber(
  question: string,
  number: number,
  yes: boolean | undefined,
): Promise<string | undefined> {
  if (yes) return undefined;
  if (!canAsk()) throw new CommandError(`${question} Confirm with --yes.`);
  return askFor({ message: `${question} Type ${number} to go on:` });
}

/** Loaded when somebody is asked: most commands ask nobody. */
const prompts = () => import("@inquirer/prompts");

/** What a prompt rejects with when it is ended from the keyboard, and when we end it. */
const ENDED = ["ExitPromptError", "AbortPromptError"];

/** Asks, and turns Ctrl-C into an error of ours. Ctrl-D and a terminal that is gone end a prompt without an answer: they count as Ctrl-C. */
async function ask<T>(prompt: (where: Where) => Promise<T>): Promise<T> {
  const ended = new AbortController();
  const onKey = (_text: string | undefined, key: { ctrl?: boolean; name?: string }) => {
    if (key.ctrl && key.name === "d") ended.abort();
  };
  const onEnd = () => ended.abort();
  process.stdin.on("keypress", onKey).once("end", onEnd);
  try {
    return await prompt({ output: process.stderr, signal: ended.signal });
  } catch (error) {
    if (error instanceof Error && ENDED.includes(error.name)) throw new Interrupted();
    throw error;
  } finally {
    process.stdin.off("keypress", onKey).off("end", onEnd);
  }
}
