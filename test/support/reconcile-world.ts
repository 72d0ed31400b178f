import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateQueueCommand, PurgeQueueCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll } from "vitest";
import type * as z from "zod";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { createClients } from "../../functions/clients.ts";
import type { Organizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { accountId, groupId } from "../../functions/core/identity.ts";
import { type Job, jobSchema } from "../../functions/core/job.ts";
import { type Organization, organizationSchema } from "../../functions/core/organization.ts";
import type { SubjectRecord } from "../../functions/core/record.ts";
import type { Claims } from "../../functions/ledger/claims.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { createCountFailure } from "../../functions/provision/attempts.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { createWorker } from "../../functions/provision/worker.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { type DriftReport, driftReport, type FullReport } from "../../functions/reconcile/drift-report.ts";
import { createFollowGroups } from "../../functions/reconcile/group-hints.ts";
import {
  type CompletedRun,
  createReconcile,
  type Reconcile,
  type ReconcileDependencies,
} from "../../functions/reconcile/reconcile.ts";
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
import type { Fields, Log } from "../../functions/telemetry/log.ts";
import type { Counter, Counters } from "../../functions/telemetry/metrics.ts";
import { type Embedded, startEmbedded } from "./embedded.ts";
import { run, startPipelineProcess } from "./processes.ts";

type OrganizationInput = z.input<typeof organizationSchema>;

/** The parts of an organization's document that a test cares about; the rest is filled in. */
export type Choices = Partial<
  Pick<OrganizationInput, "identity" | "scope" | "groups" | "quota" | "deprovision" | "reconcile">
> & { organizationId?: string; apiKey?: boolean };

/** A line that was logged. */
export interface Line {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  fields: Fields;
}

/**
 * One organization between a simulated Clavex and a simulated Nextcloud, with a queue of its own: reconciliation sends jobs
 * to it, and the worker takes them from it when the test says so. The clock runs, and tests can put it forward.
 */
export interface Company {
  readonly slug: string;
  readonly organization: Organization;
  readonly clavex: SimulatedClavex;
  readonly nextcloud: SimulatedNextcloud;
  readonly ledger: Ledger;
  /** What its reconciliation is made of. */
  readonly dependencies: Required<ReconcileDependencies>;
  /** What reconciliation and worker logged and counted, in order. */
  readonly lines: Line[];
  readonly counted: Counter[];

  /** Adds a person to Clavex, with their groups. */
  person(fields?: Partial<NewUser>, groups?: string[]): ClavexUser;
  people(number: number, groups?: string[]): ClavexUser[];
  assign(person: ClavexUser, ...groups: string[]): void;
  unassign(person: ClavexUser, ...groups: string[]): void;
  accountId(person: ClavexUser): string;
  groupId(name: string): string;
  account(person: ClavexUser): AccountView | undefined;
  /** The display names of the groups that the person's account is in, sorted. */
  groupsOf(person: ClavexUser): string[];
  record(person: ClavexUser): Promise<SubjectRecord | undefined>;
  /** Does something in Nextcloud as its administrator, behind our back: a call below `/ocs/v2.php/`. */
  administer(method: string, path: string, parameters?: Record<string, string>): Promise<void>;
  /** Signs in to Nextcloud over OpenID Connect, as the person's first visit would. */
  logIn(person: ClavexUser, claims?: Parameters<SimulatedNextcloud["simulateLogin"]>[0]["claims"]): number;

  now(): number;
  /** Puts the clock forward. */
  pass(milliseconds: number): void;
  /** Replaces the organization's configuration; what is not chosen has its default. */
  configure(choices: Choices): void;

  reconcile: Reconcile;
  light(options?: Parameters<Reconcile>[2]): Promise<CompletedRun>;
  full(options?: Parameters<Reconcile>[2]): Promise<CompletedRun>;
  /** A look that sends nothing; `meanwhile` happens before the ledger is read, and again after it. */
  look(mode: "full", meanwhile?: () => Promise<unknown>): Promise<FullReport>;
  look(mode: "light" | "full", meanwhile?: () => Promise<unknown>): Promise<DriftReport>;
  /** The groups that those looks asked the ledger about, one entry for each question. */
  readonly asked: string[];
  /** Hands the worker all jobs, until the queue is empty. */
  work(): Promise<void>;
  /** Hands the worker every job that is visible now, once. */
  attempt(): Promise<void>;
  /** How many jobs are in the queue, waiting ones included. */
  queued(): Promise<number>;
  /** Replaces what happens when jobs are sent; `send` is the real thing. */
  onSend: (jobs: Job[], send: () => Promise<void>) => Promise<void>;
  /** Empties the queue, as if it had lost its messages. */
  lose(): Promise<void>;
  /** The jobs that were sent so far; empty it with `sent.length = 0`. */
  readonly sent: Job[];
  /** Sends a signed body to the webhook endpoint. Returns the status and what it says. */
  deliver(body: unknown): Promise<{ status: number; said: unknown }>;
  /** Reconciles fully and works until done: everything is as it should be. */
  settle(): Promise<void>;
}

export const DAY = 24 * 60 * 60_000;
const WEBHOOK_SECRET = "a-webhook-secret-that-protects-nothing";
const API_KEY = "clv_test_key_that_protects_nothing";
const VISIBILITY_SECONDS = 30;
const RETRY_SECONDS = 1;
const NEVER = new AbortController().signal;

/** Starts the embedded queue and ledger for a test file; every company has its own servers, slug and queue. */
export function useCompanies(): { found(choices?: Choices): Promise<Company>; ledger(): Ledger } {
  const closers: (() => Promise<unknown>)[] = [];
  let embedded: Embedded | undefined;
  let count = 0;

  beforeAll(async () => {
    embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: VISIBILITY_SECONDS });
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
    await embedded?.stop();
  });

  const running = (): Embedded => {
    if (!embedded) throw new Error("the embedded services have not been started");
    return embedded;
  };
  const ledger = (): Ledger => createLedger(dynamoDbTable(running().clients.dynamodb, running().endpoints.tableName));
  return {
    ledger,
    async found(choices = {}) {
      count += 1;
      return foundCompany(`company-${count}`, running(), ledger(), choices, (close) => closers.push(close));
    },
  };
}

