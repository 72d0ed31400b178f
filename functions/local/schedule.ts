import type { Organizations } from "../config/organizations.ts";
import type { Mode } from "../reconcile/drift-report.ts";
import type { Reconcile } from "../reconcile/reconcile.ts";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";

/** How often the reconciliations run. */
export interface Intervals {
  lightMinutes: number;
  fullHours: number;
}

export const DEFAULT_INTERVALS: Intervals = { lightMinutes: 10, fullHours: 24 };

/**
 * Runs the reconciliations of all organizations at their intervals, the first one interval after the start.
 *
 * @returns a function that stops them and resolves when the one in progress is finished
 */
export function startSchedule(
  { lightMinutes, fullHours }: Intervals,
  { organizations, reconcile, log }: { organizations: Organizations; reconcile: Reconcile; log: Log },
): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();

  async function runAll(mode: Mode): Promise<void> {
    for (const slug of await organizations.slugs()) {
      await reconcile(slug, mode).catch((error) => {
        log.error("reconcile failed", { organization: slug, mode, ...problemOf(error) });
      });
    }
  }

  const every = (milliseconds: number, mode: Mode) =>
    setInterval(() => {
      running = running.then(() => runAll(mode));
    }, milliseconds);
  const timers = [every(lightMinutes * 60_000, "light"), every(fullHours * 3_600_000, "full")];
  return async () => {
    for (const timer of timers) clearInterval(timer);
    await running;
  };
}
