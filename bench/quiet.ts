import type { Log } from "../functions/telemetry/log.ts";
import type { Counters } from "../functions/telemetry/metrics.ts";

/** A log that shows only what goes wrong. */
export const QUIET_LOG: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: console.error,
  error: console.error,
};
export const NO_COUNTERS: Counters = { count: () => undefined, measure: () => undefined, flush: () => undefined };
