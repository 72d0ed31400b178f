import type { SubjectEntry } from "../ledger/ledger.ts";
import type { DesiredAccount } from "./desired.ts";
import type { Organization } from "./organization.ts";

/** The event of the jobs that may delete an account; only a full reconciliation sends them. */
export const GRACE_OVER = "grace.over";

const DAY_MS = 24 * 60 * 60_000;

/** Whether a person's account may be deleted: the policy says so, we disabled it, and the grace days are over. */
export function isDeletable(
  organization: Organization,
  desired: DesiredAccount,
  entry: SubjectEntry | undefined,
  now: number,
): boolean {
  if (desired.state === "active" || organization.deprovision[desired.state] !== "delete") return false;
  if (!entry?.disabledByUs || entry.goneSince === undefined) return false;
  return now - entry.goneSince >= organization.deprovision.graceDays * DAY_MS;
}
