import * as z from "zod";
import type { LastRun, LastRuns, RunKind } from "../core/schedule.ts";
import { ALWAYS, queryItems, type Table } from "./table.ts";

const heldSchema = z.looseObject({ reason: z.string(), people: z.number(), explanation: z.string() });
const findingsSchema = z.looseObject({
  people: z.number(),
  accounts: z.number().optional(),
  differences: z.number(),
  sent: z.number(),
  enabled: z.number().optional(),
  leaversStillEnabled: z.number().optional(),
  held: heldSchema.optional(),
  heldLeaves: heldSchema.optional(),
});
/** Fields of newer versions go from one run to the next. */
const runSchema: z.ZodType<LastRun> = z.looseObject({
  beganAt: z.number(),
  endedAt: z.number().optional(),
  result: z.string().optional(),
  doneAt: z.number().optional(),
  found: findingsSchema.optional().catch(undefined),
});

/** When each organization's runs began and ended last, and how. */
export interface Runs {
  /** The last run of each kind. */
  of(organization: string): Promise<LastRuns>;
  put(organization: string, kind: RunKind, run: LastRun): Promise<void>;
}

const PREFIX = "run#";

export function createRuns(table: Table): Runs {
  return {
    async of(organization) {
      const runs: Record<string, LastRun> = {};
      for await (const page of queryItems(table, organization, PREFIX, runSchema))
        for (const { sort, value } of page) runs[sort.slice(PREFIX.length)] = value;
      return runs;
    },
    async put(organization, kind, run) {
      await table.put({ partition: organization, sort: `${PREFIX}${kind}` }, { ...run }, ALWAYS);
    },
  };
}
