import { coalesced } from "../coalesced.ts";
import { Failure, isSilent, isUndecided } from "../core/failure.ts";
import type { GroupMap, Reading } from "../core/person.ts";
import { sideBySide } from "../side-by-side.ts";
import type { AdminApi } from "./admin-api.ts";
import { CLAVEX_UNDECIDED, ClavexUnavailable } from "./errors.ts";

/** Reads the map, or shares a reading that began at `notBefore` (milliseconds since the epoch) or later. */
export type ReadGroupMap = (notBefore: number) => Promise<Reading<GroupMap>>;

const CONCURRENT_MEMBER_READS = 4;
/** How long a reading may take before it stops sending requests. */
export const LONGEST_MAP_MS = 90_000;
/** When this many groups fail in a row, the server is at fault and not the groups. Fewer where no answer comes at all. */
const MOST_IN_A_ROW = { answered: 8, silent: 2 };

/**
 * The group map of one organization: Clavex has no way to ask for one user's groups, so it is built from all groups and
 * their members, and shared. A group whose members cannot be read, not even at a second attempt, is unknown and stops nobody, and
 * so is one that is listed in a form that cannot be read; when all fail, the server does.
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
    // Anyone missing from the readable members may be the unreadable one.
    const unreadNames = new Set<string>();
    let [isEmpty, isComplete] = [true, true];
    const waiting: { id: string; name: string }[] = [];
    const endsAt = now() + LONGEST_MAP_MS;
    const checkTime = (): void => {
      if (now() > endsAt) throw new ClavexUnavailable("reading all groups takes too long", CLAVEX_UNDECIDED);
    };
    const unreadable = (name: string | undefined): void => {
      isEmpty = false;
      if (name === undefined) isComplete = false;
      else if (relevant(name)) for (const each of [names, unreadNames]) each.add(name);
    };
    for await (const page of api.groups(unreadable)) {
      checkTime();
      for (const group of page) {
        isEmpty = false;
        if (!relevant(group.name)) continue;
        names.add(group.name);
        if (group.memberCount > 0) waiting.push(group);
      }
    }
    const groupsOf = new Map<string, string[]>();
    const unread = await readEach(waiting, async (group) => {
      checkTime();
      for (const subject of await api.members(group.id, () => unreadNames.add(group.name))) {
        // Copies: an array that grows keeps spare capacity, for each of thousands of people.
        const groups = groupsOf.get(subject)?.concat(group.name) ?? [group.name];
        // Groups come by name, but for those that are read side by side.
        if ((groups.at(-2) ?? "") > group.name) groups.sort();
        groupsOf.set(subject, groups);
      }
    });
    const none: string[] = [];
    for (const { name } of unread) unreadNames.add(name);
    return { names, unread: unreadNames, isEmpty, isComplete, of: (subject) => groupsOf.get(subject) ?? none };
  }, now);
}

/**
 * Reads groups, and those that fail once more at the end.
 *
 * @returns those that failed twice
 * @throws {Failure} when the failures are not those of single groups
 */
async function readEach<Group>(groups: Group[], readOne: (group: Group) => Promise<void>): Promise<Group[]> {
  let [inARow, anyRead] = [0, false];
  const failures: Failure[] = [];
  const attempt = async (each: Group[]): Promise<Group[]> => {
    const failed: Group[] = [];
    await sideBySide(each, CONCURRENT_MEMBER_READS, async (group) => {
      try {
        await readOne(group);
        [inARow, anyRead] = [0, true];
      } catch (error) {
        if (!(error instanceof Failure && isUndecided(error))) throw error;
        inARow += 1;
        if (inARow >= (isSilent(error) ? MOST_IN_A_ROW.silent : MOST_IN_A_ROW.answered)) throw error;
        failures.push(error);
        failed.push(group);
      }
    });
    return failed;
  };
  const once = await attempt(groups);
  inARow = 0;
  const twice = once.length === 0 ? [] : await attempt(once);
  if (twice.length > 1 && !anyRead) throw failures[0];
  return twice;
}
