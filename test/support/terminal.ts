import { Writable } from "node:stream";
import { createProgram } from "../../functions/cli/program.ts";
import { endWith } from "../../functions/cli/report.ts";
import { type Surroundings, surroundWith } from "../../functions/cli/terminal.ts";

/** A stream that keeps what is written to it; with columns it passes for a terminal. */
export class Paper extends Writable {
  text = "";
  readonly columns: number | undefined;
  readonly isTTY: boolean;

  constructor(columns?: number) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.isTTY = columns !== undefined;
  }

  override _write(chunk: string, _encoding: unknown, callback: () => void): void {
    this.text += chunk;
    callback();
  }
}

export interface TerminalOptions {
  /** The width of the terminal; without it the output is none. */
  columns?: number | undefined;
  now?: Surroundings["now"];
  environment?: Record<string, string>;
}

/** How a command ended that ran in this process. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command of `clavex-nextcloud` in this process, on a terminal of so many columns. Colours are not shown. */
export async function runInTerminal(args: string[], options: TerminalOptions = {}): Promise<Ran> {
  const { columns, now = Date.now, environment = {} } = options;
  const [out, err] = [new Paper(columns), new Paper()];
  const before = { code: process.exitCode, environment: process.env };
  const restore = surroundWith({ out, err, now });
  process.env = { ...process.env, ...environment };
  process.exitCode = undefined;
  try {
    await createProgram()
      .parseAsync([...args, "--no-color"], { from: "user" })
      .catch(endWith);
    return { code: Number(process.exitCode ?? 0), stdout: out.text, stderr: err.text };
  } finally {
    process.exitCode = before.code;
    process.env = before.environment;
    restore();
  }
}
