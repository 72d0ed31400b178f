import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import type * as z from "zod";
import { snapshotOf } from "../../functions/clavex/snapshot.ts";
import { type Clients, createClients } from "../../functions/clients.ts";
import type { Organizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { accountId, groupId } from "../../functions/core/identity.ts";
import type { Job } from "../../functions/core/job.ts";
import { type Organization, organizationSchema } from "../../functions/core/organization.ts";
import { createDocumentClient } from "../../functions/ledger/client.ts";
import { createLedger, type Ledger, type SubjectEntry } from "../../functions/ledger/ledger.ts";
import { type Embedded, startEmbedded } from "../../functions/local/embedded.ts";
import { createProvision, type Outcome } from "../../functions/provision/provision.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqsQueue } from "../../functions/queue/sqs.ts";
import {
  type ClavexUser,
  type NewUser,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../../functions/simulated/clavex.ts";
import {
  type AccountView,
  type SimulatedNextcloud,
  startSimulatedNextcloud,
} from "../../functions/simulated/nextcloud.ts";
import type { Provider } from "../../functions/simulated/nextcloud-state.ts";
import { parametersOf, type RecordedRequest } from "../../functions/simulated/server.ts";

type OrganizationInput = z.input<typeof organizationSchema>;

/** The identities that the simulated Nextcloud's providers (below) understand, and those of the core schemes. */
export const IDENTITIES = {
  /** user_oidc as it comes: account and group ids are hashes. */
  hashed: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
  /** user_oidc with raw ids: the group `eng` is the Nextcloud group `eng`. */
  raw: { scheme: "user_oidc", providerId: 2, uniqueUserIds: false },
  providerBased: {
    scheme: "user_oidc",
    providerId: 3,
    uniqueUserIds: false,
    providerBasedIds: true,
    providerIdentifier: "clavex",
  },
  /** The same with an identifier that has to be encoded in paths. */
  oddlyNamed: {
    scheme: "user_oidc",
    providerId: 4,
    uniqueUserIds: false,
    providerBasedIds: true,
    providerIdentifier: "Größe & Söhne",
  },
  database: { scheme: "database" },
  sociallogin: { scheme: "sociallogin", providerName: "clavex" },
} as const;

const PROVIDERS: Provider[] = [
  { id: 1, identifier: "first", uniqueUid: true, providerBasedId: false },
  { id: 2, identifier: "second", uniqueUid: false, providerBasedId: false },
  { id: 3, identifier: "clavex", uniqueUid: false, providerBasedId: true },
  { id: 4, identifier: "Größe & Söhne", uniqueUid: false, providerBasedId: true },
];

/** The parts of an organization's document that a test cares about; the rest is filled in. */
export type Choices = Partial<Pick<OrganizationInput, "scope" | "groups" | "quota" | "deprovision" | "reconcile">> & {
  slug?: string;
  organizationId?: string;
  /** Default: `IDENTITIES.hashed`. */
  identity?: object;
  /** Default true; false makes an organization that lives from webhook snapshots alone. */
  apiKey?: boolean;
};

const API_KEY = "clv_test_key_that_protects_nothing";

/** A validated organization. The addresses matter only where something is asked of them. */
export function organizationOf(
  choices: Choices = {},
  servers: { clavex: string; nextcloud: string; username?: string } = {
    clavex: "https://id.acme.example",
    nextcloud: "https://nextcloud.acme.example",
  },
): Organization {
  const {
    slug = "acme",
    organizationId = randomUUID(),
    identity = IDENTITIES.hashed,
    apiKey = true,
    ...rest
  } = choices;
  return organizationSchema.parse({
    slug,
    organizationId,
    identity,
    clavex: {
      baseUrl: servers.clavex,
      webhookSecrets: ["env:WEBHOOK_SECRET"],
      ...(apiKey ? { apiKey: `env:API_KEY_${organizationId.replaceAll("-", "_")}` } : {}),
    },
    nextcloud: {
      baseUrl: servers.nextcloud,
      username: servers.username ?? "provisioner",
      password: "env:APP_PASSWORD",
    },
    ...rest,
  });
}

/** A clock that only tests move. */
export interface Clock {
  now: number;
}

/** A request to the simulated Nextcloud, in short. */
export interface NextcloudRequest {
  /** Such as `GET user`, `POST user_oidc`, `POST membership`, `POST group`, `PUT disable`. */
  name: string;
  /** The id in the path, as it was encoded there. */
  id: string | undefined;
  parameters: Record<string, unknown>;
}

/** Works on one job, as a worker's container does. `sentAt` is the clock's time when it is not given. */
export type ProvisionNow = (job: Job, sentAt?: number) => Promise<Outcome>;

/** One organization between a simulated Clavex and a simulated Nextcloud. */
export interface Tenant {
  readonly organization: Organization;
  readonly clavex: SimulatedClavex;
  readonly nextcloud: SimulatedNextcloud;
  readonly ledger: Ledger;
  readonly clock: Clock;

  /** Adds a person to Clavex, with their groups. */
  person(fields?: Partial<NewUser>, groups?: string[]): ClavexUser;
  assign(person: ClavexUser, ...groups: string[]): void;
  unassign(person: ClavexUser, ...groups: string[]): void;
  accountId(person: ClavexUser): string;
  groupId(name: string): string;
  account(person: ClavexUser): AccountView | undefined;
  entry(person: ClavexUser): Promise<SubjectEntry | undefined>;

  /** A job that reads everything anew. */
  job(person: ClavexUser, kind?: "reconcile" | "replay" | "manual"): Job;
  /** The job of a webhook about the person as given, with the snapshot where the organization has no API key. */
  webhook(person: ClavexUser, event?: string): Job;
  /** Works on a job one second later, in the same container every time. */
  provisionNow: ProvisionNow;
  /** Brings a person up to date with a job that reads everything anew. */
  bring(person: ClavexUser): Promise<Outcome>;
  /** Another container: it remembers nothing. */
  container(options?: { ledger?: Ledger }): ProvisionNow;
  /** Replaces the organization's configuration; what is not chosen stays as it was at first. */
  configure(choices: Choices): void;
  /** Another organization of the same Clavex, on the same Nextcloud. */
  neighbour(choices?: Choices): Tenant;

  /** A point in the Nextcloud's recording. */
  mark(): number;
  /** The names of the requests that Nextcloud got since then. */
  since(mark: number): string[];
  requestsSince(mark: number): NextcloudRequest[];
}

export interface World {
  readonly ledger: Ledger;
  readonly embedded: Embedded;
  /** A new organization with its own servers and a fresh corner of the ledger. */
  tenant(choices?: Choices): Promise<Tenant>;
}

/** How long a container pauses a server after a failure that every job would meet. */
export const PAUSE_SECONDS = 30;

/** The most organizations that one simulated Clavex has. */
const ORGANIZATIONS = 3;

/**
 * Starts an embedded ledger for a test file. Every tenant gets simulated servers of its own, which cost next to nothing and
 * listen until the end of the file: so no port, and with it no Nextcloud in the ledger, comes twice.
 */
export function useWorld(): World {
  const closers: (() => Promise<unknown>)[] = [];
  let embedded: Embedded | undefined;
  let ledger: Ledger | undefined;
  let count = 0;

  beforeAll(async () => {
    embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
    ledger = createLedger(createDocumentClient(embedded.clients.dynamodb), embedded.endpoints.tableName);
  });
  afterAll(async () => {
    await Promise.all(closers.map((close) => close()));
    await embedded?.stop();
  });

  const world: World = {
    get ledger() {
      if (ledger === undefined) throw new Error("the world has not begun");
      return ledger;
    },
    get embedded() {
      if (embedded === undefined) throw new Error("the world has not begun");
      return embedded;
    },
    async tenant(choices = {}) {
      const queue = createSqsQueue(world.embedded.clients.sqs, world.embedded.endpoints.queueUrl);
      const clock: Clock = { now: Date.UTC(2026, 6, 23, 8) };
      const now = () => clock.now;
      const spare = Array.from({ length: ORGANIZATIONS }, () => {
        count += 1;
        return { id: randomUUID(), slug: `organization-${count}`, apiKey: `${API_KEY}_${count}` };
      });
      const clavex = await startSimulatedClavex({ organizations: [...spare], now });
      closers.push(clavex.close);
      const nextcloud = await startSimulatedNextcloud({ providers: PROVIDERS, now });
      closers.push(nextcloud.close);
      const secrets = environmentSecrets({
        WEBHOOK_SECRET: "a-webhook-secret-that-protects-nothing",
        APP_PASSWORD: nextcloud.password,
        ...Object.fromEntries(spare.map(({ id, apiKey }) => [`API_KEY_${id.replaceAll("-", "_")}`, apiKey])),
      });
      const newSystems = (): Clients => {
        const clients = createClients({ secrets, nextcloudConnections: 4, now });
        closers.unshift(clients.close);
        return clients;
      };
      const next = (chosen: Choices): Tenant => {
        const organization = spare.shift();
        if (organization === undefined) throw new Error(`a Clavex has only ${ORGANIZATIONS} organizations here`);
        return tenantOf({
          organization,
          choices: chosen,
          clavex,
          nextcloud,
          ledger: world.ledger,
          queue,
          clock,
          newSystems,
          next,
        });
      };
      return next(choices);
    },
  };
  return world;
}

interface TenantParts {
  organization: { id: string; slug: string };
  choices: Choices;
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  ledger: Ledger;
  queue: Queue;
  clock: Clock;
  newSystems: () => Clients;
  next: (choices: Choices) => Tenant;
}

function tenantOf(parts: TenantParts): Tenant {
  const { clavex, nextcloud, ledger, clock, newSystems, choices } = parts;
  const { id, slug } = parts.organization;
  const configured = (changes: Choices): Organization =>
    organizationOf(
      { ...choices, ...changes, slug, organizationId: id },
      { clavex: clavex.url, nextcloud: nextcloud.url, username: nextcloud.username },
    );
  let organization = configured({});
  const organizations: Organizations = {
    get: async (wanted) => (wanted === slug ? organization : undefined),
    slugs: async () => [slug],
  };
  const container: Tenant["container"] = (options = {}) => {
    const provision = createProvision({
      organizations,
      clients: newSystems(),
      ledger: options.ledger ?? ledger,
      queue: parts.queue,
      breakerDelay: () => PAUSE_SECONDS,
      now: () => clock.now,
    });
    return (job, sentAt) => {
      clock.now += 1_000;
      return provision(job, sentAt ?? clock.now);
    };
  };
  const groupNamed = (name: string) => clavex.groupByName(slug, name) ?? clavex.addGroup(slug, name);

  const tenant: Tenant = {
    get organization() {
      return organization;
    },
    clavex,
    nextcloud,
    ledger,
    clock,
    person(fields = {}, groups = []) {
      const subject = randomUUID();
      const person = clavex.addUser(slug, {
        id: subject,
        email: `ada.${subject}@acme.example`,
        first_name: "Ada",
        last_name: "Lovelace",
        ...fields,
      });
      tenant.assign(person, ...groups);
      return person;
    },
    assign(person, ...groups) {
      for (const name of groups) clavex.addMember(slug, groupNamed(name).id, person.id);
    },
    unassign(person, ...groups) {
      for (const name of groups) clavex.removeMember(slug, groupNamed(name).id, person.id);
    },
    accountId: (person) => accountId(organization.identity, person.id),
    groupId: (name) => groupId(organization.identity, name),
    account: (person) => nextcloud.user(accountId(organization.identity, person.id)),
    entry: (person) => ledger.subject(slug, person.id),
    job: (person, kind = "manual") => ({ version: 1, organization: slug, subject: person.id, trigger: { kind } }),
    webhook(person, event = "user.updated") {
      const snapshot = organization.clavex.apiKey === undefined && event !== "user.deleted";
      return {
        version: 1,
        organization: slug,
        subject: person.id,
        trigger: { kind: "webhook", event, deliveryId: randomUUID() },
        ...(snapshot ? { snapshot: snapshotOf(person, organization.quota.attribute) ?? {} } : {}),
      };
    },
    provisionNow: container(),
    bring: (person) => tenant.provisionNow(tenant.job(person)),
    container,
    configure(changes) {
      organization = configured(changes);
    },
    neighbour: (neighbours = {}) => parts.next(neighbours),
    mark: () => nextcloud.requests.length,
    since: (mark) => tenant.requestsSince(mark).map(({ name }) => name),
    requestsSince: (mark) => nextcloud.requests.slice(mark).map(short),
  };
  return tenant;
}

const SHORT: [pattern: RegExp, name: string][] = [
  [/^cloud\/users\/([^/]+)\/enable$/, "enable"],
  [/^cloud\/users\/([^/]+)\/disable$/, "disable"],
  [/^cloud\/users\/([^/]+)\/groups$/, "membership"],
  [/^cloud\/users(?:\/([^/]+))?$/, "user"],
  [/^cloud\/groups(?:\/([^/]+))?$/, "group"],
  [/^apps\/user_oidc\/api\/v1\/user(?:\/([^/]+))?$/, "user_oidc"],
];

/** A recorded request in short. */
export function short(request: RecordedRequest): NextcloudRequest {
  const { pathname } = new URL(`http://127.0.0.1${request.path}`);
  const path = pathname.replace(/^.*\/ocs\/v2\.php\//, "");
  const { format: _, ...parameters } = Object.fromEntries(parametersOf(request));
  for (const [pattern, name] of SHORT) {
    const match = pattern.exec(path);
    if (match) return { name: `${request.method} ${name}`, id: match[1], parameters };
  }
  return { name: `${request.method} ${path}`, id: undefined, parameters };
}
