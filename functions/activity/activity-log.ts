import type { Activity, ActivityFilter } from "../core/activity.ts";

/** Some of what happened, the oldest first. */
export interface ActivityPage {
  activities: Activity[];
  /** Where a later look goes on: what `after` takes. Opaque. */
  next: string;
}

/** Reads what happened lately. */
export interface ActivityLog {
  /**
   * The newest that match.
   *
   * @param most how many
   * @throws {Failure} when it cannot be read now
   */
  last(filter: ActivityFilter, most: number): Promise<ActivityPage>;
  /**
   * What came since an earlier look.
   *
   * @throws {Failure} when it cannot be read now
   */
  after(next: string, filter: ActivityFilter): Promise<ActivityPage>;
}

/** Records what happens, within a second; never fails. */
export type RecordActivity = (activity: Activity) => void;
