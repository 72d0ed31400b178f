/** What becomes of a job that fails; the three classes of docs/operations.md. */
export type FailureClass = "transient" | "configuration" | "permanent";

/** Nextcloud, the organization's Clavex, or the agreement of both sides on ids. */
export type StoppedServer = "nextcloud" | "clavex" | "identity";

export interface FailureDetails {
  /** The least time to wait before the next attempt, when the server names one. */
  retryAfterSeconds?: number;
  /** One sentence: what an operator has to do. Configuration failures always carry it. */
  fix?: string;
  /** The server that every other job would fail at too, so that the worker pauses it. */
  stops?: StoppedServer;
  cause?: unknown;
}

/**
 * The base of every error that a job can end with. Each room has one subclass per cause; `code` is its stable name for
 * logs, metrics and dead letters. Messages hold ids and server sentences, never secrets or e-mail addresses.
 */
export class Failure extends Error {
  readonly failureClass: FailureClass;
  readonly code: string;
  readonly retryAfterSeconds: number | undefined;
  readonly fix: string | undefined;
  readonly stops: StoppedServer | undefined;

  constructor(failureClass: FailureClass, code: string, message: string, details: FailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.failureClass = failureClass;
    this.code = code;
    this.retryAfterSeconds = details.retryAfterSeconds;
    this.fix = details.fix;
    this.stops = details.stops;
  }
}
