import { Failure, type StoppedServer } from "../core/failure.ts";
import type { RetryDelay } from "../core/retry.ts";
import { IdentityMismatch, NextcloudUnauthorized } from "../nextcloud/errors.ts";

/** A server that a job needs: its name among all servers of this process, and the credentials to use there. */
export interface GuardedServer {
  kind: StoppedServer;
  name: string;
  credentials: string;
}

/**
 * A job that was not tried, because its server is paused. Its class and code are those of what went wrong there. What a person
 * has to mend is asked for again with the usual wait, however long the pause: by then the credentials may be others.
 */
export class CircuitOpen extends Failure {
  constructor(cause: Failure, seconds: number) {
    super(cause.failureClass, cause.code, `not tried, the server is paused: ${cause.message}`, {
      ...(cause.failureClass === "configuration" ? {} : { retryAfterSeconds: seconds }),
      ...(cause.fix === undefined ? {} : { fix: cause.fix }),
      cause,
    });
  }
}

/** Keeps jobs away from servers at which every job would fail now. */
export interface CircuitBreaker {
  /**
   * Does the work, unless one of its servers is paused. When a pause is over, one job goes first as a probe.
   *
   * @throws {CircuitOpen} without having tried
   */
  run<T>(servers: GuardedServer[], work: () => Promise<T>): Promise<T>;
}

interface Pause {
  failure: Failure;
  until: number;
  /** How often in a row the server failed. */
  times: number;
  probing: boolean;
}

/**
 * The pause after a failure that does harm by itself: each failed login makes Nextcloud slower for everybody at this address,
 * each account under a wrong id is one that somebody has to delete. Other credentials, or another identity, are tried at
 * once, because pauses belong to them.
 */
const HARMFUL_MS = 60 * 60_000;

/** @param delay how long a server is paused when it failed for the nth time in a row */
export function createCircuitBreaker(delay: RetryDelay, now: () => number = Date.now): CircuitBreaker {
  const pauses = new Map<string, Pause>();
  const key = ({ name, credentials }: GuardedServer): string => `${name} ${credentials}`;

  function enter(server: GuardedServer): void {
    const pause = pauses.get(key(server));
    if (!pause) return;
    const left = pause.until - now();
    if (left > 0 || pause.probing) throw new CircuitOpen(pause.failure, Math.max(1, Math.ceil(left / 1000)));
    pause.probing = true;
  }

  function leave(server: GuardedServer, failure: Failure | undefined): void {
    const pause = pauses.get(key(server));
    if (failure?.stops === server.kind) {
      const times = (pause?.times ?? 0) + (pause && !pause.probing ? 0 : 1);
      const harmful = failure instanceof NextcloudUnauthorized || failure instanceof IdentityMismatch;
      const milliseconds = harmful ? HARMFUL_MS : delay(times, failure.retryAfterSeconds) * 1000;
      pauses.set(key(server), { failure, until: now() + milliseconds, times, probing: false });
    } else if (failure && !failure.code.startsWith(server.kind)) {
      // Something else went wrong: that says nothing about this server, and the next job may probe it.
      if (pause) pause.probing = false;
    } else pauses.delete(key(server));
  }

  return {
    async run(servers, work) {
      const entered: GuardedServer[] = [];
      let failure: Failure | undefined;
      try {
        for (const server of servers) {
          enter(server);
          entered.push(server);
        }
        return await work();
      } catch (error) {
        failure =
          error instanceof Failure
            ? error
            : new Failure("transient", "unexpected", "unexpected error", { cause: error });
        throw error;
      } finally {
        for (const server of entered) leave(server, failure);
      }
    },
  };
}
