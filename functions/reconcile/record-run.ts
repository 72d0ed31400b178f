import { Failure } from "../core/failure.ts";
import { begun, ended, type RunFindings, type RunKind } from "../core/schedule.ts";
import type { Runs } from "../ledger/runs.ts";

export interface RecordRunDependencies {
  ledger: { runs: Runs };
  now: () => number;
}

/**
 * Does the work of a run whose lock is held, and writes down when it began and ended, and how. Whoever has no lock writes
 * nothing: a run that finds another one under way leaves the schedule as it is.
 *
 * @param findingsOf what is remembered of what the work came to
 * @param readAt when what it works with was read, where that was before
 */
export async function recordRun<T extends { result: string }>(
  { ledger, now }: RecordRunDependencies,
  organization: string,
  kind: RunKind,
  work: () => Promise<T>,
  { findingsOf, readAt }: { findingsOf?: (outcome: T) => RunFindings; readAt?: number | undefined } = {},
): Promise<T> {
  const run = begun((await ledger.runs.of(organization))[kind], readAt ?? now());
  await ledger.runs.put(organization, kind, run);
  const end = (result: string, found?: RunFindings) =>
    ledger.runs.put(organization, kind, ended(run, result, now(), found));
  let outcome: T;
  try {
    outcome = await work();
  } catch (error) {
    // If this is not written either, the run counts as killed: it is due again when its lock expires.
    await end(error instanceof Failure ? error.code : "unexpected").catch(() => undefined);
    throw error;
  }
  await end(outcome.result, findingsOf?.(outcome));
  return outcome;
}
