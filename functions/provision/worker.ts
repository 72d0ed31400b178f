import type { SQSBatchResponse, SQSEvent, SQSRecord } from "aws-lambda";
import { Failure } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { RetryDelay } from "../core/retry.ts";
import { parseJob, type Queue } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counter, Counters } from "../telemetry/metrics.ts";
import { BrakeHeld } from "./brake.ts";
import { CircuitOpen } from "./circuit-breaker.ts";
import type { Outcome, Provision } from "./provision.ts";

export interface WorkerDependencies {
  provision: Provision;
  queue: Pick<Queue, "setVisibility">;
  retryDelay: RetryDelay;
  log: Log;
  counters: Counters;
  /** How many subjects are worked on at the same time. */
  concurrency: number;
}

/**
 * Takes a batch of the FIFO queue; the answer names the messages that stay in the queue. Jobs for which `hasTime` says false
 * are not begun, and come again at once.
 */
export type Worker = (event: SQSEvent, hasTime?: () => boolean) => Promise<SQSBatchResponse>;

/**
 * The queue consumer: different subjects at the same time, one subject's jobs in order. When a job fails, the later jobs of
 * its subject in the batch fail with it and wait as long; otherwise SQS would keep them locked for the whole visibility
 * timeout, or hand them out before the first.
 */
export function createWorker(dependencies: WorkerDependencies): Worker {
  const { provision, queue, retryDelay, log, counters, concurrency } = dependencies;

  /** Works on one subject's messages in order. Returns those that stay, with their delays. */
  async function work(records: SQSRecord[], hasTime: () => boolean): Promise<Waiting[]> {
    for (const [index, record] of records.entries()) {
      if (!hasTime()) return records.slice(index).map((waiting) => ({ record: waiting, seconds: 1 }));
      const started = performance.now();
      try {
        const job = parseJob(record.body);
        const outcome = await provision(job, Number(record.attributes.SentTimestamp), receiveCount(record));
        counters.count(COUNTER[outcome.result]);
        const level = outcome.result === "parked" ? "error" : "info";
        log[level]("job", line(job, outcome, record, started));
      } catch (error) {
        const seconds = fail(record, error);
        return records.slice(index).map((waiting) => ({ record: waiting, seconds }));
      }
    }
    return [];
  }

  function fail(record: SQSRecord, error: unknown): number {
    const failure = error instanceof Failure ? error : undefined;
    const attempt = receiveCount(record);
    const seconds = retryDelay(attempt, failure?.retryAfterSeconds);
    if (failure instanceof BrakeHeld) counters.count("BrakeHeld");
    counters.count(failure?.failureClass === "configuration" ? "ConfigurationErrors" : "JobsRetried");
    // Jobs of a paused server go back untried, many of them: the one that was tried has told the cause.
    log[failure instanceof CircuitOpen ? "debug" : "error"]("job failed", {
      ...identify(record),
      class: failure?.failureClass ?? "transient",
      code: failure?.code ?? "unexpected",
      // The text of an error that no room knows may hold anything: its name must do.
      problem: failure?.message ?? (error instanceof Error ? error.name : "unknown error"),
      fix: failure?.fix,
      attempt,
      retryInSeconds: seconds,
    });
    if (!failure) log.debug("unexpected error", { stack: error instanceof Error ? error.stack : String(error) });
    return seconds;
  }

  return async (event, hasTime = () => true) => {
    const subjects = [...Map.groupBy(event.Records, groupOf).values()];
    const waiting: Waiting[] = [];
    const next = subjects.values();
    const runner = async (): Promise<void> => {
      for (const records of next) waiting.push(...(await work(records, hasTime)));
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, subjects.length) }, runner));
    await queue.setVisibility(waiting.map(({ record, seconds }) => ({ receiptHandle: record.receiptHandle, seconds })));
    counters.flush();
    return { batchItemFailures: waiting.map(({ record }) => ({ itemIdentifier: record.messageId })) };
  };
}

interface Waiting {
  record: SQSRecord;
  seconds: number;
}

const COUNTER: Record<Outcome["result"], Counter> = {
  applied: "JobsApplied",
  unchanged: "JobsUnchanged",
  superseded: "JobsUnchanged",
  stale: "JobsUnchanged",
  ignored: "JobsUnchanged",
  parked: "JobsParked",
};

function receiveCount(record: SQSRecord): number {
  return Number(record.attributes.ApproximateReceiveCount);
}

function groupOf(record: SQSRecord): string {
  return record.attributes.MessageGroupId ?? record.messageId;
}

/** What can be told of a message that may not even be readable. */
function identify(record: SQSRecord): Record<string, unknown> {
  return { messageId: record.messageId, group: groupOf(record) };
}

function line(job: Job, outcome: Outcome, record: SQSRecord, started: number): Record<string, unknown> {
  const { trigger } = job;
  return {
    organization: job.organization,
    subject: job.subject,
    accountId: outcome.accountId,
    trigger: trigger.kind,
    event: trigger.event,
    deliveryId: trigger.deliveryId,
    result: outcome.result,
    state: outcome.state,
    operations: outcome.operations,
    ...(outcome.notes.length > 0 ? { notes: outcome.notes } : {}),
    reason: outcome.reason,
    attempt: receiveCount(record),
    milliseconds: Math.round(performance.now() - started),
  };
}
