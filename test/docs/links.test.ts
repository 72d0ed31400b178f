import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const NOT_OURS = ["node_modules", "cdk.out", "dist", ".git", ".local"];

const exclude = (name: string): boolean => NOT_OURS.includes(name.split(/[\\/]/).at(-1) ?? "");
const pages = globSync("**/*.md", { cwd: ROOT, exclude });
const sources = globSync("{functions,infra,test,bench}/**/*.ts", { cwd: ROOT, exclude });
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const withoutCode = (markdown: string): string =>
  markdown.replaceAll(/^```.*?^```/gms, "").replaceAll(/`[^`\n]*`/g, "");

/** The ids that GitHub gives to a page's headings. */
function anchors(path: string): Set<string> {
  const headings = read(path)
    .replaceAll(/^```.*?^```/gms, "")
    .matchAll(/^#+ (.+)$/gm);
  const ids = Array.from(headings, ([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
  return new Set(ids);
}

/** The relative links of a page whose file, or whose heading in it, does not exist. */
function brokenLinks(page: string): string[] {
  const links = Array.from(withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target);
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : relative(ROOT, resolve(ROOT, dirname(page), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchors(target).has(anchor);
  });
}

describe("the documentation", () => {
  it.each(pages)("%s has no broken link", (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it.each(["docs/architecture.md", "CONTRIBUTING.md"])("%s names only files that exist", (page) => {
    const named = Array.from(read(page).matchAll(/`((?:functions|test)\/[\w./-]+)`/g), ([, path = ""]) => path);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("answers each question of docs/architecture.md with at most two files", () => {
    const [, section = ""] = /^## Where is \.\.\.\n(.*?)^## /ms.exec(read("docs/architecture.md")) ?? [];
    const answers = section.split("\n").filter((line) => line.includes("`functions/"));
    expect(answers).toHaveLength(12);
    expect(answers.filter((line) => (line.match(/`functions\//g)?.length ?? 0) > 2)).toEqual([]);
  });

  it("has every page of facts, and every section of it, that a comment cites", () => {
    const cited = sources.flatMap((source) =>
      Array.from(
        read(source).matchAll(/(docs\/facts\/[\w-]+\.md)(?: (\d+))?/g),
        ([text, page = "", section]) => [source, text, page, section] as const,
      ),
    );
    expect(cited.length).toBeGreaterThan(0);
    const missing = cited.filter(
      ([, , page, section]) =>
        !pages.includes(page) || (section !== undefined && !new RegExp(`^## ${section}\\. `, "m").test(read(page))),
    );
    expect(missing.map(([source, text]) => `${source}: ${text}`)).toEqual([]);
  });
});
