import { isWithin } from "./clock.ts";
import type { DirectoryGroup } from "./person.ts";

/** A group as the group watch saw it last. */
export interface WatchedGroup {
  id: string;
  name: string;
  /** The number of members that the list of groups said when they were read. */
  count: number;
  /** When the reading of its members began (milliseconds since the epoch). */
  readAt: number;
}

/** All groups that the group watch has seen. `complete`: there was a look after which none was missing. */
export interface WatchedGroups {
  groups: WatchedGroup[];
  complete: boolean;
}

/** The most groups whose members are read in one look; what is left over is read in the next ones. */
export const MOST_READ = 200;
/** A member who leaves while another joins changes no count: so members are read this often at least, a few minutes early. */
const UNREAD_MS = 55 * 60_000;

/** What a look has to read, and which groups are gone from the directory. */
export interface Look {
  read: DirectoryGroup[];
  gone: WatchedGroup[];
}

/**
 * Compares the counts of the directory's groups with those remembered. Groups that are new or have another count come
 * first, then those whose members have not been read for an hour, the longest unread first.
 *
 * @param now milliseconds since the epoch
 */
export function lookAt(remembered: readonly WatchedGroup[], listed: readonly DirectoryGroup[], now: number): Look {
  const before = new Map(remembered.map((group) => [group.id, group]));
  const changed: DirectoryGroup[] = [];
  const unread: { group: DirectoryGroup; readAt: number }[] = [];
  for (const group of listed) {
    const known = before.get(group.id);
    if (known?.count !== group.memberCount) changed.push(group);
    else if (!isWithin(known.readAt, UNREAD_MS, now)) unread.push({ group, readAt: known.readAt });
  }
  unread.sort((a, b) => a.readAt - b.readAt);
  const ids = new Set(listed.map(({ id }) => id));
  return {
    read: [...changed, ...unread.map(({ group }) => group)].slice(0, MOST_READ),
    gone: remembered.filter(({ id }) => !ids.has(id)),
  };
}

/** Who is in just one of two lists of subjects: whoever joined, and whoever left. */
export function joinedOrLeft(before: readonly string[], after: readonly string[]): string[] {
  return [...new Set(before).symmetricDifference(new Set(after))];
}
