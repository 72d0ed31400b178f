import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const NOT_OURS = ["node_modules", "cdk.out", "dist", ".git", ".local"];

/** Settings and a file, which are named like checks of doctor. */
const NOT_CHECKS = ["nextcloud.username", "nextcloud.password", "pipeline.json"];

const exclude = (name: string): boolean => NOT_OURS.includes(name.split(/[\\/]/).at(-1) ?? "");
const pages = globSync("**/*.md", { cwd: ROOT, exclude });
const sources = globSync("{functions,infra,test,bench}/**/*.ts", { cwd: ROOT, exclude });
/** What else names pages: pages are not named by their links alone. */
const texts = [
  ...sources,
  ...pages,
  ...globSync("{deploy,bin}/**/*", { cwd: ROOT, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => relative(ROOT, join(each.parentPath, each.name))),
];
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

  it("has every page, every heading and every picture that a message, a comment or a sentence names", () => {
    const named = texts.flatMap((text) =>
      Array.from(
        read(text).matchAll(/\b(docs\/[\w./-]+\.(?:md|png))(?:#([\w-]+))?/g),
        ([whole, page = "", anchor]) => [text, whole, page, anchor] as const,
      ),
    );
    expect(named.length).toBeGreaterThan(100);
    const missing = named.filter(
      ([, , page, anchor]) => !existsSync(join(ROOT, page)) || (anchor !== undefined && !anchors(page).has(anchor)),
    );
    expect(missing.map(([text, whole]) => `${text}: ${whole}`)).toEqual([]);
  });

  it("has only checks of doctor that there are", () => {
    const ids = sources
      .filter((source) => source.startsWith("functions/doctor/"))
      .flatMap((source) => Array.from(read(source).matchAll(/^\s+id: "([a-z-]+\.[a-z-]+)"/gm), ([, id = ""]) => id));
    const rooms = new Set(ids.map((id) => id.split(".")[0]));
    const named = pages.flatMap((page) =>
      Array.from(
        read(page).matchAll(/`([a-z]+)\.([a-z]+(?:-[a-z]+)*)`/g),
        ([, room = "", name = ""]) => [page, room, `${room}.${name}`] as const,
      ),
    );
    const checks = named.filter(([, room, id]) => rooms.has(room) && !NOT_CHECKS.includes(id));
    expect(checks.length).toBeGreaterThan(20);
    expect(checks.filter(([, , id]) => !ids.includes(id))).toEqual([]);
  });

  it("lists every decision by its title, and one that extends another is named by it", () => {
    const records = pages.filter((page) => /^docs\/decisions\/\d/.test(page)).toSorted();
    const list = read("docs/decisions/README.md");
    for (const record of records) {
      const [, number, title] = /^# (\d+)\. (.*)$/m.exec(read(record)) ?? [];
      expect(list).toContain(`| [${number}](${basename(record)}) | ${title} |`);
      const [, earlier] = /(?:Extends|Supersedes) \[\d+\]\(([^)]+)\)/.exec(read(record)) ?? [];
      if (earlier) expect(read(`docs/decisions/${earlier}`)).toContain(`](${basename(record)})`);
    }
    expect(records.length).toBeGreaterThan(17);
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
