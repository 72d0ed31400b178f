import { describe, expect, test } from "vitest";
import {
  begun,
  DEFAULT_INTERVALS,
  due,
  ended,
  type Intervals,
  type LastRun,
  type LastRuns,
  LOCK_MS,
  NEVER,
  type RunKind,
  TICK_MS,
} from "../../functions/core/schedule.ts";
import { fc } from "../support/fast-check.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A run that began this long before now, and was done a second later. */
const done = (ago: number): LastRun => ended(begun(undefined, NOW - ago), "done", NOW - ago + 1000);
const failed = (ago: number): LastRun => ended(begun(undefined, NOW - ago), "clavex-unavailable", NOW - ago + 1000);
/** One that began and did not end. */
const unfinished = (ago: number): LastRun => begun(undefined, NOW - ago);
const justNow: LastRuns = { watch: done(0), light: done(0), full: done(0) };

describe("which runs are due", () => {
  test.each<[string, LastRuns, RunKind[]]>([
    ["nothing was ever run", {}, ["full", "watch"]],
    ["everything was run just now", justNow, []],
    ["the last watch was a minute ago", { ...justNow, watch: done(MINUTE) }, ["watch"]],
    ["a tick came some seconds early", { ...justNow, watch: done(MINUTE - 5000) }, ["watch"]],
    ["the last watch was just before", { ...justNow, watch: done(20_000) }, []],
    [
      "light and full runs are ten minutes old",
      { ...justNow, light: done(10 * MINUTE), full: done(10 * MINUTE) },
      ["light"],
    ],
    ["a full run did a light one's work since", { ...justNow, light: done(HOUR), full: done(5 * MINUTE) }, []],
    ["a full run did so ten minutes ago", { ...justNow, light: done(HOUR), full: done(10 * MINUTE) }, ["light"]],
    ["both are due: the full one goes first", { ...justNow, light: done(HOUR), full: done(DAY) }, ["full"]],
    ["no light run was ever made", { watch: done(0), full: done(DAY - HOUR) }, ["light"]],
    ["a full run is under way", { ...justNow, light: done(HOUR), full: unfinished(5 * MINUTE) }, []],
    ["a light run is under way", { ...justNow, light: unfinished(MINUTE), full: done(DAY) }, []],
    ["a watch is under way", { ...justNow, watch: unfinished(MINUTE) }, []],
    ["a watch was killed", { ...justNow, watch: unfinished(LOCK_MS.watch) }, ["watch"]],
    ["a full run was killed, and its lock is over", { ...justNow, full: unfinished(LOCK_MS.full) }, ["full"]],
    [
      "a full run was killed, and a light one is due too",
      { ...justNow, light: done(HOUR), full: unfinished(LOCK_MS.full) },
      ["light"],
    ],
    [
      "a light run was killed, and its lock is over",
      { ...justNow, light: unfinished(LOCK_MS.light), full: done(HOUR) },
      ["light"],
    ],
    ["a light run failed ten minutes ago", { ...justNow, light: failed(10 * MINUTE), full: done(HOUR) }, ["light"]],
    ["a light run failed just before", { ...justNow, light: failed(2 * MINUTE), full: done(HOUR) }, []],
    ["a full run failed an hour ago, and light ones went on", { ...justNow, full: failed(HOUR) }, ["full"]],
    ["a full run failed half an hour ago", { ...justNow, full: failed(30 * MINUTE) }, []],
    [
      "a full run failed just before: it was no light one",
      { ...justNow, light: done(HOUR), full: failed(MINUTE) },
      ["light"],
    ],
    ["the last run was within the clocks' skew", { ...justNow, full: done(-MINUTE) }, []],
    ["the last full run was tomorrow", { ...justNow, full: done(-DAY) }, ["full"]],
    ["a watch began tomorrow", { ...justNow, watch: unfinished(-DAY) }, ["watch"]],
    [
      "the last full run was done tomorrow, and failed since",
      { ...justNow, light: done(HOUR), full: { ...failed(MINUTE), doneAt: NOW + DAY } },
      ["light"],
    ],
  ])("%s", (_when, runs, kinds) => {
    expect(due(runs, DEFAULT_INTERVALS, NOW)).toEqual(kinds);
  });

  test("each kind can be switched off", () => {
    expect(due({}, { ...DEFAULT_INTERVALS, watchSeconds: 0 }, NOW)).toEqual(["full"]);
    expect(due({}, { ...DEFAULT_INTERVALS, fullHours: 0 }, NOW)).toEqual(["light", "watch"]);
    expect(due({}, NEVER, NOW)).toEqual([]);
  });

  test("a run that ends keeps when it began; one that fails keeps when the last was done", () => {
    const first = ended(begun(undefined, NOW), "done", NOW + 5);
    expect(first).toEqual({ beganAt: NOW, endedAt: NOW + 5, result: "done", doneAt: NOW });
    expect(ended(begun(first, NOW + DAY), "clavex-unavailable", NOW + DAY + 5)).toEqual({
      beganAt: NOW + DAY,
      endedAt: NOW + DAY + 5,
      result: "clavex-unavailable",
      doneAt: NOW,
    });
  });
});

