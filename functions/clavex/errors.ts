import { Failure, type FailureDetails } from "../core/failure.ts";

/** Clavex did not answer, or not in a way that says anything about a person: network, timeout, 429, 5xx, a cut body. */
export class ClavexUnavailable extends Failure {
  constructor(message: string, details: FailureDetails = {}) {
    super("transient", "clavex-unavailable", message, details);
  }
}

/** Clavex refuses the API key, or what it may do (401, 403). */
export class ClavexKeyRefused extends Failure {
  constructor(message: string) {
    super("configuration", "clavex-key-refused", message, {
      stops: "clavex",
      fix: "Mint an API key for this organization with the permissions users:read and groups:read, and put it where clavex.apiKey points.",
    });
  }
}

/**
 * Something answers at `clavex.baseUrl` that is not this organization's Admin API: a redirect, a foreign 404, another
 * organization's user. Never taken for "the person is gone".
 */
export class ClavexMisrouted extends Failure {
  constructor(message: string) {
    super("configuration", "clavex-misrouted", message, {
      fix: "Check clavex.baseUrl and organizationId, and any proxy in front of Clavex.",
    });
  }
}

/** A certificate in front of Clavex that is not trusted. */
export class ClavexCertificate extends Failure {
  constructor(reason: string) {
    super("configuration", "clavex-certificate", `Clavex's certificate is not trusted (${reason})`, {
      stops: "clavex",
      fix: "Renew the certificate, or add your own authority with NODE_EXTRA_CA_CERTS.",
    });
  }
}
