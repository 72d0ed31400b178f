import * as z from "zod";
import { idsSchema } from "./accounts.ts";
import { NextcloudMisrouted, OcsRefusal } from "./errors.ts";
import { groupSegment, type Ocs } from "./ocs.ts";

/** Paths below `cloud/groups/` that are lists, not groups of that name; docs/facts/nextcloud.md 5. */
const LISTS = new Set(["details", "users"]);
/** The most that every version takes. */
const PAGE = 500;
/** A longer list comes from a server that pages for ever. */
const MOST_GROUPS = 100_000;

/** Whether a group of this id exists (letter case matters). */
export async function groupExists(ocs: Ocs, gid: string): Promise<boolean> {
  if (LISTS.has(gid)) return isListed(ocs, gid);
  try {
    await ocs.call("GET", `cloud/groups/${groupSegment(gid)}`);
    return true;
  } catch (error) {
    if (error instanceof OcsRefusal && error.status === 404) return false;
    throw error;
  }
}

/** Looks for a group that cannot be asked for by path among those that a search finds. */
async function isListed(ocs: Ocs, gid: string): Promise<boolean> {
  let previous = "";
  for (let offset = 0; offset < MOST_GROUPS; offset += PAGE) {
    const data = await ocs.call("GET", "cloud/groups", { search: gid, limit: String(PAGE), offset: String(offset) });
    const page = z.object({ groups: idsSchema }).safeParse(data);
    if (!page.success) throw new NextcloudMisrouted("Nextcloud's list of groups has an unexpected form");
    const { groups } = page.data;
    if (groups.includes(gid)) return true;
    // A server that does not page shows the same for ever.
    const shown = JSON.stringify(groups);
    if (groups.length === 0 || shown === previous) return false;
    previous = shown;
  }
  throw new NextcloudMisrouted("Nextcloud's list of groups does not end");
}

/**
 * Creates a group; an existing one (102) counts as success, as after a race.
 *
 * @returns why Nextcloud refuses a group like this, or undefined when it exists now
 */
export async function createGroup(ocs: Ocs, gid: string, displayName: string): Promise<string | undefined> {
  try {
    await ocs.call("POST", "cloud/groups", { groupid: gid, displayname: displayName });
    return undefined;
  } catch (error) {
    if (!(error instanceof OcsRefusal)) throw error;
    return error.status === 102 ? undefined : error.message;
  }
}
