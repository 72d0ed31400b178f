import type { GroupMap, Reading } from "../core/person.ts";
import type { GroupMemory } from "../ledger/group-memory.ts";

/** The most entries of the ledger that are read to find one person's groups. */
export const MOST_ENTRIES = 100;

/**
 * One person's groups as the group watch saw them last: Clavex cannot be asked for them, and to read the members of all its groups
 * takes long. Groups that the policy leaves out are not among them.
 *
 * @returns a map that knows this person alone, as of the oldest of the readings; undefined where the watch has not seen all groups
 *   yet, and where there are too many to look through
 */
export async function rememberedGroups(
  memory: Pick<GroupMemory, "groups" | "members" | "entriesOf">,
  organization: string,
  subject: string,
): Promise<Reading<GroupMap> | undefined> {
  const { groups, complete } = await memory.groups(organization);
  const withMembers = groups.filter(({ count }) => count > 0);
  const entries = withMembers.reduce((sum, { count }) => sum + memory.entriesOf(count), 0);
  if (!complete || groups.length === 0 || entries > MOST_ENTRIES) return undefined;
  const names: string[] = [];
  for (const { id, name } of withMembers)
    if ((await memory.members(organization, id)).includes(subject)) names.push(name);
  names.sort();
  const value: GroupMap = {
    names: new Set(groups.map(({ name }) => name)),
    unread: new Set(),
    isEmpty: false,
    isComplete: true,
    of: (asked) => (asked === subject ? names : []),
  };
  return { value, readAt: Math.min(...groups.map(({ readAt }) => readAt)) };
}
