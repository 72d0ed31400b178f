import * as z from "zod";
import type { Organization } from "../core/organization.ts";
import { isPaused, type Pause } from "../core/pause.ts";
import type { Identities } from "./identity.ts";
import { ALWAYS, foreignFields, getItem, type Table } from "./table.ts";

const pauseSchema = z.object({ paused: z.boolean(), at: z.number() });

/** Whether organizations are paused. */
export interface Pauses {
  /** What an operator said last. */
  get(organization: string): Promise<Pause | undefined>;
  put(organization: string, said: Pause): Promise<void>;
}

export function createPauses(table: Table): Pauses {
  const keyOf = (organization: string) => ({ partition: organization, sort: "paused" });
  return {
    get: (organization) => getItem(table, keyOf(organization), pauseSchema),
    async put(organization, said) {
      const foreign = foreignFields(pauseSchema, await table.get(keyOf(organization)));
      await table.put(keyOf(organization), { ...foreign, ...said }, ALWAYS);
    },
  };
}

/** Asks the ledger whether an organization is paused now. */
export type AskPaused = (organization: Organization) => Promise<boolean>;

/**
 * @param startsPaused whether organizations that the ledger does not know yet start paused
 * @returns the question; it is one read for an organization that was ever paused or resumed, else two
 */
export function createAskPaused(
  ledger: { pauses: Pauses; identities: Pick<Identities, "get"> },
  startsPaused: boolean,
): AskPaused {
  return async (organization) => {
    const { slug } = organization;
    const said = await ledger.pauses.get(slug);
    const isKnown = said !== undefined || !startsPaused || (await ledger.identities.get(slug)) !== undefined;
    return isPaused(said, organization, { startsPaused, isKnown });
  };
}
