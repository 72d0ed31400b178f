import { BrakeHeld, GroupsEmpty } from "../core/brake.ts";
import { Failure, isHarmful, isServers } from "../core/failure.ts";
import { aboutWhom, eventOf, type GroupsJob, type Job, originOf } from "../core/job.ts";
import type { RetryDelay, Wait } from "../core/retry.ts";
import { isNearItsEnd } from "../queue/limits.ts";
import { parseJob } from "../queue/parse-job.ts";
import type { Consumer, Message, Sender } from "../queue/queue.ts";
import { sideBySide } from "../side-by-side.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counter, Counters } from "../telemetry/metrics.ts";
import { problemOf } from "../telemetry/problem.ts";
import type { CountFailure } from "./attempts.ts";
import { CircuitOpen, HARMFUL_MS } from "./circuit-breaker.ts";
import type { Outcome, ReceivedJob } from "./outcome.ts";
import { OrganizationPaused } from "./pause.ts";
import type { Provision } from "./provision.ts";
import { isOfRemoved } from "./removed.ts";

export interface WorkerDependencies {
  provision: Provision;
  /** What is done for a group hint. */
  followGroups: FollowGroups;
  /** Counts failed attempts, each of which doubles a job's wait. */
  countFailure: CountFailure;
  queue: Pick<Consumer, "setVisibility"> & Pick<Sender, "send">;
  retryDelay: RetryDelay;
  log: Log;
  counters: Counters;
  /** How many subjects are worked on at the same time. */
  concurrency: number;
  now?: () => number;
}

/** Queues a job for each person whose groups are others now. */
export type FollowGroups = (received: ReceivedJob<GroupsJob>) => Promise<Outcome>;

/**
 * Takes a batch of the FIFO queue; the answer holds the messages that stay in the queue. Jobs that are not begun when the
 * deadline passes come again at once.
 */
export type Worker = (messages: Message[], deadline: AbortSignal) => Promise<Message[]>;

/**
 * The queue consumer: different subjects at the same time, one subject's jobs in order. When a job fails, the later jobs of
 * its subject in the batch fail with it and wait as long; otherwise SQS would keep them locked for the whole visibility
 * timeout, or hand them out before the first.
 */
export function createWorker(dependencies: WorkerDependencies): Worker {
  const { queue, log, counters, concurrency, now = Date.now } = dependencies;

  /** Works on one subject's messages in order. Returns those that stay, with their delays. */
  async function work(messages: Message[], deadline: AbortSignal): Promise<Waiting[]> {
    for (const [index, message] of messages.entries()) {
      if (deadline.aborted) return messages.slice(index).map((waiting) => ({ message: waiting, seconds: 1 }));
      const started = performance.now();
      let job: Job | undefined;
      try {
        job = parseJob(message.body);
        const outcome = await carryOut(dependencies, job, message);
        report(dependencies, outcome, line(job, outcome, message, started));
      } catch (error) {
        const seconds = await fail(job, message, error);
        const renewed = job !== undefined && (await renew(job, message));
        return messages.slice(renewed ? index + 1 : index).map((waiting) => ({ message: waiting, seconds }));
      }
    }
    return [];
  }

  /** Reports a failure. Returns how long the job waits, in seconds. */
  async function fail(job: Job | undefined, message: Message, error: unknown): Promise<number> {
    const failure = error instanceof Failure ? error : undefined;
    const { wait, attempt } = await waitOf(dependencies, job, message, error);
    const seconds = dependencies.retryDelay(wait);
    const held = heldCounter(error);
    if (held) counters.count(held);
    const silent = failure instanceof OrganizationPaused || isOfRemoved(error, message.sentAt, now());
    if (!silent) {
      counters.count(failure?.failureClass === "configuration" ? "ConfigurationErrors" : "JobsRetried");
      counters.measure("JobAge", Math.max(0, now() - message.sentAt) / 1_000);
    }
    if (!failure) counters.count("UnexpectedErrors");
    // Jobs behind an open circuit go back untried, many of them: the probe already logged the cause.
    log[silent || failure instanceof CircuitOpen ? "debug" : "error"]("job failed", {
      // All that is known of a message that may be unreadable.
      messageId: message.id,
      group: message.group,
      ...problemOf(error),
      origin: failure?.origin,
      attempt,
      // Its message comes back earlier, untried.
      retryInSeconds: failure && isHarmful(failure) ? HARMFUL_MS / 1_000 : seconds,
    });
    return seconds;
  }

  /**
   * Replaces a message that the queue would soon give up by a fresh copy, behind its subject's other waiting jobs.
   *
   * @returns whether the copy is in the queue, so that the old one may go
   */
  async function renew(job: Job, message: Message): Promise<boolean> {
    if (!isNearItsEnd(message, now())) return false;
    try {
      // The same source on a retry: a copy whose confirmation was lost is not sent twice.
      await queue.send(job, `renewed#${message.id}`);
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return false;
    }
  }

  return async (messages, deadline) => {
    const subjects = [...Map.groupBy(messages, ({ group }) => group).values()];
    const waiting: Waiting[] = [];
    await sideBySide(subjects, concurrency, async (ofSubject) => {
      waiting.push(...(await work(ofSubject, deadline)));
    });
    await giveBack(dependencies, waiting);
    counters.flush();
    return waiting.map(({ message }) => message);
  };
}

