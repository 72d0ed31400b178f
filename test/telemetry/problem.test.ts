import { describe, expect, it } from "vitest";
import { PipelineFailure } from "../../functions/core/failure.ts";
import { problemOf } from "../../functions/telemetry/problem.ts";

const EMAIL = "ada.lovelace@acme.example";

/** The unexpected part, or an error when there is none. */
function unexpected(error: unknown) {
  const problem = problemOf(error);
  if (!("stack" in problem)) throw new Error("the error was foreseen");
  return problem;
}

describe("what a log line tells of an unexpected error", () => {
  it("is its name and where it was thrown, and no word of its message", () => {
    const error = new TypeError(`cannot read ${EMAIL}`);
    expect(error.stack).toContain(EMAIL);
    const told = unexpected(error);
    expect(told).toMatchObject({ class: "transient", code: "unexpected", problem: "TypeError", causes: undefined });
    expect(told.stack?.[0]).toMatch(/^at .*problem\.test\.ts:\d+:\d+\)?$/);
    expect(JSON.stringify(told)).not.toMatch(/ada|cannot read/);
  });

  it.each([
    ["a line that looks like a frame", `no\n    at ${EMAIL} (file:///ada.ts:1:2)`],
    ["a line that looks like a frame at its end", `no\nat ada (${EMAIL}:1:2)\n`],
    ["special replacement patterns", `$& $' ${EMAIL}\n    at $' (${EMAIL}:1:2)`],
    ["nothing but an address", EMAIL],
    ["one letter that every frame has", "a"],
    ["no text", ""],
  ])("holds nothing of a message with %s", (_what, message) => {
    const told = unexpected(new Error(message));
    expect(told.stack?.length).toBeGreaterThan(0);
    expect(told.stack?.[0]).toMatch(/problem\.test\.ts:\d+:\d+/);
    expect(JSON.stringify(told)).not.toContain(EMAIL);
  });

  it("holds nothing of the message that an error had when it was thrown", () => {
    const error = new Error(`it was ${EMAIL}`);
    error.message = "something else";
    const told = unexpected(error);
    expect(told.stack?.length).toBeGreaterThan(0);
    expect(JSON.stringify(told)).not.toMatch(/acme|something else/);
  });

  it("names what caused it, the nearest first, also around a ring", () => {
    const inner = new RangeError(EMAIL);
    const outer = new Error("outer", { cause: new TypeError(EMAIL, { cause: inner }) });
    expect(unexpected(outer).causes).toEqual(["TypeError", "RangeError"]);
    inner.cause = outer;
    expect(unexpected(outer).causes?.length).toBeLessThan(10);
    expect(unexpected(new Error("outer", { cause: EMAIL })).causes).toEqual(["unknown error"]);
    expect(JSON.stringify(unexpected(outer))).not.toContain(EMAIL);
  });

  it("has the code of Node's own errors beside the name", () => {
    expect(problemOf(Object.assign(new Error(EMAIL), { code: "ECONNRESET" })).problem).toBe("Error ECONNRESET");
    expect(problemOf(Object.assign(new Error(EMAIL), { code: EMAIL })).problem).toBe("Error");
  });

  it("does not repeat a name that is none", () => {
    const error = new Error("no");
    error.name = `failed for ${EMAIL}`;
    expect(JSON.stringify(problemOf(error))).not.toContain(EMAIL);
    expect(problemOf(error).problem).toBe("Error");
  });

  it.each([
    EMAIL,
    undefined,
    null,
    { message: EMAIL, stack: EMAIL },
  ])("is next to nothing when no error was thrown", (thrown) => {
    expect(problemOf(thrown)).toEqual({
      class: "transient",
      code: "unexpected",
      problem: "unknown error",
      stack: undefined,
      causes: undefined,
    });
  });
});

describe("what a log line tells of a failure", () => {
  it("is its class, code, message and fix", () => {
    const failure = new PipelineFailure("configuration", "it-is-wrong", "it is wrong", "organization", {
      fix: "Do this.",
    });
    expect(problemOf(failure)).toEqual({
      class: "configuration",
      code: "it-is-wrong",
      problem: "it is wrong",
      fix: "Do this.",
    });
  });
});
