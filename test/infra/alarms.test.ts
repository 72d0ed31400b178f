import { describe, expect, it, test } from "vitest";
import { alarmRules, DAY, every, mailsOf, type Point } from "./alarms.ts";
import { synthesize } from "./synth.ts";

const rules = alarmRules(synthesize({ alarmEmail: "admin@acme.example" }).template);

/** When the trouble of every bad day begins. */
const START = 600;
const HOUR = 60;

interface Days {
  /** A day of trouble that begins at START, and the minute by which it must be reported. */
  bad: Point[];
  toldBy: number;
  /** Whether the trouble lasts until the day's end: then nothing but one mail comes. */
  lasts?: true;
  /** Days on which nothing is to be reported, each with what it is. */
  good: [what: string, points: Point[]][];
}

const QUIET: Days["good"] = [["nothing happens", []]];
/** A job that waits for a person to act: its attempts are at most twenty minutes apart. */
const WAITING = every(20, START, START + 8 * HOUR);
const CRASHES: Days = {
  bad: every(10, START, START + 3 * HOUR),
  toldBy: START + 25,
  good: [["one crash", [[START, 1]]]],
};

const DAYS: Record<string, Days> = {
  "dead-letters": { bad: [[START, 1]], toldBy: START + 5, good: QUIET },
  "dead-letter-queue": {
    bad: every(1, START, START + HOUR),
    toldBy: START + 5,
    good: [["the queue is empty", every(1, 0, DAY, () => 0)]],
  },
  "revokes-refused": {
    // Tried again after 10 minutes, then after twice as long each time.
    bad: [0, 10, 30, 70, 150, 310, 630].map((after): Point => [START + after, 1]),
    toldBy: START + 5,
    lasts: true,
    good: QUIET,
  },
  "leavers-still-enabled": {
    bad: every(10, START, START + 8 * HOUR, () => 2),
    toldBy: START + 5,
    good: [...QUIET, ["nobody is left", every(10, 0, DAY, () => 0)]],
  },
  brake: { bad: WAITING, toldBy: START + 5, good: QUIET },
  "leaves-held": { bad: every(10, START, START + 3 * HOUR), toldBy: START + 5, good: QUIET },
  "daily-deprovisions": { bad: [[START, 1]], toldBy: START + 5, good: QUIET },
  "late-jobs": {
    bad: every(20, START, START + 5 * HOUR, (minute) => (minute - START + 30) * 60),
    toldBy: START + 5,
    good: [["Nextcloud is away for 25 minutes", every(1, START, START + 25, (minute) => (minute - START) * 60)]],
  },
  "jobs-not-taken": {
    bad: every(1, START, START + 5 * HOUR, (minute) => (minute - START) * 60),
    toldBy: START + 2 * HOUR + 10,
    good: [["jobs wait for each other for an hour", every(1, START, START + HOUR, (minute) => (minute - START) * 60)]],
  },
  "configuration-errors": { bad: WAITING, toldBy: START + 5, good: QUIET },
  "unexpected-errors": { bad: [[START, 1]], toldBy: START + 5, good: QUIET },
  "crashes-receive": CRASHES,
  "crashes-provision": CRASHES,
  "crashes-reconcile": CRASHES,
  "crashes-replay": CRASHES,
  "receiver-errors": { bad: every(7, START, START + 2 * HOUR), toldBy: START + 5, good: QUIET },
  "throttled-deliveries": { bad: every(1, START, START + 3, () => 40), toldBy: START + 5, good: QUIET },
  "signature-failures": {
    // Clavex tries a delivery three times, then again later.
    bad: every(15, START, START + 2 * HOUR, () => 3),
    toldBy: START + 5,
    good: [["one wrong delivery an hour, of whomever", every(60)]],
  },
  "malformed-deliveries": { bad: [[START, 1]], toldBy: START + 5, good: QUIET },
  "reconcile-failures": {
    bad: every(10, START, START + 4 * HOUR),
    toldBy: START + 25,
    good: [
      ["one run fails", [[START, 1]]],
      ["every third hour a run fails", every(3 * HOUR)],
    ],
  },
  "no-reconciliation": {
    bad: every(1, 0, START + 6 * HOUR, (minute) => (minute < START ? (minute % 10) * 60 : (minute - START) * 60)),
    toldBy: START + 2 * HOUR + 5,
    good: [["a run every ten minutes", every(1, 0, DAY, (minute) => (minute % 10) * 60)]],
  },
  "no-ticks": {
    bad: every(1, 0, START),
    toldBy: START + 20,
    lasts: true,
    good: [
      ["a tick a minute", every(1)],
      ["ten minutes without a tick", [...every(1, 0, START), ...every(1, START + 10)]],
    ],
  },
};

describe("every alarm", () => {
  it("has a day on which it is raised, and one on which it is not", () => {
    expect([...rules.keys()].sort()).toEqual(Object.keys(DAYS).sort());
  });
});

describe.each(Object.entries(DAYS))("the alarm %s, by its own rule over a day", (name, {
  bad,
  toldBy,
  lasts,
  good,
}) => {
  const rule = rules.get(name);
  if (!rule) throw new Error(`there is no alarm ${name}`);

  test("is raised in time, stays while the trouble lasts, and ends: two mails", () => {
    const [raised, ended, ...more] = mailsOf(rule, bad);
    expect(raised).toMatchObject({ state: "ALARM" });
    expect(raised?.minute).toBeGreaterThan(START);
    expect(raised?.minute).toBeLessThanOrEqual(toldBy);
    expect(more).toEqual([]);
    if (lasts) return expect(ended).toBeUndefined();
    expect(ended).toMatchObject({ state: "OK" });
    expect(ended?.minute).toBeGreaterThan(Math.max(...bad.map(([minute]) => minute)));
  });

  test.each(good)("is silent when %s", (_what, points) => {
    expect(mailsOf(rule, points)).toEqual([]);
  });
});

describe.each([15, 30, 60, 240])("with lightMinutes %i", (lightMinutes) => {
  const others = alarmRules(synthesize({ lightMinutes: String(lightMinutes) }).template);
  const rule = (name: string) => others.get(name) as NonNullable<ReturnType<typeof others.get>>;
  /** A run that fails is tried again within the hour. */
  const retry = Math.min(lightMinutes, HOUR);

  test("three failures in a row are told, one is not, and one waiting matter is two mails", () => {
    const failing = every(retry, START, START + 6 * HOUR);
    const [raised, ...later] = mailsOf(rule("reconcile-failures"), failing);
    expect(raised).toMatchObject({ state: "ALARM" });
    expect(raised?.minute).toBeLessThanOrEqual(START + 2 * retry + 5);
    expect(later).toHaveLength(1);
    expect(mailsOf(rule("reconcile-failures"), [[START, 1]])).toEqual([]);
    for (const name of ["brake", "leaves-held", "configuration-errors"])
      expect(mailsOf(rule(name), failing)).toHaveLength(2);
  });

  test("leavers who can still log in are two mails, however far apart the runs are", () => {
    expect(mailsOf(rule("leavers-still-enabled"), every(lightMinutes, START, START + 9 * HOUR))).toHaveLength(2);
  });

  test("a usual day is no missing reconciliation, half a day without one is", () => {
    const age = (minute: number) => (minute % lightMinutes) * 60;
    expect(mailsOf(rule("no-reconciliation"), every(1, 0, DAY, age))).toEqual([]);
    const stopped = every(1, 0, DAY, (minute) => minute * 60);
    expect(mailsOf(rule("no-reconciliation"), stopped)).toMatchObject([{ state: "ALARM" }]);
  });
});
