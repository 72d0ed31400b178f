import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { snapshotOf } from "../../functions/clavex/snapshot.ts";
import { type Clients, createClients } from "../../functions/clients.ts";
import type { Organizations } from "../../functions/config/organizations.ts";
import { environmentSecrets, type Secrets } from "../../functions/config/secrets.ts";
import type { PersonJob } from "../../functions/core/job.ts";
import type { Organization } from "../../functions/core/organization.ts";
import type { SubjectRecord } from "../../functions/core/record.ts";
import { openDatabase } from "../../functions/database.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { type ClavexUser, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { Provider } from "../../functions/simulated/nextcloud-state.ts";
import type { NextcloudVersion } from "../../functions/simulated/nextcloud-version.ts";
import { apiKeyOf, type Choices, environmentOf, IDENTITIES, organizationOf } from "../core/organization.ts";
import { type Embedded, startEmbedded } from "./embedded.ts";
import { personJob, TRIGGERS, webhookTrigger } from "./jobs.ts";
import { createPeople, type People } from "./people.ts";
import { type NextcloudRequest, short } from "./requests.ts";

export type { Choices };
export { IDENTITIES };

/** The providers that `IDENTITIES` refers to. */
const PROVIDERS: Provider[] = [
  { id: 1, identifier: "first", uniqueUid: true, providerBasedId: false },
  { id: 2, identifier: "second", uniqueUid: false, providerBasedId: false },
  { id: 3, identifier: "clavex", uniqueUid: false, providerBasedId: true },
  { id: 4, identifier: "Größe & Söhne", uniqueUid: false, providerBasedId: true },
];

/** A clock that only the test advances. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now: number;
}

/** Works on one job, as a worker's container does. `sentAt` is the clock's time when it is not given. */
export type ProvisionNow = (job: PersonJob, sentAt?: number) => Promise<Outcome>;

/** One organization between a simulated Clavex and a simulated Nextcloud. */
export interface Tenant extends People {
  readonly slug: string;
  readonly organization: Organization;
  readonly clavex: SimulatedClavex;
  readonly nextcloud: SimulatedNextcloud;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** The configuration as a container finds it: this organization alone, as it is at the time. */
  readonly organizations: Organizations;
  readonly secrets: Secrets;
  /** Clients that nobody else uses; closed at the end of the file. */
  newClients(): Clients;
  /** Closes something at the end of the file. */
  atEnd(close: () => unknown): void;

  /** What the ledger remembers of the person. */
  record(person: { id: string }): Promise<SubjectRecord | undefined>;

  /** A job that reads everything again. */
  job(person: { id: string }, kind?: "reconcile" | "replay" | "manual"): PersonJob;
  /** The job of a webhook about the person as given, with the snapshot where the organization has no API key. */
  webhook(person: ClavexUser, event?: string): PersonJob;
  /** Works on a job one second later, in the same container every time. */
  provisionNow: ProvisionNow;
  /** Brings a person up to date with a job that reads everything again. */
  bring(person: { id: string }): Promise<Outcome>;
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
  /** The same, without those that only read. */
  writesSince(mark: number): string[];
  requestsSince(mark: number): NextcloudRequest[];
}

/** Builds what a test file needs, and closes it at the end of the file. */
export interface Builder {
  readonly ledger: Ledger;
  readonly embedded: Embedded;
  /** A new organization with its own servers and a fresh corner of the ledger. */
  build(choices?: BuildChoices): Promise<Tenant>;
}

type BuildChoices = Choices & { version?: NextcloudVersion };

/** How long a container's circuits stay open after a failure that every job would meet. */
export const OPEN_SECONDS = 30;

/** The most organizations that one simulated Clavex has. */
const ORGANIZATIONS = 3;
/** How many there are so far: each has a corner of its own in a shared ledger. */
let count = 0;

/**
 * Starts an embedded ledger for a test file. Every organization that is built gets simulated servers of its own, which cost
 * next to nothing and listen until the end of the file: so no port, and with it no Nextcloud in the ledger, comes twice.
 */
export function useOrganizations(): Builder {
  const closers: (() => unknown)[] = [];
  let started: { embedded: Embedded; ledger: Ledger } | undefined;

  beforeAll(async () => {
    const embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
    const ledger = createLedger(dynamoDbTable(embedded.clients.dynamodb, embedded.endpoints.tableName));
    started = { embedded, ledger };
  });
  afterAll(async () => {
    await Promise.all(closers.map((close) => close()));
    await started?.embedded.stop();
  });

  const running = () => {
    if (started === undefined) throw new Error("nothing can be built before the tests have begun");
    return started;
  };
  const builder: Builder = {
    get ledger() {
      return running().ledger;
    },
    get embedded() {
      return running().embedded;
    },
    async build(choices = {}) {
      return buildTenant(choices, builder.ledger, closers);
    },
  };
  return builder;
}

