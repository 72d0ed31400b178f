import type { Worker } from "../provision/worker.ts";
import type { Consumer, Message, Sender } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";

export interface PollerOptions {
  queue: Consumer & Pick<Sender, "send">;
  /** Creates the worker. Its queue tells the poller about every visibility change. */
  createWorker: (queue: Pick<Consumer, "setVisibility"> & Pick<Sender, "send">) => Worker;
  /** The queue's visibility timeout; extended while the worker runs: short, so that a killed pipeline soon continues. */
  visibilitySeconds: number;
  /** How many subjects are worked on at the same time. */
  subjects: number;
  log: Log;
}

/** The most messages of one subject that are received at once: most of them are superseded by what the first one reads. */
const MESSAGES_OF_ONE = 10;
const WAIT_SECONDS = 5;
const PAUSE_AFTER_ERROR_MS = 1_000;

/** Hands the queue's messages to the worker until it is stopped. */
export interface Poller {
  /** Stops receiving and resolves when the jobs in progress are finished. */
  stop(): Promise<void>;
}

/**
 * Unlike on Lambda there are no batches that end with their slowest job: as soon as one subject is done with, the messages of
 * the next are received.
 */
export function startPoller(options: PollerOptions): Poller {
  const { queue, visibilitySeconds, log } = options;
  const stopping = new AbortController();
  /** Receipts whose visibility the worker has set: these are no longer extended. */
  const settled = new Set<string>();
  const underWay = new Set<Promise<void>>();
  let oneIsDone: () => void = () => undefined;
  const worker = options.createWorker({
    send: queue.send,
    async setVisibility(messages) {
      for (const { receipt } of messages) settled.add(receipt);
      await queue.setVisibility(messages);
    },
  });

  /** Works on the messages of one subject. */
  async function handle(messages: Message[]): Promise<void> {
    const extend = setInterval(
      () => {
        const running = messages.filter(({ receipt }) => !settled.has(receipt));
        void queue.extend(running, visibilitySeconds);
      },
      (visibilitySeconds * 1000) / 3,
    );
    try {
      const stayed = new Set(await worker(messages, stopping.signal));
      const done = messages.filter((message) => !stayed.has(message));
      if (done.length > 0) await queue.done(done);
    } finally {
      clearInterval(extend);
      for (const { receipt } of messages) settled.delete(receipt);
    }
  }

  /** Does some of the poller's work; after a failure it rests, so that a queue that cannot be used is not asked all the time. */
  async function survive(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (stopping.signal.aborted) return;
      log.error("polling failed", { ...problemOf(error) });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_ERROR_MS));
    }
  }

  function begin(messages: Message[]): void {
    const work = survive(handle(messages)).finally(() => {
      underWay.delete(work);
      oneIsDone();
    });
    underWay.add(work);
  }

  async function receive(free: number): Promise<void> {
    const messages = await queue.receive({
      most: free * MESSAGES_OF_ONE,
      groups: free,
      waitSeconds: WAIT_SECONDS,
      signal: stopping.signal,
    });
    for (const ofSubject of Map.groupBy(messages, ({ group }) => group).values()) begin(ofSubject);
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const free = options.subjects - underWay.size;
      if (free > 0) await survive(receive(free));
      else {
        const { promise, resolve } = Promise.withResolvers<void>();
        oneIsDone = resolve;
        await promise;
      }
    }
    await Promise.all(underWay);
  }

  const polling = loop();
  return {
    async stop() {
      stopping.abort();
      await polling;
    },
  };
}
