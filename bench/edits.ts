import { type Clients, createClients } from "../functions/clients.ts";
import { fixedOrganizations } from "../functions/config/organizations.ts";
import { accountId, groupId } from "../functions/core/identity.ts";
import type { Organization } from "../functions/core/organization.ts";
import { createProbeDelay, createRetryDelay } from "../functions/core/retry.ts";
import { TICK_MS } from "../functions/core/schedule.ts";
import { openDatabase } from "../functions/database.ts";
import { createLedger, type Ledger } from "../functions/ledger/ledger.ts";
import { sqliteTable } from "../functions/ledger/sqlite.ts";
import { createCountFailure } from "../functions/provision/attempts.ts";
import { createGuards } from "../functions/provision/guards.ts";
import { createProvision } from "../functions/provision/provision.ts";
import { createWorker, type Worker } from "../functions/provision/worker.ts";
import type { Queue } from "../functions/queue/queue.ts";
import { createSqliteQueue } from "../functions/queue/sqlite.ts";
import { createFollowGroups } from "../functions/reconcile/group-hints.ts";
import { createPace } from "../functions/reconcile/pace.ts";
import { createReconcile } from "../functions/reconcile/reconcile.ts";
import { createReport, createTick } from "../functions/reconcile/tick.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../functions/simulated/nextcloud.ts";
import type { RecordedRequest } from "../functions/simulated/server.ts";
import { personJob, webhookTrigger } from "../test/support/jobs.ts";
import { timeOf } from "./nextcloud-times.ts";
import { benchOrganization, benchSecrets, IDENTITY } from "./organization.ts";
import { NO_COUNTERS, QUIET_LOG } from "./quiet.ts";
import { settleAccount } from "./settled.ts";

export interface EditsOptions {
  people: number;
  /** `empty`: quotas are written by user_oidc's POST. `default`: by PATCH, of which Nextcloud 34 takes 50 in ten minutes. */
  skeleton: "empty" | "default";
  /** When to stop although edits wait, in milliseconds of the simulated time. */
  endsAfterMs: number;
  /** How often somebody joins and somebody leaves, in milliseconds of the simulated time; default every 30 s. */
  everyMs?: number;
  /** Whether the run sends edits no faster than they are worked on, as those of the schedule do; default yes. */
  paced?: boolean;
}

/** What happened while a group's quota changed; all times are simulated. */
export interface Edited {
  /** How many accounts got the new quota, and how many are still to get it. */
  written: number;
  left: number;
  /** After how many seconds, and how many requests to Nextcloud. */
  seconds: number;
  requests: number;
  requestsToClavex: number;
  /** Answers with HTTP 429. */
  refused: number;
  newcomers: Waits;
  leavers: Waits;
}

/** How long people waited, from the webhook on, and how many requests Nextcloud answered in that time. */
export interface Waits {
  seconds: number[];
  requests: number[];
}

const { slug } = DEFAULT_ORGANIZATION;
const GROUP = "Staff";
const QUOTAS = { before: "5 GB", after: "6 GB" };
const NEW_QUOTA_BYTES = 6 * 1024 ** 3;
/** As many as saturate Nextcloud; and as many people at a time, so that nobody waits for others of their batch. */
const CONNECTIONS = 4;
const ARRIVALS = { everyMs: 30_000, most: 20 };
const VISIBILITY_SECONDS = 60;
const NEVER = new AbortController().signal;

/**
 * Everybody has logged in, then their group's quota changes in the organization document. Nobody waits for real: each request
 * moves the clock by its share of the measured Nextcloud's time with 4 connections, and idle time is skipped.
 */
export async function editQuotas(options: EditsOptions): Promise<Edited> {
  const clock = { now: Date.UTC(2026, 10, 24, 8) };
  const now = () => clock.now;
  /** The clock counts whole milliseconds. */
  let elapsed = 0;
  const profile = options.skeleton === "empty" ? "34" : "34-skeleton";
  const exists = (subject: string): boolean => nextcloud.user(accountId(IDENTITY, subject)) !== undefined;
  const clavex = await startSimulatedClavex({ now });
  const nextcloud: SimulatedNextcloud = await startSimulatedNextcloud({
    now,
    ...(options.skeleton === "empty" ? { skeleton: {} } : {}),
    serviceTime(request) {
      elapsed += timeOf(profile, request, CONNECTIONS, exists) / CONNECTIONS;
      clock.now += Math.floor(elapsed);
      elapsed %= 1;
      return 0;
    },
  });
  const database = openDatabase(undefined);
  const clients = createClients({ secrets: benchSecrets(), nextcloudConnections: CONNECTIONS, now });
  const queue = createSqliteQueue(database, { visibilitySeconds: VISIBILITY_SECONDS, now });
  try {
    const world = { clavex, nextcloud, ledger: createLedger(sqliteTable(database)), clients, queue, clock };
    const people = new People(world);
    await people.settle(options.people, quotaOf(world, options, QUOTAS.before));
    const simulation = new Simulation(world, quotaOf(world, options, QUOTAS.after), people, options);
    return await simulation.run(options.endsAfterMs);
  } finally {
    await clients.close();
    await clavex.close();
    await nextcloud.close();
    database.close();
  }
}

