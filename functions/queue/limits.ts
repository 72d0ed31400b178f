/** Limits of the job queue, the same on AWS and on one machine; docs/operations.md has the arithmetic behind them. */
export const QUEUE_LIMITS = {
  /** SQS's maximum. */
  maxReceiveCount: 1000,
  /** SQS's maximum, 14 days. */
  retentionSeconds: 14 * 24 * 60 * 60,
  /** Before either limit a message is replaced by a fresh copy, so that an outage of any length loses nothing. */
  renewAtReceives: 900,
  renewAtSeconds: 12 * 24 * 60 * 60,
  /** The longest that a job waits for its next attempt: core/retry.ts. */
  longestWaitSeconds: 20 * 60,
} as const;

/** Whether the queue would soon give a message up: so often has it been received, or so old is it. */
export function isNearItsEnd({ receiveCount, sentAt }: { receiveCount: number; sentAt: number }, now: number): boolean {
  return receiveCount >= QUEUE_LIMITS.renewAtReceives || now - sentAt >= QUEUE_LIMITS.renewAtSeconds * 1_000;
}
