const FIRST_DELAY_SECONDS = 30;
const LONGEST_DELAY_SECONDS = 15 * 60;
const SPREAD = 0.33;

/** How long a failed job waits: given how often it has been received, and the least time its failure asks for (seconds). */
export type RetryDelay = (receiveCount: number, atLeast?: number) => number;

/**
 * The delay before the next attempt, in whole seconds: min(15 min, 30 s x 2^n) x uniform(1, 1.33), or what the server asked
 * for if that is longer. With it a message is received less than 1000 times in ten days of outage, the most SQS counts.
 *
 * @param random uniform in [0, 1)
 */
export function createRetryDelay(
  random: () => number = Math.random,
  firstDelaySeconds = FIRST_DELAY_SECONDS,
): RetryDelay {
  return (receiveCount, atLeast = 0) => {
    const steps = Math.max(0, receiveCount - 1);
    const delay = Math.min(LONGEST_DELAY_SECONDS, firstDelaySeconds * 2 ** Math.min(steps, 30));
    return Math.ceil(Math.max(delay * (1 + SPREAD * random()), atLeast));
  };
}
