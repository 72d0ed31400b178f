import type { Organizations } from "../config/organizations.ts";
import { Failure } from "../core/failure.ts";
import { resumedAt } from "../core/pause.ts";
import {
  begun,
  DEADLINE_MS,
  due,
  ended,
  type Intervals,
  latestReconciliation,
  type RunKind,
} from "../core/schedule.ts";
import { withDeadline } from "../deadline.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { type AskPaused, createAskPaused } from "../ledger/pause.ts";
import type { Countable, Sender } from "../queue/queue.ts";
import { sideBySide } from "../side-by-side.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counters } from "../telemetry/metrics.ts";
import { problemOf } from "../telemetry/problem.ts";
import { sendWaitingEdits } from "./edits.ts";
import { createPace } from "./pace.ts";
import type { Reconcile } from "./reconcile.ts";
import type { Watch } from "./watch.ts";

/**
 * Runs one kind for one organization now, and reports the result; never rejects.
 *
 * @param milliseconds how much time it has, if not as much as runs of its kind
 */
export type ScheduledRun = (slug: string, kind: RunKind, milliseconds?: number) => Promise<void>;

export interface RunDependencies {
  reconcile: Reconcile;
  watch: Watch;
  queue: Countable;
  log: Log;
  counters: Counters;
}

/** What a run that found another one under way, or failed, leaves behind is a log line and a count: the next tick goes on. */
export function createScheduledRun({ reconcile, watch, queue, log, counters }: RunDependencies): ScheduledRun {
  const report = createReport({ log, counters });
  return async (slug, kind, milliseconds = DEADLINE_MS[kind]) => {
    const run = (deadline: AbortSignal): Promise<{ result: string }> =>
      kind === "watch" ? watch(slug, { deadline }) : reconcile(slug, kind, { deadline, pace: createPace(queue, slug) });
    try {
      const { result } = await withDeadline(milliseconds, run);
      if (result === "held") counters.count("LeavesHeld");
      if (result !== "busy") return;
      counters.count("ReconcileBusy");
      log.info("reconcile busy", { organization: slug, mode: kind, problem: "another run is under way" });
    } catch (error) {
      report(error, kind, slug);
    }
  };
}

/** Logs and counts why a run, or a whole tick, failed. */
export type Report = (error: unknown, mode: RunKind | "tick", slug?: string) => void;

export function createReport({ log, counters }: Pick<RunDependencies, "log" | "counters">): Report {
  return (error, mode, slug) => {
    const problem = problemOf(error);
    const reconciles = problem.class === "configuration" ? "ConfigurationErrors" : "ReconcileFailures";
    if (!(error instanceof Failure)) counters.count("UnexpectedErrors");
    // The watch runs again within a minute, and a light run reports a lasting failure.
    counters.count(mode === "watch" ? "WatchFailures" : reconciles);
    log[mode === "watch" ? "warn" : "error"]("reconcile failed", { organization: slug, mode, ...problem });
  };
}

export interface TickDependencies {
  organizations: Organizations;
  ledger: Pick<Ledger, "runs" | "pauses" | "identities" | "edits" | "subjects">;
  /** Whether organizations that the ledger does not know yet start paused. */
  startsPaused?: boolean;
  queue: Pick<Sender, "sendAll">;
  intervals: Intervals;
  /** Carries out what is due: here, or by an invocation for each. */
  run: (slug: string, kind: RunKind) => Promise<void>;
  report: Report;
  counters: Pick<Counters, "measure">;
  now?: () => number;
}

/** Organizations handled in parallel: a slow server holds up no organization but its own for long. */
const ORGANIZATIONS_AT_ONCE = 4;

/**
 * One tick of the schedule: for each organization, edits whose turn has come are sent and due runs start. Ticks may
 * overlap: a run in progress is not due. It never rejects.
 */
export function createTick(dependencies: TickDependencies): () => Promise<void> {
  const { organizations, ledger, report, startsPaused = false } = dependencies;
  const isPaused = createAskPaused(ledger, startsPaused);
  return async () => {
    try {
      await sideBySide(await organizations.slugs(), ORGANIZATIONS_AT_ONCE, async (slug) => {
        await tickOne({ ...dependencies, isPaused }, slug).catch((error) => report(error, "tick", slug));
      });
    } catch (error) {
      report(error, "tick");
    }
  };
}

async function tickOne(dependencies: TickDependencies & { isPaused: AskPaused }, slug: string): Promise<void> {
  const { organizations, ledger, intervals, run, report, counters, isPaused, now = Date.now } = dependencies;
  const [last, said] = await Promise.all([ledger.runs.of(slug), ledger.pauses.get(slug)]);
  if (said?.paused) return;
  await sendWaitingEdits(slug, dependencies).catch((error) => report(error, "tick", slug));
  const kinds = due(last, intervals, now(), resumedAt(said));
  if (kinds.length === 0) return;
  try {
    const organization = await organizations.get(slug);
    // Without an API key there is nothing to compare with.
    if (organization?.clavex.apiKey === undefined || (await isPaused(organization))) return;
    const read = latestReconciliation(last, resumedAt(said), now());
    if (read !== undefined) counters.measure("ReconcileAge", Math.max(0, now() - read) / 1_000);
  } catch (error) {
    // A broken document is reported as often as a light run would meet it, and not by every tick.
    const [kind] = kinds;
    if (!(error instanceof Failure) || kind === undefined || kind === "watch") return;
    report(error, kind, slug);
    await ledger.runs.put(slug, kind, ended(begun(last[kind], now()), error.code, now()));
    return;
  }
  await Promise.all(kinds.map((kind) => run(slug, kind)));
}
