import { stripVTControlCharacters, styleText } from "node:util";
import Table from "cli-table3";
import { namingStage, printable } from "../core/text.ts";

/** A stream that a command writes to; the number of columns is known of terminals only. */
export type Output = NodeJS.WritableStream & { columns?: number | undefined; isTTY?: boolean };

/** What surrounds a command: where it writes to, and what time it is (milliseconds since the epoch). */
export interface Surroundings {
  out: Output;
  err: Output;
  now: () => number;
}

const around: Surroundings & { colour: boolean } = {
  out: process.stdout,
  err: process.stderr,
  now: Date.now,
  colour: true,
};

/**
 * Lets commands of this process write elsewhere, or live at another time; for tests of what they print.
 *
 * @returns what takes it back
 */
export function surroundWith(other: Partial<Surroundings>): () => void {
  const before = { ...around };
  Object.assign(around, { colour: true, ...other });
  return () => void Object.assign(around, before);
}

/** The time now, in milliseconds since the epoch. */
export const now = (): number => around.now();

/** From now on nothing is coloured, even on a terminal that supports colours: `--no-color`. */
export function withoutColour(): void {
  around.colour = false;
}

/** The meaning of a text, shown by a colour where the terminal supports it. No meaning is carried by colour alone. */
export type Style = "good" | "bad" | "warning" | "quiet" | "strong";
const FORMATS = { good: "green", bad: "red", warning: "yellow", quiet: "dim", strong: "bold" } as const;

/** A text in a style, where stdout takes colours; NO_COLOR and FORCE_COLOR count. */
export function paint(style: Style, text: string): string {
  return around.colour ? styleText(FORMATS[style], text, { stream: around.out }) : text;
}

let stage: string | undefined;

/** From now on commands that are printed name this stage, so that they can be copied. */
export function speakOfStage(name: string | undefined): void {
  stage = name;
}

/** Prints lines on stdout. They fit the terminal: see `fitted`. */
export function print(text = ""): void {
  around.out.write(`${fitted(namingStage(text, stage), around.out)}\n`);
}

/** Prints lines on stdout as they are, however wide the terminal is: what is to be copied, and what programs read. */
export function printAsIs(text: string): void {
  around.out.write(`${namingStage(text, stage)}\n`);
}

/** Prints a text on stdout in lines that fit the terminal. */
export function printWrapped(text: string, indent = ""): void {
  printAsIs(wrapped(text, around.out, indent));
}

/** Prints lines on stderr: errors, and what is said beside the output. They fit the terminal, too. */
export function complain(text: string): void {
  around.err.write(`${fitted(namingStage(text, stage), around.err)}\n`);
}

/** What stands at the beginning of a line: spaces, then a mark such as `!`, or a label and the spaces after it. */
const LABEL = /^ *(?:[^\w ] |[^ ]+(?: [^ ]+)* {2,})?/;
const LONGEST_LABEL = 24;

/** Lines in lines that fit a terminal: what does not goes on below its own beginning. A line that is a command is left whole. */
function fitted(text: string, output: Pick<Output, "columns">): string {
  const lines = text.split("\n").map((line) => {
    const plain = stripVTControlCharacters(line);
    if (isCommand(plain)) return line;
    const label = LABEL.exec(plain)?.[0].length ?? 0;
    const indent = label <= LONGEST_LABEL ? label : (/^ */.exec(plain)?.[0].length ?? 0);
    return wrapped(line, output, " ".repeat(indent));
  });
  return lines.join("\n");
}

/** Whether a line is a command alone: broken, it could not be copied. The terminal's own breaks do no harm. */
const isCommand = (line: string): boolean => /^ *(?:npx|npm|occ|sudo) /.test(line);

/** A text for a prompt on stderr, broken between words: prompts break them anywhere. */
export function forPrompt(text: string): string {
  const { columns = Number.POSITIVE_INFINITY } = around.err;
  return wrapped(text, { columns: columns - PROMPT_MARK }, " ".repeat(PROMPT_MARK));
}

/** What a prompt puts before each text. */
const PROMPT_MARK = "> ".length;

