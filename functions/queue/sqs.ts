import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
  type SQSClientConfig,
  type Message as SqsMessage,
} from "@aws-sdk/client-sqs";
import type { SQSRecord } from "aws-lambda";
import { awsLimits } from "../aws.ts";
import type { Job } from "../core/job.ts";
import { QueueUnavailable } from "./errors.ts";
import { outgoing } from "./message.ts";
import type { Counts, DeadLetterQueue, Message, Queue } from "./queue.ts";

/** The most messages that SQS takes, gives or changes in one request. */
const BATCH = 10;
/** The longest that SQS waits for a message. */
const LONGEST_WAIT = 20;
/** The longest an SQS message can be made invisible (12 hours). */
const LONGEST_VISIBILITY = 43_200;
/** Attempts for entries of a batch that SQS rejects. */
const MOST_SENDS = 3;

/** While a walk holds messages of the dead-letter queue; SQS shows no later message of the same group meanwhile. */
const HOLD_SECONDS = 120;
/** Not 0: the embedded queue loses such a message until its restart. */
const BACK_IN_SECONDS = 1;
/**
 * SQS short polling can miss a message. Longer than a message takes to come back, so that what was only looked at is found
 * by the next command.
 */
const WALK_WAIT_SECONDS = 2;

/** A job as an SQS message, in the characters that a queue takes: SQS refuses U+FFFE and U+FFFF, and fauxqs all beyond the basic plane. */
function message(job: Job, source: string) {
  const { body, group, deduplicationId } = outgoing(job, source);
  return {
    MessageBody: body.replaceAll(/[\ud800-\udfff\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`),
    MessageGroupId: group,
    MessageDeduplicationId: deduplicationId,
  };
}

function unavailable(error: unknown): never {
  throw new QueueUnavailable(error);
}

function* batches<T>(items: T[]): Generator<T[]> {
  for (let index = 0; index < items.length; index += BATCH) yield items.slice(index, index + BATCH);
}

/**
 * A client for the sends that somebody waits for: a request without an answer is sent again after three seconds, once. It resolves
 * the SDK's middleware once for all sends.
 */
export function createSendingClient(config: SQSClientConfig = {}): SQSClient {
  return new SQSClient({ cacheMiddleware: true, ...awsLimits({ attempts: 2 }), ...config });
}

/** Not the SDK's `abortSignal`, with which it would resolve its middleware anew for each request; this one goes on unheeded. */
function within<T>(milliseconds: number, request: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
    request.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * The job queue on SQS. On Lambda the event source mapping receives and deletes.
 *
 * @param timeoutMs after which a send is given up; the receiver has to answer Clavex within ten seconds
 */
export function createSqsQueue(client: SQSClient, queueUrl: string, timeoutMs = 7_000): Queue {
  async function sendBatch(jobs: Job[], source: string): Promise<void> {
    let Entries = jobs.map((job, index) => ({ Id: String(index), ...message(job, source) }));
    for (let attempt = 1; Entries.length > 0; attempt += 1) {
      const command = new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries });
      const { Failed = [] } = await client.send(command).catch(unavailable);
      if (Failed.length > 0 && attempt === MOST_SENDS) unavailable(new Error(Failed[0]?.Code ?? "refused"));
      const failed = new Set(Failed.map(({ Id }) => Id));
      Entries = Entries.filter(({ Id }) => failed.has(Id));
    }
  }
  return {
    async send(job, source) {
      const command = new SendMessageCommand({ QueueUrl: queueUrl, ...message(job, source) });
      await within(timeoutMs, client.send(command)).catch(unavailable);
    },
    async sendAll(jobs, source) {
      for (const batch of batches(jobs)) await sendBatch(batch, source);
    },
    async receive({ most, waitSeconds, signal }) {
      const command = new ReceiveMessageCommand({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: Math.min(BATCH, most),
        WaitTimeSeconds: Math.min(LONGEST_WAIT, waitSeconds),
        MessageSystemAttributeNames: ["All"],
      });
      try {
        const { Messages = [] } = await client.send(command, signal ? { abortSignal: signal } : {});
        return Messages.map(received);
      } catch (error) {
        if (signal?.aborted) return [];
        throw new QueueUnavailable(error);
      }
    },
    extend: (messages, seconds) =>
      changeVisibility(
        client,
        queueUrl,
        messages.map(({ receipt }) => ({ receipt, seconds })),
      ).catch(() => undefined),
    setVisibility: (messages) => changeVisibility(client, queueUrl, messages),
    async done(messages) {
      for (const batch of batches(messages)) {
        const Entries = batch.map(({ receipt }, index) => ({ Id: String(index), ReceiptHandle: receipt }));
        await client.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries })).catch(unavailable);
      }
    },
    counts: () => count(client, queueUrl),
    countsOf: async () => undefined,
  };
}

/** The queue to which SQS moves what was received too often. */
export function createSqsDeadLetterQueue(client: SQSClient, queueUrl: string): DeadLetterQueue {
  return {
    count: async () => (await count(client, queueUrl)).waiting,
    async *hold() {
      const seen = new Set<string | undefined>();
      for (;;) {
        const command = new ReceiveMessageCommand({
          QueueUrl: queueUrl,
          MaxNumberOfMessages: BATCH,
          WaitTimeSeconds: WALK_WAIT_SECONDS,
          VisibilityTimeout: HOLD_SECONDS,
          MessageSystemAttributeNames: ["All"],
        });
        const { Messages = [] } = await client.send(command).catch(unavailable);
        const fresh = Messages.filter(({ MessageId }) => !seen.has(MessageId));
        if (fresh.length === 0) return;
        for (const { MessageId } of fresh) seen.add(MessageId);
        yield fresh.map(received);
      }
    },
    giveBack: (messages) =>
      changeVisibility(
        client,
        queueUrl,
        messages.map(({ receipt }) => ({ receipt, seconds: BACK_IN_SECONDS })),
      ).catch(() => undefined),
    async remove({ receipt }) {
      await client.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle: receipt })).catch(unavailable);
    },
  };
}

async function count(client: SQSClient, queueUrl: string): Promise<Counts> {
  const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ["All"] });
  const { Attributes = {} } = await client.send(command).catch(unavailable);
  return {
    waiting: Number(Attributes.ApproximateNumberOfMessages ?? 0),
    delayed: Number(Attributes.ApproximateNumberOfMessagesDelayed ?? 0),
    inFlight: Number(Attributes.ApproximateNumberOfMessagesNotVisible ?? 0),
    oldestAgeMs: undefined,
  };
}

/** @throws {QueueUnavailable} after all batches were tried */
async function changeVisibility(
  client: SQSClient,
  queueUrl: string,
  changes: { receipt: string; seconds: number }[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const batch of batches(changes)) {
    const Entries = batch.map(({ receipt, seconds }, index) => ({
      Id: String(index),
      ReceiptHandle: receipt,
      VisibilityTimeout: Math.min(LONGEST_VISIBILITY, Math.max(1, Math.round(seconds))),
    }));
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries });
    // An entry that is refused alone was handed out again meanwhile, or is done.
    await client.send(command).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) unavailable(failures[0]);
}

function received({ MessageId = "", ReceiptHandle = "", Body = "", Attributes = {} }: SqsMessage): Message {
  return {
    id: MessageId,
    receipt: ReceiptHandle,
    body: Body,
    group: Attributes.MessageGroupId ?? MessageId,
    sentAt: Number(Attributes.SentTimestamp ?? 0),
    receiveCount: Number(Attributes.ApproximateReceiveCount ?? 0),
  };
}

/** A message as Lambda's event source mapping hands it over. */
export function receivedByLambda({ messageId, receiptHandle, body, attributes }: SQSRecord): Message {
  return received({
    MessageId: messageId,
    ReceiptHandle: receiptHandle,
    Body: body,
    Attributes: attributes as Partial<Record<keyof typeof attributes, string>>,
  });
}
