import type { Pool } from "undici";
import { type AdminApi, CLAVEX_TIMEOUTS, createAdminApi } from "./clavex/admin-api.ts";
import { createGroupMap, type ReadGroupMap } from "./clavex/group-map.ts";
import type { Secrets } from "./config/secrets.ts";
import { isRelevant } from "./core/desired.ts";
import type { Guarded } from "./core/failure.ts";
import type { Organization } from "./core/organization.ts";
import { createPool, type Timeouts } from "./http.ts";
import { type AdaptiveLimit, createAdaptiveLimit } from "./nextcloud/adaptive-limit.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "./nextcloud/ocs.ts";

/** The clients on both sides of one organization. `clavex` is undefined without an API key. */
export interface OrganizationClients {
  clavex: { api: AdminApi; groupMap: ReadGroupMap } | undefined;
  ocs: Ocs;
  /** Names the Nextcloud in the ledger: its base URL. */
  nextcloudOrigin: string;
  /** The servers and credentials that a job needs, for pauses. */
  servers(): Promise<Guarded[]>;
}

/** The clients of all organizations of this process. */
export interface Clients {
  of(organization: Organization): OrganizationClients;
  close(): Promise<void>;
}

export interface ClientsOptions {
  secrets: Secrets;
  /**
   * The most connections to each Nextcloud; fewer are used while it is slow. One per Lambda container: the number of
   * containers is the limit there.
   */
  nextcloudConnections: number;
  now?: () => number;
  timeouts?: { clavex?: Timeouts; nextcloud?: Timeouts };
}

const CLAVEX_CONNECTIONS = 4;

/**
 * Makes the clients of each organization once, on first use, and again when its configuration has changed. Organizations on
 * the same server share its connections.
 */
export function createClients(options: ClientsOptions): Clients {
  const { secrets, nextcloudConnections, now = Date.now, timeouts = {} } = options;
  const pools = new Map<string, Pool>();
  const limits = new Map<Pool, AdaptiveLimit>();
  const made = new Map<string, { organization: Organization; clients: OrganizationClients }>();

  const pool = (kind: "clavex" | "nextcloud", baseUrl: string, connections: number, limits: Timeouts): Pool => {
    const name = `${kind} ${new URL(baseUrl).origin}`;
    const existing = pools.get(name);
    if (existing) return existing;
    const created = createPool(baseUrl, connections, limits);
    pools.set(name, created);
    return created;
  };

  const make = (organization: Organization): OrganizationClients => {
    const { clavex, nextcloud } = organization;
    const password = () => secrets.api(organization, nextcloud.password);
    const connections = pool(
      "nextcloud",
      nextcloud.baseUrl,
      nextcloudConnections,
      timeouts.nextcloud ?? NEXTCLOUD_TIMEOUTS,
    );
    const limit = limits.get(connections) ?? createAdaptiveLimit(nextcloudConnections);
    limits.set(connections, limit);
    const ocs = createOcs({
      baseUrl: nextcloud.baseUrl,
      username: nextcloud.username,
      password,
      pool: connections,
      limit,
    });
    const nextcloudOrigin = nextcloud.baseUrl;
    const nextcloudServer = async (): Promise<Guarded> => ({
      kind: "nextcloud",
      name: `${nextcloud.username} ${nextcloud.baseUrl}`,
      credentials: await password(),
    });
    const identityServer: Guarded = {
      kind: "organization",
      name: `organization ${organization.slug}`,
      credentials: JSON.stringify(organization.identity),
    };
    const { apiKey } = clavex;
    if (apiKey === undefined) {
      return {
        clavex: undefined,
        ocs,
        nextcloudOrigin,
        servers: async () => [await nextcloudServer(), identityServer],
      };
    }
    const key = () => secrets.api(organization, apiKey);
    const clavexServer = async (): Promise<Guarded> => ({
      kind: "clavex",
      name: `${organization.slug} ${clavex.baseUrl}`,
      credentials: await key(),
    });
    const api = createAdminApi({
      baseUrl: clavex.baseUrl,
      organizationId: organization.organizationId,
      apiKey: key,
      pool: pool("clavex", clavex.baseUrl, CLAVEX_CONNECTIONS, timeouts.clavex ?? CLAVEX_TIMEOUTS),
    });
    return {
      clavex: { api, groupMap: createGroupMap(api, (name) => isRelevant(organization, name), now) },
      ocs,
      nextcloudOrigin,
      servers: () => Promise.all([nextcloudServer(), clavexServer(), identityServer]),
    };
  };

  return {
    of(organization) {
      const known = made.get(organization.slug);
      if (known?.organization === organization) return known.clients;
      // A new reading of the same parameter gives a new object: only a change of content needs new clients.
      if (known && JSON.stringify(known.organization) === JSON.stringify(organization)) {
        known.organization = organization;
        return known.clients;
      }
      const clients = make(organization);
      made.set(organization.slug, { organization, clients });
      return clients;
    },
    async close() {
      await Promise.all(Array.from(pools.values(), (each) => each.close()));
    },
  };
}
