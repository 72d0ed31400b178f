import { type CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import * as z from "zod";
import {
  ACTIVITY_MESSAGES,
  type Activity,
  type ActivityFilter,
  activityOf,
  matchesActivity,
} from "../core/activity.ts";
import { PipelineFailure } from "../core/failure.ts";
import { sideBySide } from "../side-by-side.ts";
import type { ActivityLog, ActivityPage } from "./activity-log.ts";

/** CloudWatch does not return what the functions logged. */
class LogsUnavailable extends PipelineFailure {
  constructor(cause: unknown) {
    const name = cause instanceof Error ? cause.name : "unknown error";
    super("transient", "logs-unavailable", `the functions' logs cannot be read from CloudWatch (${name})`, "subject", {
      ...(name === "AccessDeniedException" ? { fix: "Allow logs:FilterLogEvents on the stage's log groups." } : {}),
      cause,
    });
  }
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** How far a look goes back, step by step: logs are read forwards only, and the newest are wanted. */
const LOOK_BACK_MS = [10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS, 10 * DAY_MS, 30 * DAY_MS];
/** Lines reach CloudWatch late and out of order: this much is read again each time. */
const LATE_MS = MINUTE_MS;
/** Per log group and look; a page may be empty. */
const MOST_PAGES = 500;

const cursorSchema = z.object({ from: z.number(), seen: z.array(z.string()) });

interface Found {
  id: string;
  activity: Activity;
}

/**
 * The activities that the functions of a stage have logged.
 *
 * @param logGroups their names
 */
export function createCloudWatchActivities(
  client: CloudWatchLogsClient,
  logGroups: readonly string[],
  now: () => number = Date.now,
): ActivityLog {
  async function read(filter: ActivityFilter, from: number, to: number): Promise<Found[]> {
    const found: Found[] = [];
    await sideBySide(logGroups, logGroups.length, async (logGroupName) => {
      let nextToken: string | undefined;
      for (let page = 0; page < MOST_PAGES; page += 1) {
        const answer = await client
          .send(
            new FilterLogEventsCommand({
              logGroupName,
              filterPattern: patternOf(filter),
              startTime: from,
              endTime: to,
              nextToken,
            }),
          )
          .catch((error: unknown) => {
            throw new LogsUnavailable(error);
          });
        for (const { eventId = "", timestamp = 0, message = "" } of answer.events ?? []) {
          const activity = parse(timestamp, message);
          if (activity && matchesActivity(filter, activity)) found.push({ id: eventId, activity });
        }
        nextToken = answer.nextToken;
        if (nextToken === undefined) return;
      }
    });
    return found.sort((a, b) => a.activity.at - b.activity.at);
  }

  function pageOf(found: Found[], activities: Activity[], since: number, until: number): ActivityPage {
    const from = Math.max(since, until - LATE_MS);
    const seen = found.filter(({ activity }) => activity.at >= from).map(({ id }) => id);
    return { activities, next: JSON.stringify({ from, seen }) };
  }

  return {
    async last(filter, most) {
      const started = now();
      const earliest = Math.max(filter.since ?? 0, started - (LOOK_BACK_MS.at(-1) ?? 0));
      let found: Found[] = [];
      // The last millisecond is part of what is read.
      let to = started;
      for (const back of LOOK_BACK_MS) {
        const from = Math.max(earliest, started - back);
        found = [...(await read(filter, from, to)), ...found];
        if (found.length >= most || from === earliest) break;
        to = from - 1;
      }
      const activities = found.slice(-most).map(({ activity }) => activity);
      return pageOf(found, activities, 0, started);
    },
    async after(next, filter) {
      const { from, seen } = cursorSchema.parse(JSON.parse(next));
      const started = now();
      const found = await read(filter, from, started);
      const before = new Set(seen);
      const activities = found.filter(({ id }) => !before.has(id)).map(({ activity }) => activity);
      return pageOf(found, activities, from, started);
    },
  };
}

/** Lets CloudWatch filter as far as its patterns can express it; see `matchesActivity`. */
function patternOf({ organization, subject }: ActivityFilter): string {
  const any = (conditions: readonly string[]): string => `(${conditions.join(" || ")})`;
  const parts = [any(ACTIVITY_MESSAGES.map((message) => `$.message = "${message}"`))];
  // A job that failed is known by its FIFO group.
  if (organization !== undefined)
    parts.push(any([`$.organization = "${organization}"`, `$.group = "${organization}#*"`]));
  if (subject !== undefined) parts.push(any([`$.subject = "${subject}"`, `$.group = "*#${subject}"`]));
  return `{ ${parts.join(" && ")} }`;
}

/** The activity that a line of the functions' log describes. */
function parse(at: number, line: string): Activity | undefined {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  const { level, message, ...fields } = json as Record<string, unknown>;
  return typeof message === "string" && level !== "DEBUG" ? activityOf({ at, message, fields }) : undefined;
}
