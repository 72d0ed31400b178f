import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = "functions/cli/main.ts";
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Where programs run: not at the root, where they would find a developer's `.env`, `.local` and `organizations`. */
export const WORKING_FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Most programs that tests start are the same ones: compiling them again each time takes longer than all that they do. */
export const COMPILE_CACHE = join(ROOT, "node_modules", ".cache", "compiled");

/** A program of this repository, run as a process of its own. */
export interface Program {
  pid: number;
  /** All it has printed so far, stdout and stderr together. */
  output(): string;
  stdout(): string;
  stderr(): string;
  /** Resolves to the first match in the output; rejects when the program ends without one. */
  printed(expression: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>;
}

/** Runs a TypeScript file of the repository with this process's Node. */
export function run(
  file: string,
  args: string[],
  environment: Record<string, string> = {},
  folder: string = WORKING_FOLDER,
): Program {
  return runNode([join(ROOT, file), ...args], environment, folder);
}

/** Runs this process's Node with these arguments. */
export function runNode(
  args: string[],
  environment: Record<string, string> = {},
  folder: string = WORKING_FOLDER,
): Program {
  return runProgram(process.execPath, args, environment, folder);
}

/** Runs any program. */
export function runProgram(
  file: string,
  args: string[],
  environment: Record<string, string> = {},
  folder: string = WORKING_FOLDER,
): Program {
  const child: ChildProcess = spawn(file, args, {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", NO_COLOR: "1", NODE_COMPILE_CACHE: COMPILE_CACHE, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const printed = { output: "", stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      printed.output += text;
      printed[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return {
    pid: child.pid ?? 0,
    output: () => printed.output,
    stdout: () => printed.stdout,
    stderr: () => printed.stderr,
    kill: (signal) => void child.kill(signal),
    ended,
    printed: (expression) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = expression.exec(printed.output);
          if (match) {
            listeners.delete(look);
            resolve(match);
          }
        };
        listeners.add(look);
        void ended.then((code) => {
          look();
          reject(new Error(`ended with ${code} before printing ${expression}:\n${printed.output}`));
        });
        look();
      }),
  };
}

/** How a command of `clavex-nextcloud` ended. */
export interface Ended {
  /** The exit code, or the signal that ended it. */
  code: number | NodeJS.Signals;
  stdout: string;
  stderr: string;
  /** Both together. */
  output: string;
  /** The lines of `output`, without the spaces at their ends. */
  lines: string[];
}

/** Runs a command of `clavex-nextcloud` to its end, without a terminal. */
export async function command(args: string[], environment: Record<string, string> = {}): Promise<Ended> {
  const program = run(MAIN, args, environment);
  const code = await program.ended;
  const output = program.output();
  const lines = output.split("\n").map((line) => line.trimEnd());
  return { code, stdout: program.stdout(), stderr: program.stderr(), output, lines };
}

/** Polls until the condition holds; the test's own timeout is the limit. */
export async function until<T>(ask: () => T | Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (wanted(value)) return value;
    await sleep(50);
  }
}

/** Reconciliation runs where a test asks for it: otherwise it would do at the start what the test is about. */
const NO_SCHEDULE = {
  CLAVEX_NEXTCLOUD_WATCH_SECONDS: "0",
  CLAVEX_NEXTCLOUD_LIGHT_MINUTES: "0",
  CLAVEX_NEXTCLOUD_FULL_HOURS: "0",
};

/** Any free ones, so that tests run in parallel. */
export const ANY_PORTS = ["--port", "0", "--admin-port", "0"];

/** `npm start` with these arguments and a log of short lines, once it is ready; `url` is where it listens, `adminUrl` its admin port. */
export async function startPipelineProcess(args: string[], environment: Record<string, string> = {}) {
  const program = run(MAIN, ["start", ...ANY_PORTS, "--log-format", "text", ...args], {
    ...NO_SCHEDULE,
    ...environment,
  });
  const [, url = ""] = await program.printed(/\blistening on (http:[^\s"]+)/);
  const [, adminUrl = ""] = await program.printed(/\badmin port, .*: (http:[^\s"]+)\/readyz/);
  return { ...program, url, adminUrl };
}
