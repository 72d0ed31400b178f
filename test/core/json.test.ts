import { describe, expect, it } from "vitest";
import { jsonProblem } from "../../functions/core/json.ts";
import { fc } from "../support/fast-check.ts";

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe("the place where a text is not JSON", () => {
  it("is found wherever JSON.parse refuses a text, and nowhere else", () => {
    const nearly = fc
      .tuple(fc.json({ maxDepth: 4 }), fc.nat(200), fc.constantFrom("", ...',:"{}[]\\ \n\t-0.eE1tx/'))
      .map(
        ([json, at, put]) =>
          `${json.slice(0, at % (json.length + 1))}${put}${json.slice((at % (json.length + 1)) + 1)}`,
      );
    fc.assert(
      fc.property(fc.oneof(fc.json({ maxDepth: 4 }), nearly), (text) => {
        const problem = jsonProblem(text);
        // Which comes first, whatever follows it.
        fc.pre(problem?.duplicate === undefined);
        expect(problem === undefined).toBe(parses(text));
      }),
      { numRuns: 3000 },
    );
  });

  it("is that of the second of two keys, however it is written", () => {
    expect(jsonProblem('{"a":1,"\\u0061":2}')).toMatchObject({ duplicate: "a", line: 1, column: 8 });
    expect(jsonProblem('{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}')).toBeUndefined();
    expect(jsonProblem('{"c":[{"x":1},{"y":1,"y":2}]}')).toMatchObject({ duplicate: "c.1.y" });
    expect(jsonProblem('{"__proto__":1,"constructor":2}')).toBeUndefined();
  });

  it("is found without end of the stack in what is nested without end", () => {
    expect(jsonProblem("[".repeat(100_000))?.message).toBe("it is nested too deep");
  });

  it("is never told by quoting the text", () => {
    for (const text of [
      '{"apiKey": clv_topsecret}',
      '{"apiKey": "clv_topsecret',
      '{"apiKey": "clv_topsecret\\q"}',
      "clv_topsecret",
    ]) {
      expect(jsonProblem(text)?.message).not.toMatch(/clv|top|secret/);
    }
  });
});
