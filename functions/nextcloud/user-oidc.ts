/*
 * What is known of the app user_oidc beside its routes; measured, see docs/facts/nextcloud.md.
 */

/** What the provider in Nextcloud asks Clavex for. */
export const SCOPES = ["openid", "profile", "email", "groups"];

/** How id tokens may be signed for user_oidc. */
export const READABLE_ALGORITHM = /^(?:RS|ES)(?:256|384|512)$|^EdDSA$/;

/** The addresses that user_oidc lets Clavex come back to: without and, where pretty URLs are off, with `index.php`. */
export function redirectUris(baseUrl: string): [plain: string, withIndex: string] {
  return [`${baseUrl}/apps/user_oidc/code`, `${baseUrl}/index.php/apps/user_oidc/code`];
}
