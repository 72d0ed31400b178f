import { afterEach, describe, expect, it } from "vitest";
import { personLabel } from "../../functions/cli/people.ts";
import {
  complain,
  paint,
  print,
  progressBar,
  surroundWith,
  table,
  withoutColour,
  wrapped,
} from "../../functions/cli/terminal.ts";
import { counted } from "../../functions/core/text.ts";
import { VERSION } from "../../functions/version.ts";
import { Paper, runInTerminal } from "../support/terminal.ts";

const ID = "5a3b1c0d-2e4f-4a6b-8c7d-9e0f1a2b3c4d";
const HEAD = ["Person", "Id", "Reason"];
const ROWS = [
  [
    "Ada Lovelace",
    ID,
    "Nextcloud refuses the quota of this person: it is larger than what the server allows to anybody",
  ],
  ["Grace Hopper", ID, undefined],
];

describe("what a command prints", () => {
  let restore = (): void => undefined;
  afterEach(() => restore());
  const on = (columns: number | undefined) => {
    restore = surroundWith({ out: new Paper(columns) });
  };
  const widest = (text: string): number => Math.max(...text.split("\n").map(({ length }) => length));

  it.each([100, 120, 200])("tables fit a terminal of %i columns, with every word and id whole", (columns) => {
    on(columns);
    const shown = table(HEAD, ROWS);
    expect(widest(shown)).toBeLessThanOrEqual(columns);
    expect(shown.match(new RegExp(ID, "g"))).toHaveLength(2);
    const words = new Set(shown.split(/[\s│]+/));
    for (const word of ROWS[0]?.[2]?.split(" ") ?? []) expect(words).toContain(word);
  });

  it("texts fit it too, broken between words, and whole where it is none", () => {
    const text = "  to do    Nextcloud: credentials: keep them in ACME_NEXTCLOUD_APP_PASSWORD";
    expect(wrapped(text, { columns: 40 }, "    ")).toBe(
      "  to do    Nextcloud: credentials: keep\n    them in ACME_NEXTCLOUD_APP_PASSWORD",
    );
    expect(wrapped(text, { columns: undefined })).toBe(text);
    expect(wrapped("a-word-that-is-longer-than-the-line b", { columns: 10 })).toBe(
      "a-word-that-is-longer-than-the-line\nb",
    );
  });

  it("below 100 columns they are lists, without what is empty", () => {
    on(99);
    withoutColour();
    expect(table(HEAD, ROWS)).toBe(
      ["Ada Lovelace", `  Id      ${ID}`, `  Reason  ${ROWS[0]?.[2]}`, "", "Grace Hopper", `  Id      ${ID}`].join(
        "\n",
      ),
    );
  });

  it("a word that is too long for the table makes it a list", () => {
    on(100);
    withoutColour();
    expect(table(["Name", "Id"], [["Ada", "a".repeat(101)]])).toBe(`Ada\n  Id  ${"a".repeat(101)}`);
  });

  it("without a terminal nothing is wrapped", () => {
    on(undefined);
    expect(widest(table(HEAD, ROWS))).toBeGreaterThan(140);
  });

  it("control characters are stripped from cells, wide characters keep their columns", () => {
    on(200);
    const shown = table(["Name", ""], [["孔\u001b[31m夫子", { text: "x\u0007", style: "good" }]]);
    expect(shown).toContain("孔 [31m夫子");
    expect(shown.replaceAll("\u001b[32m", "").replaceAll("\u001b[39m", "")).not.toContain("\u001b");
  });

  it("colour where a terminal takes it, and not with --no-color", () => {
    on(undefined);
    expect(paint("bad", "x")).toBe("x");
    on(80);
    expect(paint("bad", "x")).toBe("\u001b[31mx\u001b[39m");
    withoutColour();
    expect(paint("bad", "x")).toBe("x");
  });

  it.each([
    [0, "0 people"],
    [1, "1 person"],
    [2, "2 people"],
  ])("so many people: %i", (count, text) => {
    expect(counted(count, "person", "people")).toBe(text);
  });

  it.each([
    ["Ada Lovelace <ada@example.org>", { name: "Ada Lovelace", email: "ada@example.org" }],
    ["ada@example.org", { name: "ada@example.org", email: "ada@example.org" }],
    [`Ada Lovelace (${ID})`, { name: "Ada Lovelace" }],
    [ID, { name: ID }],
    [ID, {}],
    ["Ada [31m <ada@example.org>", { name: "Ada\u001b[31m", email: "ada@example.org" }],
  ])("names before ids: %s", (label, person) => {
    expect(personLabel({ subject: ID, ...person })).toBe(label);
  });
});

describe("the program itself", () => {
  it("--version prints the version", async () => {
    expect(await runInTerminal(["--version"])).toMatchObject({ code: 0, stdout: `${VERSION}\n`, stderr: "" });
  });

  it.each([
    ["an unknown command", ["plam"], /unknown command 'plam'[\s\S]*Did you mean plan/],
    ["an unknown option", ["plan", "--jsno"], /unknown option '--jsno'[\s\S]*Did you mean --json/],
    ["a missing option", ["explain"], /required option '--user <id\|email>' not specified/],
  ])("%s is told on stderr, with exit code 1", async (_what, args, sentence) => {
    const { code, stdout, stderr } = await runInTerminal(args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(sentence);
  });
});

describe("what is printed", () => {
  /** What a terminal of this width shows of lines that are printed, on stdout and stderr alike. */
  function shown(text: string, columns: number): string {
    const [out, err] = [new Paper(columns), new Paper(columns)];
    const restore = surroundWith({ out, err });
    print(text);
    complain(text);
    restore();
    expect(err.text).toBe(out.text);
    return out.text;
  }

  it.each<[what: string, text: string, lines: string[]]>([
    ["a sentence is broken between words", "a sentence of several words", ["a sentence of", "several words"]],
    ["below its label", "  Why   somebody said so there", ["  Why   somebody", "        said so", "        there"]],
    [
      "below a label in colour, which takes no room",
      "  \u001b[31mWhy \u001b[39m  somebody so",
      ["  \u001b[31mWhy \u001b[39m  somebody", "        so"],
    ],
    ["below its mark", "  ! Ada Lovelace has two accounts", ["  ! Ada Lovelace", "    has two", "    accounts"]],
    ["a line that fits stays as it is", "12345678901234  6 ", ["12345678901234  6 "]],
    ["a URL is left whole", "see https://example.org/a/long/path now", ["see https://example.org/a/long/path", "now"]],
    ["a command is left whole", "    npx clavex-nextcloud plan --stage x", ["    npx clavex-nextcloud plan --stage x"]],
    ["a command in a sentence is left whole", "No: (occ user:delete) or not.", ["No:", "(occ user:delete)", "or not."]],
    [
      "a command that is wider than the terminal too",
      "Or: npx clavex-nextcloud plan, then so",
      ["Or: npx clavex-nextcloud plan,", "then so"],
    ],
  ])("fits the terminal: %s", (_what, text, lines) => {
    expect(shown(text, 18)).toBe(`${lines.join("\n")}\n`);
  });

  it("fits the terminal also beside a bar: what is waited for, once until it changes", () => {
    const err = new Paper(30);
    const restore = surroundWith({ err });
    const bar = progressBar("jobs", 1);
    for (const at of [1, 2]) bar.show(0, "the organization acme is paused", at);
    restore();
    expect(err.text.match(/waiting: .*\n.*\n/g)).toEqual(["waiting: the organization acme\nis paused\n"]);
  });
});
