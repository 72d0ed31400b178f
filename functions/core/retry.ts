const FIRST_DELAY_SECONDS = 30;
const LONGEST_DELAY_SECONDS = 15 * 60;
const SPREAD = 0.33;
const PROBE_SECONDS = 60;
const HOUR_MS = 60 * 60_000;

/**
 * Why a job has to wait. Tried in vain: how often in a row, this time included, and the minimum its failure asks for
 * (seconds). Put off untried: for how long its server has been away (milliseconds).
 */
export type Wait = { failures: number; atLeast: number | undefined } | { untriedForMs: number };

/** How long a job waits for its next attempt, in whole seconds. */
export type RetryDelay = (wait: Wait) => number;

/**
 * The delay before the next attempt. After a failure: min(15 min, 30 s x 2^n) x uniform(1, 1.33), or what the server asked for
 * if that is longer, but never more than 15 minutes for its sake. A job that was put off untried comes back after 30 to 60 s
 * during the first hour, so that an outage is over within a minute or two of its end, and after 15 minutes later.
 *
 * @param random uniform in [0, 1)
 */
export function createRetryDelay(
  random: () => number = Math.random,
  firstDelaySeconds = FIRST_DELAY_SECONDS,
): RetryDelay {
  const spread = (seconds: number): number => seconds * (1 + SPREAD * random());
  return (wait) => {
    if ("untriedForMs" in wait) {
      const short = wait.untriedForMs < HOUR_MS;
      return Math.ceil(short ? firstDelaySeconds * (1 + random()) : spread(LONGEST_DELAY_SECONDS));
    }
    const steps = Math.max(0, wait.failures - 1);
    const delay = Math.min(LONGEST_DELAY_SECONDS, firstDelaySeconds * 2 ** Math.min(steps, 30));
    return Math.ceil(Math.max(spread(delay), Math.min(wait.atLeast ?? 0, LONGEST_DELAY_SECONDS)));
  };
}

/** How long a circuit stays open before its next probe, in seconds; given the minimum that the failure asks for. */
export type ProbeDelay = (atLeast: number | undefined) => number;

/** One probe a minute, or later where the server asks for that, but at least every 15 minutes. */
export function createProbeDelay(seconds = PROBE_SECONDS): ProbeDelay {
  return (atLeast = 0) => Math.max(seconds, Math.min(atLeast, LONGEST_DELAY_SECONDS));
}