interface World {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  ledger: Ledger;
  clients: Clients;
  queue: Queue;
  clock: { now: number };
}

/** The organization with this quota for the group. */
function quotaOf({ clavex, nextcloud }: World, { skeleton }: EditsOptions, quota: string): Organization {
  const { baseUrl, username, password } = benchOrganization({ clavex: clavex.url, nextcloud: nextcloud.url }).nextcloud;
  return benchOrganization(
    { clavex: clavex.url, nextcloud: nextcloud.url },
    { nextcloud: { baseUrl, username, password, skeleton }, quota: { default: "1 GB", byGroup: { [GROUP]: quota } } },
  );
}

/** Everybody who was ever there; all of them in one group. */
class People {
  readonly subjects: string[] = [];
  readonly #world: World;
  readonly #group: string;
  readonly #gid = groupId(IDENTITY, GROUP);

  constructor(world: World) {
    this.#world = world;
    this.#group = world.clavex.addGroup(slug, GROUP).id;
    world.nextcloud.addGroup(this.#gid, GROUP);
  }

  /** Somebody new in Clavex alone. */
  hire(): ReturnType<SimulatedClavex["addUser"]> {
    const { clavex } = this.#world;
    const fields = { email: `person.${this.subjects.length}@bench.example`, first_name: "Ada", last_name: "Lovelace" };
    const user = clavex.addUser(slug, fields);
    clavex.addMember(slug, this.#group, user.id);
    this.subjects.push(user.id);
    return user;
  }

  /** People as the pipeline would have left them, who have logged in. */
  async settle(count: number, organization: Organization): Promise<void> {
    const { nextcloud, ledger, clock } = this.#world;
    await ledger.claims.claimGroup(nextcloud.url, this.#gid, { owner: slug, name: GROUP });
    const of = { groups: [GROUP], quota: QUOTAS.before, readAt: clock.now };
    for (let settled = 0; settled < count; settled += 1)
      await ledger.subjects.put(slug, settleAccount(nextcloud, organization, this.hire(), of));
  }

  account(subject: string) {
    return this.#world.nextcloud.user(accountId(IDENTITY, subject));
  }
}

/** Somebody whose webhook was sent. */
interface Arrival {
  subject: string;
  kind: "newcomers" | "leavers";
  sentAt: number;
  requestsBefore: number;
}

class Simulation {
  readonly #world: World;
  readonly #people: People;
  readonly #worker: Worker;
  readonly #tick: () => Promise<void>;
  readonly #startedAt: number;
  readonly #everyMs: number;
  /** The accounts that have the old quota still, by id. */
  readonly #old: Set<string>;
  /** How many of the others got the new one, and when the last did. */
  #written = 0;
  #lastAt = 0;
  readonly #waits: Record<Arrival["kind"], Waits> = {
    newcomers: { seconds: [], requests: [] },
    leavers: { seconds: [], requests: [] },
  };
  #waiting: Arrival[] = [];
  #arrived = 0;
  #ticks = 0;
  #refused = 0;

  constructor(world: World, organization: Organization, people: People, options: EditsOptions) {
    const { paced = true, everyMs = ARRIVALS.everyMs } = options;
    this.#everyMs = everyMs;
    const { ledger, clients, queue, clock, nextcloud } = world;
    const now = () => clock.now;
    [this.#world, this.#people, this.#startedAt] = [world, people, now()];
    this.#old = new Set(people.subjects.map((subject) => accountId(IDENTITY, subject)));
    const organizations = fixedOrganizations([organization]);
    const shared = { organizations, clients, ledger, queue, log: QUIET_LOG, counters: NO_COUNTERS, now };
    const guards = createGuards({ ...shared, breakerDelay: createProbeDelay() });
    this.#worker = createWorker({
      ...shared,
      provision: createProvision({ guards, ledger, now }),
      followGroups: createFollowGroups({ guards, ledger, queue }),
      countFailure: createCountFailure(organizations, ledger),
      retryDelay: createRetryDelay(),
      concurrency: CONNECTIONS,
    });
    const reconcile = createReconcile(shared);
    const pace = createPace(queue, slug, (ms) => this.#workUntil(now() + ms));
    this.#tick = createTick({
      ...shared,
      intervals: { watchSeconds: 0, lightMinutes: 10, fullHours: 0 },
      report: createReport({ log: QUIET_LOG, counters: NO_COUNTERS }),
      run: async (_, kind) => {
        if (kind !== "watch") await reconcile(slug, kind, paced ? { pace } : {});
      },
    });
    nextcloud.faults.add({
      kind: "changed",
      match: ({ method }) => method === "POST" || method === "PATCH",
      change: (answer, request) => {
        if (answer.status === 429) this.#refused += 1;
        this.#note(request);
        return answer;
      },
    });
    for (const { requests } of [nextcloud, world.clavex]) requests.length = 0;
  }

