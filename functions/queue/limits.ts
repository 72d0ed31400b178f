/** Limits of the job queue, the same on AWS and on one machine; docs/operations.md has the arithmetic behind them. */
export const QUEUE_LIMITS = {
  /** SQS's most: with the retry delays, ten days of outage stay below it. */
  maxReceiveCount: 1000,
  /** SQS's most, 14 days. */
  retentionSeconds: 14 * 24 * 60 * 60,
} as const;
