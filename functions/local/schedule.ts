import { TICK_MS } from "../core/schedule.ts";

/**
 * Ticks immediately, so that everything due runs at the start, and then once a minute.
 *
 * @param tick never rejects; a tick may begin while others are under way
 * @returns a function that ends the ticks and resolves when those under way are finished
 */
export function startSchedule(tick: () => Promise<void>): () => Promise<void> {
  const running = new Set<Promise<void>>();
  const start = (): void => {
    const one = tick().finally(() => running.delete(one));
    running.add(one);
  };
  start();
  const timer = setInterval(start, TICK_MS);
  return async () => {
    clearInterval(timer);
    await Promise.all(running);
  };
}