/** A word with the spaces before it; a command in a sentence is one, because nobody could copy it in two pieces. */
const WORD = / *(?:[("]*(?:npx clavex-nextcloud|occ)(?: [^ ]*[^ .,;:)"])* [^ ]+|[^ ]+)/g;

/**
 * A text in lines that fit a terminal, broken between words. A word that is wider than the terminal is left whole. Where the output is no
 * terminal it is one line.
 *
 * @param indent what the lines after the first begin with
 */
export function wrapped(
  text: string,
  { columns = Number.POSITIVE_INFINITY }: Pick<Output, "columns">,
  indent = "",
): string {
  if (widthOf(text) <= columns) return text;
  const lines: string[] = [];
  let line = "";
  for (const word of text.match(WORD) ?? []) {
    const isTooWide = widthOf(indent) + widthOf(word.trimStart()) > columns;
    const fits = line === "" || isTooWide || widthOf(line) + widthOf(word) <= columns;
    if (!fits) lines.push(line);
    line = fits ? `${line}${word}` : `${indent}${word.trimStart()}`;
  }
  return [...lines, line].join("\n");
}

/** How many columns a text takes: colours take none. */
const widthOf = (text: string): number => stripVTControlCharacters(text).length;

const HELP_COLUMNS = 80;

/** Where the help of commands goes, and how wide it is. */
export const terminalOfHelp = {
  writeOut: (text: string) => void around.out.write(text),
  writeErr: (text: string) => void around.err.write(text),
  getOutHelpWidth: () => around.out.columns ?? HELP_COLUMNS,
  getErrHelpWidth: () => around.err.columns ?? HELP_COLUMNS,
};

/** Prints a value as JSON: with `--json`, stdout holds nothing else. */
export function printJson(value: unknown): void {
  // JSON does not escape every character that a terminal interprets.
  printAsIs(JSON.stringify(value, undefined, 2).split("\n").map(escapeControls).join("\n"));
}

/** Prints a value as one line of JSON, for lists that have no end. */
export function printJsonLine(value: unknown): void {
  printAsIs(escapeControls(JSON.stringify(value)));
}

function escapeControls(line: string): string {
  return Array.from(line, (character) =>
    printable(character) === character ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  ).join("");
}

/** A cell of a table; undefined is empty. */
export type Cell = string | number | undefined | { text: string; style: Style };

/** Narrower terminals get lists instead of tables. */
const NARROWEST_TABLE = 100;

/**
 * A table that fits the terminal: its longest texts are wrapped between words, and where that does not do, or below 100 columns,
 * it is a list, with the first cell of each row as the title and each other cell after its heading. Nothing is shortened,
 * and control characters are stripped. Where the output is no terminal, nothing is wrapped.
 */
export function table(head: string[], rows: Cell[][]): string {
  const { columns = Number.POSITIVE_INFINITY } = around.out;
  const plain = rows.map((row) => head.map((_, index) => cellText(row[index])));
  const widths = columns < NARROWEST_TABLE ? undefined : fittedWidths(head, plain, columns);
  if (widths === undefined) return list(head, rows);
  const options = { head, style: { head: [], border: [] } };
  const made = new Table(widths === "natural" ? options : { ...options, colWidths: widths, wordWrap: true });
  for (const row of rows) made.push(head.map((_, index) => painted(row[index])));
  return made.toString();
}

function cellText(cell: Cell): string {
  return printable(String(typeof cell === "object" ? cell.text : (cell ?? "")));
}

function painted(cell: Cell): string {
  return typeof cell === "object" ? paint(cell.style, cellText(cell)) : cellText(cell);
}

/** The widths of the columns as the library draws them, which knows how wide each character is. */
function widthsOf(head: string[], rows: string[][]): number[] {
  const drawn = new Table({ head, style: { head: [], border: [] } });
  for (const row of rows) drawn.push(row);
  const [border = ""] = drawn.toString().split("\n", 1);
  return border
    .slice(1, -1)
    .split("┬")
    .map(({ length }) => length);
}

