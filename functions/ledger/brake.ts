import * as z from "zod";
import { type Braked, type BrakeState, brakeItem, brakeSchema } from "../core/brake.ts";
import { getItem, type Key, onTopOf, type Table } from "./table.ts";

/** The brakes of each organization; the rule is core/brake.ts. */
export interface Brakes {
  /** The brake and the revision that it was read with. */
  get(organization: string, braked?: Braked): Promise<{ state: BrakeState; revision: number } | undefined>;
  /** Writes it on top of that revision (0 when there was none); returns false when somebody else wrote in between. */
  put(organization: string, state: BrakeState, revision: number, braked?: Braked): Promise<boolean>;
}

const itemSchema = z.looseObject({ revision: z.number() }).transform(({ revision, ...item }) => ({ revision, item }));

/** @param braked in both methods: which of the two; deprovisions where it is left out */
export function createBrakes(table: Table): Brakes {
  const keyOf = (organization: string, braked: Braked): Key => ({
    partition: organization,
    sort: braked === "deprovisions" ? "brake" : `brake#${braked}`,
  });
  const stored = itemSchema.transform(({ revision, item }, context) => {
    const state = brakeSchema.safeParse(item);
    if (state.success) return { state: state.data, revision };
    context.addIssue({ code: "custom", message: "is no brake" });
    return z.NEVER;
  });
  return {
    get: (organization, braked = "deprovisions") => getItem(table, keyOf(organization, braked), stored),
    put: (organization, state, revision, braked = "deprovisions") =>
      table.put(keyOf(organization, braked), { ...brakeItem(state), revision: revision + 1 }, onTopOf(revision)),
  };
}
