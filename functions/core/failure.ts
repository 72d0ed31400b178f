/** What becomes of a job that fails; the three classes of docs/operations.md. */
export type FailureClass = "transient" | "configuration" | "permanent";

/** A server that jobs need. */
export type Server = "nextcloud" | "clavex";

/** Where a failure comes from: what one of the servers answered or did not answer, or our own side. */
export type Origin = Server | "pipeline";

/**
 * Whom a failure stops. A server: every job that needs it, until its circuit breaker closes again; `harmful` when each
 * further attempt does damage by itself. `undecided`: the fault of the server, or of the one person or group that the call
 * was about, which other calls decide (core/blame.ts); `silent` when no answer came at all. An identity: all jobs of the
 * organization until it has another one, because each attempt would create a wrong account. Groups: the jobs that need the
 * groups of the organization's directory, until they can be read. An organization: all its jobs, each of which finds out by
 * itself. A subject: this job alone.
 */
export type Scope =
  | { server: Server; harmful: boolean }
  | { undecided: Server; silent: boolean }
  | "groups"
  | "identity"
  | "organization"
  | "subject";

/**
 * What a circuit breaker guards: a server with the credentials that are used there, the reading of all groups of an
 * organization, which people who lose access do not need, or the identity of an organization.
 * Other credentials, or another identity, are a circuit of their own and tried at once.
 */
export interface Guarded {
  kind: Server | "groups" | "identity";
  /** Its name among all that this process guards. */
  name: string;
  credentials: string;
}

/** What may be known beside the facts that every failure carries. */
export interface FailureDetails {
  /** The minimum time to wait before the next attempt, in seconds, when the server names one. */
  retryAfterSeconds?: number;
  /** One sentence: what an operator has to do. Configuration failures always carry it. */
  fix?: string;
  cause?: unknown;
}

/**
 * The base of every error that a job can end with. Each module has one subclass per cause; `code` is its stable name for
 * logs, metrics and dead letters. Messages hold ids and server sentences, never secrets or e-mail addresses.
 */
export class Failure extends Error {
  readonly failureClass: FailureClass;
  readonly code: string;
  readonly scope: Scope;
  readonly origin: Origin;
  readonly retryAfterSeconds: number | undefined;
  readonly fix: string | undefined;

  constructor(
    failureClass: FailureClass,
    code: string,
    message: string,
    facts: FailureDetails & { scope: Scope; origin: Origin },
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.failureClass = failureClass;
    this.code = code;
    this.scope = facts.scope;
    this.origin = facts.origin;
    this.retryAfterSeconds = facts.retryAfterSeconds;
    this.fix = facts.fix;
  }
}

/** The message of a failure, with the address of the server that it came from: an organization has two. */
export function messageAt(
  { origin, message }: Failure,
  addresses: Readonly<Record<"clavex" | "nextcloud", { baseUrl: string }>>,
): string {
  if (origin === "pipeline") return message;
  const { baseUrl } = addresses[origin];
  return message.includes(baseUrl) ? message : `${baseUrl}: ${message}`;
}

/** What a person can do about a failure, if anything is known. */
export function fixOf({ fix, failureClass, origin }: Failure): string | undefined {
  if (fix !== undefined || failureClass !== "transient" || origin === "pipeline") return fix;
  return "See that it runs and that this machine can reach it, and try again later.";
}

/** A failure on our own side: configuration, queue, ledger, a decision of the policy. */
export class PipelineFailure extends Failure {
  constructor(failureClass: FailureClass, code: string, message: string, scope: Scope, details: FailureDetails = {}) {
    super(failureClass, code, message, { ...details, scope, origin: "pipeline" });
  }
}

/** Configuration that cannot be used. `problems` holds every one of them, each with the place it was found. */
export class ConfigurationError extends PipelineFailure {
  readonly problems: string[];

  constructor(code: string, problems: string[], details: { fix?: string; cause?: unknown } = {}) {
    super("configuration", code, problems.join("\n"), "organization", {
      fix: "Correct the configuration and deploy or start again.",
      ...details,
    });
    this.problems = problems;
  }
}

/** No organization of this slug is configured. */
export class OrganizationUnknown extends ConfigurationError {
  constructor(slug: string) {
    super("organization-unknown", [`there is no organization ${slug}`], {
      fix: "Correct the configuration and deploy or start again. If it was removed on purpose, its jobs end by themselves (docs/operations.md).",
    });
  }
}

/** Whether the failure makes everything behind this circuit fail. */
export function stops(failure: Failure, { kind }: Guarded): boolean {
  const { scope } = failure;
  return typeof scope === "object" && "server" in scope ? scope.server === kind : scope === kind;
}

/** Whether each further attempt does damage: a failed login slows everybody down, a wrong account has to be deleted. */
export function isHarmful({ scope }: Failure): boolean {
  return scope === "identity" || (typeof scope === "object" && "server" in scope && scope.harmful);
}

/** Whether a whole server fails, with these credentials: it says nothing about the job that met it. */
export function isServers({ scope }: Failure): boolean {
  return typeof scope === "object" && "server" in scope;
}

/** Whether it may be the server's fault or the fault of whom the call was about. */
export function isUndecided({ scope }: Failure): boolean {
  return typeof scope === "object" && "undecided" in scope;
}

/** Whether no answer came at all: asking again to find out more would take as long. */
export function isSilent({ scope }: Failure): boolean {
  return typeof scope === "object" && "undecided" in scope && scope.silent;
}

/** The same failure, now that it is known to be the whole server's. */
export function asServers(failure: Failure, server: Server): Failure {
  return withScope(failure, { server, harmful: false });
}

/** The same failure, now that it is known to be the groups' alone. */
export function asGroups(failure: Failure): Failure {
  return withScope(failure, "groups");
}

function withScope(failure: Failure, scope: Scope): Failure {
  const { failureClass, code, message, origin, retryAfterSeconds, fix } = failure;
  return new Failure(failureClass, code, message, {
    scope,
    origin,
    cause: failure,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(fix === undefined ? {} : { fix }),
  });
}
