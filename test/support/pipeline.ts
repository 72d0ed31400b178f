import type { Job } from "../../functions/core/job.ts";
import { openDatabase } from "../../functions/database.ts";
import type { Claims } from "../../functions/ledger/claims.ts";
import { createAskPaused } from "../../functions/ledger/pause.ts";
import { createCountFailure } from "../../functions/provision/attempts.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { createWorker } from "../../functions/provision/worker.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { type DriftReport, driftReport, type FullReport } from "../../functions/reconcile/drift-report.ts";
import { createFollowGroups } from "../../functions/reconcile/group-hints.ts";
import {
  type CompletedRun,
  createReconcile,
  type Reconcile,
  type ReconcileDependencies,
} from "../../functions/reconcile/reconcile.ts";
import type { Fields, Log } from "../../functions/telemetry/log.ts";
import type { Counter, Counters, Measure } from "../../functions/telemetry/metrics.ts";
import type { Tenant } from "./organization.ts";
import { signed } from "./requests.ts";

/** A line that was logged. */
export interface Line {
  level: keyof Log;
  message: string;
  fields: Fields;
}

/** Receiver, reconciliation and worker of one organization, with a queue of its own between them. */
export interface Pipeline {
  /** What they logged and counted, in order. */
  readonly lines: Line[];
  readonly counted: Counter[];
  readonly measured: [Measure, number][];
  /** The jobs that were sent so far; empty it with `sent.length = 0`. */
  readonly sent: Job[];
  /** Replaces what happens when reconciliation sends jobs; `send` is the real thing. */
  onSend: (jobs: Job[], send: () => Promise<void>) => Promise<void>;

  /** What its reconciliation is made of. */
  readonly dependencies: Required<ReconcileDependencies> & { queue: Queue };
  readonly reconcile: Reconcile;
  /** A run that has to come to its end. */
  light(options?: Parameters<Reconcile>[2]): Promise<CompletedRun>;
  full(options?: Parameters<Reconcile>[2]): Promise<CompletedRun>;
  /** A look that sends nothing; `meanwhile` happens before the ledger is read, and again after it. */
  look(mode: "full", meanwhile?: () => Promise<unknown>): Promise<FullReport>;
  look(mode: "light" | "full", meanwhile?: () => Promise<unknown>): Promise<DriftReport>;
  /** The groups that those looks asked the ledger about, one entry for each question. */
  readonly asked: string[];

  /** Hands the worker every job that is visible now, once. */
  attempt(): Promise<void>;
  /** Hands the worker all jobs, until the queue is empty; the clock moves while jobs wait. */
  work(): Promise<void>;
  /** How many jobs are in the queue, waiting ones included. */
  queued(): Promise<number>;
  /** Empties the queue, as if it had lost its messages. */
  lose(): Promise<void>;
  /** Sends a signed body to the webhook endpoint. Returns the status and what it says. */
  deliver(body: unknown): Promise<{ status: number; said: unknown }>;
  /** Reconciles fully and works until done: everything is in sync. Forgets what was recorded until then. */
  settle(): Promise<void>;
}

/** An organization with its pipeline. */
export type Company = Tenant & Pipeline;

const VISIBILITY_SECONDS = 30;
const RETRY_SECONDS = 1;
const NEVER = new AbortController().signal;

/** Adds a pipeline to an organization, in its own time: every step begins a second after the one before. */
export function withPipeline(tenant: Tenant, startsPaused = false): Company {
  const { slug, organizations, secrets, ledger, clock } = tenant;
  const now = () => clock.now;
  const lines: Line[] = [];
  const counted: Counter[] = [];
  const sent: Job[] = [];
  const asked: string[] = [];
  const log = recordingLog(lines);
  const measured: [Measure, number][] = [];
  const counters: Counters = {
    count: (counter) => void counted.push(counter),
    measure: (measure, seconds) => void measured.push([measure, seconds]),
    flush: () => undefined,
  };

  const database = openDatabase(undefined);
  tenant.atEnd(database.close);
  const plainQueue = createSqliteQueue(database, { visibilitySeconds: VISIBILITY_SECONDS, now });
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
    clients: tenant.newClients(),
    ledger,
    startsPaused,
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
    now,
  });
  const readers = tenant.newClients();
  const dependencies = { organizations, clients: readers, ledger, queue, startsPaused, log, counters, now };
  const reconcile = createReconcile(dependencies);
  const receiver = createReceiver({
    organizations,
    secrets,
    queue,
    isPaused: createAskPaused(ledger, startsPaused),
    log,
    counters,
    now,
  });

  const step = (): void => {
    clock.now += 1_000;
  };
  async function completed(mode: "light" | "full", options?: Parameters<Reconcile>[2]): Promise<CompletedRun> {
    step();
    const run = await reconcile(slug, mode, options);
    if (run.result !== "done") throw new Error(`the run did nothing: ${run.result}`);
    return run;
  }
  function look(mode: "full", meanwhile?: () => Promise<unknown>): Promise<FullReport>;
  function look(mode: "light" | "full", meanwhile?: () => Promise<unknown>): Promise<DriftReport>;
  function look(mode: "light" | "full", meanwhile = async (): Promise<unknown> => undefined): Promise<DriftReport> {
    step();
    async function* all(organization: string) {
      await meanwhile();
      yield* ledger.subjects.all(organization);
      await meanwhile();
    }
    const group: Claims["group"] = (origin, gid) => {
      asked.push(gid);
      return ledger.claims.group(origin, gid);
    };
    const watched = { ...ledger, subjects: { ...ledger.subjects, all }, claims: { ...ledger.claims, group } };
    return driftReport(tenant.organization, mode, { ledger: watched, clients: readers.of(tenant.organization), now });
  }
  async function* received() {
    for (;;) {
      const messages = await plainQueue.receive({ most: 10, waitSeconds: 0 });
      if (messages.length === 0) return;
      yield messages;
    }
  }

  const company: Company = Object.assign(tenant, {
    lines,
    counted,
    measured,
    sent,
    asked,
    onSend: (_jobs: Job[], send: () => Promise<void>) => send(),
    dependencies,
    reconcile,
    light: (options?: Parameters<Reconcile>[2]) => completed("light", options),
    full: (options?: Parameters<Reconcile>[2]) => completed("full", options),
    look,
    async attempt() {
      step();
      for await (const messages of received()) {
        const stayed = new Set(await worker(messages, NEVER));
        await plainQueue.done(messages.filter((message) => !stayed.has(message)));
      }
    },
    async work() {
      do await company.attempt();
      while ((await company.queued()) > 0);
    },
    async queued() {
      const { waiting, delayed, inFlight } = await plainQueue.counts();
      return waiting + delayed + inFlight;
    },
    async lose() {
      await plainQueue.release();
      for await (const messages of received()) await plainQueue.done(messages);
    },
    async deliver(body: unknown) {
      step();
      const answer = await receiver.request(`/webhooks/clavex/${slug}`, signed(JSON.stringify(body)));
      return { status: answer.status, said: await answer.json() };
    },
    async settle() {
      await company.full();
      await company.work();
      for (const list of [sent, lines, counted, tenant.clavex.requests, tenant.nextcloud.requests]) list.length = 0;
    },
  });
  return company;
}

function recordingLog(lines: Line[]): Log {
  const at =
    (level: Line["level"]) =>
    (message: string, fields: Fields = {}): void =>
      void lines.push({ level, message, fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
