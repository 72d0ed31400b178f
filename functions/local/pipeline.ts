import type { Hono } from "hono";
import { recording } from "../activity/recorder.ts";
import { type Clients, type ClientsOptions, createClients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import type { Organization } from "../core/organization.ts";
import type { ProbeDelay, RetryDelay } from "../core/retry.ts";
import { DEFAULT_INTERVALS, type Intervals } from "../core/schedule.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { createCountFailure } from "../provision/attempts.ts";
import { createGuards, type GuardsDependencies } from "../provision/guards.ts";
import { createProvision } from "../provision/provision.ts";
import { createWorker } from "../provision/worker.ts";
import type { Queue, Releasable } from "../queue/queue.ts";
import { createReceiver } from "../receive/app.ts";
import { createFollowGroups } from "../reconcile/group-hints.ts";
import { createReconcile, type Reconcile } from "../reconcile/reconcile.ts";
import { createReport, createScheduledRun, createTick } from "../reconcile/tick.ts";
import { createWatch } from "../reconcile/watch.ts";
import type { Log } from "../telemetry/log.ts";
import { createAdmin } from "./admin.ts";
import { lockFolder } from "./lock.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { startPoller } from "./poller.ts";
import { type Readiness, readiness } from "./readiness.ts";
import { localProbeDelay, localRetryDelay, releaseOnRecovery } from "./recovery.ts";
import { startSchedule } from "./schedule.ts";
import { forgetState, openState, type State, VISIBILITY_SECONDS } from "./state.ts";
import { listen, type Web, type WebOptions } from "./web.ts";

export interface PipelineOptions {
  organizations: Organizations;
  secrets: Secrets;
  log: Log;
  /** 0 for any free port. */
  port: number;
  host?: string;
  /** The port for /readyz, /metrics and the operator's pages; 0 for any free one, undefined for none. */
  adminPort?: number | undefined;
  /** Where it listens; the loopback address where it is left out. */
  adminHost?: string | undefined;
  /** Where browsers reach it through a proxy. */
  adminUrl?: string | undefined;
  /** Makes the operator's pages from the parts of this pipeline. */
  createPages?: ((parts: PipelineParts) => Hono) | undefined;
  /** Where queue and ledger are kept; undefined keeps them in memory. */
  stateFolder?: string | undefined;
  /** Start with nothing in it, for simulated systems, which forget everything too. */
  forgetState?: boolean;
  retryDelay?: RetryDelay;
  probeDelay?: ProbeDelay;
  intervals?: Intervals;
  visibilitySeconds?: number;
  timeouts?: ClientsOptions["timeouts"];
  silence?: GuardsDependencies["silence"];
}

/** What the operator's pages work with. */
export interface PipelineParts extends Pick<State, "queue" | "deadLetterQueue" | "ledger" | "activities"> {
  organizations: Organizations;
  secrets: Secrets;
  clients: Clients;
  reconcile: Reconcile;
  readiness: () => Promise<Readiness>;
  log: Log;
}

/** The whole pipeline, running in this process. */
export interface Pipeline {
  url: string;
  /** Where /readyz and /metrics are. */
  adminUrl: string | undefined;
  ledger: Ledger;
  queue: Queue & Releasable;
  reconcile: Reconcile;
  /**
   * The configuration has changed: waiting jobs are tried at once, and connections to servers that no organization uses any more are
   * closed.
   */
  reconfigured(): Promise<void>;
  /** Resolves when no job is waiting, delayed or in progress. */
  idle(): Promise<void>;
  /** Stops accepting deliveries, finishes the jobs in progress, and closes everything. */
  stop(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";
/** Enough to keep the connections to Nextcloud busy while others of them wait for Clavex, or for the disk. */
const CONCURRENT_SUBJECTS = 16;
const NEXTCLOUD_CONNECTIONS = 4;
const IDLE_POLL_MS = 50;

/**
 * Starts the same receiver and worker that run on Lambda, with queue and ledger in the state folder.
 *
 * @throws {ConfigurationError} when the port or the state folder is in use, or the state cannot be used
 * @throws {DatabaseUnavailable} when the disk is full
 */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { organizations, secrets, visibilitySeconds = VISIBILITY_SECONDS } = options;
  const state = openLockedState(options);
  const { queue, ledger, activities } = state;
  const log = recording(options.log, activities.record);
  const metrics = createMetrics();
  const { counters } = metrics;
  const clients = createClients({
    secrets,
    nextcloudConnections: NEXTCLOUD_CONNECTIONS,
    ...(options.timeouts ? { timeouts: options.timeouts } : {}),
  });

  const isPaused = createAskPaused(ledger, false);
  const receiver = createReceiver({ organizations, secrets, queue, isPaused, log, counters });
  const retryDelay = options.retryDelay ?? localRetryDelay();
  const guards = createGuards({
    organizations,
    clients,
    ledger,
    breakerDelay: options.probeDelay ?? localProbeDelay(),
    onCircuitClose: releaseOnRecovery(queue, log),
    ...(options.silence ? { silence: options.silence } : {}),
  });
  const reading = { organizations, clients, ledger, queue, log, counters };
  const reconcile = createReconcile(reading);
  const ready = () => readiness({ organizations, secrets, ledger, guards, probe: state.probe });
  const admin = createAdmin({
    readiness: ready,
    pages: options.createPages?.({ ...state, organizations, secrets, clients, reconcile, readiness: ready, log }),
    metrics: () => metrics.text({ organizations, guards, ...state }),
    metricsType: metrics.contentType,
    names: namesOf(options),
    log,
  });
  const webs = await listenOn(answering(receiver.fetch, metrics), admin.fetch, options).catch(async (error) => {
    metrics.close();
    await clients.close();
    state.close();
    throw error;
  });
  const provision = createProvision({ guards, ledger });
  const followGroups = createFollowGroups({ guards, ledger, queue });
  const poller = startPoller({
    queue,
    createWorker: (workersQueue) =>
      createWorker({
        provision,
        followGroups,
        countFailure: createCountFailure(organizations, ledger),
        queue: workersQueue,
        retryDelay,
        log,
        counters,
        // The poller hands over one subject at a time.
        concurrency: 1,
      }),
    visibilitySeconds,
    subjects: CONCURRENT_SUBJECTS,
    log,
  });

  const tick = createTick({
    organizations,
    ledger,
    queue,
    intervals: options.intervals ?? DEFAULT_INTERVALS,
    run: createScheduledRun({ reconcile, watch: createWatch(reading), queue, log, counters }),
    report: createReport({ log, counters }),
    counters,
  });
  const stopSchedule = startSchedule(tick);

  return {
    url: webs.endpoint.url,
    adminUrl: webs.admin?.url,
    ledger,
    queue,
    reconcile,
    reconfigured: () => reconfigure(queue, clients, organizations),
    idle: () => untilEmpty(queue),
    async stop() {
      await Promise.all([webs.endpoint.close(), webs.admin?.close()]);
      await stopSchedule();
      await poller.stop();
      await clients.close();
      metrics.close();
      state.close();
    },
  };
}

async function reconfigure(queue: Releasable, clients: Clients, { slugs, get }: Organizations): Promise<void> {
  await queue.release();
  const usable: Organization[] = [];
  for (const slug of await slugs()) {
    // One that cannot be used has no clients.
    const organization = await get(slug).catch(() => undefined);
    if (organization) usable.push(organization);
  }
  clients.keepOnly(usable);
}

async function untilEmpty(queue: Pick<Queue, "counts">): Promise<void> {
  for (;;) {
    const { waiting, delayed, inFlight } = await queue.counts();
    if (waiting + delayed + inFlight === 0) return;
    await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
  }
}

type Fetch = WebOptions["fetch"];

/** Counts how deliveries are answered. */
function answering(fetch: Hono["fetch"], metrics: Pick<Metrics, "answered">): Fetch {
  return async (request, env) => {
    const response = await fetch(request, env);
    if (request.url.includes("/webhooks/")) metrics.answered(response.status);
    return response;
  };
}

/** The names of the admin port while only this machine can reach it; undefined where others can, by whatever name. */
function namesOf({ adminHost = LOOPBACK, adminUrl }: PipelineOptions): string[] | undefined {
  if (!/^(?:localhost|127\.[\d.]+|::1)$/.test(adminHost)) return undefined;
  return adminUrl === undefined ? [] : [new URL(adminUrl).hostname];
}

/** Listens for deliveries, and for whoever watches over this machine: that on the loopback address, if nothing else is said. */
async function listenOn(
  fetch: Fetch,
  adminFetch: Fetch,
  { host = LOOPBACK, port, adminPort, adminHost = LOOPBACK }: PipelineOptions,
): Promise<{ endpoint: Web; admin: Web | undefined }> {
  const endpoint = await listen({ fetch, host, port });
  if (adminPort === undefined) return { endpoint, admin: undefined };
  try {
    const options = "--admin-host and --admin-port";
    return { endpoint, admin: await listen({ fetch: adminFetch, host: adminHost, port: adminPort, options }) };
  } catch (error) {
    await endpoint.close();
    throw error;
  }
}

/** Opens the state folder for this pipeline alone; closing the state unlocks the folder. */
function openLockedState({ stateFolder, forgetState: isForgotten, visibilitySeconds }: PipelineOptions): State {
  if (stateFolder === undefined) return openState(undefined, visibilitySeconds);
  const unlock = lockFolder(stateFolder);
  let state: State | undefined;
  try {
    if (isForgotten) forgetState(stateFolder);
    state = openState(stateFolder, visibilitySeconds);
    state.check();
  } catch (error) {
    state?.close();
    unlock();
    throw error;
  }
  const { close } = state;
  return {
    ...state,
    close() {
      close();
      unlock();
    },
  };
}
