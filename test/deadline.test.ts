import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { withDeadline } from "../functions/deadline.ts";
import { timersLeft } from "./support/timers.ts";

const AN_HOUR = 60 * 60_000;

describe("work with a deadline", () => {
  it("is told when its time is over, in the words of AbortSignal.timeout", async () => {
    const usual = AbortSignal.timeout(1);
    if (!usual.aborted) await once(usual, "abort");
    const reason = await withDeadline(1, async (deadline) => {
      await once(deadline, "abort");
      return deadline.reason;
    });
    expect(reason).toEqual(usual.reason);
    expect(reason).toBeInstanceOf(DOMException);
    expect(reason).toMatchObject({ name: "TimeoutError", message: usual.reason.message, code: usual.reason.code });
  });

  it("gives back what it comes to, and what it throws", async () => {
    expect(await withDeadline(AN_HOUR, async ({ aborted }) => aborted)).toBe(false);
    const failure = new Error("no");
    await expect(withDeadline(AN_HOUR, () => Promise.reject(failure))).rejects.toBe(failure);
    const throwing = (): never => {
      throw failure;
    };
    await expect(withDeadline(AN_HOUR, throwing)).rejects.toBe(failure);
  });

  it("leaves no timer behind, however it ends", async () => {
    const left = await timersLeft(async () => {
      for (let index = 0; index < 20; index += 1) {
        await withDeadline(AN_HOUR, async () => undefined);
        await withDeadline(AN_HOUR, () => Promise.reject(new Error("no"))).catch(() => undefined);
      }
    });
    expect(left).toBeLessThan(20);
  });
});
