import { Failure, isSilent, isUndecided } from "../core/failure.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory, GroupMap, Person, Traits } from "../core/person.ts";
import { leaversStillEnabled, ofAccount, type SubjectRecord } from "../core/record.ts";
import { createInterner } from "../core/text.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { sideBySide } from "../side-by-side.ts";

/** One person of the directory, of the ledger, or of both. */
export interface Listed {
  subject: string;
  accountId: string;
  person: Traits | undefined;
  /** The directory lists them in a form that cannot be read: they are there, and that is all that is known. */
  isUnreadable: boolean;
  /** A reading of them alone has shown that the directory does not have them, where no list could. */
  isGone: boolean;
  record: SubjectRecord | undefined;
  /** The id by which Nextcloud lists the account, once it has been looked for there. */
  listedAs: string | undefined;
}

/** All people of an organization and their groups, read once. */
export interface Roster {
  /** By account id, in lower case. */
  people: Map<string, Listed>;
  /**
   * How many people the directory has, how many are in the ledger, and how many of those it has as active, or as gone and still
   * enabled; and how many of the active ones could not be read.
   */
  counts: { users: number; known: number; active: number; leavers: number; unread: number };
  map: GroupMap;
  /** How many more are listed without a readable subject. */
  unidentified: number;
  /** False when the listing of the people broke off: who is missing from it may still be there. */
  complete: boolean;
}

export interface RosterSources {
  ledger: Pick<Ledger, "subjects">;
  directory: Directory;
  now: () => number;
  /** Called with what is read, and the number of people so far. */
  onProgress: (phase: string, count: number) => void;
}

const MOST_LISTINGS = 3;

/** Those whom the ledger knows. */
export type Known = Pick<Roster, "people" | "counts">;

/**
 * Reads an organization's people from the ledger, and then from the directory with their groups.
 *
 * @throws {Failure} when the ledger or the groups cannot be read, or not a single person
 */
export async function readRoster(sources: RosterSources, organization: Organization): Promise<Roster> {
  return readDirectory(sources, organization, await readLedger(sources, organization));
}

/**
 * The first part of a roster. The ledger comes before all else: whoever joins during the reading must not be in it and look as
 * if they were gone from the directory, or their account from Nextcloud.
 *
 * @throws {Failure} when the ledger cannot be read
 */
export async function readLedger(
  { ledger, onProgress }: Pick<RosterSources, "ledger" | "onProgress">,
  organization: Organization,
): Promise<Known> {
  const people = new Map<string, Listed>();
  const counts = { users: 0, known: 0, active: 0, leavers: 0, unread: 0 };
  const intern = createInterner();
  for await (const page of ledger.subjects.all(organization.slug)) {
    counts.leavers += leaversStillEnabled(page);
    for (const record of page) {
      const listed = listedOf(people, organization, record.subject);
      listed.record = compactRecord(ofAccount(record, listed.accountId) ?? record, listed, intern);
      if (record.state === "active") counts.active += 1;
    }
    counts.known = people.size;
    onProgress("people in the ledger", counts.known);
  }
  return { people, counts };
}

/**
 * The other part: the directory's groups and, at the same time, its people, who are added to those whom the ledger knows.
 *
 * @param known is added to
 * @throws {Failure} when the groups cannot be read, or not a single person
 */
export async function readDirectory(
  sources: Omit<RosterSources, "ledger">,
  organization: Organization,
  { people, counts }: Known,
): Promise<Roster> {
  const groups = sources.directory.groups(sources.now());
  let isFailed = false;
  groups.catch(() => {
    isFailed = true;
  });
  const listed = await listPeople(sources, organization, { people, counts }, () => isFailed);
  return { people, counts, ...listed, map: (await groups).value };
}

/**
 * Lists the directory's people. A listing that breaks off, as when the one at the page's end was deleted meanwhile, is begun
 * again; after three the last one's part is used, the list is begun again beyond it, and those whom the ledger knows and no list
 * shows are read one by one.
 *
 * @param isUseless asked after each page: whether the rest need not be read
 */
async function listPeople(
  { directory, onProgress, now }: Omit<RosterSources, "ledger">,
  organization: Organization,
  { people, counts }: Known,
  isUseless: () => boolean,
): Promise<Pick<Roster, "unidentified" | "complete">> {
  for (let listing = 1; ; listing += 1) {
    try {
      let unidentified = 0;
      const unreadable = (subject: string | undefined): void => {
        counts.users += 1;
        if (subject === undefined) unidentified += 1;
        else listedOf(people, organization, subject).isUnreadable = true;
      };
      for await (const page of directory.people(unreadable)) {
        for (const person of page) {
          const listed = listedOf(people, organization, person.subject);
          if (!listed.person) counts.users += 1;
          listed.person = compactPerson(person, organization);
        }
        onProgress("people in Clavex", counts.users);
        if (isUseless()) return { unidentified, complete: false };
      }
      return { unidentified, complete: true };
    } catch (error) {
      if (isUseless()) return { unidentified: 0, complete: false };
      if (!(error instanceof Failure && mayPass(error))) throw error;
      if (listing === MOST_LISTINGS) {
        counts.users += await listBeyond({ directory, now }, organization, people);
        const missing = turned(unlisted(people), now()).slice(0, MOST_READ_ONE_BY_ONE);
        counts.users += await readOneByOne(directory, missing, organization);
        if (counts.users === 0) throw error;
        counts.unread = unlisted(people).length;
        return { unidentified: 0, complete: false };
      }
      forgetPeople(people);
      counts.users = 0;
    }
  }
}

