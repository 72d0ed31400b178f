import { Failure, type FailureClass, type FailureDetails, type Scope } from "../core/failure.ts";
import { withoutAddresses } from "../core/text.ts";
import { type ConnectionFault, connectionFault, isConnectError, isTimeout, networkErrorName } from "../http.ts";

/** The server is unusable for every job that needs it. */
export const NEXTCLOUD_SERVER: Scope = { server: "nextcloud", harmful: false };

/** The server's problem, or one of the person or group that this call was about. */
export const NEXTCLOUD_UNDECIDED: Scope = { undecided: "nextcloud", silent: false };

/** What to do about an answer that is not a Nextcloud's. */
const ROUTING = "Check nextcloud.baseUrl and any proxy or firewall in front of Nextcloud.";

/** What Nextcloud answered, or did not answer. */
export class NextcloudFailure extends Failure {
  constructor(failureClass: FailureClass, code: string, message: string, scope: Scope, details: FailureDetails = {}) {
    super(failureClass, code, message, { ...details, scope, origin: "nextcloud" });
  }
}

/** Nextcloud did not answer usefully: network, timeout, maintenance, a cut body. */
export class NextcloudUnavailable extends NextcloudFailure {
  constructor(message: string, scope: Scope, details: FailureDetails = {}) {
    super("transient", "nextcloud-unavailable", message, scope, details);
  }
}

/**
 * HTTP 5xx for one request: a race, a slow database, or data that makes this server fail every time; or a proxy that cannot
 * reach Nextcloud.
 */
export class NextcloudServerError extends NextcloudFailure {
  readonly status: number;

  /** @param foreign what answered where, if it was not Nextcloud itself; see `answeredBy` */
  constructor(status: number, call: string, details: FailureDetails = {}, foreign?: string) {
    if (foreign === undefined)
      super(
        "transient",
        "nextcloud-server-error",
        `Nextcloud answers HTTP ${status} to ${call}`,
        NEXTCLOUD_UNDECIDED,
        details,
      );
    else super("transient", "nextcloud-misrouted", foreign, NEXTCLOUD_UNDECIDED, { fix: ROUTING, ...details });
    this.status = status;
  }
}

/** HTTP 429. Nextcloud sends it for the 51st `PUT cloud/users/{id}` in ten minutes, without Retry-After. */
export class NextcloudRateLimited extends NextcloudFailure {
  constructor(details: FailureDetails) {
    super("transient", "nextcloud-rate-limited", "Nextcloud limits our requests (HTTP 429)", "subject", details);
  }
}

export const BRUTE_FORCE_FIX =
  "On the Nextcloud server: occ security:bruteforce:reset ADDRESS; and so that it does not come again: occ config:app:set bruteForce whitelist_1 --value=ADDRESS/32. ADDRESS is the one that Nextcloud sees this pipeline at.";

/**
 * HTTP 429 "Reached maximum delay": brute-force protection refuses every fresh login from our address, with good credentials
 * too, after 11 failed ones in half an hour, even somebody else's (docs/facts/nextcloud.md 4). It is no rate limit: no
 * further request with credentials gets through.
 */
export class NextcloudBlocked extends NextcloudFailure {
  constructor() {
    super(
      "configuration",
      "nextcloud-blocked",
      "Nextcloud's brute-force protection refuses every login from this address (HTTP 429, Reached maximum delay)",
      NEXTCLOUD_SERVER,
      { fix: BRUTE_FORCE_FIX },
    );
  }
}

/** Wrong user name or app password. Every further attempt makes brute-force protection slow down good requests too. */
export class NextcloudUnauthorized extends NextcloudFailure {
  constructor() {
    super(
      "configuration",
      "nextcloud-unauthorized",
      "Nextcloud refuses the user name or app password (HTTP 401)",
      { server: "nextcloud", harmful: true },
      {
        fix: "Make a new app password for nextcloud.username and put it where nextcloud.password points.",
      },
    );
  }
}

/**
 * HTTP 401 while the app user_oidc is disabled: its accounts are hidden then, a service account included. No login is tried
 * until the app is enabled again, so that retrying does no harm.
 */
