import { randomUUID } from "node:crypto";
import { CreateQueueCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { Job } from "../../functions/core/job.ts";
import { openDatabase } from "../../functions/database.ts";
import type { DeadLetterQueue, Message, Queue } from "../../functions/queue/queue.ts";
import { createSqliteDeadLetterQueue, createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../../functions/queue/sqs.ts";
import { startEmbedded } from "../support/embedded.ts";

/** Short enough to be waited for, where the clock cannot be moved. */
export const VISIBILITY_SECONDS = 2;
export const MAX_RECEIVE_COUNT = 3;

/** An empty queue of one adapter. */
export interface QueueTarget {
  queue: Queue;
  deadLetters: DeadLetterQueue;
  /** Lets so much time go by: moves the clock, or waits. */
  pass(seconds: number): Promise<void>;
}

/** Makes an empty queue for each scenario. */
export interface QueueTargets {
  open(): Promise<QueueTarget>;
  close(): Promise<void>;
}

export async function sqliteTargets(): Promise<QueueTargets> {
  const databases: { close(): void }[] = [];
  return {
    async open() {
      const database = openDatabase(undefined);
      databases.push(database);
      let time = Date.now();
      const options = { visibilitySeconds: VISIBILITY_SECONDS, maxReceiveCount: MAX_RECEIVE_COUNT, now: () => time };
      return {
        queue: createSqliteQueue(database, options),
        deadLetters: createSqliteDeadLetterQueue(database),
        async pass(seconds) {
          time += seconds * 1000;
        },
      };
    },
    async close() {
      for (const database of databases) database.close();
    },
  };
}

/** SQS as fauxqs plays it, through the real SDK. */
export async function sqsTargets(): Promise<QueueTargets> {
  const { clients, stop } = await startEmbedded({ stateFolder: undefined, visibilitySeconds: VISIBILITY_SECONDS });
  return {
    async open() {
      const name = randomUUID();
      const deadLetterQueueUrl = await createFifoQueue(clients.sqs, `${name}-dead.fifo`, {});
      const queueUrl = await createFifoQueue(clients.sqs, `${name}.fifo`, {
        VisibilityTimeout: String(VISIBILITY_SECONDS),
        RedrivePolicy: JSON.stringify({
          deadLetterTargetArn: `arn:aws:sqs:eu-central-1:000000000000:${name}-dead.fifo`,
          maxReceiveCount: MAX_RECEIVE_COUNT,
        }),
      });
      return {
        queue: createSqsQueue(clients.sqs, queueUrl),
        deadLetters: createSqsDeadLetterQueue(clients.sqs, deadLetterQueueUrl),
        pass: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
      };
    },
    close: stop,
  };
}

async function createFifoQueue(sqs: SQSClient, name: string, attributes: Record<string, string>): Promise<string> {
  const Attributes = { FifoQueue: "true", ...attributes };
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }));
  if (QueueUrl === undefined) throw new Error(`queue ${name} was not made`);
  return QueueUrl;
}

/** A job of a subject; `label` tells it from others of that subject. */
export function jobOf(subject: string, label = "", organization = "acme"): Job {
  const occurredAt = "2026-07-23T08:15:30.123456789Z";
  const trigger = { kind: "webhook", event: "user.updated", deliveryId: label, occurredAt, about: "user" } as const;
  return { version: 2, kind: "person", organization, subject, trigger };
}

export const labelOf = ({ body }: Pick<Message, "body">): string => JSON.parse(body).trigger.deliveryId;
export const subjectOf = ({ body }: Pick<Message, "body">): string => JSON.parse(body).subject;
