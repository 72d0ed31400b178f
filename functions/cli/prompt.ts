import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { CommandError } from "./report.ts";

/** Asks on stderr: stdout is for the command's output. */
export async function askFor(text: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(text)).trim();
  } finally {
    terminal.close();
  }
}

/** Asks for a secret without showing it. */
export async function hidden(text: string): Promise<string> {
  process.stderr.write(text);
  const nowhere = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return (await terminal.question("")).trim();
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}

/**
 * Asks before something is changed. `--yes` answers for the operator; without a terminal to ask on it is needed.
 *
 * @throws {CommandError} when the answer is no
 */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new CommandError(`${question} Say so with --yes.`);
  if (!/^y(es)?$/i.test(await askFor(`${question} [y/N] `))) throw new CommandError("Nothing was changed.");
}
