import type { Pool } from "undici";
import { CLAVEX_TIMEOUTS, createAdminApi } from "../clavex/admin-api.ts";
import { createClavexDirectory } from "../clavex/directory.ts";
import {
  type DiscoveryDocument,
  discoveryUrl,
  getDiscovery,
  parseDiscovery,
  readKeys,
  type SigningKey,
} from "../clavex/discovery.ts";
import {
  createManagementApi,
  type ManagementApi,
  type Mapper,
  type OidcClient,
  type Webhook,
} from "../clavex/management-api.ts";
import type { Secrets } from "../config/secrets.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory, Person } from "../core/person.ts";
import { type Answer, createPool, type Timeouts } from "../http.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { NextcloudBlocked } from "../nextcloud/errors.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "../nextcloud/ocs.ts";
import { listProviders, type OidcProvider, readProviderFromConfig } from "../nextcloud/providers.ts";
import {
  type OwnAccount,
  readAppVersion,
  readBruteForceDelay,
  readOwnAccount,
  readStatus,
  type ServerStatus,
} from "../nextcloud/server.ts";
import type { Counts } from "../queue/queue.ts";
import { clientsFor, firstReadable } from "./client.ts";

/** What doctor can see of the pipeline. A part is undefined where it cannot be reached from here. */
export interface PipelineView {
  /** Why the pipeline cannot be looked at, and what starts it; undefined while it runs. */
  stopped?: { cause: string; fix: string };
  /** Where it takes deliveries, without the organization's slug. */
  deliverTo?: string;
  queue?: () => Promise<Counts>;
  ledger?: Ledger;
  /** How many messages SQS gave up. */
  givenUp?: () => Promise<number>;
}

export interface DoctorOptions {
  organization: Organization;
  /** The other organizations of the same pipeline. */
  others: Organization[];
  secrets: Secrets;
  /** An administrator's token of Clavex, to read what an API key must not. */
  adminToken?: string | undefined;
  /** Where Clavex has to post to, when it is known. */
  webhookUrl?: string | undefined;
  /** Whether this process was given authorities of its own (NODE_EXTRA_CA_CERTS). */
  ownAuthorities: boolean;
  pipeline: PipelineView;
  /** How long a server may take to answer, in milliseconds, where somebody waits for it. */
  answerMs?: number | undefined;
  /** Whether checks may read all people; they do where it is left out. */
  everybody?: boolean;
  /** Whether checks may make a throwaway account in Nextcloud. */
  writeChecks?: boolean;
  /** How long what `occ` writes takes to reach the web server, in milliseconds. */
  settleMs?: number;
  now?: () => number;
}

/** Everything the checks read, each thing at most once however many checks ask for it. */
export interface DoctorContext extends Omit<DoctorOptions, "adminToken" | "now"> {
  now: () => number;
  status(): Promise<ServerStatus>;
  bruteForceDelay(): Promise<number | undefined>;
  /** The one request that tries the app password first; everything else waits for it. */
  account(): Promise<OwnAccount>;
  appVersion(): Promise<string | undefined>;
  /** All providers, or undefined without OCS routes. */
  providers(): Promise<OidcProvider[] | undefined>;
  /** The provider that people log in with, as far as it can be seen. */
  provider(): Promise<OidcProvider | undefined>;
  ocs: Ocs;
  discoveryAnswer(): Promise<Answer>;
  discovery(): Promise<DiscoveryDocument>;
  keys(): Promise<SigningKey[]>;
  /** Undefined without an API key in the configuration. */
  directory: Directory | undefined;
  users(): Promise<Person[]>;
  groupNames(): Promise<string[]>;
  /** The names of another organization's groups; none without its API key. */
  groupNamesOf(other: Organization): Promise<string[]>;
  /** Undefined without an administrator's token. */
  management: ManagementApi | undefined;
  /** The Admin API with the organization's own key, to see what that may do. */
  withApiKey: ManagementApi | undefined;
  /** All subscriptions of the organization, newest first. */
  webhooks(): Promise<Webhook[]>;
  /** The value of the configured API key; undefined where none is configured. */
  apiKey(): Promise<string | undefined>;
  /** The subscription for this organization's webhook. */
  webhook(): Promise<Webhook | undefined>;
  /** The OIDC client that Nextcloud uses. */
  client(): Promise<OidcClient | undefined>;
  mappers(): Promise<Mapper[]>;
  close(): Promise<void>;
}

/** The longest delay of brute-force protection (docs/facts/nextcloud.md 4); then good requests fail too. */
export const LONGEST_DELAY_MS = 25_000;
/** Few, so that doctor does not slow down a Nextcloud in use. */
const CONNECTIONS = 2;

