import { believed } from "./clock.ts";
import { type Job, originOf } from "./job.ts";
import type { Organization } from "./organization.ts";
import type { Person } from "./person.ts";
import type { SubjectRecord } from "./record.ts";

/** How long before a job the groups may have been read at most, where it is not about them, or where a run has just read them. */
const GROUP_MAP_AGE_MS = 60_000;

/** Whether the groups of people matter to the organization at all. */
export function readsGroups({ groups, scope, quota }: Organization): boolean {
  return groups.managed.length > 0 || scope.groups.length > 0 || Object.keys(quota.byGroup).length > 0;
}

/**
 * The earliest reading of the groups that a job may use. A plain user webhook says nothing about groups, and one that was made
 * lately will do. Thousands of jobs of one run share a reading, if it was made after theirs. Every other reason for a job may be
 * about groups that have changed just before.
 *
 * @param sentAt when the job's message was sent (milliseconds since the epoch), as all times here
 */
export function groupsWantedSince({ trigger }: Pick<Job, "trigger">, sentAt: number, now: number): number {
  const lately = Math.min(sentAt, now - GROUP_MAP_AGE_MS);
  if (trigger.kind === "reconcile" && trigger.foundAt !== undefined)
    return Math.min(sentAt, Math.max(trigger.foundAt, lately));
  return trigger.kind === "webhook" && trigger.about !== "membership" ? lately : sentAt;
}

/**
 * Whether what was applied last was read late enough for this job too: then applying it again could change nothing. The person
 * must have been read after the message was sent, the groups as late as the job would read them now.
 */
export function isSuperseded(
  record: SubjectRecord | undefined,
  job: Pick<Job, "trigger">,
  sentAt: number,
  now: number,
): boolean {
  if (!record?.applied) return false;
  const { readAt, userReadAt } = record.applied;
  // Read later than now, by a clock that was or is ahead; reading again costs one request.
  if (Math.max(readAt, userReadAt) > now) return false;
  return userReadAt > sentAt && readAt >= groupsWantedSince(job, sentAt, now);
}

/** Whether a job says that its person is gone for good. Believed only where the directory cannot be read. */
export function saysDeleted({ trigger }: Pick<Job, "trigger">): boolean {
  const original = originOf(trigger);
  return original.kind === "webhook" && original.about === "deletion";
}

/**
 * Without an API key only the ledger keeps order: a deletion is final, and a strictly older snapshot loses. It does not lose to one
 * that is of a time later than now, for the directory's clock has been set back since; unless it is of such a time itself: then that
 * clock is ahead, and orders both.
 */
export function isStale(record: SubjectRecord | undefined, snapshot: Person | undefined, now: number): boolean {
  if (!record || !snapshot) return false;
  if (record.state === "deleted") return true;
  const { version } = record;
  const isAhead = (time: string): boolean => believed(Date.parse(time), now) === undefined;
  if (version === undefined || snapshot.updatedAt >= version) return false;
  return !isAhead(version) || isAhead(snapshot.updatedAt);
}
