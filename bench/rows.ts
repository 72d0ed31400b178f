import type { Row } from "./report.ts";

/** In the order of the table; each is loaded only when it runs. */
export const ROWS: Readonly<Record<string, () => Promise<Row>>> = {
  receiver: async () => (await import("./rows/receiver.ts")).receiver,
  requests: async () => (await import("./rows/requests.ts")).requests,
  converge: async () => (await import("./rows/converge.ts")).converge,
  users: async () => (await import("./rows/users.ts")).users,
  reconcile: async () => (await import("./rows/reconcile.ts")).reconcile,
  edits: async () => (await import("./rows/edits.ts")).edits,
  storm: async () => (await import("./rows/storm.ts")).storm,
  cold: async () => (await import("./rows/cold.ts")).cold,
  queue: async () => (await import("./rows/queue.ts")).queue,
  "how-soon": async () => (await import("./rows/how-soon.ts")).howSoon,
};
