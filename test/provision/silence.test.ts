import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CircuitOpen } from "../../functions/provision/circuit-breaker.ts";
import { createSilence, type Waited } from "../../functions/provision/silence.ts";

const CLAVEX: Waited = { server: "clavex", baseUrl: "https://id.acme.example" };
const OTHER: Waited = { server: "clavex", baseUrl: "https://id.globex.example" };
const AFTER_MS = 100;
const codeOf = (error: unknown): string => (error instanceof CircuitOpen ? error.code : "another error");
const never = (): Promise<never> => new Promise(() => undefined);

describe("a silent server", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** What became of readings, in order; undefined while they wait. */
  const watch = (...readings: Promise<unknown>[]): (string | undefined)[] => {
    const results: (string | undefined)[] = readings.map(() => undefined);
    for (const [index, reading] of readings.entries())
      reading.then(String, codeOf).then((result) => {
        results[index] = result;
      });
    return results;
  };

  it("keeps as many waiting as it may, and lets the others go back untried", async () => {
    const silence = createSilence({ most: 2, afterMs: AFTER_MS });
    const results = watch(...Array.from({ length: 5 }, () => silence.wait(CLAVEX, never)));
    await vi.advanceTimersByTimeAsync(AFTER_MS);
    expect(results).toEqual([undefined, undefined, "clavex-silent", "clavex-silent", "clavex-silent"]);
  });

  it("is asked for nobody more while enough wait, and others are", async () => {
    const silence = createSilence({ most: 1, afterMs: AFTER_MS });
    watch(silence.wait(CLAVEX, never));
    await vi.advanceTimersByTimeAsync(AFTER_MS);
    let asked = 0;
    const read = async (): Promise<string> => {
      asked += 1;
      return "answer";
    };
    await expect(silence.wait(CLAVEX, read)).rejects.toMatchObject({ code: "clavex-silent", openForMs: 0 });
    expect(asked).toBe(0);
    expect(await silence.wait(OTHER, read)).toBe("answer");
  });

  it("is asked again when one of those who wait is done, in whatever way", async () => {
    const silence = createSilence({ most: 1, afterMs: AFTER_MS });
    const failing = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("timeout")), 3 * AFTER_MS));
    const results = watch(silence.wait(CLAVEX, () => failing));
    await vi.advanceTimersByTimeAsync(3 * AFTER_MS);
    expect(results).toEqual(["another error"]);
    expect(await silence.wait(CLAVEX, async () => "answer")).toBe("answer");
  });

  it("is none while it answers somebody: whoever waits for long goes on waiting", async () => {
    const busy = createSilence({ most: 1, afterMs: AFTER_MS });
    const results = watch(busy.wait(CLAVEX, never), busy.wait(CLAVEX, never));
    for (let step = 0; step < 10; step += 1) {
      await vi.advanceTimersByTimeAsync(AFTER_MS / 2);
      await busy.wait(CLAVEX, async () => "answer");
    }
    expect(results).toEqual([undefined, undefined]);
    await vi.advanceTimersByTimeAsync(AFTER_MS);
    expect(results).toEqual([undefined, "clavex-silent"]);
  });
});
