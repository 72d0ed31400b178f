import * as z from "zod";
import { type BrakeState, brakeSchema } from "../core/brake.ts";
import { getItem, onTopOf, type Table } from "./table.ts";

/** The brake of each organization; the rule is core/brake.ts. */
export interface Brakes {
  /** The brake and the revision that it was read with. */
  get(organization: string): Promise<{ state: BrakeState; revision: number } | undefined>;
  /** Writes it on top of that revision (0 when there was none); returns false when somebody else wrote in between. */
  put(organization: string, state: BrakeState, revision: number): Promise<boolean>;
}

const itemSchema = brakeSchema.extend({ revision: z.number() });

export function createBrakes(table: Table): Brakes {
  const keyOf = (organization: string) => ({ partition: organization, sort: "brake" });
  return {
    async get(organization) {
      const item = await getItem(table, keyOf(organization), itemSchema);
      if (!item) return undefined;
      const { revision, ...state } = item;
      return { state, revision };
    },
    put: (organization, state, revision) =>
      table.put(keyOf(organization), { ...state, revision: revision + 1 }, onTopOf(revision)),
  };
}
