import type { Job } from "../core/job.ts";

/** The side of the job queue that takes jobs. */
export interface Sender {
  /**
   * Resolves when the queue holds the job for good.
   *
   * @param source what the job is deduplicated by for five minutes, together with its subject (see `deduplicationId`)
   * @throws {QueueUnavailable} when the queue did not take it
   */
  send(job: Job, source: string): Promise<void>;
  /**
   * Sends any number of jobs, in their order.
   *
   * @throws {QueueUnavailable} when the queue did not take all of them; sending them again with the same source doubles none
   */
  sendAll(jobs: Job[], source: string): Promise<void>;
}

/** A message as a consumer receives it. */
export interface Message {
  /** The same at every delivery of the message. */
  id: string;
  /** Stands for this one delivery; a later one makes it stale. */
  receipt: string;
  body: string;
  /** The FIFO group: messages of one group are handed out in order, and no more of it while some are out. */
  group: string;
  /** When it was sent, in milliseconds since the epoch. */
  sentAt: number;
  /** How often it has been received, this time included. */
  receiveCount: number;
}

export interface ReceiveOptions {
  /** The most messages to hand out; there may be fewer, although more wait. */
  most: number;
  /** The most groups that they are of, each with its share of `most`; SQS takes no notice of it. Without it, any number. */
  groups?: number;
  /** How long to wait for a first message. */
  waitSeconds: number;
  /** Ends the wait; nothing is received then. */
  signal?: AbortSignal;
}

/** The side of the job queue that gives jobs out: at least once, in order within a group. */
export interface Consumer {
  /**
   * Takes messages, which nobody else sees for the queue's visibility timeout.
   *
   * @throws {QueueUnavailable}
   */
  receive(options: ReceiveOptions): Promise<Message[]>;
  /** Keeps received messages for this much longer from now on. Failures are ignored: the old timeout then applies. */
  extend(messages: Message[], seconds: number): Promise<void>;
  /**
   * Gives messages back, to be seen again this many seconds from now.
   *
   * @throws {QueueUnavailable} when the queue's own timeout applies to some of them instead
   */
  setVisibility(messages: { receipt: string; seconds: number }[]): Promise<void>;
  /**
   * Deletes messages that are done with; those that were handed out again meanwhile stay.
   *
   * @throws {QueueUnavailable}
   */
  done(messages: Message[]): Promise<void>;
}

/** How many messages the queue holds, by what they wait for. */
export interface Counts {
  /** Those that a consumer may take, or that come after others of their group. */
  waiting: number;
  /** Those given back for later. SQS counts them as in flight. */
  delayed: number;
  /** Those that consumers have. */
  inFlight: number;
  /** The age of the oldest message in milliseconds; undefined when the queue is empty, and on SQS, which does not show it. */
  oldestAgeMs: number | undefined;
}

export interface Countable {
  /** @throws {QueueUnavailable} */
  counts(): Promise<Counts>;
  /**
   * The same of one organization's jobs; undefined on SQS, which does not tell them apart.
   *
   * @throws {QueueUnavailable}
   */
  countsOf(organization: string): Promise<Counts | undefined>;
}

export type Queue = Sender & Consumer & Countable;

/** Only on one machine: SQS changes a message's visibility only for whoever received it. */
export interface Releasable {
  /**
   * Lets messages that were given back for later be taken at once, after a server is well again.
   *
   * @param organization undefined for those of all organizations
   * @returns how many
   * @throws {QueueUnavailable}
   */
  release(organization?: string): Promise<number>;
}

/** The messages that the queue gave up after too many deliveries. */
export interface DeadLetterQueue {
  /** @throws {QueueUnavailable} */
  count(): Promise<number>;
  /**
   * Walks through all of them, page by page. Others may not see them until they are given back.
   *
   * @throws {QueueUnavailable}
   */
  hold(): AsyncGenerator<Message[]>;
  /** Lets held messages be seen again. Those for which that fails are seen when the hold is over, two minutes at most. */
  giveBack(messages: Message[]): Promise<void>;
  /** @throws {QueueUnavailable} */
  remove(message: Message): Promise<void>;
}
