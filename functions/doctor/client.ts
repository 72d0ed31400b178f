import type { ListedClient, ManagementApi, OidcClient } from "../clavex/management-api.ts";
import { isReadable, redirectUris } from "../nextcloud/user-oidc.ts";

/** The clients whose redirect URIs lead to a Nextcloud, newest first. */
export function clientsFor(nextcloudUrl: string, clients: readonly ListedClient[]): ListedClient[] {
  const uris = redirectUris(nextcloudUrl);
  return clients
    .filter((client) => client.redirect_uris.some((uri) => uris.includes(uri)))
    .toSorted((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

/**
 * The first of some clients whose id tokens user_oidc can read, else the first that exists. Only a client by itself shows
 * how they are signed.
 *
 * @param algorithms how Clavex can sign
 */
export async function firstReadable(
  management: ManagementApi,
  ids: Iterable<string | undefined>,
  algorithms: readonly string[],
): Promise<OidcClient | undefined> {
  let unreadable: OidcClient | undefined;
  for (const id of new Set(ids)) {
    const client = id ? await management.client(id) : undefined;
    if (client && isReadable(client.id_token_signed_response_alg, algorithms)) return client;
    unreadable ??= client;
  }
  return unreadable;
}
