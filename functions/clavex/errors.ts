import { Failure, type FailureClass, type FailureDetails, type Scope } from "../core/failure.ts";
import type { ConnectionFault } from "../http.ts";

/** The server is unusable for every job of the organization. */
export const CLAVEX_SERVER: Scope = { server: "clavex", harmful: false };

/** The server's problem, or one of the person or group that this call was about. */
export const CLAVEX_UNDECIDED: Scope = { undecided: "clavex", silent: false };

/** What to do about an answer that is not this organization's Admin API. */
const ROUTING = "Check clavex.baseUrl and organizationId, and any proxy or firewall in front of Clavex.";

/** What Clavex answered, or did not answer. */
export class ClavexFailure extends Failure {
  constructor(failureClass: FailureClass, code: string, message: string, scope: Scope, details: FailureDetails = {}) {
    super(failureClass, code, message, { ...details, scope, origin: "clavex" });
  }
}

/** Clavex did not answer, or not in a way that says anything about a person: network, timeout, 429, 5xx, a cut body. */
export class ClavexUnavailable extends ClavexFailure {
  constructor(message: string, scope: Scope, details: FailureDetails = {}, code = "clavex-unavailable") {
    super("transient", code, message, scope, details);
  }
}

/** HTTP 5xx that is not Clavex's own: a proxy cannot reach it. */
export class ClavexUnreached extends ClavexUnavailable {
  /** @param foreign what answered where; see `answeredBy` */
  constructor(foreign: string, details: FailureDetails) {
    super(foreign, CLAVEX_UNDECIDED, { fix: ROUTING, ...details }, "clavex-misrouted");
  }
}

/** Clavex refuses the API key, or what it may do (401, 403). */
export class ClavexKeyRefused extends ClavexFailure {
  constructor(message: string) {
    super("configuration", "clavex-key-refused", message, CLAVEX_SERVER, {
      fix: "Create an API key for this organization with the permissions users:read and groups:read, and put it where clavex.apiKey points.",
    });
  }
}

/**
 * Something answers at `clavex.baseUrl` that is not this organization's Admin API: a redirect, a foreign 404, another
 * organization's user. Never taken for "the person is gone".
 */
export class ClavexMisrouted extends ClavexFailure {
  constructor(message: string) {
    super("configuration", "clavex-misrouted", message, CLAVEX_UNDECIDED, { fix: ROUTING });
  }
}

/** No connection to Clavex is possible until somebody changes something: its certificate, its TLS, its name. */
export class ClavexConnectionFault extends ClavexFailure {
  constructor(reason: string, { kind, problem, fix }: ConnectionFault) {
    super("configuration", `clavex-${kind}`, `Clavex ${problem} (${reason})`, CLAVEX_SERVER, {
      fix: fix("clavex.baseUrl"),
    });
  }
}
