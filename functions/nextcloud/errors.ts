import { Failure, type FailureDetails } from "../core/failure.ts";
import { withoutAddresses } from "../telemetry/log.ts";

/** Nextcloud did not answer usefully: network, timeout, maintenance, a cut body. */
export class NextcloudUnavailable extends Failure {
  constructor(message: string, details: FailureDetails = {}) {
    super("transient", "nextcloud-unavailable", message, details);
  }
}

/** HTTP 5xx for one request: a race, a slow database, or data that makes this server fail every time. */
export class NextcloudServerError extends Failure {
  readonly status: number;

  constructor(status: number, call: string, details: FailureDetails = {}) {
    super("transient", "nextcloud-server-error", `Nextcloud answers HTTP ${status} to ${call}`, details);
    this.status = status;
  }
}

/** The same write for one person failed again and again while Nextcloud answered otherwise: it is the person's data. */
export class PoisonousWrite extends Failure {
  constructor(times: number, last: NextcloudServerError) {
    super(
      "permanent",
      "nextcloud-write-fails",
      `Nextcloud failed ${times} times to write this person: ${last.message}`,
      {
        cause: last,
      },
    );
  }
}

/** HTTP 429. Nextcloud sends it for the 51st `PUT cloud/users/{id}` in ten minutes, without Retry-After. */
export class NextcloudRateLimited extends Failure {
  constructor(details: FailureDetails) {
    super("transient", "nextcloud-rate-limited", "Nextcloud limits our requests (HTTP 429)", details);
  }
}

/** Wrong user name or app password. Every further attempt makes brute-force protection slow down good requests too. */
export class NextcloudUnauthorized extends Failure {
  constructor() {
    super("configuration", "nextcloud-unauthorized", "Nextcloud refuses the user name or app password (HTTP 401)", {
      stops: "nextcloud",
      fix: "Make a new app password for nextcloud.username and put it where nextcloud.password points.",
    });
  }
}

/** The user is known, but may not do this. */
export class NextcloudForbidden extends Failure {
  constructor(message: string) {
    const confirmation = /password confirmation/i.test(message);
    super(
      "configuration",
      confirmation ? "nextcloud-password-confirmation" : "nextcloud-forbidden",
      `Nextcloud forbids it: ${message || "no reason given"}`,
      {
        fix: confirmation
          ? "This Nextcloud refuses app passwords where it wants a password confirmed; update Nextcloud to a version that accepts them."
          : "Make nextcloud.username a member of Nextcloud's admin group.",
      },
    );
  }
}

/** What answers is not the OCS API of a Nextcloud: a redirect, a web page, an unknown route. */
export class NextcloudMisrouted extends Failure {
  constructor(message: string, fix = "Check nextcloud.baseUrl and any proxy in front of Nextcloud.") {
    super("configuration", "nextcloud-misrouted", message, { fix });
  }
}

/** Nextcloud has no such call: an app is disabled, or a proxy cuts the route. */
export class UnknownRoute extends NextcloudMisrouted {
  constructor(call: string) {
    super(
      `Nextcloud does not know the call ${call}`,
      "Enable the app provisioning_api in Nextcloud, and check any proxy in front of it.",
    );
  }
}

/** The account was deleted between looking at it and changing it: the next attempt finds what to do. */
export class AccountVanished extends Failure {
  constructor() {
    super("transient", "nextcloud-account-vanished", "the account was deleted in Nextcloud meanwhile");
  }
}

/** A certificate in front of Nextcloud that is not trusted. */
export class NextcloudCertificate extends Failure {
  constructor(reason: string) {
    super("configuration", "nextcloud-certificate", `Nextcloud's certificate is not trusted (${reason})`, {
      stops: "nextcloud",
      fix: "Renew the certificate, or add your own authority with NODE_EXTRA_CA_CERTS.",
    });
  }
}

/** user_oidc made the account under another id than the one this organization's `identity` gives. */
export class IdentityMismatch extends Failure {
  constructor(expected: string, made: string) {
    super(
      "configuration",
      "identity-mismatch",
      `user_oidc uses the account id ${made} where identity gives ${expected}`,
      {
        fix: "Make identity (providerId, uniqueUserIds, providerBasedIds, providerIdentifier) equal to the provider's settings in Nextcloud, and delete the account that was made under the wrong id.",
      },
    );
  }
}

/**
 * Nextcloud answered and says no: an OCS status code other than success. The callers of `Ocs` know what a code means for
 * their call; where they do not, the subject's data is refused for good.
 */
export class OcsRefusal extends Failure {
  readonly status: number;

  constructor(status: number, message: string, call: string) {
    const reason = withoutAddresses(message) || "no reason given";
    super("permanent", `nextcloud-ocs-${status}`, `Nextcloud refuses ${call}: ${reason} (OCS ${status})`);
    this.status = status;
  }
}

/** An account of this id exists that is not the person's: nothing of it may be touched. */
export class AccountConflict extends Failure {
  constructor(message: string) {
    super("permanent", "account-conflict", message);
  }
}

/** The person's data is beyond what Nextcloud can hold. */
export class ProfileRefused extends Failure {
  constructor(message: string) {
    super("permanent", "profile-refused", message);
  }
}
