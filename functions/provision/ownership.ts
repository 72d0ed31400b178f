import type { Organization } from "../config/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { ActualAccount } from "../nextcloud/accounts.ts";
import { groupExists } from "../nextcloud/groups.ts";
import { hashesGroupIds } from "../nextcloud/identity.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import { type DesiredAccount, isManaged, nextcloudGroup } from "./desired.ts";
import type { GroupKnowledge } from "./plan.ts";

/** Finds out whose Nextcloud groups are, asking the ledger and, where that does not know, Nextcloud. */
export interface Ownership {
  /**
   * @param names the names of the directory's groups that matter; undefined when they are not known
   * @returns knowledge of every desired group and of every group the account is in
   */
  resolve(
    organization: Organization,
    systems: { ocs: Ocs; nextcloudOrigin: string },
    desired: DesiredAccount,
    actual: ActualAccount | undefined,
    names: ReadonlySet<string> | undefined,
  ): Promise<Map<string, GroupKnowledge>>;
  /**
   * Writes a group down as the organization's before it is made or joined.
   *
   * @returns `new` when it was nobody's until now, `ours` when the organization had it before, `other` when another has it
   */
  claim(organization: Organization, origin: string, gid: string, name: string): Promise<"new" | "ours" | "other">;
}

/** How long "nobody's" or "was there before" is believed; what is owned stays owned. */
const UNOWNED_MS = 60_000;

/** Ownership with a memory for the life of the container, so that a known group costs no request. */
export function createOwnership(ledger: Ledger, now: () => number = Date.now): Ownership {
  const memory = new Map<string, { knowledge: GroupKnowledge; until: number }>();
  const key = (organization: Organization, origin: string, gid: string): string =>
    `${origin} ${organization.slug} ${gid}`;

  const remember = (id: string, knowledge: GroupKnowledge): GroupKnowledge => {
    const owned = knowledge.ownership === "ours" || knowledge.ownership === "other";
    memory.set(id, { knowledge, until: owned ? Number.POSITIVE_INFINITY : now() + UNOWNED_MS });
    return knowledge;
  };

  return {
    async resolve(organization, { ocs, nextcloudOrigin }, desired, actual, names) {
      const hashed = hashesGroupIds(organization.identity);
      const member = new Set(actual?.groups);
      const derived = hashed ? derivedNames(organization, names) : new Map<string, string>();

      const look = async (gid: string): Promise<GroupKnowledge> => {
        const id = key(organization, nextcloudOrigin, gid);
        const known = memory.get(id);
        if (known && known.until > now()) return known.knowledge;
        const entry = await ledger.group(nextcloudOrigin, gid);
        if (entry) {
          return remember(id, { ownership: entry.owner === organization.slug ? "ours" : "other", name: entry.name });
        }
        const name = derived.get(gid);
        // Nobody else makes a group of a hashed id. It becomes ours in the ledger with the first claim.
        if (name !== undefined) return { ownership: "ours", name };
        if (member.has(gid) || (await groupExists(ocs, gid))) return remember(id, { ownership: "local" });
        return remember(id, { ownership: "free" });
      };

      const wanted = desired.groups.filter((group) => group.source === "clavex").map((group) => group.gid);
      const claimed = desired.groups.filter((group) => group.source === "always").map((group) => group.gid);
      const knowledge = new Map<string, GroupKnowledge>();
      for (const gid of new Set([...wanted, ...member])) knowledge.set(gid, await look(gid));
      for (const gid of claimed) {
        // Always-groups are plain ids of the policy: only another organization's claim matters.
        const entry = knowledge.has(gid) ? undefined : await ledger.group(nextcloudOrigin, gid);
        if (entry && entry.owner !== organization.slug) knowledge.set(gid, { ownership: "other", name: entry.name });
      }
      return knowledge;
    },

    async claim(organization, origin, gid, name) {
      const id = key(organization, origin, gid);
      if (memory.get(id)?.knowledge.ownership === "ours") return "ours";
      const { entry, written } = await ledger.claimGroup(origin, gid, { owner: organization.slug, name });
      const ownership = entry.owner === organization.slug ? "ours" : "other";
      remember(id, { ownership, name: entry.name });
      return written ? "new" : ownership;
    },
  };
}

const derivations = new WeakMap<ReadonlySet<string>, Map<string, string>>();

/** The hashed ids of the directory's managed groups, with their names; computed once for each reading of the groups. */
function derivedNames(organization: Organization, names: ReadonlySet<string> | undefined): Map<string, string> {
  const known = names && derivations.get(names);
  if (known) return known;
  const derived = new Map<string, string>();
  if (names) derivations.set(names, derived);
  for (const name of names ?? []) {
    if (!isManaged(organization, name)) continue;
    const result = nextcloudGroup(organization, name);
    if ("group" in result) derived.set(result.group.gid, name);
  }
  return derived;
}
