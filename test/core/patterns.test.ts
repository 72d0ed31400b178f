import { describe, expect, it } from "vitest";
import { matches, matchesAny } from "../../functions/core/patterns.ts";
import { fc } from "../support/fast-check.ts";

describe("a pattern", () => {
  it.each([
    ["*", "", true],
    ["**", "anything", true],
    ["", "", true],
    ["", "a", false],
    ["?", "🚀", true],
    ["??", "🚀", false],
    ["a*c", "abbbc", true],
    ["a*c", "abbb", false],
    ["a*b*c", "a*b?c", true],
    ["*a", "banana", true],
    ["*an*an*", "banana", true],
    ["*nana*a", "banana", false],
    ["Team/*", "Team/Berlin/Nord", true],
    ["team*", "Team", false],
    ["a.c", "abc", false],
    ["(x+)*", "(x+)y", true],
  ])("%j on %j: %s", (pattern, name, expected) => {
    expect(matchesAny([pattern], name)).toBe(expected);
  });

  it("says the same as a regular expression does", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "*", "?", "."), maxLength: 8 });
    fc.assert(
      fc.property(text, text, (pattern, name) => {
        const source = [...pattern].map((each) => (each === "*" ? ".*" : each === "?" ? "." : RegExp.escape(each)));
        expect(matchesAny([pattern], name)).toBe(new RegExp(`^${source.join("")}$`, "su").test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["*a*a*a*b", "a".repeat(800)],
    [`${"*a".repeat(20)}*b`, "a".repeat(2_000)],
    [`*${"a".repeat(50)}b`, "a".repeat(2_000)],
    [`${"a?*".repeat(30)}z`, "ab".repeat(1_000)],
  ])("%s takes no more steps than the product of both lengths", (pattern, name) => {
    let steps = 0;
    expect(
      matches([...pattern], [...name], () => {
        steps += 1;
      }),
    ).toBe(false);
    expect(steps).toBeLessThanOrEqual((pattern.length + 1) * (name.length + 1));
  });
});
