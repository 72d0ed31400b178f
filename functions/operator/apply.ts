import type { Held } from "../core/brake.ts";
import { isWithin } from "../core/clock.ts";
import type { Organization } from "../core/organization.ts";
import {
  type DriftReportDependencies,
  driftReport,
  type FullDrift,
  type FullReport,
  takesAway,
} from "../reconcile/drift-report.ts";
import type { Reconcile, Run } from "../reconcile/reconcile.ts";
import { type Awaited, awaitedOf } from "./wait.ts";

/** A plan as an operator looks at it. Times are milliseconds since the epoch. */
export interface Plan {
  report: FullReport;
  /** When its reading began, and when it could be looked at. */
  readAt: number;
  shownAt: number;
}

/** Somebody for whom a job was sent, with their name. */
export type Sent = Awaited & { name: string | undefined };

/** How much of what was typed in is repeated. */
const MOST_SHOWN = 40;

/** How long a plan may be applied; after that it is outdated. */
export const FRESH_MS = 10 * 60_000;

/** Computes what a full reconciliation would do. Changes nothing. */
export async function makePlan(
  organization: Organization,
  { now = Date.now, ...dependencies }: DriftReportDependencies,
): Promise<Plan> {
  const readAt = now();
  const report = await driftReport(organization, "full", { ...dependencies, now });
  return { report, readAt, shownAt: now() };
}

/** Who would lose access, and who else a group. */
export function losses({ differences }: FullReport): { closing: FullDrift[]; leaving: FullDrift[] } {
  const closing = differences.filter(takesAway);
  const leaving = differences.filter((each) => !takesAway(each) && each.losesGroup);
  return { closing, leaving };
}

/** How many people would lose access or a group: the number that has to be typed in. */
export function losers(plans: readonly Plan[]): number {
  return plans.reduce((sum, { report }) => {
    const { closing, leaving } = losses(report);
    return sum + closing.length + leaving.length;
  }, 0);
}

/** Said of a plan that is too old to be applied. */
export const OUTDATED = "Nothing was done: this plan is too old. Compute it again.";

export const isFresh = ({ shownAt }: Plan, now: number): boolean => isWithin(shownAt, FRESH_MS, now);

/**
 * Why plans must not be applied as they were shown, if so, in one sentence.
 *
 * @param typed what was typed in to confirm that people lose something; undefined where that was confirmed another way
 */
export function refusal(plans: readonly Plan[], typed: string | undefined, now: number): string | undefined {
  if (!plans.every((plan) => isFresh(plan, now))) return OUTDATED;
  const needed = losers(plans);
  if (needed === 0 || typed === undefined || typed.trim() === String(needed)) return undefined;
  return `Nothing was done: ${needed} was to be typed in, not "${typed.trim().slice(0, MOST_SHOWN)}".`;
}

/** Whether a brake's limit holds them: then an operator may allow them. Otherwise the reading cannot be trusted. */
export const isOverLimit = (held: Held | undefined): boolean => held?.reason === "brake" || held?.reason === "leaves";

/**
 * Applies a plan for which there is no `refusal`: sends a job for each of its people. The brake holds whom it would hold in any run.
 *
 * @param allow lets all through whom the brake's limit holds; then everything is evaluated again
 * @param onSent called with those for whom jobs were sent, some at a time: so they are known even if the run fails later
 * @throws {Failure} when ledger, queue, or one of the systems cannot be used
 */
export async function applyPlan(
  reconcile: Reconcile,
  { report, readAt }: Plan,
  { allow = false, onSent = () => undefined }: { allow?: boolean; onSent?: (jobs: Sent[]) => void } = {},
): Promise<Run> {
  const { organization: slug, differences, held, heldLeaves } = report;
  const allowed = {
    ...(allow && isOverLimit(held) ? { allowDeprovisions: losses(report).closing.length } : {}),
    ...(allow && isOverLimit(heldLeaves)
      ? { allowLeaves: differences.filter(({ losesGroup }) => losesGroup).length }
      : {}),
  };
  const isJudged = Object.keys(allowed).length === 0;
  return reconcile(slug, "full", {
    ...(isJudged ? { shown: { report, readAt } } : allowed),
    onSent: (drifts) => onSent(drifts.map((drift) => ({ ...awaitedOf(slug, drift), name: drift.name }))),
  });
}
