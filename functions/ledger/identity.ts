import * as z from "zod";
import { ALWAYS, getItem, putOnce, type Table } from "./table.ts";

const identitySchema = z.object({
  /** See `identityFingerprint`. */
  fingerprint: z.string(),
  /** Set once Nextcloud made an account under the id that was expected. */
  confirmed: z.boolean().optional(),
  /** When an account was last made under another id (milliseconds since the epoch), and what was said of it. */
  mismatch: z.object({ at: z.number(), made: z.string(), expected: z.string() }).optional(),
});

/** What an organization's accounts were made with. */
export type IdentityItem = z.output<typeof identitySchema>;

export interface Identities {
  get(organization: string): Promise<IdentityItem | undefined>;
  /** The identity that holds; the given fingerprint is written when there was none. */
  ensure(organization: string, fingerprint: string): Promise<IdentityItem>;
  /**
   * Replaces what is known.
   *
   * @param before the fingerprint that it is known of; nothing is done when another one holds by now
   */
  update(organization: string, identity: IdentityItem, before?: string): Promise<void>;
  /** Replaces the fingerprint: an operator accepts that every account id changes. */
  accept(organization: string, fingerprint: string): Promise<void>;
}

export function createIdentities(table: Table): Identities {
  const keyOf = (organization: string) => ({ partition: organization, sort: "identity" });
  return {
    get: (organization) => getItem(table, keyOf(organization), identitySchema),
    ensure: async (organization, fingerprint) =>
      (await putOnce<IdentityItem>(table, keyOf(organization), { fingerprint }, identitySchema)).value,
    async update(organization, identity, before = identity.fingerprint) {
      await table.put(keyOf(organization), identity, { when: "equal", field: "fingerprint", value: before });
    },
    async accept(organization, fingerprint) {
      await table.put(keyOf(organization), { fingerprint }, ALWAYS);
    },
  };
}
