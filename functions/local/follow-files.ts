import { setTimeout as sleep } from "node:timers/promises";
import type { MachineConfiguration } from "../config/machine.ts";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";

export interface FollowOptions {
  configuration: Pick<MachineConfiguration, "look">;
  /** A change was taken; the next look waits for it. */
  onChange: () => Promise<void>;
  log: Log;
  /** How long between two looks, in milliseconds; a change takes two. */
  everyMs?: number;
}

/** A few small files are polled: file system notifications get lost on some systems, and differ with each editor. */
const EVERY_MS = 1_000;

/**
 * Looks at the configuration's files again and again.
 *
 * @returns a function that ends it, and resolves when the look under way is over
 */
export function followFiles({ configuration, onChange, log, everyMs = EVERY_MS }: FollowOptions): () => Promise<void> {
  const ended = new AbortController();
  async function follow(): Promise<void> {
    while (!ended.signal.aborted) {
      try {
        if (await configuration.look()) await onChange();
      } catch (error) {
        log.error("the configuration cannot be read anew", { ...problemOf(error) });
      }
      await sleep(everyMs, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  }
  const following = follow();
  return async () => {
    ended.abort();
    await following;
  };
}
