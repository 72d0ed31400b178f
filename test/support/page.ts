import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, runProgram } from "./processes.ts";

/** A fenced block of a page, without the indentation of the list that it stands in. */
export interface Block {
  language: string;
  text: string;
  /** The heading that it stands below. */
  heading: string;
  /** The line of the page that its text begins on. */
  line: number;
}

/** What stands between backticks in the text of a page. */
export interface Span {
  text: string;
  heading: string;
  line: number;
}

/** A command line of a page as the shell reads it: a program and its arguments. */
export interface CommandLine {
  line: number;
  heading: string;
  words: string[];
}

export const readPage = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const FENCE = /^( *)```(\w*)\n(.*?)^ *```$/gms;
/** Backticks may end on the next line. */
const SPAN = /`([^`\n]+(?:\n[^`\n]+)?)`/g;

/** All fenced blocks of a page, in order. */
export function blocksOf(path: string): Block[] {
  const page = readPage(path);
  return Array.from(page.matchAll(FENCE), (match) => {
    const [, indentation = "", language = "", block = ""] = match;
    const text = block.replaceAll(new RegExp(`^${indentation}`, "gm"), "");
    return { language, text, ...placeIn(page, match.index, 1) };
  });
}

/** The fenced blocks of a page below `## heading` or `### heading`, until the next heading, in order. */
export function blocksBelow(path: string, heading: string): Block[] {
  if (!headingsOf(readPage(path)).some(({ text }) => text === heading)) throw new Error(`${path}: no ${heading}`);
  return blocksOf(path).filter((block) => block.heading === heading);
}

/** What stands between backticks outside the fenced blocks of a page, in order. */
export function spansOf(path: string): Span[] {
  const page = readPage(path).replaceAll(FENCE, (block) => block.replaceAll(/[^\n]/g, ""));
  return Array.from(page.matchAll(SPAN), (match) => ({
    text: (match[1] ?? "").replaceAll(/\s*\n\s*/g, " "),
    ...placeIn(page, match.index),
  }));
}

/** The commands of a block of shell, each in one line and without its comment. */
export function commandsOf({ text }: Pick<Block, "text">): string[] {
  return text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/\s+# .*$/, "").trim())
    .filter((line) => line !== "");
}

function headingsOf(page: string): { at: number; text: string }[] {
  const withoutBlocks = page.replaceAll(FENCE, (block) => block.replaceAll("#", " "));
  return Array.from(withoutBlocks.matchAll(/^#+ (.+)$/gm), ({ index, 1: text = "" }) => ({ at: index, text }));
}

function placeIn(page: string, at: number, linesAfter = 0): { heading: string; line: number } {
  const heading = headingsOf(page).findLast((each) => each.at <= at)?.text ?? "";
  return { heading, line: page.slice(0, at).split("\n").length + linesAfter };
}

/**
 * Bash reads the blocks of shell of a page, and the spans that begin with one of the programs, in their order, as one script. No program
 * is run: what would be is returned. A word that bash cannot read, or a variable that nothing on the page sets, is an error.
 *
 * @param before a line that goes first, as from another page
 * @param folder where files are written that a line redirects to, whatever folder the line names
 */
export async function readByBash(
  path: string,
  { programs, before = "", folder }: { programs: ReadonlySet<string>; before?: string; folder: string },
): Promise<CommandLine[]> {
  const record = `command_not_found_handle() { printf '%s\\37' "\${BASH_LINENO[-1]}" "$@" $'\\36' >&3; }`;
  const lines: string[] = [`exec 3>&1 >/dev/null; set -u; PATH=/nowhere; ${record}; ${before}`];
  const headings = new Map<number, string>();
  const put = (text: string, line: number, heading: string) => {
    lines[line] = [lines[line], text].filter((each) => each !== undefined).join("; ");
    headings.set(line, heading);
  };
  for (const { text, line, heading } of blocksOf(path).filter(({ language }) => language === "sh"))
    for (const [index, each] of text.split("\n").slice(0, -1).entries()) put(each, line + index, heading);
  for (const { text, line, heading } of spansOf(path))
    if (/ /.test(text) && programs.has(text.split(" ")[0] ?? "")) put(text, line, heading);
  // Line 0 of the script is its first line: the page's lines keep their numbers, less one.
  const script = Array.from(lines, (line) => line ?? "")
    .join("\n")
    .replaceAll(/>\s*\/\S*\//g, "> ");
  const bash = runProgram("bash", ["-c", script], { PATH: process.env.PATH ?? "" }, folder);
  const code = await bash.ended;
  if (bash.stderr() !== "") throw new Error(`${path}: bash ended with ${code}\n${bash.stderr()}`);
  return bash
    .stdout()
    .split("\x1e\x1f")
    .slice(0, -1)
    .map((record) => {
      const [number = "", ...words] = record.split("\x1f").slice(0, -1);
      const line = Number(number) - 1;
      return { line, heading: headings.get(line) ?? "", words };
    });
}
