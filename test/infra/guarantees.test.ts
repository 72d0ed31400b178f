import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** Every test that docs/guarantees.md names: its file, and its name or what that begins or ends with. */
const named = readFileSync("docs/guarantees.md", "utf8")
  .split("\n")
  .flatMap((line) => line.split("|")[3]?.split(/; (?=[a-z]+: \*)/) ?? [])
  .flatMap((cell) => {
    const [, file] = /^\s*([a-z]+): \*/.exec(cell) ?? [];
    return file === undefined ? [] : [...cell.matchAll(/\*([^*]+)\*/g)].map(([, name = ""]) => ({ file, name }));
  });

describe("docs/guarantees.md", () => {
  it("names tests", () => {
    expect(named.length).toBeGreaterThan(40);
  });

  it.each(named)("names a test that there is: $name", ({ file, name }) => {
    expect(readFileSync(`test/infra/${file}.test.ts`, "utf8")).toContain(name);
  });
});
