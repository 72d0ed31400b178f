import * as z from "zod";
import { ALL_FREE, type EditSlots, type EditVerb, editSlotsSchema } from "../core/edit-slots.ts";
import { ALWAYS, getItem, onTopOf, queryItems, type Table } from "./table.ts";

/** Whose slots they are: the Nextcloud's base URL, the account that edits there, and the way in which it does. */
export interface SlotsOf {
  origin: string;
  account: string;
  verb: EditVerb;
}

/** Somebody whose account is still to be edited. */
export interface WaitingEdit {
  subject: string;
  /** When a job was sent for it (milliseconds since the epoch); undefined while none was. */
  sentAt: number | undefined;
}

/** Nextcloud limits the edits of accounts: how many may be sent, and who waits. The rule is core/edit-slots.ts. */
export interface Edits {
  slots(of: SlotsOf): Promise<{ slots: EditSlots; revision: number }>;
  /** Writes the slots on top of that revision; returns false when somebody else wrote in between. */
  putSlots(of: SlotsOf, slots: EditSlots, revision: number): Promise<boolean>;
  /** Everybody of an organization who waits, page by page. */
  waiting(organization: string): AsyncGenerator<WaitingEdit[]>;
  /** How many wait; see `Table.count`. */
  countWaiting(organization: string, most?: number): Promise<number>;
  wait(organization: string, edit: WaitingEdit): Promise<void>;
  /** The person waits no longer. */
  done(organization: string, subject: string): Promise<void>;
}

const itemSchema = editSlotsSchema.extend({ revision: z.number() });
const waitingSchema = z.object({ sentAt: z.number().optional() });
const PREFIX = "edit#";

export function createEdits(table: Table): Edits {
  const slotsKey = ({ origin, account, verb }: SlotsOf) => ({
    partition: `nextcloud#${origin}`,
    sort: `edits#${verb}#${account}`,
  });
  const waitingKey = (organization: string, subject: string) => ({
    partition: organization,
    sort: `${PREFIX}${subject}`,
  });
  return {
    async slots(of) {
      const item = await getItem(table, slotsKey(of), itemSchema);
      if (!item) return { slots: ALL_FREE, revision: 0 };
      const { revision, ...slots } = item;
      return { slots, revision };
    },
    putSlots: (of, slots, revision) => table.put(slotsKey(of), { ...slots, revision: revision + 1 }, onTopOf(revision)),
    async *waiting(organization) {
      for await (const page of queryItems(table, organization, PREFIX, waitingSchema))
        yield page.map(({ sort, value }) => ({ subject: sort.slice(PREFIX.length), sentAt: value.sentAt }));
    },
    countWaiting: (organization, most) => table.count(organization, PREFIX, { most }),
    async wait(organization, { subject, sentAt }) {
      await table.put(waitingKey(organization, subject), { sentAt }, ALWAYS);
    },
    async done(organization, subject) {
      await table.delete(waitingKey(organization, subject), ALWAYS);
    },
  };
}
