const FIRST_DELAY_SECONDS = 30;
const LONGEST_DELAY_SECONDS = 15 * 60;
const SPREAD = 0.33;
const PROBE_SECONDS = 60;
const HOUR_MS = 60 * 60_000;

/**
 * Why a job has to wait. It failed: how often in a row, this time included, and the minimum that its failure asks for
 * (seconds). Put off untried: for how long its server has been away (milliseconds).
 */
export type Wait = { failures: number; atLeast: number | undefined } | { untriedForMs: number };

/** How long a job waits for its next attempt, in whole seconds. */
export type RetryDelay = (wait: Wait) => number;

export interface RetryOptions {
  /** Uniform in [0, 1). */
  random?: () => number;
  /** The first wait after a failure; doubled each time. */
  firstSeconds?: number | undefined;
  /** The shortest wait of a job that was put off untried, during an outage's first hour and later. */
  untriedSeconds?: number;
  untriedLaterSeconds?: number;
}

/**
 * The delay before the next attempt. After a failure: min(15 min, 30 s x 2^n) x uniform(1, 1.33), or what the server asked for
 * if that is longer, but that is capped at 15 minutes. A job that was put off untried comes back after 30 to 60 s
 * during the first hour, so that an outage is over within a minute or two of its end, and after 15 minutes later.
 */
export function createRetryDelay({
  random = Math.random,
  firstSeconds = FIRST_DELAY_SECONDS,
  untriedSeconds = firstSeconds,
  untriedLaterSeconds = LONGEST_DELAY_SECONDS,
}: RetryOptions = {}): RetryDelay {
  const spread = (seconds: number, by: number): number => seconds * (1 + by * random());
  return (wait) => {
    if ("untriedForMs" in wait) {
      const early = wait.untriedForMs < HOUR_MS;
      return Math.ceil(early ? spread(untriedSeconds, 1) : spread(untriedLaterSeconds, SPREAD));
    }
    const steps = Math.max(0, wait.failures - 1);
    const delay = Math.min(LONGEST_DELAY_SECONDS, firstSeconds * 2 ** Math.min(steps, 30));
    return Math.ceil(Math.max(spread(delay, SPREAD), Math.min(wait.atLeast ?? 0, LONGEST_DELAY_SECONDS)));
  };
}

/** How long a circuit stays open before its next probe, in seconds; given the minimum that the failure asks for. */
export type ProbeDelay = (atLeast: number | undefined) => number;

/** One probe a minute, or later where the server asks for that, but at least every 15 minutes. */
export function createProbeDelay(seconds = PROBE_SECONDS): ProbeDelay {
  return (atLeast = 0) => Math.max(seconds, Math.min(atLeast, LONGEST_DELAY_SECONDS));
}
