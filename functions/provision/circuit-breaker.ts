import { Failure, type Guarded, isHarmful, stops } from "../core/failure.ts";
import type { RetryDelay } from "../core/retry.ts";

/**
 * A job that was not tried, because a circuit is open. Its class and code are those of what went wrong there. What a person
 * has to mend is asked for again with the usual wait, however long the circuit stays open: by then the credentials may be others.
 */
export class CircuitOpen extends Failure {
  constructor(cause: Failure, seconds: number) {
    super(cause.failureClass, cause.code, `not tried, the circuit is open: ${cause.message}`, {
      scope: cause.scope,
      origin: cause.origin,
      ...(cause.failureClass === "configuration" ? {} : { retryAfterSeconds: seconds }),
      ...(cause.fix === undefined ? {} : { fix: cause.fix }),
      cause,
    });
  }
}

/** Keeps jobs away from servers at which every job would fail now. */
export interface CircuitBreaker {
  /**
   * Does the work, unless a circuit that it needs is open. When the time of an open circuit is over it is half open: one job
   * goes first, as the probe.
   *
   * @throws {CircuitOpen} without having tried
   */
  run<T>(guarded: Guarded[], work: () => Promise<T>): Promise<T>;
}

/** A circuit that is not closed: open until a time, then half open while its probe is under way. */
interface Circuit {
  failure: Failure;
  openUntil: number;
  /** How often in a row the server failed. */
  times: number;
  halfOpen: boolean;
}

/** How long a circuit stays open after a failure that does harm by itself. */
const HARMFUL_MS = 60 * 60_000;

/** @param delay how long a circuit stays open when its server failed for the nth time in a row, in seconds */
export function createCircuitBreaker(delay: RetryDelay, now: () => number = Date.now): CircuitBreaker {
  const circuits = new Map<string, Circuit>();
  const key = ({ name, credentials }: Guarded): string => `${name} ${credentials}`;

  function enter(guarded: Guarded): void {
    const circuit = circuits.get(key(guarded));
    if (!circuit) return;
    const left = circuit.openUntil - now();
    if (left > 0 || circuit.halfOpen) throw new CircuitOpen(circuit.failure, Math.max(1, Math.ceil(left / 1000)));
    circuit.halfOpen = true;
  }

  function leave(guarded: Guarded, failure: Failure | undefined): void {
    const circuit = circuits.get(key(guarded));
    if (failure && stops(failure, guarded)) {
      const times = (circuit?.times ?? 0) + (circuit && !circuit.halfOpen ? 0 : 1);
      const milliseconds = isHarmful(failure) ? HARMFUL_MS : delay(times, failure.retryAfterSeconds) * 1000;
      circuits.set(key(guarded), { failure, openUntil: now() + milliseconds, times, halfOpen: false });
    } else if (failure && failure.origin !== guarded.kind) {
      // Something else went wrong: that says nothing about this server, and the next job may be the probe.
      if (circuit) circuit.halfOpen = false;
    } else circuits.delete(key(guarded));
  }

  return {
    async run(guarded, work) {
      const entered: Guarded[] = [];
      let failure: Failure | undefined;
      try {
        for (const each of guarded) {
          enter(each);
          entered.push(each);
        }
        return await work();
      } catch (error) {
        failure =
          error instanceof Failure
            ? error
            : new Failure("transient", "unexpected", "unexpected error", {
                scope: "subject",
                origin: "pipeline",
                cause: error,
              });
        throw error;
      } finally {
        for (const each of entered) leave(each, failure);
      }
    },
  };
}
