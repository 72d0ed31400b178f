import { ClavexUnavailable } from "../clavex/errors.ts";
import type { GroupMap } from "../clavex/group-map.ts";
import type { DirectoryUser } from "../clavex/user.ts";
import type { OrganizationClients } from "../clients.ts";
import type { Profile } from "../core/desired.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger, SubjectEntry } from "../ledger/ledger.ts";

/** One person of the directory, of the ledger, or of both. */
export interface Person {
  subject: string;
  accountId: string;
  user: Profile | undefined;
  entry: SubjectEntry | undefined;
  /** The id by which Nextcloud lists the account, once it has been looked for there. */
  listedAs: string | undefined;
}

/** All people of an organization and their groups, read once. */
export interface Directory {
  /** By account id, in lower case. */
  people: Map<string, Person>;
  /** How many people Clavex has, how many are in the ledger, and how many of those the ledger has as active. */
  counts: { users: number; known: number; active: number };
  map: GroupMap;
  /** False when the walk through the users broke off: who is missing from it may still be there. */
  complete: boolean;
}

export interface DirectorySources {
  ledger: Pick<Ledger, "subjects">;
  clavex: NonNullable<OrganizationClients["clavex"]>;
}

const MOST_WALKS = 3;

/**
 * Reads an organization's people from the ledger, and their users (200 a page) and groups from Clavex. The ledger comes
 * first: whoever joins during the reading must not be in it and look as if they were gone from Clavex. A walk through the
 * users that breaks off, as when the one at the page's end was deleted meanwhile, is begun again; after three the last one's
 * part is used.
 *
 * @param onProgress called with what is read, and the number of people so far
 * @throws {Failure} when the ledger or the groups cannot be read, or not a single page of users
 */
export async function readDirectory(
  { ledger, clavex }: DirectorySources,
  organization: Organization,
  now: () => number,
  onProgress: (phase: string, count: number) => void,
): Promise<Directory> {
  const people = new Map<string, Person>();
  const counts = { users: 0, known: 0, active: 0 };
  const personOf = (subject: string): Person => {
    const id = accountId(organization.identity, subject);
    const lower = id.toLowerCase();
    // Nearly every id is in lower case: its text is held once.
    const key = lower === id ? id : lower;
    const known = people.get(key);
    if (known) return known;
    const person = { subject, accountId: id, user: undefined, entry: undefined, listedAs: undefined };
    people.set(key, person);
    return person;
  };
  const shared = sharer();
  for await (const page of ledger.subjects(organization.slug)) {
    for (const entry of page) {
      const person = personOf(entry.subject);
      person.entry = compactEntry(entry, person, shared);
      if (entry.state === "active") counts.active += 1;
    }
    counts.known = people.size;
    onProgress("people in the ledger", counts.known);
  }
  const { value: map } = await clavex.groupMap(now());
  for (let walk = 1; ; walk += 1) {
    try {
      for await (const page of clavex.api.users()) {
        for (const user of page) {
          const person = personOf(user.subject);
          if (!person.user) counts.users += 1;
          person.user = compactUser(user, organization);
        }
        onProgress("people in Clavex", counts.users);
      }
      return { people, counts, map, complete: true };
    } catch (error) {
      if (!(error instanceof ClavexUnavailable)) throw error;
      if (walk === MOST_WALKS && counts.users === 0) throw error;
      if (walk === MOST_WALKS) return { people, counts, map, complete: false };
      // Who was read may be gone by the next walk.
      counts.users = 0;
      for (const [key, person] of people) {
        if (person.entry) person.user = undefined;
        else people.delete(key);
      }
    }
  }
}

/** Gives equal texts back as one and the same: hundreds of people are in the same group. */
function sharer(): (text: string) => string {
  const texts = new Map<string, string>();
  return (text) => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  };
}

const NO_ATTRIBUTES: Readonly<Record<string, string>> = {};

/** Only the attribute that decides something is kept: 100,000 people have to fit into one function's memory. */
function compactUser(user: DirectoryUser, organization: Organization): Profile {
  const { attribute } = organization.quota;
  const value = Object.hasOwn(user.attributes, attribute) ? user.attributes[attribute] : undefined;
  const attributes = value === undefined ? NO_ATTRIBUTES : { [attribute]: value };
  const { email, firstName, lastName, active } = user;
  return { email, firstName, lastName, active, attributes };
}

function compactEntry(entry: SubjectEntry, person: Person, shared: (text: string) => string): SubjectEntry {
  const id = entry.accountId === person.accountId ? person.accountId : entry.accountId;
  return { ...entry, subject: person.subject, accountId: id, groups: entry.groups.map(shared) };
}
