import type { SubjectState } from "./account.ts";
import type { Organization } from "./organization.ts";
import type { SubjectRecord } from "./record.ts";

const DAY_MS = 24 * 60 * 60_000;

/** Whether a person's account may be deleted: the policy wants it, we disabled it, and the grace period is over. */
export function isDeletable(
  organization: Organization,
  state: SubjectState,
  record: SubjectRecord | undefined,
  now: number,
): boolean {
  if (state === "active" || organization.deprovision[state] !== "delete") return false;
  if (!record?.disabledByUs || record.goneSince === undefined) return false;
  return now - record.goneSince >= organization.deprovision.graceDays * DAY_MS;
}
