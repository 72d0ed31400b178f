import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { describe, expect, it, test } from "vitest";
import { createProgram, everyCommand } from "../../functions/cli/program.ts";

const README = readFileSync(join(resolve(import.meta.dirname, "../.."), "README.md"), "utf8");

const program = createProgram();
const nameOf = (command: Command): string =>
  command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
const runnable = everyCommand(program).filter(({ commands }) => commands.length === 0);
const optionsOf = (command: Command): string[] =>
  command.options.filter(({ hidden }) => !hidden).map(({ long }) => long ?? "");

/** What stands between backticks in a cell of a table. */
const quoted = (cell: string): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, text = ""]) => text);

const firstWord = (text: string): string => text.split(" ")[0] ?? "";

/** The options that many commands have: of each the cell that says which. */
const shared = Array.from(README.matchAll(/^\| `(--[\w-]+)[^|]*\| ([^|]*) \|$/gm), ([, option = "", cell = ""]) => ({
  option,
  cell,
}));

/** The table of commands: the first and the last cell of each row, and the commands that it is about. */
const rows = Array.from(README.matchAll(/^\| (`[a-z][^|]*) \| [^|]* \| ([^|]*)\|$/gm), ([, first = "", last = ""]) => {
  const named = new Set(quoted(first).map(firstWord));
  return { first, last, commands: program.commands.filter((command) => named.has(command.name())) };
});

describe("the commands of README.md", () => {
  it.each(shared)("$option stands beside just those that have it", ({ option, cell }) => {
    const has = runnable.filter((command) => optionsOf(command).includes(option)).map(nameOf);
    const isNamed = (name: string): boolean =>
      quoted(cell).some((text) => name === text || name.startsWith(`${text} `));
    const listed = runnable.map(nameOf).filter((name) => isNamed(name) !== cell.startsWith("all"));
    expect(listed).toEqual(has);
  });

  it("are all there are", () => {
    const listed = rows.flatMap(({ commands }) => commands.map((each) => each.name()));
    expect(listed.toSorted()).toEqual(program.commands.map((each) => each.name()).toSorted());
  });

  it.each(rows.filter(({ last }) => !last.includes("](docs/")))("$first: all options of its own", ({
    commands,
    last,
  }) => {
    const common = new Set(shared.map(({ option }) => option));
    const own = commands.flatMap(everyCommand).flatMap(optionsOf);
    const listed = quoted(last)
      .map(firstWord)
      .filter((text) => text.startsWith("--"));
    expect(listed.toSorted()).toEqual([...new Set(own.filter((each) => !common.has(each)))].toSorted());
  });
});

test("docs/local.md lists every option of start, with its variable and its default", () => {
  const page = readFileSync(join(resolve(import.meta.dirname, "../.."), "docs/local.md"), "utf8");
  const listed = Array.from(page.matchAll(/^\| `(--[\w-]+)` \| (?:`(\w+)`)? ?\| (.*) \|$/gm), (row) => row.slice(1));
  const start = program.commands.find((command) => command.name() === "start");
  const options = (start?.options ?? []).filter(({ hidden, long }) => !hidden && long !== "--yes");
  expect(listed.map(([long, variable]) => [long, variable])).toEqual(
    expect.arrayContaining(options.map(({ long, envVar }) => [long, envVar])),
  );
  expect(listed).toHaveLength(options.length);
  const values = options.filter(({ defaultValue }) => /^[\w./]+$/.test(String(defaultValue ?? "")));
  for (const { long, defaultValue } of values)
    expect(listed.find(([name]) => name === long)?.[2]).toContain(String(defaultValue));
});
