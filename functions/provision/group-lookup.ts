import type { ActualAccount } from "../core/account.ts";
import { type DesiredAccount, isManaged, nextcloudGroup } from "../core/desired.ts";
import { hashesGroupIds } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { GroupKnowledge } from "../core/plan.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { groupExists } from "../nextcloud/groups.ts";
import type { Ocs } from "../nextcloud/ocs.ts";

/** Finds out whose Nextcloud groups are, asking the ledger and, where that does not know, Nextcloud. */
export interface GroupLookup {
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

/** How long "was there before" is believed; what is owned stays owned. */
const LOCAL_MS = 60_000;

/** GroupLookup with a memory for the life of the container, so that a known group costs no request. */
export function createGroupLookup(ledger: Ledger, now: () => number = Date.now): GroupLookup {
  const memory = new Map<string, { knowledge: GroupKnowledge; until: number }>();
  const key = (organization: Organization, origin: string, gid: string): string =>
    `${origin} ${organization.slug} ${gid}`;

  const remember = (id: string, knowledge: GroupKnowledge): GroupKnowledge => {
    const owned = knowledge.ownership === "ours" || knowledge.ownership === "other";
    memory.set(id, { knowledge, until: owned ? Number.POSITIVE_INFINITY : now() + LOCAL_MS });
    return knowledge;
  };

  return {
    async resolve(organization, { ocs, nextcloudOrigin }, desired, actual, names) {
      // Groups of a person who is not active are left as they are.
      if (desired.state !== "active") return new Map();
      const derived = hashesGroupIds(organization.identity) ? derivedNames(organization, names) : undefined;
      const member = new Set(actual?.groups);

      const inLedger = async (id: string, gid: string): Promise<GroupKnowledge | undefined> => {
        const entry = await ledger.group(nextcloudOrigin, gid);
        if (!entry) return undefined;
        return remember(id, { ownership: entry.owner === organization.slug ? "ours" : "other", name: entry.name });
      };

      const look = async (gid: string): Promise<GroupKnowledge> => {
        const id = key(organization, nextcloudOrigin, gid);
        const known = memory.get(id);
        if (known && known.until > now()) return known.knowledge;
        const owned = await inLedger(id, gid);
        if (owned) return owned;
        const name = derived?.get(gid);
        // Nobody else makes a group of a hashed id. It becomes ours in the ledger with the first claim.
        if (name !== undefined) return { ownership: "ours", name };
        const exists = member.has(gid) || (await groupExists(ocs, gid));
        // Not remembered: somebody may make it before the next look.
        if (!exists) return { ownership: "free" };
        // Another container may have claimed and made it since the ledger was asked.
        const adopted = adoptedName(organization, gid);
        return (
          (await inLedger(id, gid)) ??
          remember(id, { ownership: "local", ...(adopted === undefined ? {} : { name: adopted }) })
        );
      };

      // Always-groups are plain ids of the policy: only another organization's claim matters.
      const lookAtAlways = async (gid: string): Promise<GroupKnowledge> => {
        const id = `always ${key(organization, nextcloudOrigin, gid)}`;
        const known = memory.get(id);
        if (known && known.until > now()) return known.knowledge;
        return (await inLedger(id, gid)) ?? remember(id, { ownership: "local" });
      };

      const always = new Set(desired.groups.filter(({ source }) => source === "always").map(({ gid }) => gid));
      const gids = new Set([...desired.groups.map(({ gid }) => gid), ...member]);
      const looks = Array.from(
        gids,
        async (gid) => [gid, await (always.has(gid) ? lookAtAlways(gid) : look(gid))] as const,
      );
      return new Map(await Promise.all(looks));
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

/** The Clavex name of a group that the organization adopts, where its id follows from a name. */
function adoptedName(organization: Organization, gid: string): string | undefined {
  return organization.groups.adopt.find((name) => {
    const result = nextcloudGroup(organization, name);
    return "group" in result && result.group.gid === gid;
  });
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
