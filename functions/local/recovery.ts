import { Failure } from "../core/failure.ts";
import { createProbeDelay, createRetryDelay, type ProbeDelay, type RetryDelay } from "../core/retry.ts";
import type { Releasable } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";

/*
 * On one machine everybody is up to date within a minute of an outage's end, however long it was: looking at a job that has to
 * wait costs no request there, and waiting messages can be released early. Neither is true on AWS.
 */

const PROBE_SECONDS = 30;
const UNTRIED_SECONDS = 15;

/** @param firstSeconds how long a job waits after its first failure */
export function localRetryDelay(firstSeconds?: number, random: () => number = Math.random): RetryDelay {
  const untriedSeconds = Math.min(UNTRIED_SECONDS, firstSeconds ?? UNTRIED_SECONDS);
  return createRetryDelay({
    random,
    firstSeconds,
    untriedSeconds,
    untriedLaterSeconds: untriedSeconds,
  });
}

export function localProbeDelay(firstSeconds = PROBE_SECONDS): ProbeDelay {
  return createProbeDelay(Math.min(PROBE_SECONDS, firstSeconds));
}

/** What happens when a circuit closes: jobs that wait are given out at once. */
export function releaseOnRecovery(queue: Releasable, log: Log): () => void {
  return () => {
    queue.release().catch((error) => {
      // The jobs come back by themselves, only later.
      if (!(error instanceof Failure)) throw error;
      log.warn("waiting jobs were not released", { code: error.code, problem: error.message });
    });
  };
}