export class UserOidcDisabled extends NextcloudFailure {
  constructor() {
    super(
      "configuration",
      "nextcloud-user-oidc-disabled",
      "the app user_oidc is disabled in Nextcloud: its accounts are invisible, a service account cannot log in (HTTP 401), and nobody can be suspended",
      NEXTCLOUD_SERVER,
      {
        fix: "occ app:enable user_oidc; the pipeline goes on by itself, and nobody is forgotten. If logins are refused after that, create a new app password for nextcloud.username.",
      },
    );
  }
}

/** The user is known, but may not do this. */
export class NextcloudForbidden extends NextcloudFailure {
  constructor(message: string) {
    const confirmation = /password confirmation/i.test(message);
    super(
      "configuration",
      confirmation ? "nextcloud-password-confirmation" : "nextcloud-forbidden",
      `Nextcloud forbids it: ${message || "no reason given"}`,
      "subject",
      {
        fix: confirmation
          ? "From 34 on, core takes no writes with app passwords of ordinary administrators. Run npx clavex-nextcloud setup, which creates a service account that belongs to user_oidc, or use an administrator's login password."
          : "Make nextcloud.username a member of Nextcloud's admin group.",
      },
    );
  }
}

/** What answers is not the OCS API of a Nextcloud: a redirect, a web page, an answer of another form. */
export class NextcloudMisrouted extends NextcloudFailure {
  constructor(message: string, fix = ROUTING, scope = NEXTCLOUD_UNDECIDED) {
    super("configuration", "nextcloud-misrouted", message, scope, { fix });
  }
}

/** Nextcloud has the call, but not by this method: an older version. */
export class MethodNotAllowed extends NextcloudMisrouted {
  constructor(call: string) {
    super(`HTTP 405 for ${call}, but not an OCS answer`, ROUTING, "subject");
  }
}

/** Nextcloud has no such call: an app is disabled, or a proxy cuts the route. */
export class UnknownRoute extends NextcloudMisrouted {
  constructor(call: string) {
    super(
      `Nextcloud does not know the call ${call}`,
      "Enable the app provisioning_api in Nextcloud, and check any proxy in front of it.",
      "subject",
    );
  }
}

/** The account was deleted between looking at it and changing it: the next attempt finds what to do. */
export class AccountVanished extends NextcloudFailure {
  constructor() {
    super("transient", "nextcloud-account-vanished", "the account was deleted in Nextcloud meanwhile", "subject");
  }
}

/** No connection to Nextcloud is possible until somebody changes something: its certificate, its TLS, its name. */
export class NextcloudConnectionFault extends NextcloudFailure {
  constructor(reason: string, { kind, problem, fix }: ConnectionFault) {
    super("configuration", `nextcloud-${kind}`, `Nextcloud ${problem} (${reason})`, NEXTCLOUD_SERVER, {
      fix: fix("nextcloud.baseUrl"),
    });
  }
}

/**
 * Nextcloud answered and says no: an OCS status code other than success. The callers of `Ocs` know what a code means for
 * their call; where they do not, the subject's data is refused for good.
 */
export class OcsRefusal extends NextcloudFailure {
  readonly status: number;

  constructor(status: number, message: string, call: string) {
    const reason = withoutAddresses(message) || "no reason given";
    super("permanent", `nextcloud-ocs-${status}`, `Nextcloud refuses ${call}: ${reason} (OCS ${status})`, "subject");
    this.status = status;
  }
}

/** The typed error for a request that got no answer, or half of one. */
export function unreachable(error: unknown): NextcloudFailure {
  const name = networkErrorName(error);
  const fault = connectionFault(name);
  if (fault) return new NextcloudConnectionFault(name, fault);
  const scope: Scope = isConnectError(name) ? NEXTCLOUD_SERVER : { undecided: "nextcloud", silent: isTimeout(name) };
  return new NextcloudUnavailable(`Nextcloud cannot be reached (${name})`, scope, { cause: error });
}