/**
 * One organization with a ledger of its own in memory, for properties of many runs.
 *
 * @returns it, and what closes all of it
 */
export async function buildInMemory(choices?: BuildChoices): Promise<{ tenant: Tenant; close: () => Promise<void> }> {
  const closers: (() => unknown)[] = [];
  const database = openDatabase(undefined);
  closers.push(database.close);
  const tenant = await buildTenant(choices, createLedger(sqliteTable(database)), closers);
  return { tenant, close: async () => void (await Promise.all(closers.map((close) => close()))) };
}

async function buildTenant(
  { version, ...choices }: BuildChoices = {},
  ledger: Ledger,
  closers: (() => unknown)[],
): Promise<Tenant> {
  const atEnd = (close: () => unknown) => void closers.unshift(close);
  const clock: Clock = { now: Date.UTC(2026, 6, 23, 8) };
  const now = () => clock.now;
  const spare = Array.from({ length: ORGANIZATIONS }, () => {
    count += 1;
    const slug = `organization-${count}`;
    return { id: randomUUID(), slug, apiKey: apiKeyOf(slug) };
  });
  const clavex = await startSimulatedClavex({ organizations: [...spare], now });
  closers.push(clavex.close);
  const nextcloud = await startSimulatedNextcloud({
    providers: PROVIDERS,
    now,
    ...(version === undefined ? {} : { version }),
    ...(choices.skeleton === "empty" ? { skeleton: {} } : {}),
  });
  closers.push(nextcloud.close);
  const secrets = environmentSecrets(environmentOf(nextcloud.password, ...spare.map(({ slug }) => slug)));
  const newClients = (): Clients => {
    const clients = createClients({ secrets, nextcloudConnections: 4, now });
    atEnd(clients.close);
    return clients;
  };
  const next = (chosen: Choices): Tenant => {
    const organization = spare.shift();
    if (organization === undefined) throw new Error(`a Clavex has only ${ORGANIZATIONS} organizations here`);
    const shared = { clavex, nextcloud, ledger, clock, secrets, newClients, atEnd, next };
    return tenantOf({ organization, choices: chosen, ...shared });
  };
  return next(choices);
}

interface TenantParts {
  organization: { id: string; slug: string };
  choices: Choices;
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  ledger: Ledger;
  clock: Clock;
  secrets: Secrets;
  newClients: () => Clients;
  atEnd: (close: () => unknown) => void;
  next: (choices: Choices) => Tenant;
}

function tenantOf(parts: TenantParts): Tenant {
  const { clavex, nextcloud, ledger, clock, newClients, choices } = parts;
  const { id, slug } = parts.organization;
  const configured = (changes: Choices): Organization =>
    organizationOf({ organizationId: id, ...choices, ...changes, slug }, { clavex, nextcloud });
  let organization = configured({});
  const organizations: Organizations = {
    get: async (wanted) => (wanted === slug ? organization : undefined),
    slugs: async () => [slug],
  };
  const container: Tenant["container"] = (options = {}) => {
    const shared = { ledger: options.ledger ?? ledger, now: () => clock.now };
    const guards = createGuards({
      organizations,
      clients: newClients(),
      breakerDelay: () => OPEN_SECONDS,
      ...shared,
    });
    const provision = createProvision({ guards, ...shared });
    return (job, sentAt) => {
      clock.now += 1_000;
      return provision({ job, sentAt: sentAt ?? clock.now, receiveCount: 1 });
    };
  };
  const tenant: Tenant = {
    slug,
    get organization() {
      return organization;
    },
    clavex,
    nextcloud,
    ledger,
    clock,
    organizations,
    secrets: parts.secrets,
    newClients,
    atEnd: parts.atEnd,
    ...createPeople({ slug, clavex, nextcloud, identity: () => organization.identity }),
    record: (person) => ledger.subjects.get(slug, person.id),
    job: (person, kind = "manual") => personJob(slug, person.id, TRIGGERS[kind]),
    webhook(person, event = "user.updated") {
      const snapshot = organization.clavex.apiKey === undefined && event !== "user.deleted";
      return {
        ...personJob(slug, person.id, webhookTrigger(event)),
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
    writesSince: (mark) => tenant.since(mark).filter((name) => !name.startsWith("GET ")),
    requestsSince: (mark) => nextcloud.requests.slice(mark).map(short),
  };
  return tenant;
}
