import { CLAVEX_TIMEOUTS, createAdminApi } from "./clavex/admin-api.ts";
import { createClavexDirectory } from "./clavex/directory.ts";
import { parseSnapshot } from "./clavex/snapshot.ts";
import { type Clocks, createClocks } from "./clocks.ts";
import type { Secrets } from "./config/secrets.ts";
import { isRelevant } from "./core/desired.ts";
import type { Guarded, Server } from "./core/failure.ts";
import type { Organization } from "./core/organization.ts";
import type { Directory, Person } from "./core/person.ts";
import { ReopeningPool, type Timeouts } from "./http.ts";
import { type AdaptiveLimit, createAdaptiveLimit } from "./nextcloud/adaptive-limit.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "./nextcloud/ocs.ts";
import { Session } from "./nextcloud/session.ts";

/**
 * How an organization's people are known. `api`: the directory can be asked, and `everyGroup` reads those groups too that the
 * policy leaves out. `snapshots`: without an API key a job brings what its webhook said, which `read` reads.
 */
export type DirectoryAccess =
  | { mode: "api"; directory: Directory; everyGroup: Directory["groups"] }
  | { mode: "snapshots"; read(snapshot: unknown): Person | undefined };

/** The clients on both sides of one organization. */
export interface OrganizationClients {
  directory: DirectoryAccess;
  ocs: Ocs;
  /** Names the Nextcloud in the ledger: its base URL. */
  nextcloudOrigin: string;
  /** What its servers say of the time; they are heard with each answer. */
  clocks: Clocks;
  /** The servers with their credentials, and the organization with its identity, that circuit breakers guard. */
  guarded(): Promise<Guarded[]>;
}

/** The clients of all organizations of this process. */
export interface Clients {
  of(organization: Organization): OrganizationClients;
  /**
   * Closes the connections to servers that these organizations do not use, when the requests under way there are over, and forgets the
   * clients of others. Whoever still works with those may go on: connections are opened again then.
   */
  keepOnly(organizations: readonly Organization[]): void;
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

/** Members of four groups, and the list of people. */
const CLAVEX_CONNECTIONS = 5;

/**
 * Makes the clients of each organization once, on first use, and again when its configuration has changed. Organizations on
 * the same server share its connections.
 */
export function createClients(options: ClientsOptions): Clients {
  const { secrets, nextcloudConnections, now = Date.now, timeouts = {} } = options;
  const pools = createPools();
  const limits = new Map<ReopeningPool, AdaptiveLimit>();
  // They outlive changes of the configuration: see Session.
  const sessions = new Map<string, Session>();
  const made = new Map<string, { organization: Organization; clients: OrganizationClients }>();

  const nextcloudOf = ({ nextcloud, identity }: Organization, password: () => Promise<string>, clocks: Clocks): Ocs => {
    const waits = timeouts.nextcloud ?? NEXTCLOUD_TIMEOUTS;
    const connections = pools.of("nextcloud", nextcloud.baseUrl, nextcloudConnections, waits);
    const limit = limits.get(connections) ?? createAdaptiveLimit(nextcloudConnections);
    limits.set(connections, limit);
    const { baseUrl, username } = nextcloud;
    const session = sessions.get(`${username} ${baseUrl}`) ?? new Session();
    sessions.set(`${username} ${baseUrl}`, session);
    const mayBeServiceAccount = identity.scheme !== "sociallogin";
    const heard = (date: Parameters<Clocks["heard"]>[1]) => clocks.heard("nextcloud", date);
    return createOcs({
      baseUrl,
      username,
      password,
      pool: connections,
      limit,
      session,
      mayBeServiceAccount,
      heard,
      now,
    });
  };

  const directoryOf = (organization: Organization, apiKey: () => Promise<string>, clocks: Clocks): DirectoryAccess => {
    const { clavex, organizationId } = organization;
    const api = createAdminApi({
      baseUrl: clavex.baseUrl,
      organizationId,
      apiKey,
      pool: pools.of("clavex", clavex.baseUrl, CLAVEX_CONNECTIONS, timeouts.clavex ?? CLAVEX_TIMEOUTS),
      heard: (date) => clocks.heard("clavex", date),
    });
    return {
      mode: "api",
      directory: createClavexDirectory(api, (name) => isRelevant(organization, name), now),
      everyGroup: createClavexDirectory(api, () => true, now).groups,
    };
  };

  const make = (organization: Organization): OrganizationClients => {
    const { clavex, nextcloud, slug } = organization;
    const password = () => secrets.api(organization, nextcloud.password);
    const reference = clavex.apiKey;
    const apiKey = reference === undefined ? undefined : () => secrets.api(organization, reference);
    const clocks = createClocks(now);
    return {
      directory: apiKey ? directoryOf(organization, apiKey, clocks) : { mode: "snapshots", read: parseSnapshot },
      ocs: nextcloudOf(organization, password, clocks),
      nextcloudOrigin: nextcloud.baseUrl,
      clocks,
      async guarded() {
        const [ofNextcloud, ofClavex] = await Promise.all([password(), apiKey?.()]);
        const server = (kind: Server, name: string, credentials: string): Guarded => ({ kind, name, credentials });
        return [
          server("nextcloud", `${nextcloud.username} ${nextcloud.baseUrl}`, ofNextcloud),
          ...(ofClavex === undefined ? [] : [server("clavex", `${slug} ${clavex.baseUrl}`, ofClavex)]),
          {
            kind: "identity",
            name: `identity ${slug}`,
            credentials: JSON.stringify(organization.identity),
          },
        ];
      },
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
    keepOnly(organizations) {
      const slugs = new Set(organizations.map(({ slug }) => slug));
      for (const slug of made.keys()) if (!slugs.has(slug)) made.delete(slug);
      pools.restAllBut(organizations);
    },
    close: pools.close,
  };
}

/** One pool for each server, however many organizations use it. */
function createPools() {
  const pools = new Map<string, ReopeningPool>();
  const nameOf = (kind: Server, baseUrl: string): string => `${kind} ${new URL(baseUrl).origin}`;
  return {
    of(kind: Server, baseUrl: string, connections: number, timeouts: Timeouts): ReopeningPool {
      const name = nameOf(kind, baseUrl);
      const existing = pools.get(name);
      if (existing) return existing;
      const created = new ReopeningPool(baseUrl, connections, timeouts);
      pools.set(name, created);
      return created;
    },
    restAllBut(organizations: readonly Organization[]): void {
      const used = new Set(
        organizations.flatMap(({ clavex, nextcloud }) => [
          nameOf("clavex", clavex.baseUrl),
          nameOf("nextcloud", nextcloud.baseUrl),
        ]),
      );
      for (const [name, pool] of pools) if (!used.has(name)) pool.rest();
    },
    async close(): Promise<void> {
      await Promise.all(Array.from(pools.values(), (each) => each.close()));
    },
  };
}
