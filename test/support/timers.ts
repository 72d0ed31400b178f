import { createHook } from "node:async_hooks";

/** How many timers are left of those that the work sets. */
export async function timersLeft(work: () => Promise<void>): Promise<number> {
  const timers = new Set<number>();
  const hook = createHook({
    init: (id, type) => void (type === "Timeout" && timers.add(id)),
    destroy: (id) => void timers.delete(id),
  }).enable();
  try {
    await work();
    // Destroyed timers are told of in the next turn of the event loop.
    await new Promise(setImmediate);
  } finally {
    hook.disable();
  }
  return timers.size;
}
