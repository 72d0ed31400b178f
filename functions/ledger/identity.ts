import * as z from "zod";
import { ABSENT, ALWAYS, foreignFields, getItem, putOnce, type Table } from "./table.ts";

const identitySchema = z.object({
  /** See `identityFingerprint`. */
  fingerprint: z.string(),
  /** Set once Nextcloud made an account under the id that was expected. */
  confirmed: z.boolean().optional(),
  /** When an account was last created under another id (milliseconds since the epoch), and the message about it. */
  mismatch: z.object({ at: z.number(), made: z.string(), expected: z.string() }).optional(),
});

const slugSchema = z.object({ slug: z.string() });

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
  /** The slug under which everything of the directory's organization was written down, if anything was. */
  slugOf(organizationId: string): Promise<string | undefined>;
  /** Remembers the slug of the directory's organization; the first one stays. */
  rememberSlug(organizationId: string, slug: string): Promise<void>;
}

export function createIdentities(table: Table): Identities {
  const keyOf = (organization: string) => ({ partition: organization, sort: "identity" });
  // No slug has a "#": this is no organization's partition.
  const slugKey = (organizationId: string) => ({ partition: `organization#${organizationId}`, sort: "slug" });
  const slugOf: Identities["slugOf"] = async (organizationId) =>
    (await getItem(table, slugKey(organizationId), slugSchema))?.slug;
  const foreign = async (organization: string) => foreignFields(identitySchema, await table.get(keyOf(organization)));
  return {
    get: (organization) => getItem(table, keyOf(organization), identitySchema),
    ensure: async (organization, fingerprint) =>
      (await putOnce<IdentityItem>(table, keyOf(organization), { fingerprint }, identitySchema)).value,
    async update(organization, identity, before = identity.fingerprint) {
      const item = { ...(await foreign(organization)), ...identity };
      await table.put(keyOf(organization), item, { when: "equal", field: "fingerprint", value: before });
    },
    async accept(organization, fingerprint) {
      await table.put(keyOf(organization), { ...(await foreign(organization)), fingerprint }, ALWAYS);
    },
    slugOf,
    async rememberSlug(organizationId, slug) {
      // It is nearly always there, and a read costs less than a write that is refused.
      if ((await slugOf(organizationId)) === undefined) await table.put(slugKey(organizationId), { slug }, ABSENT);
    },
  };
}
