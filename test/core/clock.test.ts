import { describe, expect, it } from "vitest";
import { believed, isAhead, isWithin, SKEW_MS } from "../../functions/core/clock.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const DAY = 24 * 60 * 60_000;

describe("a time that was written down", () => {
  it.each([
    ["long ago", NOW - 1_000 * DAY, true],
    ["just now", NOW, true],
    ["by a clock as far ahead as clocks may be", NOW + SKEW_MS, true],
    ["by a clock further ahead", NOW + SKEW_MS + 1, false],
    ["by a clock that was a month ahead", NOW + 30 * DAY, false],
  ])("%s is believed: %j", (_name, time, expected) => {
    expect(believed(time, NOW)).toBe(expected ? time : undefined);
  });

  it("is none where nothing, or no time, was written down", () => {
    expect([believed(undefined, NOW), believed(Number.NaN, NOW)]).toEqual([undefined, undefined]);
  });
});

it.each([
  ["a moment ago", NOW - 1, true],
  ["nearly so long ago", NOW - DAY + 1, true],
  ["so long ago", NOW - DAY, false],
  ["later than now, within the clocks' skew", NOW + SKEW_MS, true],
  ["later than now", NOW + SKEW_MS + 1, false],
  ["never", undefined, false],
])("what happened %s has happened within a day: %j", (_name, time, expected) => {
  expect(isWithin(time, DAY, NOW)).toBe(expected);
});

it.each([
  ["now", NOW, false],
  ["in a moment", NOW + 1, true],
  ["as far ahead as it may be", NOW + DAY + SKEW_MS, true],
  ["further ahead than it can have been set", NOW + DAY + SKEW_MS + 1, false],
  ["never", Number.POSITIVE_INFINITY, false],
])("an end that is %s is still to come: %j", (_name, end, expected) => {
  expect(isAhead(end, DAY, NOW)).toBe(expected);
});
