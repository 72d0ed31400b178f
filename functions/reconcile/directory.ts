import { ClavexUnavailable } from "../clavex/errors.ts";
import type { GroupMap } from "../clavex/group-map.ts";
import type { DirectoryUser } from "../clavex/user.ts";
import type { Organization } from "../config/organization.ts";
import type { OrganizationSystems } from "../systems.ts";

/** All people of an organization and their groups, read once. */
export interface Directory {
  users: Map<string, DirectoryUser>;
  map: GroupMap;
  /** False when the walk through the users broke off: who is missing from it may still be there. */
  complete: boolean;
}

const MOST_WALKS = 3;

/**
 * Reads an organization's users (200 a page) and groups. A walk that breaks off, as when the user at the page's end was
 * deleted meanwhile, is begun again; after three the last one's part is used.
 *
 * @param onProgress called with the number of users read so far
 * @throws the errors of the Clavex room when the groups cannot be read, or not a single page of users
 */
export async function readDirectory(
  { api, groupMap }: NonNullable<OrganizationSystems["clavex"]>,
  organization: Organization,
  now: () => number,
  onProgress: (count: number) => void,
): Promise<Directory> {
  const { value: map } = await groupMap(now());
  for (let walk = 1; ; walk += 1) {
    const users = new Map<string, DirectoryUser>();
    try {
      for await (const page of api.users()) {
        for (const user of page) users.set(user.subject, compact(user, organization.quota.attribute));
        onProgress(users.size);
      }
      return { users, map, complete: true };
    } catch (error) {
      if (!(error instanceof ClavexUnavailable)) throw error;
      if (walk < MOST_WALKS) continue;
      if (users.size === 0) throw error;
      return { users, map, complete: false };
    }
  }
}

/** Only the attribute that decides something is kept: 100,000 people have to fit into one function's memory. */
function compact(user: DirectoryUser, attribute: string): DirectoryUser {
  const value = Object.hasOwn(user.attributes, attribute) ? user.attributes[attribute] : undefined;
  return { ...user, attributes: value === undefined ? {} : { [attribute]: value } };
}