async function foundCompany(
  slug: string,
  { clients }: Embedded,
  ledger: Ledger,
  first: Choices,
  atEnd: (close: () => Promise<unknown>) => void,
): Promise<Company> {
  const organizationId = first.organizationId ?? randomUUID();
  const clock = createClock();
  const { now } = clock;
  const clavex = await startSimulatedClavex({ organizations: [{ id: organizationId, slug, apiKey: API_KEY }], now });
  atEnd(clavex.close);
  const nextcloud = await startSimulatedNextcloud({ now });
  atEnd(nextcloud.close);

  const configured = ({ apiKey = true, ...choices }: Choices): Organization =>
    organizationSchema.parse({
      identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
      ...choices,
      slug,
      organizationId: choices.organizationId ?? organizationId,
      clavex: {
        baseUrl: clavex.url,
        webhookSecrets: ["env:WEBHOOK_SECRET"],
        ...(apiKey ? { apiKey: "env:API_KEY" } : {}),
      },
      nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:APP_PASSWORD" },
    });
  let organization = configured(first);
  const organizations: Organizations = {
    get: async (wanted) => (wanted === slug ? organization : undefined),
    slugs: async () => [slug],
  };
  const secrets = environmentSecrets({ WEBHOOK_SECRET, API_KEY, APP_PASSWORD: nextcloud.password });
  const newClients = () => {
    const clients = createClients({ secrets, nextcloudConnections: 4, now });
    atEnd(clients.close);
    return clients;
  };

  const lines: Line[] = [];
  const counted: Counter[] = [];
  const log = recordingLog(lines);
  const counters: Counters = { count: (counter) => void counted.push(counter), flush: () => undefined };

  const sent: Job[] = [];
  const queueUrl = await createFifoQueue(clients, slug);
  const plainQueue = createSqsQueue(clients.sqs, queueUrl);
  const queue: Queue = {
    ...plainQueue,
    async send(job, source) {
      await plainQueue.send(job, source);
      sent.push(job);
    },
    sendAll: (jobs, source) =>
      company.onSend(jobs, async () => {
        await plainQueue.sendAll(jobs, source);
        sent.push(...jobs);
      }),
  };
  const guards = createGuards({
    organizations,
    clients: newClients(),
    ledger,
    breakerDelay: () => RETRY_SECONDS,
    now,
  });
  const worker = createWorker({
    provision: createProvision({ guards, ledger, now }),
    followGroups: createFollowGroups({ guards, ledger, queue }),
    countFailure: createCountFailure(organizations, ledger),
    queue,
    retryDelay: () => RETRY_SECONDS,
    log,
    counters,
    concurrency: 4,
  });
  const readers = newClients();
  const dependencies = { organizations, clients: readers, ledger, queue, log, counters, now };
  const reconcile = createReconcile(dependencies);
  const completed = async (mode: "light" | "full", options?: Parameters<Reconcile>[2]): Promise<CompletedRun> => {
    const run = await reconcile(slug, mode, options);
    if (run.result !== "done") throw new Error(`the run did nothing: ${run.result}`);
    return run;
  };
  const receiver = createReceiver({ organizations, secrets, queue, log, counters, now });

  function look(mode: "full", meanwhile?: () => Promise<unknown>): Promise<FullReport>;
  function look(mode: "light" | "full", meanwhile?: () => Promise<unknown>): Promise<DriftReport>;
  function look(mode: "light" | "full", meanwhile = async (): Promise<unknown> => undefined): Promise<DriftReport> {
    async function* all(wanted: string) {
      await meanwhile();
      yield* ledger.subjects.all(wanted);
      await meanwhile();
    }
    const group: Claims["group"] = (origin, gid) => {
      company.asked.push(gid);
      return ledger.claims.group(origin, gid);
    };
    const watched = { ...ledger, subjects: { ...ledger.subjects, all }, claims: { ...ledger.claims, group } };
    return driftReport(organization, mode, { ledger: watched, clients: readers.of(organization), now });
  }

  const attempt = async (): Promise<void> => {
    for (;;) {
      const messages = await plainQueue.receive({ most: 10, waitSeconds: 0 });
      if (messages.length === 0) return;
      for (const { body } of messages) jobSchema.parse(JSON.parse(body));
      // On the company's clock.
      const received = messages.map((message) => ({ ...message, sentAt: clock.at(message.sentAt) }));
      const stayed = new Set(await worker(received, NEVER));
      await plainQueue.done(received.filter((message) => !stayed.has(message)));
    }
  };
  const queued = async (): Promise<number> => {
    const { waiting, delayed, inFlight } = await plainQueue.counts();
    return waiting + delayed + inFlight;
  };
  const groupNamed = (name: string) => clavex.groupByName(slug, name) ?? clavex.addGroup(slug, name);
  const id = (person: ClavexUser): string => accountId(organization.identity, person.id);

  const company: Company = {
    slug,
    get organization() {
      return organization;
    },
    clavex,
    nextcloud,
    ledger,
    dependencies,
    lines,
    counted,
    person(fields = {}, groups = []) {
      const subject = randomUUID();
      const person = clavex.addUser(slug, {
        id: subject,
        email: `ada.${subject}@acme.example`,
        first_name: "Ada",
        last_name: "Lovelace",
        ...fields,
      });
      company.assign(person, ...groups);
      return person;
    },
    people: (number, groups = []) => Array.from({ length: number }, () => company.person({}, groups)),
    assign(person, ...groups) {
      for (const name of groups) clavex.addMember(slug, groupNamed(name).id, person.id);
    },
    unassign(person, ...groups) {
      for (const name of groups) clavex.removeMember(slug, groupNamed(name).id, person.id);
    },
    accountId: id,
    groupId: (name) => groupId(organization.identity, name),
    account: (person) => nextcloud.user(id(person)),
    groupsOf: (person) =>
      (nextcloud.user(id(person))?.groups ?? []).map((gid) => nextcloud.group(gid)?.displayName ?? gid).sort(),
    record: (person) => ledger.subjects.get(slug, person.id),
    async administer(method, path, parameters = {}) {
      const { url, username, password } = nextcloud;
      const answer = await fetch(`${url}/ocs/v2.php/${path}?format=json`, {
        method,
        headers: {
          authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
          "ocs-apirequest": "true",
        },
        body: new URLSearchParams(parameters),
      });
      if (!answer.ok) throw new Error(`Nextcloud answers HTTP ${answer.status} to ${method} ${path}`);
      await answer.text();
    },
    logIn: (person, claims = {}) => nextcloud.simulateLogin({ providerId: 1, sub: person.id, claims }).status,
    now,
    pass: clock.pass,
    configure(choices) {
      organization = configured(choices);
    },
    reconcile,
    light: (options) => completed("light", options),
    full: (options) => completed("full", options),
    asked: [],
    look,
    attempt,
    onSend: (_jobs, send) => send(),
    async work() {
      for (;;) {
        await attempt();
        if ((await queued()) === 0) return;
        await sleep(50);
      }
    },
    queued,
    async lose() {
      await clients.sqs.send(new PurgeQueueCommand({ QueueUrl: queueUrl }));
    },
    sent,
    async deliver(body) {
      const text = JSON.stringify(body);
      const answer = await receiver.request(`/webhooks/clavex/${slug}`, {
        method: "POST",
        headers: { "content-type": "application/json", [SIGNATURE_HEADER]: sign(text, WEBHOOK_SECRET) },
        body: text,
      });
      return { status: answer.status, said: await answer.json() };
    },
    async settle() {
      await company.full();
      await company.work();
      sent.length = 0;
      lines.length = 0;
      counted.length = 0;
      clavex.requests.length = 0;
      nextcloud.requests.length = 0;
    },
  };
  return company;
}

