import { LONGEST_MAP_MS } from "../clavex/group-map.ts";
import { LONGEST_REQUEST_MS } from "../http.ts";

/** What one container of the worker does at the same time. */
export const CONTAINER_LIMITS = {
  /** One connection to each Nextcloud: the function's concurrency is what limits the load on it. */
  nextcloudConnections: 1,
  concurrentSubjects: 4,
} as const;

/** After this time a job starts no further request, and its queued requests are no longer sent. */
export const JOB_MS = 60_000;

/**
 * What one silent server may hold: no more than half of the subjects that are worked on at the same time.
 */
export const SILENCE_LIMITS = { most: CONTAINER_LIMITS.concurrentSubjects / 2, afterMs: 3_000 } as const;

/** For what is written at the end of a job and of a batch, even if ledger and queue answer nothing: three requests, to their end. */
const WRITING_MS = 30_000;

/**
 * The longest that a job which has begun may still take, however slow the servers are: the last thing it begins is a reading of
 * all groups, or a request, and both have an end. None begins with less time left.
 */
export const LONGEST_JOB_MS = JOB_MS + LONGEST_MAP_MS + LONGEST_REQUEST_MS + WRITING_MS;