/** Takes from the widest column until all of it fits; undefined where that would cut a word. */
function fittedWidths(head: string[], rows: string[][], columns: number): number[] | "natural" | undefined {
  const widths = widthsOf(head, rows);
  const inWords = (text: string): string => text.replaceAll(/\s+/g, "\n");
  const least = widthsOf(
    head.map(inWords),
    rows.map((row) => row.map(inWords)),
  );
  let excess = widths.reduce((sum, width) => sum + width + 1, 1) - columns;
  if (excess <= 0) return "natural";
  for (; excess > 0; excess -= 1) {
    const spare = widths.map((width, index) => (width > (least[index] ?? 0) ? width : 0));
    const widest = spare.indexOf(Math.max(...spare));
    if (spare[widest] === 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function list(head: string[], rows: Cell[][]): string {
  const width = Math.max(...head.slice(1).map(({ length }) => length));
  return rows
    .map(([title, ...cells]) =>
      [
        paint("strong", cellText(title)),
        ...cells.flatMap((cell, index) => {
          const heading = head[index + 1] ?? "";
          if (cellText(cell) === "") return [];
          return [heading === "" ? `  ${painted(cell)}` : `  ${heading.padEnd(width)}  ${painted(cell)}`];
        }),
      ].join("\n"),
    )
    .join("\n\n");
}

/** A time for people, in UTC to the second. */
export function time(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

/** Shows the progress of long work on stderr: a bar where that is a terminal, and nothing where it is none. */
export interface Progress {
  advance(by?: number): void;
  end(): void;
}

export function progress(what: string, total: number): Progress {
  const { err } = around;
  let done = 0;
  const draw = (): void => {
    const width = 30;
    const filled = total === 0 ? width : Math.min(width, Math.floor((done / total) * width));
    err.write(`\r${what} [${"#".repeat(filled)}${"-".repeat(width - filled)}] ${done}/${total}`);
  };
  return {
    advance(by = 1) {
      done += by;
      if (err.isTTY) draw();
    },
    end() {
      if (err.isTTY) err.write("\n");
    },
  };
}

/** Progress of work that is done elsewhere: a bar where stderr is a terminal, else an occasional line. */
export interface ProgressBar {
  /** @param hindrance what is in the way, if something is; @param at the time now */
  show(done: number, hindrance: string | undefined, at: number): void;
  end(): void;
}

/** Where there is no terminal, a line is written this often at most, and this often while nothing changes. */
const LINE_MS = 5_000;
const SAME_LINE_MS = 60_000;

export function progressBar(what: string, total: number): ProgressBar {
  const { err } = around;
  let told: { at: number; line: string } | undefined;
  let shown: string | undefined;
  const width = 30;
  return {
    show(done, hindrance, at) {
      const waits = hindrance === undefined ? undefined : `waiting: ${printable(hindrance)}`;
      const isNew = waits !== undefined && waits !== shown;
      shown = waits ?? shown;
      if (err.isTTY) {
        const filled = total === 0 ? width : Math.floor((done / total) * width);
        if (isNew) err.write(`\r\x1b[K${fitted(waits, err)}\n`);
        err.write(`\r\x1b[K${what} [${"#".repeat(filled)}${"-".repeat(width - filled)}] ${done}/${total}`);
        return;
      }
      const line = `${done} of ${total} ${what} done${waits === undefined ? "" : `; ${waits}`}`;
      told ??= { at, line: "" };
      if (!isNew && at - told.at < (line === told.line ? SAME_LINE_MS : LINE_MS)) return;
      told = { at, line };
      complain(line);
    },
    end() {
      if (err.isTTY) err.write("\r\x1b[K");
    },
  };
}

/** Shows on stderr how far the reading is, where that is a terminal. */
export function reading(slug: string): (phase: string, count: number) => void {
  const { err } = around;
  return (phase, count) => {
    if (err.isTTY) err.write(`\r\x1b[K${slug}: ${phase}: ${count}`);
  };
}

/** Clears that line for what comes next. */
export function clearReading(): void {
  if (around.err.isTTY) around.err.write("\r\x1b[K");
}
