/*
 * What is known about the app user_oidc beyond its routes; measured, see docs/facts/nextcloud.md.
 */

/** What the provider in Nextcloud asks Clavex for. */
export const SCOPES = ["openid", "profile", "email", "groups"];

/** Those of them that a client of Clavex has: groups come by mapper and userinfo (docs/facts/clavex.md 8). */
export const CLIENT_SCOPES = SCOPES.filter((scope) => scope !== "groups");

/** How id tokens may be signed for user_oidc. */
export const READABLE_ALGORITHM = /^(?:RS|ES)(?:256|384|512)$|^EdDSA$/;

/**
 * Whether user_oidc can read a client's id tokens.
 *
 * @param wanted how the client asked for them to be signed; none means PS256, Clavex's default
 * @param supported how Clavex can sign: it also takes a wish that it cannot fulfil (docs/facts/clavex.md 8)
 */
export function isReadable(wanted: string | null | undefined, supported: readonly string[]): boolean {
  return READABLE_ALGORITHM.test(wanted ?? "") && supported.includes(wanted ?? "");
}

/** The addresses that user_oidc lets Clavex come back to: without and, where pretty URLs are off, with `index.php`. */
export function redirectUris(baseUrl: string): [plain: string, withIndex: string] {
  return [`${baseUrl}/apps/user_oidc/code`, `${baseUrl}/index.php/apps/user_oidc/code`];
}

/** Where Nextcloud asks Clavex to send people after logging out; Clavex looks for it among the redirect URIs. */
export function logoutUri(baseUrl: string): string {
  return `${baseUrl}/`;
}
