import * as z from "zod";
import { ALWAYS, getItem, type Table } from "./table.ts";

const runSchema = z.object({
  /** When the last run began and ended (milliseconds since the epoch); `endedAt` is missing while it runs, or was killed. */
  beganAt: z.number(),
  endedAt: z.number().optional(),
  /** How it ended: one word, `done` or the failure's code. */
  result: z.string().optional(),
});

/** The last run of one kind. */
export type LastRun = z.output<typeof runSchema>;

export type RunKind = "light" | "full" | "watch";

/** When each organization's runs began and ended last, and how. */
export interface Runs {
  get(organization: string, kind: RunKind): Promise<LastRun | undefined>;
  put(organization: string, kind: RunKind, run: LastRun): Promise<void>;
}

export function createRuns(table: Table): Runs {
  const keyOf = (organization: string, kind: RunKind) => ({ partition: organization, sort: `run#${kind}` });
  return {
    get: (organization, kind) => getItem(table, keyOf(organization, kind), runSchema),
    async put(organization, kind, run) {
      await table.put(keyOf(organization, kind), run, ALWAYS);
    },
  };
}
