import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRetryDelay } from "../../functions/core/retry.ts";
import { QUEUE_LIMITS } from "../../functions/queue/limits.ts";

const LUCKY = 0;
const UNLUCKY = 0.999_999_999;
const always = (random: number) => createRetryDelay(() => random);

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
    expect([delay(1, 300), delay(1, 10), delay(10, 3_600), delay(10, 0), delay(1, 30.2)]).toEqual([
      300, 30, 3_600, 900, 31,
    ]);
  });

  it("begins with another time where that is asked for", () => {
    const delay = createRetryDelay(() => LUCKY, 1);
    expect([1, 2, 3, 11, 12].map((receives) => delay(receives))).toEqual([1, 2, 4, 900, 900]);
  });

  it("is different for two jobs by itself", () => {
    const delay = createRetryDelay();
    expect(new Set(Array.from({ length: 50 }, () => delay(6))).size).toBeGreaterThan(1);
  });
});

describe("an outage", () => {
  const DAY = 24 * 60 * 60;

  /** How often a message is received that fails for so long, when failing takes no time at all. */
  function receivesIn(seconds: number, random: number): number {
    const delay = always(random);
    let receives = 0;
    for (let clock = 0; clock < seconds; clock += delay(receives)) receives += 1;
    return receives;
  }

  it("of ten days loses no job, with the shortest delays that luck can give", () => {
    expect(receivesIn(10 * DAY, LUCKY)).toBeLessThan(QUEUE_LIMITS.maxReceiveCount);
  });

  it("of ten days is over before a message's time in the queue is", () => {
    expect(10 * DAY + always(UNLUCKY)(1_000)).toBeLessThan(QUEUE_LIMITS.retentionSeconds);
  });

  it("that ends is noticed within twenty minutes, with the longest delays that luck can give", () => {
    expect(always(UNLUCKY)(1_000)).toBeLessThanOrEqual(20 * 60);
  });
});
