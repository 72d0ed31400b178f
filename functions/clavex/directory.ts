import type { Directory } from "../core/person.ts";
import type { AdminApi } from "./admin-api.ts";
import { createGroupMap } from "./group-map.ts";

/**
 * One organization's Clavex as a directory.
 *
 * @param relevant whether a group of this name matters to the organization; others are not read
 */
export function createClavexDirectory(
  api: AdminApi,
  relevant: (name: string) => boolean,
  now: () => number = Date.now,
): Directory {
  return {
    person: (subject) => api.user(subject),
    people: (unreadable) => api.users(undefined, unreadable),
    async findByEmail(email) {
      for await (const page of api.users(email)) {
        const user = page.find((each) => each.email.toLowerCase() === email.toLowerCase());
        if (user) return user;
      }
      return undefined;
    },
    groups: createGroupMap(api, relevant, now),
    groupList: () => api.groups(),
    members: (groupId) => api.members(groupId),
    probe: (not) => api.probe(not),
  };
}
