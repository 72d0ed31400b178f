/** The addresses that user_oidc lets Clavex come back to: without and, where pretty URLs are off, with `index.php`. */
export function redirectUris(baseUrl: string): [plain: string, withIndex: string] {
  return [`${baseUrl}/apps/user_oidc/code`, `${baseUrl}/index.php/apps/user_oidc/code`];
}
