/** What one container of the worker does at the same time. */
export const CONTAINER_LIMITS = {
  /** One connection to each Nextcloud: the function's concurrency is what limits the load on it. */
  nextcloudConnections: 1,
  concurrentSubjects: 4,
} as const;
