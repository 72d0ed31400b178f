import { setTimeout as sleep } from "node:timers/promises";
import type { ActivityLog } from "../activity/activity-log.ts";
import type { Activity, ActivityFilter } from "../core/activity.ts";

export interface FollowOptions {
  /** How many of those that happened before to begin with. */
  most: number;
  /** How long between two looks, in milliseconds. */
  everyMs: number;
  /** Ends the following. */
  signal: AbortSignal;
}

/**
 * The newest activities that match, then those that come: some at a time, the oldest first, and none when nothing came.
 *
 * @throws {Failure} when they cannot be read
 */
export async function* followActivities(
  log: ActivityLog,
  filter: ActivityFilter,
  { most, everyMs, signal }: FollowOptions,
): AsyncGenerator<Activity[]> {
  let page = await log.last(filter, most);
  while (!signal.aborted) {
    yield page.activities;
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) page = await log.after(page.next, filter);
  }
}
