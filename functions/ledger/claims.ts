import * as z from "zod";
import { getItem, putOnce, queryItems, type Table } from "./table.ts";

const accountClaimSchema = z.looseObject({
  owner: z.string(),
  /** Older versions did not write it. */
  subject: z.string().optional().catch(undefined),
});
const groupClaimSchema = z.object({ owner: z.string(), name: z.string() });

/** Which organization made a Nextcloud group, and the group's name in its Clavex. */
export type GroupClaim = z.output<typeof groupClaimSchema>;

/** Which organization claimed an account, and for whom, as far as that was written down. */
export interface AccountClaim {
  owner: string;
  subject?: string | undefined;
}

/** Whose the accounts and groups of a Nextcloud are. Organizations on one Nextcloud see each other's claims. */
export interface Claims {
  /**
   * Writes an account down as the organization's, unless somebody has it. Returns the slug of who owns it now.
   *
   * @param subject whose account it is
   */
  claimAccount(origin: string, accountId: string, owner: string, subject?: string): Promise<string>;
  /** Who claimed an account, if anybody did. */
  account(origin: string, accountId: string): Promise<string | undefined>;
  /** Who claimed an account, and whose it is: the id may be a hash, which does not tell it. */
  accountClaim(origin: string, accountId: string): Promise<AccountClaim | undefined>;
  group(origin: string, gid: string): Promise<GroupClaim | undefined>;
  /** All groups of a Nextcloud that some organization has claimed, page by page. */
  groups(origin: string): AsyncGenerator<(GroupClaim & { gid: string })[]>;
  /** Writes a group down as the organization's, unless somebody has it. Returns the claim that holds. */
  claimGroup(origin: string, gid: string, claim: GroupClaim): Promise<{ claim: GroupClaim; written: boolean }>;
  /** Ends the organization's claim of a group that is gone. */
  releaseGroup(origin: string, gid: string, owner: string): Promise<void>;
}

const GROUP = "group#";

/** @param origin in every method: the base URL of the Nextcloud */
export function createClaims(table: Table): Claims {
  const accountKey = (origin: string, id: string) => ({ partition: `nextcloud#${origin}`, sort: `account#${id}` });
  const groupKey = (origin: string, gid: string) => ({ partition: `nextcloud#${origin}`, sort: `${GROUP}${gid}` });
  const accountClaim: Claims["accountClaim"] = (origin, accountId) =>
    getItem(table, accountKey(origin, accountId), accountClaimSchema);
  return {
    async claimAccount(origin, accountId, owner, subject) {
      const key = accountKey(origin, accountId);
      const { value, written } = await putOnce(table, key, { owner, subject }, accountClaimSchema);
      if (!written && value.owner === owner && value.subject === undefined && subject !== undefined)
        await table.put(key, { ...value, subject }, { when: "equal", field: "owner", value: owner });
      return value.owner;
    },
    accountClaim,
    account: async (origin, accountId) => (await accountClaim(origin, accountId))?.owner,
    group: (origin, gid) => getItem(table, groupKey(origin, gid), groupClaimSchema),
    async *groups(origin) {
      for await (const page of queryItems(table, `nextcloud#${origin}`, GROUP, groupClaimSchema))
        yield page.map(({ sort, value }) => ({ ...value, gid: sort.slice(GROUP.length) }));
    },
    async claimGroup(origin, gid, claim) {
      const { value, written } = await putOnce(table, groupKey(origin, gid), claim, groupClaimSchema);
      return { claim: value, written };
    },
    async releaseGroup(origin, gid, owner) {
      await table.delete(groupKey(origin, gid), { when: "equal", field: "owner", value: owner });
    },
  };
}
