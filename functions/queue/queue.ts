import {
  ChangeMessageVisibilityBatchCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import { deduplicationId, type Job, jobSchema, messageGroupId } from "../core/job.ts";
import { QueueUnavailable, UnreadableJob } from "./errors.ts";

/** The job queue, as the parts of the pipeline use it. */
export interface Queue {
  /**
   * Sends a job.
   *
   * @param source what the job is deduplicated by, together with its subject (see `deduplicationId`)
   * @throws {QueueUnavailable} when SQS did not take it
   */
  send(job: Job, source: string): Promise<void>;
  /**
   * Sends any number of jobs, in as few requests as it takes.
   *
   * @throws {QueueUnavailable} when SQS did not take all of them; sending them again with the same source doubles none
   */
  sendAll(jobs: Job[], source: string): Promise<void>;
  /** Sets how long messages stay invisible from now on. Failures are ignored: the queue's own timeout then applies. */
  setVisibility(messages: { receiptHandle: string; seconds: number }[]): Promise<void>;
}

/** The longest an SQS message can be made invisible (12 hours). */
const LONGEST_VISIBILITY = 43_200;

/** The most entries that SQS takes in one request. */
const BATCH = 10;

/** Attempts for entries that SQS rejected. */
const MOST_SENDS = 3;

/**
 * A job as JSON in the characters that a queue takes: SQS refuses U+FFFE and U+FFFF, and the embedded queue everything beyond
 * the basic plane, such as an emoji in a name.
 */
function messageBody(job: Job): string {
  return JSON.stringify(job).replaceAll(/[\ud800-\udfff\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
}

/** A job as an SQS message. */
function message(job: Job, source: string) {
  return {
    MessageBody: messageBody(job),
    MessageGroupId: messageGroupId(job),
    MessageDeduplicationId: deduplicationId(source, job),
  };
}

/** @param timeoutMs after which a send is given up; the receiver has to answer Clavex within ten seconds */
export function createQueue(client: SQSClient, queueUrl: string, timeoutMs = 7_000): Queue {
  async function sendBatch(jobs: Job[], source: string): Promise<void> {
    let Entries = jobs.map((job, index) => ({ Id: String(index), ...message(job, source) }));
    for (let attempt = 1; Entries.length > 0; attempt += 1) {
      const command = new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries });
      const { Failed = [] } = await client.send(command).catch((error) => {
        throw new QueueUnavailable(error);
      });
      if (Failed.length > 0 && attempt === MOST_SENDS)
        throw new QueueUnavailable(new Error(Failed[0]?.Code ?? "refused"));
      const failed = new Set(Failed.map(({ Id }) => Id));
      Entries = Entries.filter(({ Id }) => failed.has(Id));
    }
  }

  return {
    async send(job, source) {
      const command = new SendMessageCommand({ QueueUrl: queueUrl, ...message(job, source) });
      await client.send(command, { abortSignal: AbortSignal.timeout(timeoutMs) }).catch((error) => {
        throw new QueueUnavailable(error);
      });
    },
    async sendAll(jobs, source) {
      for (let index = 0; index < jobs.length; index += BATCH)
        await sendBatch(jobs.slice(index, index + BATCH), source);
    },
    async setVisibility(messages) {
      const Entries = messages.map(({ receiptHandle, seconds }, index) => ({
        Id: String(index),
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: Math.min(LONGEST_VISIBILITY, Math.max(1, Math.round(seconds))),
      }));
      if (Entries.length === 0) return;
      await client
        .send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }))
        .catch(() => undefined);
    },
  };
}

/**
 * Reads the body of a queue message.
 *
 * @throws {UnreadableJob} when it is not a job
 */
export function parseJob(body: string): Job {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new UnreadableJob("not JSON");
  }
  const result = jobSchema.safeParse(json);
  if (result.success) return result.data;
  throw new UnreadableJob(
    result.error.issues.map((issue) => `${issue.path.map(String).join(".")}: ${issue.message}`).join("; "),
  );
}
