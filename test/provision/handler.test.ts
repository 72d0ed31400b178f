import type { SQSEvent } from "aws-lambda";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { failUnforeseen, linesOf, stubFunction } from "../support/functions.ts";

type Handler = typeof import("../../functions/provision/handler.ts")["handler"];

let handler: Handler;
beforeAll(async () => {
  stubFunction();
  ({ handler } = await import("../../functions/provision/handler.ts"));
});
afterAll(() => vi.unstubAllEnvs());

describe("the worker on Lambda", () => {
  it("logs where an unexpected error was thrown, without its message, and gives the whole batch back to the queue", async () => {
    const record = {
      get attributes(): never {
        return failUnforeseen();
      },
    };
    const event = { Records: [record] } as unknown as SQSEvent;
    const { lines, thrown } = await linesOf(() => handler(event, { getRemainingTimeInMillis: () => 60_000 }));
    expect(lines).toEqual([
      expect.objectContaining({
        level: "ERROR",
        service: "clavex-nextcloud-provision",
        message: "invocation failed",
        code: "unexpected",
        problem: "RangeError",
        stack: expect.arrayContaining([expect.stringContaining("functions/provision/handler.ts")]),
      }),
    ]);
    // SQS takes back all messages of an invocation that throws.
    expect(thrown).toMatchObject({ name: "HandlerFailed", message: "RangeError; the log has where it was thrown" });
    expect(JSON.stringify(lines) + thrown?.stack + thrown?.cause).not.toContain("acme.example");
  });
});
