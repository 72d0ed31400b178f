import type { DirectoryAccess } from "../clients.ts";
import { readsGroups } from "../core/freshness.ts";
import type { Organization } from "../core/organization.ts";
import { type DirectoryState, type Person, unknownGroups } from "../core/person.ts";

/** What the directory says about a person, and as of when: anything after `readAt` may be missing. */
export interface Observation {
  person: Person | undefined;
  /** The names of their groups; undefined when nobody can read them. */
  groups: readonly string[] | undefined;
  /** The names of all groups that matter; undefined when they were not read. */
  names: ReadonlySet<string> | undefined;
  /** What could not be read of groups; nothing when none were to be read. */
  unknown: Pick<DirectoryState, "unread" | "listed">;
  /** Whether the directory shows no groups at all; false when they were not read. */
  groupsEmpty: boolean;
  /** The earlier of the two readings, the person's, and the groups' (undefined when they were not read). */
  readAt: number;
  userReadAt: number;
  groupsReadAt: number | undefined;
}

/**
 * What the directory holds now of a person who was read already.
 *
 * @returns a function that adds the groups, read at `groupsNotBefore` (milliseconds since the epoch) or later; only those of
 *   an active person are asked for, and only where groups matter
 */
export function createObserve(
  organization: Organization,
  access: DirectoryAccess,
  person: Person | undefined,
  readAt: number,
): (groupsNotBefore: number) => Promise<Observation> {
  const none = { names: undefined, unknown: {}, groupsEmpty: false, groupsReadAt: undefined };
  const base = { person, readAt, userReadAt: readAt, ...none };
  return async (groupsNotBefore) => {
    if (access.mode === "snapshots") return { ...base, groups: undefined };
    if (!person?.active || !readsGroups(organization)) return { ...base, groups: [] };
    const map = await access.directory.groups(groupsNotBefore);
    return {
      ...base,
      groups: map.value.of(person.subject),
      names: map.value.names,
      unknown: unknownGroups(map.value),
      groupsEmpty: map.value.isEmpty,
      groupsReadAt: map.readAt,
      readAt: Math.min(readAt, map.readAt),
    };
  };
}