async function createFifoQueue({ sqs }: Embedded["clients"], name: string): Promise<string> {
  const { QueueUrl } = await sqs.send(
    new CreateQueueCommand({
      QueueName: `${name}.fifo`,
      Attributes: { FifoQueue: "true", VisibilityTimeout: String(VISIBILITY_SECONDS) },
    }),
  );
  if (QueueUrl === undefined) throw new Error(`queue ${name} was not made`);
  return QueueUrl;
}

/** A clock that runs and can be put forward; `at` says what it showed at a time of the real one. */
function createClock() {
  const steps: { real: number; offset: number }[] = [{ real: 0, offset: 0 }];
  const offset = (): number => steps.at(-1)?.offset ?? 0;
  return {
    now: (): number => Date.now() + offset(),
    pass(milliseconds: number): void {
      steps.push({ real: Date.now(), offset: offset() + milliseconds });
    },
    at: (real: number): number => real + (steps.findLast((step) => step.real <= real)?.offset ?? 0),
  };
}

function recordingLog(lines: Line[]): Log {
  const at =
    (level: Line["level"]) =>
    (message: string, fields: Fields = {}): void =>
      void lines.push({ level, message, fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** An organization with its file and its state folder, for programs that are run as processes of their own. */
export interface Office {
  readonly slug: string;
  readonly organizationId: string;
  readonly clavex: SimulatedClavex;
  readonly nextcloud: SimulatedNextcloud;
  readonly stateFolder: string;
  person(fields?: Partial<NewUser>, groups?: string[]): ClavexUser;
  accountId(person: { id: string }): string;
  groupId(name: string): string;
  account(person: { id: string }): AccountView | undefined;
  /** Writes the organization's file anew; what is not chosen has its default. */
  configure(choices: Record<string, unknown>): Promise<void>;
  /** Adds the file of another organization. */
  addFile(slug: string, document: Record<string, unknown>): Promise<void>;
  /** `npm start` with this organization, and with further options. */
  start(...options: string[]): Promise<Awaited<ReturnType<typeof startPipelineProcess>>>;
  /** Ends what `start` began. */
  stop(): Promise<void>;
  /** Runs a command of `clavex-nextcloud`. `output` is stdout and stderr. */
  command(...args: string[]): Promise<{ code: number | string; output: string; lines: string[] }>;
  close(): Promise<void>;
}

const SLUG = "acme";

export async function openOffice(choices: Record<string, unknown> = {}): Promise<Office> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const organizationId = randomUUID();
  const clavex = await startSimulatedClavex({ organizations: [{ id: organizationId, slug: SLUG, apiKey: API_KEY }] });
  const nextcloud = await startSimulatedNextcloud();
  const identity = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;
  const environment = { WEBHOOK: WEBHOOK_SECRET, KEY: API_KEY, PASSWORD: nextcloud.password };
  const [organizations, stateFolder] = [join(folder, "organizations"), join(folder, "state")];
  const places = ["--organizations", organizations, "--state", stateFolder];
  const running: Awaited<ReturnType<typeof startPipelineProcess>>[] = [];
  await mkdir(organizations);
  const office: Office = {
    slug: SLUG,
    organizationId,
    clavex,
    nextcloud,
    stateFolder,
    person(fields = {}, groups = []) {
      const id = randomUUID();
      const email = `ada.${id}@acme.example`;
      const person = clavex.addUser(SLUG, { id, email, first_name: "Ada", last_name: "Lovelace", ...fields });
      for (const name of groups) {
        const group = clavex.groupByName(SLUG, name) ?? clavex.addGroup(SLUG, name);
        clavex.addMember(SLUG, group.id, person.id);
      }
      return person;
    },
    accountId: ({ id }) => accountId(identity, id),
    groupId: (name) => groupId(identity, name),
    account: ({ id }) => nextcloud.user(accountId(identity, id)),
    configure: (changed) =>
      office.addFile(SLUG, {
        organizationId,
        clavex: { baseUrl: clavex.url, webhookSecrets: ["env:WEBHOOK"], apiKey: "env:KEY" },
        ...changed,
      }),
    addFile: (slug, document) =>
      writeFile(
        join(organizations, `${slug}.json`),
        JSON.stringify({
          slug,
          organizationId: randomUUID(),
          clavex: { baseUrl: clavex.url, webhookSecrets: ["env:WEBHOOK"] },
          nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:PASSWORD" },
          identity: { scheme: "user_oidc", providerId: 1 },
          ...document,
        }),
      ),
    async start(...options) {
      const program = await startPipelineProcess([...places, "--first-retry", "1", ...options], environment);
      running.push(program);
      return program;
    },
    async stop() {
      for (const program of running.splice(0)) {
        program.kill("SIGTERM");
        await program.ended;
      }
    },
    async command(...args) {
      const program = run("functions/cli/main.ts", [...args, ...places], environment);
      const code = await program.ended;
      return {
        code,
        output: program.output(),
        lines: program
          .output()
          .split("\n")
          .map((line) => line.trimEnd()),
      };
    },
    async close() {
      await office.stop();
      await Promise.all([clavex.close(), nextcloud.close()]);
      await rm(folder, { recursive: true });
    },
  };
  await office.configure(choices);
  return office;
}