  /** Works until everybody has the new quota, or the time is over. */
  async run(endsAfterMs: number): Promise<Edited> {
    const { clock, clavex, nextcloud } = this.#world;
    const endsAt = this.#startedAt + endsAfterMs;
    while (clock.now < endsAt && (this.#old.size > 0 || this.#waiting.length > 0)) await this.#step(endsAt);
    return {
      written: this.#written,
      left: this.#old.size,
      seconds: ((this.#old.size === 0 ? this.#lastAt : clock.now) - this.#startedAt) / 1000,
      requests: nextcloud.requests.length,
      requestsToClavex: clavex.requests.length,
      refused: this.#refused,
      ...this.#waits,
    };
  }

  async #workUntil(time: number): Promise<void> {
    while (this.#world.clock.now < time) await this.#step(time);
  }

  /** Does some of the jobs that wait; without any, time goes on to the next tick or to `most`. */
  async #step(most: number): Promise<void> {
    const { queue, clock } = this.#world;
    const tickAt = this.#startedAt + this.#ticks * TICK_MS;
    if (clock.now >= tickAt) {
      this.#ticks += 1;
      return this.#tick();
    }
    await this.#arrive();
    const messages = await queue.receive({ most: CONNECTIONS, waitSeconds: 0 });
    if (messages.length === 0) {
      clock.now = Math.min(most, tickAt, this.#nextArrival());
      return;
    }
    const stayed = new Set(await this.#worker(messages, NEVER));
    await queue.done(messages.filter((message) => !stayed.has(message)));
    this.#waiting = this.#waiting.filter((arrival) => !this.#isDone(arrival));
  }

  #nextArrival(): number {
    return this.#arrived < ARRIVALS.most
      ? this.#startedAt + (this.#arrived + 1) * this.#everyMs
      : Number.POSITIVE_INFINITY;
  }

  /** Somebody joins and somebody leaves, if it is time for that. */
  async #arrive(): Promise<void> {
    const { clavex, clock } = this.#world;
    if (clock.now < this.#nextArrival()) return;
    this.#arrived += 1;
    const leaver = this.#people.subjects[this.#arrived * 7] ?? "";
    clavex.suspend(slug, leaver);
    this.#old.delete(accountId(IDENTITY, leaver));
    await this.#hint("leavers", leaver);
    await this.#hint("newcomers", this.#people.hire().id);
  }

  async #hint(kind: Arrival["kind"], subject: string): Promise<void> {
    const { queue, clock, nextcloud } = this.#world;
    await queue.send(personJob(slug, subject, webhookTrigger()), `webhook ${subject}`);
    this.#waiting.push({ kind, subject, sentAt: clock.now, requestsBefore: nextcloud.requests.length });
  }

  #isDone({ kind, subject, sentAt, requestsBefore }: Arrival): boolean {
    const { clock, nextcloud } = this.#world;
    const account = this.#people.account(subject);
    const isDone = kind === "leavers" ? account?.enabled === false : account?.quota !== undefined;
    if (isDone) {
      this.#waits[kind].seconds.push((clock.now - sentAt) / 1000);
      this.#waits[kind].requests.push(nextcloud.requests.length - requestsBefore);
    }
    return isDone;
  }

  /** Notes whose account has the new quota after a request. */
  #note({ path, body }: RecordedRequest): void {
    const { clock, nextcloud } = this.#world;
    const subject = new URLSearchParams(body).get("userId");
    const id = subject === null ? (/\/users\/([^/?]+)/.exec(path)?.[1] ?? "") : accountId(IDENTITY, subject);
    if (this.#old.has(id) && nextcloud.user(id)?.quota === NEW_QUOTA_BYTES) {
      this.#old.delete(id);
      this.#written += 1;
      this.#lastAt = clock.now;
    }
  }
}
