import { Counter as Count, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Organizations } from "../config/organizations.ts";
import { Failure } from "../core/failure.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { leaversWhoCanLogIn } from "../operator/status.ts";
import type { Guards } from "../provision/guards.ts";
import type { Countable, DeadLetterQueue } from "../queue/queue.ts";
import type { Counter, Counters } from "../telemetry/metrics.ts";
import { watchRequests } from "./requests.ts";

/** The metrics of this process; names and meaning stand in docs/one-machine.md. */
export interface Metrics {
  counters: Counters;
  /** A delivery was answered with this status. */
  answered(status: number): void;
  /** All of them, in the text format of Prometheus; what the state file holds is looked up for it. */
  text(sources: Sources): Promise<string>;
  contentType: string;
  /** Ends the measuring of requests. */
  close(): void;
}

/** What is looked up when somebody asks for the metrics. */
export interface Sources {
  organizations: Organizations;
  ledger: Ledger;
  queue: Countable;
  deadLetterQueue: Pick<DeadLetterQueue, "count">;
  guards: Pick<Guards, "circuits">;
}

const PREFIX = "clavex_nextcloud_";
/** Seconds: from a server in the same rack to one that hangs. */
const BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const JOBS: Partial<Record<Counter, string>> = {
  JobsApplied: "applied",
  JobsUnchanged: "unchanged",
  JobsRetried: "retried",
  JobsParked: "parked",
};
const DELIVERIES: Partial<Record<Counter, string>> = { DeliveriesQueued: "queued", DeliveriesIgnored: "ignored" };

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Count({ name: PREFIX + name, help, labelNames, registers });
  const jobs = counter("jobs_total", "Jobs that ended, by result; retried ones come again.", ["result"]);
  const deliveries = counter(
    "deliveries_total",
    "Deliveries, by answer: queued, ignored, or the status of a refusal.",
    ["answer"],
  );
  const problems = counter("problems_total", "What an operator may have to look at, by kind.", ["problem"]);
  const requests = counter("requests_total", "Requests to Clavex and Nextcloud, by status; 0 for no answer.", [
    "server",
    "status",
  ]);
  const seconds = new Histogram({
    name: `${PREFIX}request_seconds`,
    help: "How long requests took, the wait for a connection included.",
    labelNames: ["server"],
    buckets: BUCKETS,
    registers,
  });
  const stopWatching = watchRequests(({ server, status, seconds: taken }) => {
    requests.inc({ server, status });
    seconds.observe({ server }, taken);
  });
  const lookUp = createLookUp(registry);
  let asked: Promise<unknown> = Promise.resolve();
  return {
    counters: {
      count(name) {
        const [result, answer] = [JOBS[name], DELIVERIES[name]];
        if (result) jobs.inc({ result });
        else if (answer) deliveries.inc({ answer });
        else problems.inc({ problem: name.replaceAll(/(?<=.)[A-Z]/g, "_$&").toLowerCase() });
      },
      measure: () => undefined,
      flush: () => undefined,
    },
    answered(status) {
      if (status !== 202) deliveries.inc({ answer: String(status) });
    },
    text(sources) {
      // One after the other: each begins by forgetting the figures before.
      const text = asked.then(() => lookUp(sources)).then(() => registry.metrics());
      asked = text.catch(() => undefined);
      return text;
    },
    contentType: registry.contentType,
    close() {
      stopWatching();
      registry.clear();
    },
  };
}

const none = (error: unknown): [] => {
  if (error instanceof Failure) return [];
  throw error;
};

/** How many dead letters of an organization are counted: a scrape reads a bounded number of rows. */
const MOST_DEAD_LETTERS = 1_000;

/** What the state file and the circuit breakers say, looked up each time. */
function createLookUp(registry: Registry): (sources: Sources) => Promise<void> {
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: PREFIX + name, help, labelNames, registers: [registry] });
  const waiting = gauge("queue_jobs", "Jobs in the queue: waiting, delayed for another attempt, in_flight.", ["state"]);
  const age = gauge("oldest_job_age_seconds", "The age of the oldest job in the queue; 0 when it is empty.");
  const unread = gauge("unread_messages", "Messages that no attempt could read.");
  const perOrganization = ["organization"];
  const dead = gauge(
    "dead_letters",
    `People whose job was refused for good; counted up to ${MOST_DEAD_LETTERS}.`,
    perOrganization,
  );
  const leavers = gauge(
    "leavers_still_enabled",
    "People who left and whose account Nextcloud refuses to disable: as the last run saw it, and newer dead letters.",
    perOrganization,
  );
  const held = gauge("brake_held", "1 while these are blocked until an operator allows them: deprovisions or leaves.", [
    "organization",
    "braked",
  ]);
  const paused = gauge("paused", "1 while an operator has paused the organization.", perOrganization);
  const open = gauge("circuit_open", "1 while no jobs are tried: nextcloud, clavex, groups or identity.", [
    "organization",
    "circuit",
  ]);
  const kinds = ["organization", "kind"];
  const began = gauge("run_began_timestamp_seconds", "When the last run began: watch, light or full.", kinds);
  const done = gauge("run_done_timestamp_seconds", "When the last run began that got to its end.", kinds);
  const failed = gauge("run_failed", "1 if the last run that ended has failed.", kinds);

  async function ofOrganization(slug: string, { ledger, guards }: Sources): Promise<void> {
    dead.set({ organization: slug }, await ledger.deadLetters.count(slug, MOST_DEAD_LETTERS));
    for (const braked of ["deprovisions", "leaves"] as const)
      held.set({ organization: slug, braked }, (await ledger.brakes.get(slug, braked))?.state.held ? 1 : 0);
    paused.set({ organization: slug }, (await ledger.pauses.get(slug))?.paused ? 1 : 0);
    // Without its secrets it is not known which circuits are meant; /readyz says so.
    for (const { kind, failure } of await guards.circuits(slug).catch(none))
      open.set({ organization: slug, circuit: kind }, failure === undefined ? 0 : 1);
    const runs = await ledger.runs.of(slug);
    leavers.set({ organization: slug }, await leaversWhoCanLogIn(ledger, slug, runs));
    for (const [kind, run] of Object.entries(runs)) {
      const labels = { organization: slug, kind };
      began.set(labels, run.beganAt / 1000);
      if (run.doneAt !== undefined) done.set(labels, run.doneAt / 1000);
      if (run.result !== undefined) failed.set(labels, run.result === "done" ? 0 : 1);
    }
  }

  return async (sources) => {
    const { organizations, queue, deadLetterQueue } = sources;
    const { waiting: free, delayed, inFlight, oldestAgeMs = 0 } = await queue.counts();
    waiting.set({ state: "waiting" }, free);
    waiting.set({ state: "delayed" }, delayed);
    waiting.set({ state: "in_flight" }, inFlight);
    age.set(oldestAgeMs / 1000);
    unread.set(await deadLetterQueue.count());
    // An organization that is gone leaves no figures behind.
    for (const each of [dead, leavers, held, paused, open, began, done, failed]) each.reset();
    for (const slug of await organizations.slugs()) await ofOrganization(slug, sources);
  };
}
