import { offer } from "./process.ts";
import type { BenchOptions, Result } from "./report.ts";
import { ROWS } from "./rows.ts";

/** One row in a process of its own: it does not work with the heap that those before it have left. */
const services = {
  /** @param startedAt when the bench began (milliseconds since the epoch), for the lines about the progress */
  async measure(name: string, options: Omit<BenchOptions, "onProgress">, startedAt: number): Promise<Result[]> {
    const onProgress = (text: string): void => {
      const seconds = Math.round((Date.now() - startedAt) / 1000);
      console.error(`${String(seconds).padStart(4)} s  ${name}: ${text}`);
    };
    onProgress("begins");
    const row = await ROWS[name]?.();
    if (!row) throw new Error(`there is no row ${name}`);
    return row({ ...options, onProgress });
  },
};
export type RowProcess = typeof services;

offer(services, async () => undefined);
