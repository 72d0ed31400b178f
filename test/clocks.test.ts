import { describe, expect, it } from "vitest";
import { clockProblem, createClocks } from "../functions/clocks.ts";
import { SKEW_MS } from "../functions/core/clock.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const DAY = 24 * 60 * 60_000;

describe("the time by all clocks", () => {
  const clocksOf = (heard: Partial<Record<"clavex" | "nextcloud", string | number | undefined>>) => {
    const clocks = createClocks(() => NOW);
    for (const server of ["clavex", "nextcloud"] as const) {
      const time = heard[server];
      clocks.heard(server, typeof time === "number" ? new Date(time).toUTCString() : time);
    }
    return [clocks.earliest() - NOW, clocks.latest() - NOW];
  };

  it.each([
    ["nothing was heard", {}, [0, 0]],
    ["both agree", { clavex: NOW, nextcloud: NOW }, [0, 0]],
    ["one differs as much as clocks may", { clavex: NOW - SKEW_MS, nextcloud: NOW + SKEW_MS }, [0, 0]],
    ["both are a day behind ours", { clavex: NOW - DAY, nextcloud: NOW - DAY }, [-DAY, 0]],
    ["both are a day ahead", { clavex: NOW + DAY, nextcloud: NOW + DAY }, [0, DAY]],
    ["each is wrong", { clavex: NOW - 40 * DAY, nextcloud: NOW + DAY }, [-40 * DAY, DAY]],
    ["a header is no time", { clavex: "yesterday", nextcloud: "" }, [0, 0]],
  ])("%s", (_name, heard, expected) => {
    expect(clocksOf(heard)).toEqual(expected);
  });

  it("follows a clock that is set right, and keeps what it knows after an answer without a time", () => {
    const ours = { now: NOW };
    const clocks = createClocks(() => ours.now);
    ours.now += 40 * DAY;
    clocks.heard("clavex", new Date(NOW).toUTCString());
    clocks.heard("clavex", undefined);
    expect(clocks.earliest()).toBe(NOW);
    ours.now = NOW + 1_000;
    clocks.heard("clavex", new Date(ours.now).toUTCString());
    expect(clocks.earliest()).toBe(ours.now);
  });
});

describe("what is wrong with a clock", () => {
  it.each([
    [60_000, undefined],
    [-61_000, "61 seconds behind"],
    [120_000, "2 minutes ahead of"],
    [-2 * 60 * 60_000, "2 hours behind"],
    [40 * DAY, "40 days ahead of"],
  ])("%d ms: %j", (ahead, expected) => {
    const problem = clockProblem("nextcloud", ahead)?.problem;
    if (expected === undefined) expect(problem).toBeUndefined();
    else expect(problem).toContain(`Nextcloud's clock is ${expected} this machine's; `);
  });
});
