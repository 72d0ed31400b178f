import type { Directory, Person } from "../core/person.ts";
import type { AdminApi } from "./admin-api.ts";
import { createGroupMap } from "./group-map.ts";

/** As many as a page of Clavex has: one request. */
const MOST_FOUND = 200;

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
    people: (unreadable, after) => api.users(undefined, unreadable, after),
    async findByEmail(email) {
      const wanted = email.toLowerCase();
      const found: Person[] = [];
      for await (const page of api.users(email))
        found.push(...page.filter((each) => each.email.toLowerCase() === wanted));
      return found;
    },
    async search(text) {
      const people: Person[] = [];
      let unreadable = 0;
      const pages = api.users(text, () => {
        unreadable += 1;
      });
      for await (const page of pages) {
        people.push(...page);
        if (people.length + unreadable >= MOST_FOUND) return { people, more: true };
      }
      return { people, more: false };
    },
    groups: createGroupMap(api, relevant, now),
    groupList: (unreadable) => api.groups(unreadable),
    members: (groupId) => api.members(groupId),
    probe: (not) => api.probe(not),
  };
}
