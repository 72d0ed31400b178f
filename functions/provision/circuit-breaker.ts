import { isAhead } from "../core/clock.ts";
import { Failure, type Guarded, isHarmful, stops } from "../core/failure.ts";
import type { ProbeDelay } from "../core/retry.ts";

/** A job that was not tried, because a circuit is open. Its class and code are those of what went wrong there. */
export class CircuitOpen extends Failure {
  /** For how long the circuit has not been closed. */
  readonly openForMs: number;

  constructor(cause: Failure, openForMs: number) {
    super(cause.failureClass, cause.code, `not tried, the circuit is open: ${cause.message}`, {
      scope: cause.scope,
      origin: cause.origin,
      ...(cause.fix === undefined ? {} : { fix: cause.fix }),
      cause,
    });
    this.openForMs = openForMs;
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
  /**
   * For work in progress, before its next request: another job may meanwhile have found the server unavailable.
   *
   * @throws {CircuitOpen} when one of the circuits is open
   */
  check(guarded: readonly Guarded[]): void;
  /** Why the circuit is not closed; undefined while it is. */
  failureOf(guarded: Guarded): Failure | undefined;
}

/** A circuit that is not closed: open until a time, then half open while its probe is under way. */
interface Circuit {
  failure: Failure;
  /** When it first opened: a failed probe does not count as a new opening. */
  openedAt: number;
  openUntil: number;
  halfOpen: boolean;
}

/** Called when an open circuit closes: a queue that can release its waiting jobs need not wait until they come back by themselves. */
export type OnClose = (guarded: Guarded) => void;

/** How long a circuit stays open after a failure that does harm by itself; none does for longer. */
export const HARMFUL_MS = 60 * 60_000;

/** @param delay how long a circuit stays open */
export function createCircuitBreaker(
  delay: ProbeDelay,
  now: () => number = Date.now,
  onClose: OnClose = () => undefined,
): CircuitBreaker {
  const circuits = new Map<string, Circuit>();
  const key = ({ name, credentials }: Guarded): string => `${name} ${credentials}`;

  const isOpen = (circuit: Circuit): boolean => isAhead(circuit.openUntil, HARMFUL_MS, now());

  function enter(guarded: Guarded): void {
    const circuit = circuits.get(key(guarded));
    if (!circuit) return;
    if (isOpen(circuit) || circuit.halfOpen)
      throw new CircuitOpen(circuit.failure, Math.max(0, now() - circuit.openedAt));
    circuit.halfOpen = true;
  }

  function leave(guarded: Guarded, failure: Failure | undefined): void {
    const circuit = circuits.get(key(guarded));
    // A circuit that was already open when the job wanted to continue is no new failure.
    if (failure && !(failure instanceof CircuitOpen) && stops(failure, guarded)) {
      const milliseconds = isHarmful(failure) ? HARMFUL_MS : delay(failure.retryAfterSeconds) * 1000;
      const openedAt = circuit?.openedAt ?? now();
      circuits.set(key(guarded), { failure, openedAt, openUntil: now() + milliseconds, halfOpen: false });
    } else if (failure && (failure instanceof CircuitOpen || failure.origin !== guarded.kind)) {
      // Something else went wrong: that says nothing about this server, and the next job may be the probe.
      if (circuit) circuit.halfOpen = false;
    } else if (circuits.delete(key(guarded))) onClose(guarded);
  }

  return {
    failureOf: (guarded) => circuits.get(key(guarded))?.failure,
    check(guarded) {
      for (const each of guarded) {
        const circuit = circuits.get(key(each));
        if (circuit && isOpen(circuit)) throw new CircuitOpen(circuit.failure, Math.max(0, now() - circuit.openedAt));
      }
    },
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
