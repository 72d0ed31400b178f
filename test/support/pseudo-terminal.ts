import { spawn } from "node:child_process";
import { once } from "node:events";
import { stripVTControlCharacters } from "node:util";
import { COMPILE_CACHE } from "./processes.ts";

/** A program that runs in a terminal. */
export interface Terminal {
  /** All that was shown so far, without what moves the cursor or colours text. */
  shown(): string;
  /** Resolves when something that matches is shown after what was waited for last. */
  shows(expression: RegExp): Promise<void>;
  /** Waits for a question, then types an answer to it. */
  answer(question: RegExp, text: string): Promise<void>;
  /** Presses keys, such as Ctrl-C. */
  press(keys: string): void;
  /** The exit code, as a shell has it. */
  ended: Promise<number>;
  /** Ends it, if it has not ended. */
  close(): Promise<void>;
}

export const ENTER = "\r";
export const CTRL_C = "\u0003";
export const CTRL_D = "\u0004";
export const DOWN = "\u001b[B";
/** Deletes what stands on the line. */
export const CTRL_U = "\u0015";

/** What the shell prints at the end: whether the terminal is as programs expect it. */
const MODES = "stty -a | tr ' ;' '\\n\\n' | grep -x -- '-\\?icanon\\|-\\?echo' | tr '\\n' ' '";

/**
 * Runs a program in a pseudo terminal. `script` makes it: it belongs to util-linux (in Debian to bsdutils, which every
 * installation has), so that nothing has to be built or installed for the tests. When the program has ended, the terminal's modes are
 * printed: `echo icanon` when it was left as it was found.
 *
 * @param columns how wide the terminal is
 */
export function openTerminal(
  command: string[],
  { folder, environment, columns = 120 }: { folder: string; environment: Record<string, string>; columns?: number },
): Terminal {
  const quoted = command.map((each) => `'${each.replaceAll("'", "'\\''")}'`).join(" ");
  const line = `stty cols ${columns} rows 40; ${quoted}; code=$?; printf 'modes: '; ${MODES}; exit $code`;
  const child = spawn("script", ["--quiet", "--return", "--flush", "--command", line, "/dev/null"], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? "",
      TERM: "xterm-256color",
      SHELL: "/bin/sh",
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...environment,
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let output = "";
  let seen = 0;
  let isOver = false;
  const changed = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    for (const listener of [...changed]) listener();
  });
  const shown = () => stripVTControlCharacters(output);
  const ended = once(child, "close").then(([code]) => {
    isOver = true;
    for (const listener of [...changed]) listener();
    return code as number;
  });

  function shows(expression: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = expression.exec(shown().slice(seen));
        if (match) seen += match.index + match[0].length;
        else if (!isOver) return;
        changed.delete(look);
        if (match) resolve();
        else reject(new Error(`ended without showing ${expression}:\n${shown()}`));
      };
      changed.add(look);
      look();
    });
  }

  return {
    shown,
    shows,
    async answer(question, text) {
      await shows(question);
      child.stdin.write(`${text}${ENTER}`);
    },
    press: (keys) => void child.stdin.write(keys),
    ended,
    async close() {
      if (!isOver) child.kill("SIGKILL");
      await ended;
    },
  };
}