function mayPass(failure: Failure): boolean {
  return failure.origin !== "pipeline" && (failure.failureClass === "transient" || isUndecided(failure));
}

/** How many of those who are missing from a listing that broke off are looked at, and how many at a time. */
const MOST_READ_ONE_BY_ONE = 2_000;
const CONCURRENT_READS = 4;

/** Those whom the ledger has as active, and of whom nothing is known yet. */
function unlisted(people: ReadonlyMap<string, Listed>): Listed[] {
  return [...people.values()].filter(({ person, isUnreadable, isGone, record }) => {
    return !person && !isUnreadable && !isGone && record?.state === "active";
  });
}

/** How often a listing is begun again behind somebody: each time about half of those who are missing are left. */
const MOST_CURSORS = 24;

/**
 * Lists those who come after whatever breaks the listing off: whom the ledger knows, and was not listed, stands behind it. Each such
 * listing ends where somebody was listed before.
 *
 * @returns how many people that were
 */
async function listBeyond(
  { directory, now }: Pick<RosterSources, "directory" | "now">,
  organization: Organization,
  people: Map<string, Listed>,
): Promise<number> {
  const tried = new Set<string>();
  let [found, failedInARow] = [0, 0];
  const list = async (cursor: string): Promise<void> => {
    for await (const page of directory.people(undefined, cursor)) {
      for (const person of page) {
        const listed = listedOf(people, organization, person.subject);
        if (listed.person) return;
        listed.person = compactPerson(person, organization);
        found += 1;
      }
    }
  };
  while (tried.size < MOST_CURSORS && failedInARow < MOST_FAILED_IN_A_ROW) {
    const next = turned(unlisted(people), now()).find(({ subject }) => !tried.has(subject));
    if (!next) break;
    tried.add(next.subject);
    try {
      await list(next.subject);
      failedInARow = 0;
    } catch (error) {
      if (!(error instanceof Failure && mayPass(error))) throw error;
      // Whoever is gone fails, and so does a list behind which somebody else cannot be read; but not a whole server.
      if (!isUndecided(error) || isSilent(error)) break;
      failedInARow += 1;
    }
  }
  return found;
}

const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

/**
 * The same in another order from run to run, so that nobody is always among those who are left: multiples of the golden ratio spread
 * the beginnings evenly, however far the runs are apart.
 */
function turned<T>(all: readonly T[], now: number): T[] {
  const beginning = Math.floor(all.length * ((Math.floor(now / 60_000) * GOLDEN_RATIO) % 1));
  return [...all.slice(beginning), ...all.slice(0, beginning)];
}

/**
 * Reads people whom the ledger has as active and the listing does not show. Their own job asks again before anything is taken
 * away from whoever is gone.
 *
 * @returns how many the directory has
 */
async function readOneByOne(
  directory: Directory,
  people: readonly Listed[],
  organization: Organization,
): Promise<number> {
  let read = 0;
  let failedInARow = 0;
  await sideBySide(people, CONCURRENT_READS, async (listed) => {
    if (failedInARow >= MOST_FAILED_IN_A_ROW) return;
    try {
      const person = await directory.person(listed.subject);
      failedInARow = 0;
      listed.isGone = person === undefined;
      if (!person) return;
      listed.person = compactPerson(person, organization);
      read += 1;
    } catch (error) {
      if (!(error instanceof Failure && mayPass(error))) throw error;
      failedInARow += 1;
    }
  });
  return read;
}

/** Then it is the server: whoever is left is looked at by the next run. */
const MOST_FAILED_IN_A_ROW = 8;

function listedOf(people: Map<string, Listed>, { identity }: Organization, subject: string): Listed {
  const id = accountId(identity, subject);
  const lower = id.toLowerCase();
  // Nearly every id is in lower case: its text is held once.
  const key = lower === id ? id : lower;
  const known = people.get(key);
  if (known) return known;
  const listed = {
    subject,
    accountId: id,
    person: undefined,
    isUnreadable: false,
    isGone: false,
    record: undefined,
    listedAs: undefined,
  };
  people.set(key, listed);
  return listed;
}

/** Whoever was read may be gone by the next listing. */
function forgetPeople(people: Map<string, Listed>): void {
  for (const [key, listed] of people) {
    listed.isUnreadable = false;
    if (listed.record) listed.person = undefined;
    else people.delete(key);
  }
}

const NO_ATTRIBUTES: Readonly<Record<string, string>> = {};

/** Only the attribute that decides something is kept: 100,000 people have to fit into one function's memory. */
function compactPerson(person: Person, organization: Organization): Traits {
  const { attribute } = organization.quota;
  const value = Object.hasOwn(person.attributes, attribute) ? person.attributes[attribute] : undefined;
  const attributes = value === undefined ? NO_ATTRIBUTES : { [attribute]: value };
  const { email, emailVerified, firstName, lastName, active, erased, odd } = person;
  return { email, emailVerified, firstName, lastName, active, erased, attributes, ...(odd ? { odd } : {}) };
}

/** Holds no text twice, in place: the record has just been read. */
function compactRecord(record: SubjectRecord, listed: Listed, intern: (text: string) => string): SubjectRecord {
  record.subject = listed.subject;
  if (record.accountId === listed.accountId) record.accountId = listed.accountId;
  record.groups = record.groups.map(intern);
  return record;
}
