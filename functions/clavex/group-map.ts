import { coalesced } from "../coalesced.ts";
import type { GroupMap, Reading } from "../core/person.ts";
import { sideBySide } from "../side-by-side.ts";
import type { AdminApi } from "./admin-api.ts";
import { CLAVEX_UNDECIDED, ClavexUnavailable } from "./errors.ts";

/** Reads the map, or shares a reading that began at `notBefore` (milliseconds since the epoch) or later. */
export type ReadGroupMap = (notBefore: number) => Promise<Reading<GroupMap>>;

const CONCURRENT_MEMBER_READS = 4;
/** How long a reading may take before it begins no further request. */
export const LONGEST_MAP_MS = 90_000;

/**
 * The group map of one organization: Clavex has no way to ask for one user's groups, so it is built from all groups and
 * their members, and shared.
 *
 * @param relevant whether a group of this name matters to the organization; others are not read
 */
export function createGroupMap(
  api: AdminApi,
  relevant: (name: string) => boolean,
  now: () => number = Date.now,
): ReadGroupMap {
  return coalesced(async () => {
    const names = new Set<string>();
    let isEmpty = true;
    const waiting: { id: string; name: string }[] = [];
    const endsAt = now() + LONGEST_MAP_MS;
    const checkTime = (): void => {
      if (now() > endsAt) throw new ClavexUnavailable("reading all groups takes too long", CLAVEX_UNDECIDED);
    };
    for await (const page of api.groups()) {
      checkTime();
      for (const group of page) {
        isEmpty = false;
        if (!relevant(group.name)) continue;
        names.add(group.name);
        if (group.memberCount > 0) waiting.push(group);
      }
    }
    const groupsOf = new Map<string, string[]>();
    await sideBySide(waiting, CONCURRENT_MEMBER_READS, async (group) => {
      checkTime();
      for (const subject of await api.members(group.id)) {
        const groups = groupsOf.get(subject);
        if (groups) groups.push(group.name);
        else groupsOf.set(subject, [group.name]);
      }
    });
    // Copies: an array that has grown holds room for more.
    for (const [subject, groups] of groupsOf) groupsOf.set(subject, groups.toSorted());
    const none: string[] = [];
    return { names, isEmpty, of: (subject) => groupsOf.get(subject) ?? none };
  }, now);
}
