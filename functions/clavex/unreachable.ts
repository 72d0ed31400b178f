import { isCertificateError, isConnectError, networkErrorName } from "../http.ts";
import { CLAVEX_SERVER, ClavexCertificate, type ClavexFailure, ClavexUnavailable } from "./errors.ts";

/**
 * The typed error for a request that got no answer. Apart from the errors themselves: the receiver needs those, and sends no
 * request that would put an HTTP client into its bundle.
 */
export function unreachable(error: unknown): ClavexFailure {
  const name = networkErrorName(error);
  if (isCertificateError(name)) return new ClavexCertificate(name);
  const scope = isConnectError(name) ? CLAVEX_SERVER : "subject";
  return new ClavexUnavailable(`Clavex cannot be reached (${name})`, scope, { cause: error });
}
