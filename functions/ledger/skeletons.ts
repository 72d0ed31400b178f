import * as z from "zod";
import { ALWAYS, foreignFields, getItem, type Table } from "./table.ts";

const skeletonSchema = z.object({ empty: z.boolean(), at: z.number() });

/** What was found of a Nextcloud's skeleton folder, and when (milliseconds since the epoch). */
export type Skeleton = z.output<typeof skeletonSchema>;

/** What is known about the folder whose files every new home gets. */
export interface Skeletons {
  /** @param origin the Nextcloud's base URL */
  get(origin: string): Promise<Skeleton | undefined>;
  put(origin: string, skeleton: Skeleton): Promise<void>;
}

export function createSkeletons(table: Table): Skeletons {
  const keyOf = (origin: string) => ({ partition: `nextcloud#${origin}`, sort: "skeleton" });
  return {
    get: (origin) => getItem(table, keyOf(origin), skeletonSchema),
    async put(origin, skeleton) {
      const foreign = foreignFields(skeletonSchema, await table.get(keyOf(origin)));
      await table.put(keyOf(origin), { ...foreign, ...skeleton }, ALWAYS);
    },
  };
}
