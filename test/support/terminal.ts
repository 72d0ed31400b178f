import { Writable } from "node:stream";
import { createProgram } from "../../functions/cli/program.ts";
import { endWith } from "../../functions/cli/report.ts";
import { type Surroundings, surroundWith } from "../../functions/cli/terminal.ts";

/** A stream that keeps what is written to it; with columns it passes for a terminal. */
export class Paper extends Writable {
  text = "";
  readonly columns: number | undefined;
  readonly isTTY: boolean;

  readonly #alsoTo: (text: string) => void;

  constructor(columns?: number, alsoTo: (text: string) => void = () => undefined) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.#alsoTo = alsoTo;
    this.isTTY = columns !== undefined;
  }

  override _write(chunk: string, _encoding: unknown, callback: () => void): void {
    this.text += chunk;
    this.#alsoTo(chunk);
    callback();
  }
}

export interface TerminalOptions {
  /** The width of the terminal; without it the output is none. */
  columns?: number | undefined;
  now?: Surroundings["now"];
  environment?: Record<string, string>;
  /** Where it runs; this process's folder where it is left out. */
  folder?: string | undefined;
}

/** How a command ended that ran in this process. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
  /** Both together, as they came. */
  output: string;
  /** The lines of `output`, without the spaces at their ends. */
  lines: string[];
}

/** A command has the process to itself: exit code, environment and output are the process's. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Runs a command of `clavex-nextcloud` in this process, on a terminal of this many columns, when earlier ones are done. Colours are
 * not shown. Seconds faster than a process of its own.
 */
export function runInTerminal(args: string[], options: TerminalOptions = {}): Promise<Ran> {
  const result = last.then(() => runAlone(args, options));
  last = result.catch(() => undefined);
  return result;
}

async function runAlone(args: string[], options: TerminalOptions): Promise<Ran> {
  const { columns, now = Date.now, environment = {}, folder } = options;
  let output = "";
  const add = (text: string): void => {
    output += text;
  };
  const [out, err] = [new Paper(columns, add), new Paper(undefined, add)];
  const before = { code: process.exitCode, environment: process.env, folder: process.cwd() };
  const restore = surroundWith({ out, err, now });
  process.env = { ...process.env, ...environment };
  process.exitCode = undefined;
  if (folder !== undefined) process.chdir(folder);
  try {
    await createProgram()
      .parseAsync([...args, "--no-color"], { from: "user" })
      .catch(endWith);
    const lines = output.split("\n").map((line) => line.trimEnd());
    return { code: Number(process.exitCode ?? 0), stdout: out.text, stderr: err.text, output, lines };
  } finally {
    process.exitCode = before.code;
    process.env = before.environment;
    process.chdir(before.folder);
    restore();
  }
}
