/** A person as a directory knows them. */
export interface Person {
  /** The id that the directory gives to Nextcloud at login (the `sub` claim): a UUID in lower case. */
  subject: string;
  email: string;
  /** Whether the directory itself has verified that the address is the person's. */
  emailVerified: boolean;
  /** Empty where the directory has none. */
  firstName: string;
  lastName: string;
  active: boolean;
  /** The directory has erased the person's data and keeps a remainder: counts as deleted. */
  erased: boolean;
  /** Texts, and numbers as texts, by attribute name; for any other value its type, such as `(boolean)`. */
  attributes: Readonly<Record<string, string>>;
  /** The directory's names of fields that could not be read: what depends on them is left as it is. */
  odd?: readonly string[];
  /** When the person was last changed, normalised to UTC with nine fraction digits: two compare as text. Empty where unknown. */
  updatedAt: string;
}

/** What of a person decides something; the rest only orders readings. */
export type Traits = Omit<Person, "subject" | "updatedAt">;

/**
 * A person as the directory has them now. `person` is undefined when they are gone; `groups` are the names of their groups,
 * undefined when groups cannot be read.
 */
export interface DirectoryState {
  person: Traits | undefined;
  groups: readonly string[] | undefined;
  /** The names of groups whose members nobody could read: the person may be in them. None when left out. */
  unread?: ReadonlySet<string>;
  /** The names of all groups that could be listed, where that may not be all: the person may be in others. */
  listed?: ReadonlySet<string>;
}

/** What a map leaves unknown of everybody's groups. */
export function unknownGroups({ names, unread, isComplete }: GroupMap): Pick<DirectoryState, "unread" | "listed"> {
  return isComplete ? { unread } : { unread, listed: names };
}

/** A value, and when its reading began (milliseconds since the epoch): it may miss what happened after that. */
export interface Reading<T> {
  value: T;
  readAt: number;
}

/** Who is in which of the groups that matter, at one time. */
export interface GroupMap {
  /** The names of every group that matters, empty ones included. */
  names: ReadonlySet<string>;
  /** The names of those whose members could not be read: nobody's membership in them is known. */
  unread: ReadonlySet<string>;
  /** Whether the directory shows no groups at all, not even ones that do not matter. */
  isEmpty: boolean;
  /** Whether `names` are all: a group that the directory lists without a readable name may be any other. */
  isComplete: boolean;
  /** The names of a person's groups, sorted. */
  of(subject: string): readonly string[];
}

/** A group of the directory. No time of it tells that its members changed, only the count does, and not always. */
export interface DirectoryGroup {
  id: string;
  name: string;
  memberCount: number;
}

/** What the pipeline needs of a directory. Every method throws the failures of the directory's own module. */
export interface Directory {
  /** The person, or undefined when the directory itself says, beyond doubt, that they do not exist. */
  person(subject: string): Promise<Person | undefined>;
  /**
   * All people, page by page. A page that cannot be read breaks the listing off.
   *
   * @param unreadable called for each who is listed and cannot be read; without a subject where that cannot be read either
   * @param after a subject: only those who come after this one in the directory's order
   */
  people(unreadable?: (subject: string | undefined) => void, after?: string): AsyncGenerator<Person[]>;
  /** The people with this e-mail address, in any letter case: more than one only in an odd directory. */
  findByEmail(email: string): Promise<Person[]>;
  /** The first people, 200 at most, whom the directory finds by this text in names and e-mail addresses, and whether there may be more. */
  search(text: string): Promise<{ people: Person[]; more: boolean }>;
  /**
   * Who is in which group.
   *
   * @param notBefore the earliest acceptable start of the reading (milliseconds since the epoch); `-Infinity` for any
   */
  groups(notBefore: number): Promise<Reading<GroupMap>>;
  /**
   * All groups with their counts, those that do not matter included, page by page.
   *
   * @param unreadable called for each that is listed and cannot be read; without a name where that cannot be read either, or
   *   where it keeps the rest of the list out
   */
  groupList(unreadable?: (name: string | undefined) => void): AsyncGenerator<DirectoryGroup[]>;
  /** The subjects of a group's members, by its id. */
  members(groupId: string): Promise<string[]>;
  /**
   * Reads somebody, which is harmless: it resolves when the directory answers properly.
   *
   * @param not the subjects whose readings have failed
   */
  probe(not: readonly string[]): Promise<void>;
}