/** Connects to both servers of one organization. Nothing is asked before a check needs it. */
export function createContext(options: DoctorOptions): DoctorContext {
  const { organization, secrets, adminToken, now = Date.now } = options;
  const { clavex, nextcloud, slug, organizationId } = organization;
  const { poolOf, close } = createPools(options);
  const clavexPool = poolOf(clavex.baseUrl, CLAVEX_TIMEOUTS);
  const nextcloudPool = poolOf(nextcloud.baseUrl, NEXTCLOUD_TIMEOUTS);

  const ocs = createOcs({
    baseUrl: nextcloud.baseUrl,
    username: nextcloud.username,
    password: () => secrets.api(organization, nextcloud.password),
    pool: nextcloudPool,
    mayBeServiceAccount: organization.identity.scheme !== "sociallogin",
  });
  const common = { baseUrl: clavex.baseUrl, organizationId, pool: clavexPool };
  const { apiKey } = clavex;
  const key = apiKey === undefined ? undefined : () => secrets.api(organization, apiKey);
  const directory = key && createClavexDirectory(createAdminApi({ ...common, apiKey: key }), EVERY_GROUP);
  const management =
    adminToken === undefined ? undefined : createManagementApi({ ...common, token: async () => adminToken });

  const bruteForceDelay = once(() => readBruteForceDelay(nextcloudPool, nextcloud.baseUrl));
  const account = once(async () => {
    if (((await bruteForceDelay()) ?? 0) >= LONGEST_DELAY_MS) {
      throw new NextcloudBlocked();
    }
    return readOwnAccount(ocs);
  });
  /** Nothing else logs in before this did: a wrong password must fail only once. */
  const loggedIn = async (): Promise<Ocs> => {
    await account();
    return ocs;
  };
  const providers = once(async () => listProviders(await loggedIn()));
  const discoveryAnswer = once(() => getDiscovery(clavexPool, clavex.baseUrl, slug));
  const discovery = once(async () => parseDiscovery(await discoveryAnswer()));
  const webhooks = once(async () => (await management?.webhooks()) ?? []);
  const provider = once(async () => providerOf(organization, await providers(), ocs));
  const client = once(async () => {
    if (management === undefined) return undefined;
    const id = (await provider().catch(() => undefined))?.clientId;
    if (id) return management.client(id);
    const document = await discovery().catch(() => undefined);
    return clientOfSetup(organization, management, document?.id_token_signing_alg_values_supported ?? []);
  });

  return {
    ...options,
    now,
    ocs,
    directory,
    management,
    withApiKey: key && createManagementApi({ ...common, token: key }),
    status: once(() => readStatus(nextcloudPool, nextcloud.baseUrl)),
    bruteForceDelay,
    account,
    appVersion: once(async () =>
      readAppVersion(await loggedIn(), organization.identity.scheme === "sociallogin" ? "sociallogin" : "user_oidc"),
    ),
    providers,
    provider,
    discoveryAnswer,
    discovery,
    keys: once(async () => readKeys(clavexPool, await discovery())),
    users: once(() => collect(directory?.people())),
    groupNames: once(async () => namesOf(directory)),
    async groupNamesOf(other) {
      const reference = other.clavex.apiKey;
      if (reference === undefined) return [];
      const { baseUrl } = other.clavex;
      const pool = poolOf(baseUrl, CLAVEX_TIMEOUTS);
      const othersKey = () => secrets.api(other, reference);
      const api = createAdminApi({ baseUrl, organizationId: other.organizationId, pool, apiKey: othersKey });
      return namesOf(createClavexDirectory(api, EVERY_GROUP));
    },
    apiKey: async () => key?.(),
    webhooks,
    webhook: once(async () => webhookFor(organization, options.webhookUrl, await webhooks())),
    client,
    mappers: once(async () => {
      const found = await client();
      return found && management ? management.mappers(found.client_id) : [];
    }),
    close,
  };
}

/** The connections of one run of doctor, which wait as long as is usual, or as whoever sits in front of it wants. */
function createPools({ answerMs }: Pick<DoctorOptions, "answerMs">) {
  const hurried = answerMs === undefined ? undefined : { connect: answerMs, headers: answerMs, body: answerMs };
  const pools: Pool[] = [];
  return {
    poolOf(baseUrl: string, timeouts: Timeouts): Pool {
      const pool = createPool(baseUrl, CONNECTIONS, hurried ?? timeouts);
      pools.push(pool);
      return pool;
    },
    async close(): Promise<void> {
      // No request is in progress when the checks are done, and nobody waits for the aborted ones.
      await Promise.all(pools.map((pool) => pool.destroy()));
    },
  };
}

/** Remembers the first call's result, failures included: nothing is asked twice. */
function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= read();
    return result;
  };
}

const EVERY_GROUP = () => true;

async function namesOf(directory: Directory | undefined): Promise<string[]> {
  return (await collect(directory?.groupList())).map((group) => group.name);
}

async function collect<T>(pages: AsyncGenerator<T[]> | undefined): Promise<T[]> {
  const all: T[] = [];
  if (pages) for await (const page of pages) all.push(...page);
  return all;
}

/**
 * The organization's provider: by its id, or for core accounts, which name none, the one that points at this Clavex.
 * Without OCS routes the app config tells the settings of a known id.
 */
async function providerOf(
  { identity, clavex, slug }: Organization,
  providers: OidcProvider[] | undefined,
  ocs: Ocs,
): Promise<OidcProvider | undefined> {
  if (identity.scheme === "sociallogin") return undefined;
  if (identity.scheme === "user_oidc") {
    return providers
      ? providers.find(({ id }) => id === identity.providerId)
      : readProviderFromConfig(ocs, identity.providerId);
  }
  return providers?.find(({ discoveryEndpoint }) => discoveryEndpoint === discoveryUrl(clavex.baseUrl, slug));
}

/** The client of a provider that does not tell it: taken to be the one that setup would use. */
async function clientOfSetup(
  { nextcloud }: Organization,
  management: ManagementApi,
  algorithms: readonly string[],
): Promise<OidcClient | undefined> {
  const here = clientsFor(nextcloud.baseUrl, await management.clients());
  return firstReadable(
    management,
    here.map((each) => each.client_id),
    algorithms,
  );
}

/** The subscription with the webhook's URL, or where that is not known, one whose path is that of this organization. */
export function webhookFor({ slug }: Organization, url: string | undefined, webhooks: Webhook[]): Webhook | undefined {
  const matches =
    url === undefined
      ? webhooks.filter(
          (each) => URL.canParse(each.url) && new URL(each.url).pathname.endsWith(`/webhooks/clavex/${slug}`),
        )
      : webhooks.filter((each) => each.url === url);
  return matches.find((each) => each.is_active) ?? matches[0];
}
