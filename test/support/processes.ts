import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Where programs run: not at the root, where they would find a developer's `.env`, `.local` and `organizations`. */
export const WORKING_FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** A program of this repository, run as a process of its own. */
export interface Program {
  pid: number;
  /** All it has printed so far, stdout and stderr together. */
  output(): string;
  /** Resolves to the first match in the output; rejects when the program ends without one. */
  printed(expression: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>;
}

/** Runs a TypeScript file of the repository with this process's Node. */
export function run(file: string, args: string[], environment: Record<string, string> = {}): Program {
  return runNode([join(ROOT, file), ...args], environment);
}

/** Runs this process's Node with these arguments. */
export function runNode(args: string[], environment: Record<string, string> = {}): Program {
  const child: ChildProcess = spawn(process.execPath, args, {
    cwd: WORKING_FOLDER,
    env: { PATH: process.env.PATH ?? "", NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return {
    pid: child.pid ?? 0,
    output: () => output,
    kill: (signal) => void child.kill(signal),
    ended,
    printed: (expression) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const match = expression.exec(output);
          if (match) {
            listeners.delete(look);
            resolve(match);
          }
        };
        listeners.add(look);
        void ended.then((code) => {
          look();
          reject(new Error(`ended with ${code} before printing ${expression}:\n${output}`));
        });
        look();
      }),
  };
}

/** Reconciliation runs where a test asks for it: otherwise it would do at the start what the test is about. */
const NO_SCHEDULE = {
  CLAVEX_NEXTCLOUD_WATCH_SECONDS: "0",
  CLAVEX_NEXTCLOUD_LIGHT_MINUTES: "0",
  CLAVEX_NEXTCLOUD_FULL_HOURS: "0",
};

/** `npm start` with these arguments and a log of short lines, once it is ready; `url` is where it listens. */
export async function startPipelineProcess(args: string[], environment: Record<string, string> = {}) {
  const program = run("functions/cli/main.ts", ["start", "--port", "0", "--log-format", "text", ...args], {
    ...NO_SCHEDULE,
    ...environment,
  });
  const [, url = ""] = await program.printed(/\blistening on (http:[^\s"]+)/);
  return { ...program, url };
}
