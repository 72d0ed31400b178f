import { globSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { organizationSchema } from "../../functions/core/organization.ts";
import example from "../../organizations/example.json" with { type: "json" };
import { blocksOf, readPage, spansOf } from "../support/page.ts";
import { ROOT } from "../support/processes.ts";

/** CDK brings a parser of YAML along. */
const { parse } = createRequire(import.meta.resolve("aws-cdk-lib"))("yaml") as { parse(text: string): unknown };

const PAGES = ["README.md", "CONTRIBUTING.md", ...globSync("{docs,deploy}/**/*.md", { cwd: ROOT })];

interface Shown {
  at: string;
  text: string;
}

const blocks = PAGES.flatMap((page) =>
  blocksOf(page).map(({ language, text, line }) => ({ at: `${page}:${line}`, language, text })),
);
/** Where each block that shows what something prints has its lines from: it has no language. */
const PRINTED: Record<string, string> = {
  "README.md": "test/e2e/demo.test.ts",
  "docs/existing-people.md": "test/cli/golden/plan.80.txt",
  "docs/one-machine.md": "test/local/admin.test.ts",
};
/** Lines of a log, cut short; what a proxy is told; and the recorded bodies and calls of the facts. */
const EXAMPLES = ["docs/local.md", "deploy/one-machine/proxies.md", "docs/facts/clavex.md", "docs/facts/nextcloud.md"];

/** A key with its value, in a block or a sentence: part of an organization's file. */
const isPart = ({ text }: Shown): boolean => /^"[a-z]\w*": [[{"]/i.test(text);
const spans = PAGES.flatMap((page) => spansOf(page).map(({ text, line }) => ({ at: `${page}:${line}`, text })));
const parts = [...blocks.filter(({ language }) => language === "json"), ...spans].filter(isPart);
const yaml = [
  ...blocks.filter(({ language }) => language === "yaml"),
  ...globSync("{deploy,.github}/**/*.yml", { cwd: ROOT }).map((file) => ({ at: file, text: readPage(file) })),
];
const files = blocks.filter(({ language, text }) => language === "json" && !isPart({ at: "", text }));

/** The example with a key set to another value, wherever in it that key belongs. */
function withPart(text: string): unknown {
  const [[key, value] = ["", undefined]] = Object.entries(JSON.parse(`{${text}}`) as Record<string, unknown>);
  if (key in example || key === "identity") return { ...example, [key]: value };
  const [name = "", section = {}] =
    Object.entries(example).find(([, each]) => typeof each === "object" && key in each) ?? [];
  return { ...example, [name]: { ...(section as object), [key]: value } };
}

describe("what the pages show of files", () => {
  it.each(files)("$at is JSON, and a valid organization's file if it is one", ({ text }) => {
    const shown = JSON.parse(text) as object;
    if ("slug" in shown) expect(organizationSchema.safeParse(shown).error?.issues ?? []).toEqual([]);
  });

  it.each(parts)("$at fits into an organization's file: $text", ({ text }) => {
    expect(organizationSchema.safeParse(withPart(text)).error?.issues ?? []).toEqual([]);
  });

  it.each(yaml)("$at is YAML", ({ text }) => {
    expect(parse(text)).toBeTypeOf("object");
  });

  it("is some", () => {
    expect([files.length > 3, parts.length > 4, yaml.length > 3]).toEqual([true, true, true]);
  });

  it("has no block in a language that is not checked, in bash for instance", () => {
    const known = ["sh", "json", "yaml", "mermaid", ""];
    expect(blocks.filter(({ language }) => !known.includes(language)).map(({ at }) => at)).toEqual([]);
  });

  it("shows of what is printed only what a test compares", () => {
    const printed = blocks.filter(({ language, at }) => language === "" && !EXAMPLES.includes(at.replace(/:.*/, "")));
    expect(printed.map(({ at }) => at.replace(/:.*/, "")).toSorted()).toEqual(Object.keys(PRINTED).toSorted());
    for (const { at, text } of printed) {
      const source = PRINTED[at.replace(/:.*/, "")] ?? "";
      // This one runs what README.md shows.
      if (source.includes("e2e")) expect(readPage(source)).toContain('blocksBelow("README.md"');
      // Another organization's name is another example.
      else
        for (const line of text.trim().split("\n")) expect(readPage(source)).toContain(line.replace(/^beta /, "acme "));
    }
  });

  it("docs/configuration.md describes every key of the example", () => {
    const page = readPage("docs/configuration.md");
    const keys = Object.entries(example).flatMap(([section, value]) =>
      typeof value === "object" && section !== "identity"
        ? Object.keys(value).map((key) => [`${section}.${key}`, `.${key}`])
        : [[section, section]],
    );
    const left = keys.filter((names) => !names.some((name) => page.includes(`\`${name}\``)));
    expect(left).toEqual([]);
  });
});
