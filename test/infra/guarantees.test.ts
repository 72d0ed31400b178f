import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const FILE = /(?:`(?<path>test\/\S+\.test\.ts)`|(?<name>[a-z]+)): (?=\*)/;

/** Every test that docs/guarantees.md names: its file, and its name or what that begins or ends with. */
const named = readFileSync("docs/guarantees.md", "utf8")
  .split("\n")
  .flatMap((line) => line.split("|")[3]?.split(/; (?=[a-z`][^*]*: \*)/) ?? [])
  .flatMap((cell) => {
    const { path, name: short } = FILE.exec(cell)?.groups ?? {};
    const file = path ?? `test/infra/${short}.test.ts`;
    return [...cell.matchAll(/\*([^*]+)\*/g)].map(([, name = ""]) => ({ file, name }));
  });

describe("docs/guarantees.md", () => {
  it("names tests", () => {
    expect(named.length).toBeGreaterThan(70);
  });

  it.each(named)("names a test that there is: $name", ({ file, name }) => {
    expect(readFileSync(file, "utf8")).toContain(name);
  });
});
