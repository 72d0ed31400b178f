import { OcsRefusal } from "./errors.ts";
import { groupSegment, type Ocs } from "./ocs.ts";

/** Whether a group of this id exists (letter case matters). */
export async function groupExists(ocs: Ocs, gid: string): Promise<boolean> {
  try {
    await ocs.call("GET", `cloud/groups/${groupSegment(gid)}`);
    return true;
  } catch (error) {
    if (error instanceof OcsRefusal && error.status === 404) return false;
    throw error;
  }
}

/**
 * Makes a group; one that is there already (102) is success, as after a race.
 *
 * @returns why Nextcloud refuses a group like this, or undefined when it is there
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