describe("whatever happens to the runs", () => {
  /** How a run ends: it takes a part of a tick, or is killed; busy is when somebody else has the lock at this moment. */
  const fate = fc.oneof(
    { weight: 5, arbitrary: fc.constant("done" as const) },
    { weight: 2, arbitrary: fc.constant("failed" as const) },
    { weight: 1, arbitrary: fc.constant("killed" as const) },
    { weight: 1, arbitrary: fc.constant("busy" as const) },
  );
  const jitter = fc.integer({ min: -20_000, max: 20_000 });
  const ticks = fc.array(fc.record({ fate, jitter }), { minLength: 200, maxLength: 600 });
  const intervals = fc.record({
    watchSeconds: fc.constantFrom(0, 60, 300),
    lightMinutes: fc.integer({ min: 1, max: 60 }),
    fullHours: fc.integer({ min: 1, max: 6 }),
  });

  /** Plays ticks; returns when each kind was attempted, and the attempts that were killed or found another run. */
  function play(events: { fate: "done" | "failed" | "killed" | "busy"; at: number }[], every: Intervals) {
    const runs: LastRuns = {};
    const attempts: { kind: RunKind; at: number; fate: string }[] = [];
    for (const event of events) {
      for (const kind of due(runs, every, event.at)) {
        attempts.push({ kind, ...event });
        if (event.fate === "busy") continue;
        const run = begun(runs[kind], event.at);
        runs[kind] = event.fate === "killed" ? run : ended(run, event.fate, event.at + 1000);
      }
    }
    return attempts;
  }

  test("a full run is never later than its interval and two ticks, but for locks that killed runs left behind", () => {
    fc.assert(
      fc.property(ticks, intervals, (events, every) => {
        const timed = events.map(({ fate, jitter }, index) => ({ fate, at: NOW + index * TICK_MS + jitter }));
        const attempts = play(timed, every);
        const last = timed.at(-1)?.at ?? NOW;
        const full = attempts.filter(({ kind }) => kind === "full").map(({ at }) => at);
        expect(full[0]).toBe(timed[0]?.at);
        for (const [index, at] of full.entries()) {
          const next = full[index + 1] ?? last;
          const killed = attempts.filter(
            (each) => each.fate === "killed" && each.at >= at - LOCK_MS.full && each.at < next,
          );
          const locked = killed.filter(({ kind }) => kind !== "watch").length * (LOCK_MS.full + TICK_MS);
          expect(next - at).toBeLessThanOrEqual(every.fullHours * HOUR + 2 * TICK_MS + locked);
        }
      }),
    );
  });

  test("a full run that never succeeds does not keep light runs from happening", () => {
    fc.assert(
      fc.property(fc.constantFrom("failed" as const, "killed" as const), intervals, (fate, every) => {
        const runs: LastRuns = {};
        let lights = 0;
        for (let at = NOW; at < NOW + 12 * HOUR; at += TICK_MS) {
          for (const kind of due(runs, every, at)) {
            const run = begun(runs[kind], at);
            if (kind === "light") lights += 1;
            runs[kind] =
              kind === "full" && fate === "killed" ? run : ended(run, kind === "full" ? fate : "done", at + 1000);
          }
        }
        const longest = Math.max(every.lightMinutes * MINUTE, LOCK_MS.full) + 2 * TICK_MS;
        expect(lights).toBeGreaterThanOrEqual(Math.floor((12 * HOUR) / (longest + LOCK_MS.full)));
      }),
    );
  });

  test("a daily restart never loses the daily full run, for however short a time it is up", () => {
    const seconds = fc.integer({ min: -60, max: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 23 * 60 }), fc.array(seconds, { minLength: 5 }), (minutesUp, late) => {
        const runs: LastRuns = {};
        const days = late.map((second, day) => {
          const start = NOW + day * DAY + second * 1000;
          let full = 0;
          for (let at = start; at < start + minutesUp * MINUTE; at += TICK_MS) {
            for (const kind of due(runs, DEFAULT_INTERVALS, at)) {
              if (kind === "full") full += 1;
              runs[kind] = ended(begun(runs[kind], at), "done", at + 1000);
            }
          }
          return full;
        });
        expect(days).toEqual(days.map(() => 1));
      }),
      { numRuns: 30 },
    );
  });

  test("two processes that tick side by side lose no full run: whoever finds the other's run leaves the schedule alone", () => {
    const runs: LastRuns = {};
    const full: number[] = [];
    for (let at = NOW; at < NOW + 3 * DAY + HOUR; at += TICK_MS) {
      // Both decide before either begins.
      const [first, second] = [due(runs, DEFAULT_INTERVALS, at), due(runs, DEFAULT_INTERVALS, at)];
      expect(second).toEqual(first);
      for (const kind of first) {
        runs[kind] = ended(begun(runs[kind], at), "done", at + 1000);
        if (kind === "full") full.push(at);
      }
    }
    expect(full.map((at) => at - NOW)).toEqual([0, DAY, 2 * DAY, 3 * DAY]);
  });
});
