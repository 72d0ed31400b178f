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
  const { queue, visibilitySeconds, log } = options;
  const stopping = new AbortController();
  /** Receipts whose visibility the worker has set: these are no longer extended. */
  const settled = new Set<string>();
  const worker = options.createWorker({
    send: queue.send,
    async setVisibility(messages) {
      for (const { receipt } of messages) settled.add(receipt);
      await queue.setVisibility(messages);
    },
  });

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

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const messages = await queue.receive({
          most: BATCH_SIZE,
          waitSeconds: WAIT_SECONDS,
          signal: stopping.signal,
        });
        if (messages.length > 0) await handle(messages);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.error("polling failed", { ...problemOf(error) });
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
