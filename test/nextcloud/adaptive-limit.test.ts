import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Answer } from "../../functions/http.ts";
import {
  createAdaptiveLimit,
  createLimitControl,
  type LimitControl,
} from "../../functions/nextcloud/adaptive-limit.ts";

const KIND = "GET user";
/** Answers that are looked at before the limit changes. */
const WINDOW = 12;

function control(most: number) {
  const clock = { now: 0 };
  const limit = createLimitControl(most, () => clock.now);
  const answered = (milliseconds: number, windows = 1, kind = KIND): number[] =>
    Array.from({ length: windows }, () => {
      for (let answer = 0; answer < WINDOW; answer += 1) limit.answered(kind, milliseconds);
      return limit.limit();
    });
  return { clock, limit, answered };
}

/**
 * Runs loops that make one call after the other in a time of their own, against a server that works on two calls at once.
 *
 * @param others how many calls of other people are under way at a time (milliseconds)
 * @returns calls done and the mean number under way, for each second
 */
function simulate(limit: LimitControl, clock: { now: number }, seconds: number, others: (time: number) => number) {
  const underWay: { end: number; milliseconds: number }[] = [];
  const perSecond = Array.from({ length: seconds }, () => ({ done: 0, underWay: 0 }));
  while (clock.now < seconds * 1000) {
    while (underWay.length < Math.max(1, Math.floor(limit.limit()))) {
      const milliseconds = 30 * Math.max(1, (underWay.length + 1 + others(clock.now)) / 2);
      // Below 1 the rest after a call is a part of the time that it takes.
      underWay.push({ end: clock.now + milliseconds / Math.min(1, limit.limit()), milliseconds });
    }
    underWay.sort((a, b) => a.end - b.end);
    const next = underWay.shift() ?? expect.fail();
    const second = perSecond[Math.floor(next.end / 1000)];
    if (second) {
      second.done += 1;
      second.underWay += (underWay.length + 1) * (next.end - clock.now);
    }
    clock.now = next.end;
    limit.answered(KIND, next.milliseconds);
  }
  return perSecond.map(({ done, underWay: sum }) => ({ done, underWay: sum / 1000 }));
}

describe("the limit", () => {
  it("begins with one call and goes up step by step while answers stay quick", () => {
    const { limit, answered } = control(4);
    expect(limit.limit()).toBe(1);
    expect(answered(30, 5)).toEqual([2, 3, 4, 4, 4]);
  });

  it("goes down by a third when answers take much longer than usual, and never to nothing", () => {
    const { answered } = control(4);
    answered(30, 4);
    const limits = answered(90, 30);
    expect(limits.slice(0, 3).map((limit) => limit.toFixed(2))).toEqual(["2.80", "1.96", "1.37"]);
    expect(limits.at(-1)).toBe(0.25);
  });

  it("stays where answers take no more than twice as long: that is a server in full use", () => {
    const { answered } = control(4);
    answered(30, 4);
    expect(answered(60, 10)).toEqual(Array(10).fill(4));
  });

  it("comes back when answers are quick again", () => {
    const { answered } = control(4);
    answered(30, 4);
    answered(300, 30);
    expect(answered(30, 10).at(-1)).toBe(4);
  });

  it("is not moved by a few slow answers, nor by a single quick one", () => {
    const { limit, answered } = control(4);
    answered(30, 4);
    for (let answer = 0; answer < WINDOW; answer += 1) limit.answered(KIND, answer % 3 === 0 ? 900 : 30);
    expect(limit.limit()).toBe(4);
    limit.answered(KIND, 1);
    expect(answered(50, 4)).toEqual(Array(4).fill(4));
  });

  it("is not moved by answers within milliseconds, however much quicker others were: that is this machine, not the server", () => {
    const { answered } = control(4);
    answered(0.3, 4);
    expect(answered(4.9, 4)).toEqual(Array(4).fill(4));
    expect(answered(5.1, 1)[0]).toBeLessThan(4);
  });

  it("compares calls only with calls of their kind", () => {
    const { answered } = control(4);
    answered(10, 2, "GET user 404");
    expect(answered(90, 3, "POST /groups 200")).toEqual([4, 4, 4]);
  });

  it("takes failures for slow answers", () => {
    const { answered } = control(4);
    answered(30, 4);
    expect(answered(Infinity, 1)[0]).toBeLessThan(4);
    expect(answered(30, 10).at(-1)).toBe(4);
  });

  it("gets used to a server that has become slower for good, within hours", () => {
    const { clock, answered } = control(4);
    answered(30, 4);
    expect(answered(120, 20).at(-1)).toBe(0.25);
    clock.now += 3 * 60 * 60_000;
    expect(answered(120, 10).at(-1)).toBe(4);
  });

  it("saturates a server that is idle, makes room for others, and takes the room again", () => {
    const { clock, limit } = control(4);
    const seconds = simulate(limit, clock, 60, (time) => (time > 20_000 && time < 40_000 ? 8 : 0));
    const mean = (from: number, to: number): number =>
      seconds.slice(from, to).reduce((sum, { underWay }) => sum + underWay, 0) / (to - from);
    expect(mean(5, 20)).toBeGreaterThan(3.5);
    expect(mean(25, 40)).toBeLessThan(1.5);
    expect(mean(50, 60)).toBeGreaterThan(3.5);
  });
});

/** Calls that end when they are told to. */
function calls(most: number) {
  const limit = createAdaptiveLimit(most);
  const underWay: ((answer: Answer | Error) => void)[] = [];
  const begun: number[] = [];
  const call = (number: number, kind: string | undefined = undefined): Promise<Answer> =>
    limit.run(() => {
      begun.push(number);
      return new Promise((resolve, reject) => {
        underWay.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      });
    }, kind);
  const end = async (answer: Answer | Error = { status: 200, headers: {}, body: "" }): Promise<void> => {
    await turn();
    (underWay.shift() ?? expect.fail())(answer);
    await turn();
  };
  return { call, end, begun, underWay };
}

describe("calls", () => {
  it("begin in order, no more at once than the limit says", async () => {
    const { call, end, begun, underWay } = calls(4);
    const all = Array.from({ length: 60 }, (_, number) => call(number, KIND));
    let most = 0;
    for (let ended = 0; ended < 60; ended += 1) {
      await turn();
      most = Math.max(most, underWay.length);
      if (ended < WINDOW - 1) expect(underWay).toHaveLength(1);
      await end();
    }
    await Promise.all(all);
    expect(begun).toEqual(Array.from({ length: 60 }, (_, number) => number));
    expect(most).toBeLessThanOrEqual(4);
    expect(most).toBeGreaterThan(1);
  });

  it("that fail make room for the next one and keep their error", async () => {
    const { call, end, begun } = calls(1);
    const first = expect(call(1)).rejects.toThrow("reset");
    const second = call(2);
    await end(new Error("reset"));
    await first;
    await end();
    await expect(second).resolves.toMatchObject({ status: 200 });
    expect(begun).toEqual([1, 2]);
  });

  it("go on, with rests between them, on a server where everything fails", async () => {
    const { call, end, begun } = calls(1);
    for (let number = 0; number < 40; number += 1) {
      const failing = call(number, KIND);
      while (begun.length <= number) await turn();
      await end({ status: 503, headers: {}, body: "" });
      await failing;
    }
    expect(begun).toHaveLength(40);
  });
});
