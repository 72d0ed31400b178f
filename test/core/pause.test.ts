import { describe, expect, test } from "vitest";
import { isPaused, resumedAt } from "../../functions/core/pause.ts";
import { due, type LastRuns } from "../../functions/core/schedule.ts";
import { organizationOf } from "./organization.ts";

const WITH_KEY = organizationOf({});
const WITHOUT_KEY = organizationOf({ apiKey: false });
const NEW_ON_AWS = { startsPaused: true, isKnown: false };

describe("an organization", () => {
  test("that is new starts paused on AWS, until somebody resumes it", () => {
    expect(isPaused(undefined, WITH_KEY, NEW_ON_AWS)).toBe(true);
    expect(isPaused({ paused: false, at: 1 }, WITH_KEY, NEW_ON_AWS)).toBe(false);
  });

  test("is not paused by an upgrade: the ledger knows its identity", () => {
    expect(isPaused(undefined, WITH_KEY, { startsPaused: true, isKnown: true })).toBe(false);
  });

  test("does not start paused with autostart, on one machine, or without an API key, but is paused when somebody says so", () => {
    expect(isPaused(undefined, WITH_KEY, { startsPaused: false, isKnown: false })).toBe(false);
    expect(isPaused(undefined, WITHOUT_KEY, NEW_ON_AWS)).toBe(false);
    for (const organization of [WITH_KEY, WITHOUT_KEY])
      expect(isPaused({ paused: true, at: 1 }, organization, { startsPaused: false, isKnown: true })).toBe(true);
  });
});

describe("resume", () => {
  const HOUR = 60 * 60_000;
  const INTERVALS = { watchSeconds: 0, lightMinutes: 10, fullHours: 24 };
  const ran = (beganAt: number): LastRuns => ({
    full: { beganAt, endedAt: beganAt + 1, result: "done", doneAt: beganAt },
    light: { beganAt, endedAt: beganAt + 1, result: "done", doneAt: beganAt },
  });

  test("makes a full run due, however lately there was one", () => {
    const now = 100 * HOUR;
    const since = resumedAt({ paused: false, at: now - 1_000 });
    expect(due(ran(now - HOUR), INTERVALS, now, since)).toEqual(["full"]);
    expect(due(ran(now - HOUR), INTERVALS, now)).toEqual(["light"]);
    expect(due(ran(now - 500), INTERVALS, now, since)).toEqual([]);
  });

  test("starts no full run where none is scheduled, and a time that is not believed starts none", () => {
    const now = 100 * HOUR;
    expect(due(ran(now - HOUR), { ...INTERVALS, fullHours: 0, lightMinutes: 0 }, now, now - 1_000)).toEqual([]);
    expect(due(ran(now - 1_000), INTERVALS, now, now + HOUR)).toEqual([]);
    expect(resumedAt({ paused: true, at: now })).toBeUndefined();
    expect(resumedAt(undefined)).toBeUndefined();
  });
});
