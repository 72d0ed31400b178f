import { believed } from "./clock.ts";

/**
 * The kinds of scheduled runs. `watch` compares the counts of the directory's groups, `light` the directory with the ledger,
 * `full` the directory with Nextcloud.
 */
export type RunKind = "watch" | "light" | "full";

/** The last run of one kind. All times in milliseconds since the epoch. */
export interface LastRun {
  beganAt: number;
  /** Missing while the run is under way, and for ever when it was killed. */
  endedAt?: number | undefined;
  /** How it ended: `done`, or the code of what went wrong. */
  result?: string | undefined;
  /** When the last run that ended with `done` began: what it read is at least as new. */
  doneAt?: number | undefined;
  /** What that one found; missing for the group watch, and where an older version wrote it. */
  found?: RunFindings | undefined;
}

/** What a run found, and what became of it. */
export interface RunFindings {
  /** People in the directory, and the accounts of theirs that Nextcloud has: light runs do not look at these. */
  people: number;
  accounts?: number | undefined;
  /** People who are not as desired, and the jobs that were sent for them. */
  differences: number;
  sent: number;
  /** Accounts that the ledger knew as enabled, and people who left and whose account Nextcloud refused to disable. */
  enabled?: number | undefined;
  leaversStillEnabled?: number | undefined;
  /** Why nobody lost access, or a group, although people were to, or nobody who was not read: see `Held` of core/brake.ts. */
  held?: HeldBack | undefined;
  heldLeaves?: HeldBack | undefined;
}

interface HeldBack {
  reason: string;
  people: number;
  explanation: string;
}

/** What the ledger remembers of an organization's runs. */
export type LastRuns = Partial<Record<RunKind, LastRun>>;

/** How often each kind runs; 0 for never. */
export interface Intervals {
  watchSeconds: number;
  lightMinutes: number;
  fullHours: number;
}

export const DEFAULT_INTERVALS: Intervals = { watchSeconds: 60, lightMinutes: 10, fullHours: 24 };
/** Leaves every run to whoever calls it. */
export const NEVER: Intervals = { watchSeconds: 0, lightMinutes: 0, fullHours: 0 };

/** How far apart two ticks are. */
export const TICK_MS = 60_000;

/**
 * How long a run keeps others of its kind out if it never ends; light and full runs share one lock. Longer than a run may
 * take, so that a killed run does not block the next one for long.
 */
export const LOCK_MS: Readonly<Record<RunKind, number>> = { watch: 3 * 60_000, light: 16 * 60_000, full: 16 * 60_000 };

/** How long a run may take before it gives up; what it still waits for then has to end within the lock's time. */
export const DEADLINE_MS: Readonly<Record<RunKind, number>> = {
  watch: 60_000,
  light: 14 * 60_000,
  full: 14 * 60_000,
};

/** After a failure a run is tried again when this time, or its interval if that is shorter, has passed since it began. */
const RETRY_MS = 60 * 60_000;
/** Ticks are not exactly a minute apart: without this a run of every minute would miss every second one. */
const EARLY_MS = TICK_MS / 2;

/**
 * Which runs of an organization are due. A light and a full run never go together: a full one that is due comes first, and
 * counts as a light one when it is done. Only after a full run that did not get to its end a light one that is due goes
 * before the next attempt, so that a full run that never succeeds does not keep light runs from happening.
 *
 * @param now milliseconds since the epoch
 * @param since when the organization was resumed after a pause: a full run is due that has not begun since then
 */
export function due(remembered: LastRuns, intervals: Intervals, now: number, since?: number): RunKind[] {
  const { watch, light, full } = runsSince(believedRuns(remembered, now), believed(since, now));
  const interval: Record<RunKind, number> = {
    watch: intervals.watchSeconds * 1000,
    light: intervals.lightMinutes * 60_000,
    full: intervals.fullHours * 60 * 60_000,
  };
  const isDue = (kind: RunKind, run: LastRun | undefined) =>
    interval[kind] > 0 && now >= nextAt(kind, run, interval[kind]);
  const kinds: RunKind[] = [];
  if (!isUnderWay("light", light, now) && !isUnderWay("full", full, now)) {
    const lightIsDue =
      isDue("light", light) && now >= (full?.doneAt ?? Number.NEGATIVE_INFINITY) + interval.light - EARLY_MS;
    const lightsTurn =
      lightIsDue && full !== undefined && full.result !== "done" && !(light && light.beganAt > full.beganAt);
    if (isDue("full", full) && !lightsTurn) kinds.push("full");
    else if (lightIsDue) kinds.push("light");
  }
  if (isDue("watch", watch)) kinds.push("watch");
  return kinds;
}

/** When the next run of this kind is due. */
function nextAt(kind: RunKind, run: LastRun | undefined, interval: number): number {
  if (run === undefined) return Number.NEGATIVE_INFINITY;
  if (run.endedAt === undefined) return run.beganAt + LOCK_MS[kind];
  return run.beganAt + (run.result === "done" ? interval : Math.min(interval, RETRY_MS)) - EARLY_MS;
}

function isUnderWay(kind: RunKind, run: LastRun | undefined, now: number): boolean {
  return run !== undefined && run.endedAt === undefined && now < run.beganAt + LOCK_MS[kind];
}

/** Times later than now come from a wrong clock: if they were believed, a run could be put off for years. */
function believedRuns(runs: LastRuns, now: number): LastRuns {
  const kinds: RunKind[] = ["watch", "light", "full"];
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const run = runs[kind];
      if (run === undefined || believed(run.beganAt, now) === undefined) return [];
      return [[kind, { ...run, doneAt: believed(run.doneAt, now) }]];
    }),
  );
}

/**
 * How old what is known of an organization is: when the last light or full run began that came to its end, or when the
 * organization was resumed since. Undefined before the first one: its failure is reported separately.
 */
export function latestReconciliation(runs: LastRuns, resumedAt: number | undefined, now: number): number | undefined {
  const { light, full } = believedRuns(runs, now);
  const ended = [light?.doneAt, full?.doneAt].filter((each) => each !== undefined);
  return ended.length === 0 ? undefined : Math.max(...ended, believed(resumedAt, now) ?? 0);
}

/** Without a full run that began before a time, as if there had never been one. */
function runsSince({ full, ...others }: LastRuns, since = Number.NEGATIVE_INFINITY): LastRuns {
  return full !== undefined && full.beganAt >= since ? { ...others, full } : others;
}

/** A run begins: it is under way until it ends, or its lock does. */
export function begun(last: LastRun | undefined, now: number): LastRun {
  // What a newer version has written beside it is kept.
  return { ...last, beganAt: now, endedAt: undefined, result: undefined };
}

/**
 * A run has ended.
 *
 * @param result `done`, or the code of what went wrong
 * @param found what it found, if it is done
 */
export function ended(run: LastRun, result: string, now: number, found?: RunFindings): LastRun {
  const last = result === "done" ? { doneAt: run.beganAt, found } : { doneAt: run.doneAt, found: run.found };
  return { ...run, endedAt: now, result, ...last };
}
