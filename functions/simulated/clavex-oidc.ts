import { type ManagementState, newClient, type SimulatedClient, texts } from "./clavex-management.ts";
import { type Answer, jsonAnswer } from "./server.ts";

/*
 * What Clavex shows of an organization without credentials (docs/facts/clavex.md 8).
 */

/** The fields of the real document that clients and Nextcloud look at; PS256 is the default of id tokens. */
export function discoveryDocument(issuer: string): Record<string, unknown> {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    registration_endpoint: `${issuer}/register`,
    end_session_endpoint: `${issuer}/logout`,
    response_types_supported: ["code"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["PS256", "RS256"],
    scopes_supported: ["openid", "profile", "email", "offline_access"],
    code_challenge_methods_supported: ["S256"],
  };
}

/** A public key in the form of a key set; nothing is signed with it here. */
export const SIGNING_KEY = {
  kty: "RSA",
  use: "sig",
  kid: "simulated-1",
  n: "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri",
  e: "AQAB",
};

const ALGORITHMS = ["RS256", "PS256", "ES256"];

/**
 * Dynamic registration (RFC 7591): open to everybody, and the only way to choose the signing algorithm. The scopes of the
 * request are ignored, and ES256 is accepted although the server's key is RSA.
 */
export function registerClient(state: ManagementState, body: Map<string, unknown>, at: string): Answer {
  const redirects = texts(body.get("redirect_uris"));
  if (redirects.length === 0) return refused("redirect_uris is required");
  const algorithm = body.get("id_token_signed_response_alg") ?? "";
  if (algorithm !== "" && !ALGORITHMS.includes(String(algorithm))) {
    return refused("id_token_signed_response_alg must be RS256, PS256, or ES256");
  }
  const grants = texts(body.get("grant_types"));
  const responses = texts(body.get("response_types"));
  const client: SimulatedClient = {
    ...newClient(String(body.get("client_name") ?? ""), redirects, at),
    ...(grants.length > 0 ? { grant_types: grants } : {}),
    ...(responses.length > 0 ? { response_types: responses } : {}),
    ...(algorithm === "" ? {} : { id_token_signed_response_alg: String(algorithm) }),
    token_endpoint_auth_method: String(body.get("token_endpoint_auth_method") ?? "client_secret_basic"),
    allowed_audiences: [],
  };
  state.clients.push(client);
  return jsonAnswer(201, {
    client_id: client.client_id,
    client_id_issued_at: Math.floor(Date.parse(at) / 1000),
    client_name: client.name,
    client_secret: client.secret,
    client_secret_expires_at: 0,
    dpop_bound_access_tokens: false,
    grant_types: client.grant_types,
    id_token_signed_response_alg: algorithm,
    post_logout_redirect_uris: [],
    redirect_uris: client.redirect_uris,
    response_types: client.response_types,
    tls_client_certificate_bound_access_tokens: false,
    token_endpoint_auth_method: client.token_endpoint_auth_method,
    userinfo_signed_response_alg: "",
  });
}

/** The token endpoint of a login that nobody made: whoever wants ES256 gets 500, as no key can sign that. */
export function tokenAnswer(state: ManagementState, form: URLSearchParams): Answer {
  const client = state.clients.find(({ client_id: id }) => id === form.get("client_id"));
  if (client?.id_token_signed_response_alg === "ES256") {
    return jsonAnswer(500, { error: "Internal Server Error", message: "Internal Server Error" });
  }
  return client === undefined
    ? jsonAnswer(400, { error: "invalid_client", error_description: "unknown client" })
    : jsonAnswer(400, { error: "invalid_grant", error_description: "invalid authorization code" });
}

function refused(description: string): Answer {
  return jsonAnswer(400, { error: "invalid_client_metadata", error_description: description });
}
