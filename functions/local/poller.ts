import { DeleteMessageBatchCommand, type Message, ReceiveMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { SQSEvent, SQSRecord } from "aws-lambda";
import type { Worker } from "../provision/worker.ts";
import type { Queue } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";

export interface PollerOptions {
  sqs: SQSClient;
  queueUrl: string;
  queue: Queue;
  /** Creates the worker. Its queue tells the poller about every visibility change. */
  createWorker: (queue: Pick<Queue, "setVisibility">) => Worker;
  /** The queue's visibility timeout; extended while the worker runs: short, so that a killed pipeline soon continues. */
  visibilitySeconds: number;
  /** How many batches run at the same time, as Lambda would run them in that many containers. */
  batches: number;
  log: Log;
}

const BATCH_SIZE = 10;
const WAIT_SECONDS = 5;
const PAUSE_AFTER_ERROR_MS = 1_000;

/** Hands the queue's messages to the worker as Lambda does, until it is stopped. */
export interface Poller {
  /** Stops receiving and resolves when the jobs in progress are finished. */
  stop(): Promise<void>;
}

export function startPoller(options: PollerOptions): Poller {
  const { sqs, queueUrl, queue, visibilitySeconds, log } = options;
  const stopping = new AbortController();
  /** Receipt handles whose visibility the worker has set: these are no longer extended. */
  const settled = new Set<string>();
  const worker = options.createWorker({
    async setVisibility(messages) {
      for (const { receiptHandle } of messages) settled.add(receiptHandle);
      await queue.setVisibility(messages);
    },
  });

  async function receive(): Promise<Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: queueUrl,
      MaxNumberOfMessages: BATCH_SIZE,
      WaitTimeSeconds: WAIT_SECONDS,
      MessageSystemAttributeNames: ["All"],
    });
    const { Messages = [] } = await sqs.send(command, { abortSignal: stopping.signal });
    return Messages;
  }

  async function handle(messages: Message[]): Promise<void> {
    const records = messages.map(record);
    const extend = setInterval(
      () => {
        const running = records.filter(({ receiptHandle }) => !settled.has(receiptHandle));
        void queue.setVisibility(running.map(({ receiptHandle }) => ({ receiptHandle, seconds: visibilitySeconds })));
      },
      (visibilitySeconds * 1000) / 3,
    );
    try {
      const event: SQSEvent = { Records: records };
      const { batchItemFailures } = await worker(event, stopping.signal);
      const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
      const Entries = records
        .filter(({ messageId }) => !failed.has(messageId))
        .map(({ receiptHandle }, index) => ({ Id: String(index), ReceiptHandle: receiptHandle }));
      if (Entries.length > 0) await sqs.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
    } finally {
      clearInterval(extend);
      for (const { receiptHandle } of records) settled.delete(receiptHandle);
    }
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const messages = await receive();
        if (messages.length > 0) await handle(messages);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.error("polling failed", { error: error instanceof Error ? error.name : "unknown error" });
        await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_ERROR_MS));
      }
    }
  }

  const loops = Array.from({ length: options.batches }, loop);
  return {
    async stop() {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

/** Turns a received message into the record that Lambda's event source mapping would pass on. */
function record(message: Message): SQSRecord {
  const { MessageId = "", ReceiptHandle = "", Body = "", MD5OfBody = "", Attributes = {} } = message;
  return {
    messageId: MessageId,
    receiptHandle: ReceiptHandle,
    body: Body,
    attributes: Attributes as unknown as SQSRecord["attributes"],
    messageAttributes: {},
    md5OfBody: MD5OfBody,
    eventSource: "aws:sqs",
    eventSourceARN: "arn:aws:sqs:eu-central-1:000000000000:clavex-nextcloud-jobs.fifo",
    awsRegion: "eu-central-1",
  };
}
