import type { Scope } from "../core/failure.ts";
import { connectionFault, isConnectError, isTimeout, networkErrorName } from "../http.ts";
import { CLAVEX_SERVER, ClavexConnectionFault, type ClavexFailure, ClavexUnavailable } from "./errors.ts";

/**
 * The typed error for a request that got no answer, or half of one. Apart from the errors themselves: the receiver needs those,
 * and sends no request that would put an HTTP client into its bundle.
 */
export function unreachable(error: unknown): ClavexFailure {
  const name = networkErrorName(error);
  const fault = connectionFault(name);
  if (fault) return new ClavexConnectionFault(name, fault);
  const scope: Scope = isConnectError(name) ? CLAVEX_SERVER : { undecided: "clavex", silent: isTimeout(name) };
  return new ClavexUnavailable(`Clavex cannot be reached (${name})`, scope, { cause: error });
}