interface Waiting {
  message: Message;
  seconds: number;
}

/** Sets when messages come back. If that fails, the queue's own timeout applies: an hour on AWS. */
async function giveBack({ queue, log, counters }: WorkerDependencies, waiting: Waiting[]): Promise<void> {
  try {
    await queue.setVisibility(waiting.map(({ message, seconds }) => ({ receipt: message.receipt, seconds })));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    counters.count("UnexpectedErrors");
    log.error("jobs wait for the queue's own timeout", { jobs: waiting.length, ...problemOf(error) });
  }
}

const COUNTER: Record<Outcome["result"], Counter> = {
  applied: "JobsApplied",
  unchanged: "JobsUnchanged",
  superseded: "JobsUnchanged",
  stale: "JobsUnchanged",
  ignored: "JobsUnchanged",
  parked: "JobsParked",
  followed: "JobsUnchanged",
};

/** What a job that waits for an operator is counted as. */
function heldCounter(error: unknown): Counter | undefined {
  if (error instanceof GroupsEmpty) return "LeavesHeld";
  if (!(error instanceof BrakeHeld)) return undefined;
  return error.braked === "leaves" ? "LeavesHeld" : "BrakeHeld";
}

/** Why a job waits, and the number of this attempt for the log. */
async function waitOf(
  { countFailure }: WorkerDependencies,
  job: Job | undefined,
  { receiveCount }: Message,
  error: unknown,
): Promise<{ wait: Wait; attempt: number }> {
  // Somebody will end the pause eventually: retried as rarely as in a long outage.
  if (error instanceof OrganizationPaused)
    return { wait: { untriedForMs: Number.POSITIVE_INFINITY }, attempt: receiveCount };
  // Jobs behind the groups' circuit read their person on each attempt, so they back off as after failures.
  if (error instanceof CircuitOpen && error.scope !== "groups")
    return { wait: { untriedForMs: error.openForMs }, attempt: receiveCount };
  // The probe of an unavailable server counts as untried: it comes back as the next probe.
  if (error instanceof Failure && isServers(error)) return { wait: { untriedForMs: 0 }, attempt: receiveCount };
  const counted = job === undefined || job.kind === "groups" ? undefined : await countFailure(job);
  const failures = counted ?? receiveCount;
  const atLeast = error instanceof Failure ? error.retryAfterSeconds : undefined;
  return { wait: { failures, atLeast }, attempt: failures };
}

/** Dispatches by kind of job. */
function carryOut(
  { provision, followGroups }: WorkerDependencies,
  job: Job,
  { sentAt, receiveCount }: Message,
): Promise<Outcome> {
  const received = { sentAt, receiveCount };
  return job.kind === "groups" ? followGroups({ job, ...received }) : provision({ job, ...received });
}

/** Logs and counts how a job ended. A refused revoke is tried again for ever, but raises one alarm only. */
function report({ log, counters }: WorkerDependencies, outcome: Outcome, fields: Record<string, unknown>): void {
  if (outcome.result === "parked" && outcome.revoke !== "none") counters.count("RevokesOutstanding");
  if (outcome.result === "parked" && outcome.revoke === "refused-again") {
    log.warn("job", fields);
    return;
  }
  counters.count(COUNTER[outcome.result]);
  if ("overDaily" in outcome && outcome.overDaily) counters.count("DeprovisionsOverDaily");
  log[outcome.result === "parked" ? "error" : "info"]("job", fields);
  if (outcome.result !== "parked" || outcome.revoke === "none") return;
  counters.count("RevokesRefused");
  log.error("revoke refused", fields);
}

function line(job: Job, outcome: Outcome, { receiveCount }: Message, started: number): Record<string, unknown> {
  const { trigger } = job;
  const origin = originOf(trigger);
  return {
    organization: job.organization,
    subject: aboutWhom(job),
    trigger: trigger.kind,
    event: eventOf(job),
    deliveryId: origin.kind === "webhook" ? origin.deliveryId : undefined,
    ...outcome,
    ...("notes" in outcome && outcome.notes.length === 0 ? { notes: undefined } : {}),
    attempt: receiveCount,
    milliseconds: Math.round(performance.now() - started),
  };
}
