import { describe, expect, it } from "vitest";
import { createProbeDelay, createRetryDelay } from "../../functions/core/retry.ts";
import { QUEUE_LIMITS } from "../../functions/queue/limits.ts";
import { fc } from "../support/fast-check.ts";

const LUCKY = 0;
const UNLUCKY = 0.999_999_999;
/** The delay after this many failures in a row, with always the same luck. */
const always =
  (random: number, first?: number) =>
  (failures: number, atLeast?: number): number =>
    createRetryDelay({ random: () => random, firstSeconds: first })({ failures, atLeast });
/** The delay of a job that was put off untried. */
const untried = (random: number, untriedForMs: number): number =>
  createRetryDelay({ random: () => random })({ untriedForMs });
const HOUR = 60 * 60_000;

describe("the delay of a failed job", () => {
  it("doubles from half a minute to a quarter of an hour", () => {
    const delay = always(LUCKY);
    expect([1, 2, 3, 4, 5, 6, 7, 100].map((receives) => delay(receives))).toEqual([
      30, 60, 120, 240, 480, 900, 900, 900,
    ]);
  });

  it("is spread by up to a third, so that jobs that failed together do not come back together", () => {
    expect(always(0.5)(1)).toBe(Math.ceil(30 * 1.165));
    const delay = always(UNLUCKY);
    expect([1, 2, 6, 7].map((receives) => delay(receives))).toEqual([40, 80, 1197, 1197]);
  });

  it("is in whole seconds between the bounds, whatever the luck and the count", () => {
    const random = fc.double({ min: 0, max: UNLUCKY, noNaN: true });
    fc.assert(
      fc.property(random, fc.integer({ min: 0, max: 5_000 }), (luck, receives) => {
        const seconds = always(luck)(receives);
        expect(Number.isInteger(seconds)).toBe(true);
        expect(seconds).toBeGreaterThanOrEqual(30);
        expect(seconds).toBeLessThanOrEqual(20 * 60);
      }),
    );
  });

  it("never gets shorter with more receives, for the same luck", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: UNLUCKY, noNaN: true }),
        fc.integer({ min: 1, max: 2_000 }),
        (luck, receives) => {
          expect(always(luck)(receives + 1)).toBeGreaterThanOrEqual(always(luck)(receives));
        },
      ),
    );
  });

  it("is what the server asks for where that is longer, and not where it is shorter", () => {
    const delay = always(LUCKY);
    expect([delay(1, 300), delay(1, 10), delay(10, 0), delay(1, 30.2)]).toEqual([300, 30, 900, 31]);
  });

  it("is at most a quarter of an hour for a server's sake, even if it asks for a year", () => {
    expect(always(LUCKY)(1, 31_536_000)).toBe(900);
  });

  it("begins with another time where that is asked for", () => {
    const delay = always(LUCKY, 1);
    expect([1, 2, 3, 11, 12].map((receives) => delay(receives))).toEqual([1, 2, 4, 900, 900]);
  });

  it("is different for two jobs by itself", () => {
    const delay = createRetryDelay();
    expect(new Set(Array.from({ length: 50 }, () => delay({ failures: 6, atLeast: undefined }))).size).toBeGreaterThan(
      1,
    );
  });
});

describe("the delay of a job that was put off untried", () => {
  it("is half a minute to a minute during an outage's first hour", () => {
    expect([0, HOUR - 1].map((age) => untried(LUCKY, age))).toEqual([30, 30]);
    expect(untried(UNLUCKY, 0)).toBe(60);
  });

  it("is a quarter of an hour or a little more later", () => {
    expect([HOUR, 100 * HOUR].map((age) => untried(LUCKY, age))).toEqual([900, 900]);
    expect(untried(UNLUCKY, HOUR)).toBe(1_197);
  });
});

describe("a circuit that is open", () => {
  it("is probed once a minute, or later where the server asks for it, but every quarter of an hour", () => {
    const delay = createProbeDelay();
    expect([undefined, 5, 600, 31_536_000].map((atLeast) => delay(atLeast))).toEqual([60, 60, 600, 900]);
  });
});

describe("an outage", () => {
  const DAY = 24 * 60 * 60;

  it("of any length loses no job: a message is renewed long before the queue would give it up", () => {
    const shortest = Math.min(always(LUCKY)(1_000), untried(LUCKY, 2 * HOUR));
    const receivesLeft = QUEUE_LIMITS.maxReceiveCount - QUEUE_LIMITS.renewAtReceives;
    const timeLeft = QUEUE_LIMITS.retentionSeconds - QUEUE_LIMITS.renewAtSeconds;
    expect(receivesLeft).toBeGreaterThanOrEqual(100);
    expect(timeLeft).toBeGreaterThan(DAY + always(UNLUCKY)(1_000));
    // In the first hour at most 120 receives, then four an hour: days before the limit is reached.
    expect(120 + (3 * DAY) / shortest).toBeLessThan(QUEUE_LIMITS.renewAtReceives);
  });

  it("that ends is noticed within twenty minutes, with the longest delays that luck can give", () => {
    expect(Math.max(always(UNLUCKY)(1_000), untried(UNLUCKY, 2 * HOUR))).toBeLessThanOrEqual(20 * 60);
  });
});
