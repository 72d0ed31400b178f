import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { failUnforeseen, linesOf, stubFunction } from "../support/functions.ts";

type Handler = typeof import("../../functions/replay/handler.ts")["handler"];

let handler: Handler;
beforeAll(async () => {
  stubFunction();
  ({ handler } = await import("../../functions/replay/handler.ts"));
});
afterAll(() => vi.unstubAllEnvs());

describe("the replay on Lambda", () => {
  const event = {
    get filter(): never {
      return failUnforeseen();
    },
  };

  it.each([
    ["an unexpected error", event, "RangeError", "functions/replay/handler.ts"],
    [
      "an event of another form",
      { filter: { subject: "ada@acme.example" } },
      "ZodError",
      "functions/replay/handler.ts",
    ],
  ])("logs where %s was thrown, without its message, and its caller learns the name", async (_name, given, problem, file) => {
    const { lines, thrown } = await linesOf(() => handler(given, { getRemainingTimeInMillis: () => 60_000 }));
    expect(lines).toEqual([
      expect.objectContaining({
        level: "ERROR",
        service: "clavex-nextcloud-replay",
        message: "invocation failed",
        code: "unexpected",
        problem,
        stack: expect.arrayContaining([expect.stringContaining(file)]),
      }),
    ]);
    expect(thrown).toMatchObject({ name: "HandlerFailed", message: `${problem}; the log has where it was thrown` });
    expect(JSON.stringify(lines) + thrown?.stack + thrown?.cause).not.toContain("acme.example");
  });
});
