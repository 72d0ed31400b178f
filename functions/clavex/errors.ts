import { Failure, type FailureClass, type FailureDetails, type Scope } from "../core/failure.ts";

/** The server is unusable for every job of the organization. */
export const CLAVEX_SERVER: Scope = { server: "clavex", harmful: false };

/** What Clavex answered, or did not answer. */
export class ClavexFailure extends Failure {
  constructor(failureClass: FailureClass, code: string, message: string, scope: Scope, details: FailureDetails = {}) {
    super(failureClass, code, message, { ...details, scope, origin: "clavex" });
  }
}

/** Clavex did not answer, or not in a way that says anything about a person: network, timeout, 429, 5xx, a cut body. */
export class ClavexUnavailable extends ClavexFailure {
  constructor(message: string, scope: Scope, details: FailureDetails = {}) {
    super("transient", "clavex-unavailable", message, scope, details);
  }
}

/** Clavex refuses the API key, or what it may do (401, 403). */
export class ClavexKeyRefused extends ClavexFailure {
  constructor(message: string) {
    super("configuration", "clavex-key-refused", message, CLAVEX_SERVER, {
      fix: "Mint an API key for this organization with the permissions users:read and groups:read, and put it where clavex.apiKey points.",
    });
  }
}

/**
 * Something answers at `clavex.baseUrl` that is not this organization's Admin API: a redirect, a foreign 404, another
 * organization's user. Never taken for "the person is gone".
 */
export class ClavexMisrouted extends ClavexFailure {
  constructor(message: string) {
    super("configuration", "clavex-misrouted", message, "subject", {
      fix: "Check clavex.baseUrl and organizationId, and any proxy in front of Clavex.",
    });
  }
}

/** A certificate in front of Clavex that is not trusted. */
export class ClavexCertificate extends ClavexFailure {
  constructor(reason: string) {
    super("configuration", "clavex-certificate", `Clavex's certificate is not trusted (${reason})`, CLAVEX_SERVER, {
      fix: "Renew the certificate, or add your own authority with NODE_EXTRA_CA_CERTS.",
    });
  }
}
