import Table from "cli-table3";
import { printable } from "../core/text.ts";

/** Prints a line on stdout. */
export function print(line = ""): void {
  console.log(line);
}

/** Prints a value as JSON: with `--json`, stdout holds nothing else. */
export function printJson(value: unknown): void {
  // JSON does not escape every character that a terminal interprets.
  const json = JSON.stringify(value, undefined, 2).split("\n").map(escapeControls).join("\n");
  console.log(json);
}

function escapeControls(line: string): string {
  return Array.from(line, (character) =>
    printable(character) === character ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  ).join("");
}

/** A table; control characters are stripped from its cells, and none is shortened. */
export function table(head: string[], rows: (string | number | undefined)[][]): string {
  const made = new Table({ head, style: { head: [], border: [] } });
  for (const row of rows) made.push(row.map((cell) => printable(String(cell ?? ""))));
  return made.toString();
}

/** A time for people, in UTC to the second. */
export function time(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

/** Shows the progress of long work on stderr, if that is a terminal. */
export interface Progress {
  advance(by?: number): void;
  end(): void;
}

export function progress(what: string, total: number): Progress {
  const { stderr } = process;
  let done = 0;
  const draw = (): void => {
    const width = 30;
    const filled = total === 0 ? width : Math.min(width, Math.floor((done / total) * width));
    stderr.write(`\r${what} [${"#".repeat(filled)}${"-".repeat(width - filled)}] ${done}/${total}`);
  };
  return {
    advance(by = 1) {
      done += by;
      if (stderr.isTTY) draw();
    },
    end() {
      if (stderr.isTTY) stderr.write("\n");
    },
  };
}
