import { activityOf } from "../core/activity.ts";
import type { Fields, Log } from "../telemetry/log.ts";
import type { RecordActivity } from "./activity-log.ts";

/** The same log, which also records lines that report an activity; debug lines never do. */
export function recording(log: Log, record: RecordActivity, now: () => number = Date.now): Log {
  const told =
    (level: "info" | "warn" | "error") =>
    (message: string, fields: Fields = {}): void => {
      log[level](message, fields);
      const activity = activityOf({ at: now(), message, fields });
      if (activity) record(activity);
    };
  return { debug: log.debug, info: told("info"), warn: told("warn"), error: told("error") };
}
