import { hash } from "node:crypto";
import type { Profile, SubjectState } from "./account.ts";
import { accountId, groupId, groupProblem, unshortenedGroupId } from "./identity.ts";
import { ADMIN, type Organization } from "./organization.ts";
import { matchesAny } from "./patterns.ts";
import type { DirectoryState, Traits } from "./person.ts";
import { InvalidQuota, largerQuota, parseQuota, type Quota } from "./quota.ts";
import { printable } from "./text.ts";

/** A group the person is to be in. */
export interface DesiredGroup {
  gid: string;
  displayName: string;
  /** `clavex`: a group of the directory, made and emptied by us. `always`: a group of the policy, joined and never left. */
  source: "clavex" | "always";
  /** The Clavex group's name, or the id for `always`. */
  name: string;
}

/** What Nextcloud should hold for a person. Nothing but the state is desired of somebody who is not active. */
export type DesiredAccount = {
  subject: string;
  accountId: string;
  /** What could not be applied, one sentence each. */
  notes: string[];
} & (DesiredActive | DesiredInactive);

interface DesiredInactive {
  state: Exclude<SubjectState, "active">;
  /** The person was erased, and their name and e-mail address are to go from Nextcloud too. */
  anonymise?: true;
}

interface DesiredActive {
  state: "active";
  profile: Profile;
  /** Which rule gave the quota: `attribute`, `group NAME`, `default` or `none`. */
  quotaRule: string;
  /** The groups of the directory, or `unknown` when nobody could read them: then none is left. */
  directoryGroups: DesiredGroup[] | "unknown";
  /** The ids of the directory's groups whose members nobody could read: neither joined nor left. */
  unreadGroups: string[];
  /** The groups of the policy that everybody is in. */
  alwaysGroups: DesiredGroup[];
}

const UNVERIFIED = "no account is created: the e-mail address is not verified in Clavex (scope.verifiedEmailOnly)";

/**
 * What Nextcloud should hold for one person: the whole policy of an organization, as a pure function of the directory.
 *
 * @param directory the person now; for a person who is gone only the state is desired
 * @param hasAccount whether the person has an account, as far as is known: an existing one is never closed because of its address
 */
export function desiredAccount(
  organization: Organization,
  subject: string,
  directory: DirectoryState,
  hasAccount = true,
): DesiredAccount {
  const { person, groups } = directory;
  const account = { subject, accountId: accountId(organization.identity, subject) };
  const state = stateOf(organization, directory);
  const waits = organization.scope.verifiedEmailOnly && !hasAccount && person?.emailVerified === false;
  if (waits && state === "active") return { ...account, state: "outOfScope", notes: [UNVERIFIED] };
  if (!person || state !== "active") {
    const { erased, deleted } = organization.deprovision;
    const anonymise = person?.erased && erased === "anonymise" && deleted !== "keep";
    return {
      ...account,
      state: state as DesiredInactive["state"],
      notes: [],
      ...(anonymise ? { anonymise } : {}),
    };
  }
  const { odd = [] } = person;
  const quota = odd.includes("metadata") ? UNKNOWN_QUOTA : desiredQuota(organization, person, directory);
  const { alwaysGroups, directoryGroups, notes } = desiredGroupsOf(organization, groups);
  const unreadGroups = [...(directory.unread ?? NONE)].flatMap((name) => managedGid(organization, name) ?? []);
  return {
    ...account,
    state,
    profile: {
      displayName: hasOddName(odd) ? "" : displayName(person),
      email: person.email.trim(),
      quota: quota.quota,
    },
    quotaRule: quota.rule,
    directoryGroups,
    unreadGroups,
    alwaysGroups,
    notes: [...oddNotes(odd), ...quota.notes, ...notes],
  };
}

/** Left as it is: undefined is nothing that is written. */
const UNKNOWN_QUOTA = { quota: undefined, rule: "unknown", notes: [] };

function hasOddName(odd: readonly string[]): boolean {
  return odd.includes("first_name") || odd.includes("last_name");
}

function oddNotes(odd: readonly string[]): string[] {
  if (odd.length === 0) return [];
  return [`the directory's ${odd.join(", ")} of this person cannot be read: what depends on it is left as it is`];
}

/** All groups that the person is to be in, as far as they are known. */
export function desiredGroups(desired: DesiredAccount): DesiredGroup[] {
  if (desired.state !== "active") return [];
  const { directoryGroups, alwaysGroups } = desired;
  return directoryGroups === "unknown" ? alwaysGroups : [...directoryGroups, ...alwaysGroups];
}

function stateOf(organization: Organization, directory: DirectoryState): SubjectState {
  const { person, groups = [], unread = NONE, listed } = directory;
  if (!person || person.erased) return "deleted";
  if (!person.active) return "suspended";
  const { groups: scope } = organization.scope;
  if (scope.length === 0 || listed !== undefined) return "active";
  return [...groups, ...unread].some((name) => matchesAny(scope, name)) ? "active" : "outOfScope";
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Whether nobody can tell if somebody who is not in scope so far is to have an account: a group that would decide it could not
 * be read. Whoever is in scope stays there until all such groups have been read.
 */
export function isScopeUnknown(
  { scope }: Organization,
  { person, groups = [], unread = NONE, listed }: DirectoryState,
  before: SubjectState | "new" | undefined,
): boolean {
  if (!person?.active || person.erased || before === "active" || scope.groups.length === 0) return false;
  const inScope = (name: string): boolean => matchesAny(scope.groups, name);
  return !groups.some(inScope) && (listed !== undefined || [...unread].some(inScope));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
const DIRECTION_MARK = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/**
 * Anything that is seen by itself: neither white space, nor a mark that needs a letter to stand on, nor ignorable when it is
 * shown, nor the empty Braille pattern.
 */
const VISIBLE = /[^\p{White_Space}\p{M}\p{Default_Ignorable_Code_Point}\p{Cf}\u2800]/u;
/** Joiners shape the letters beside them in many scripts, also at a word's end; at its beginning they join nothing. */
const LEADING_JOINERS = /^[\u200c\u200d]+/;

/** Words of Latin letters and ASCII signs with single spaces: they are clean already. */
const PLAIN = /^[!-~\u00c0-\u024f]+(?: [!-~\u00c0-\u024f]+)*$/;

/** First and last name; without both the e-mail address, because user_oidc would show the account id. */
export function displayName({ firstName, lastName, email }: Traits): string {
  const given = `${firstName} ${lastName}`;
  const name = PLAIN.test(given) ? given : cleaned(given);
  // user_oidc ignores "0" as it ignores an empty name.
  return name === "" || name === "0" ? email.trim() : name;
}

function cleaned(name: string): string {
  return name
    .replace(CONTROL, " ")
    .replace(DIRECTION_MARK, "")
    .toWellFormed()
    .split(/\s+/)
    .filter((word) => VISIBLE.test(word))
    .map((word) => word.replace(LEADING_JOINERS, ""))
    .join(" ");
}

/** The first rule that gives a quota: the person's attribute, the largest of their groups', the default. */
function desiredQuota(
  organization: Organization,
  { attributes }: Traits,
  { groups = [], unread = NONE, listed }: DirectoryState,
): { quota: Quota | undefined; rule: string; notes: string[] } {
  const { attribute, byGroup, default: fallback } = organization.quota;
  const own = Object.hasOwn(attributes, attribute) ? attributes[attribute]?.trim() : undefined;
  const notes: string[] = [];
  if (own) {
    try {
      return { quota: parseQuota(own), rule: "attribute", notes };
    } catch (error) {
      if (!(error instanceof InvalidQuota)) throw error;
      notes.push(`the attribute ${attribute} is passed over: ${printable(error.message)}`);
    }
  }
  const byDefault = { quota: fallback, rule: fallback === undefined ? "none" : "default", notes };
  if (Object.keys(byGroup).length === 0) return byDefault;
  let best: { quota: Quota; rule: string } | undefined;
  const better = (name: string): Quota | undefined => {
    const quota = Object.hasOwn(byGroup, name) ? byGroup[name] : undefined;
    return quota === undefined || (best && largerQuota(best.quota, quota) === best.quota) ? undefined : quota;
  };
  for (const name of groups) {
    const quota = better(name);
    if (quota !== undefined) best = { quota, rule: `group ${name}` };
  }
  const unlisted = listed ? Object.keys(byGroup).filter((name) => !listed.has(name)) : [];
  if ([...unread, ...unlisted].some((name) => better(name) !== undefined)) return { ...UNKNOWN_QUOTA, notes };
  if (best) return { ...best, notes };
  return byDefault;
}

/** Whether the pipeline manages memberships of the Clavex group of this name. */
export function isManaged(organization: Organization, name: string): boolean {
  return matchesAny(organization.groups.managed, name) && !matchesAny(organization.groups.never, name);
}

/** Whether the group matters: for membership, for who gets an account, or for the quota. */
export function isRelevant(organization: Organization, name: string): boolean {
  return (
    isManaged(organization, name) ||
    matchesAny(organization.scope.groups, name) ||
    Object.hasOwn(organization.quota.byGroup, name)
  );
}

/**
 * Those of these Nextcloud groups that none of the listed groups stands for: where the list may not be all, nobody knows whether
 * they have ended.
 */
export function unlistedGroups(
  organization: Organization,
  { listed }: Pick<DirectoryState, "listed">,
  gids: Iterable<string>,
): string[] {
  if (listed === undefined) return [];
  const known = gidsOfLists.get(listed) ?? new Set([...listed].flatMap((name) => managedGid(organization, name) ?? []));
  gidsOfLists.set(listed, known);
  return [...new Set(gids)].filter((gid) => !known.has(gid));
}

/** Computed once for each reading of the groups. */
const gidsOfLists = new WeakMap<ReadonlySet<string>, Set<string>>();

function managedGid(organization: Organization, name: string): string | undefined {
  if (!isManaged(organization, name)) return undefined;
  const result = nextcloudGroup(organization, name);
  return "group" in result ? result.group.gid : undefined;
}

/** The Nextcloud group of a managed Clavex group, or why there can be none. */
export function nextcloudGroup(organization: Organization, name: string): NextcloudGroup {
  let known = groupsOf.get(organization);
  if (!known) {
    known = new Map();
    groupsOf.set(organization, known);
  }
  const group = known.get(name) ?? computeGroup(organization, name);
  if (known.size < MOST_KEPT) known.set(name, group);
  return group;
}

type NextcloudGroup = { group: Readonly<DesiredGroup> } | { problem: string };

/** Hundreds of people share a group: it is computed once for each version of an organization's document. */
const groupsOf = new WeakMap<Organization, Map<string, NextcloudGroup>>();
const MOST_KEPT = 100_000;

function computeGroup(organization: Organization, name: string): NextcloudGroup {
  const display = `${organization.groups.prefix}${name}`;
  const gid = groupId(organization.identity, display);
  const whole = unshortenedGroupId(organization.identity, display);
  const problem = forbidden(organization, gid, whole) ?? groupProblem(gid, display);
  return problem === undefined ? { group: { gid, displayName: display, source: "clavex", name } } : { problem };
}

/**
 * Why the organization must not use a group of this id. Ids differ in letter case (`Admin` makes nobody an administrator);
 * but a database may take no notice of white space at their end.
 *
 * @param whole the id before it was hashed for its length: a long name is no way into another organization's namespace
 */
function forbidden(organization: Organization, gid: string, whole: string): string | undefined {
  const { groups } = organization;
  if (gid.trim() === ADMIN && !(gid === ADMIN && groups.managed.includes(ADMIN)))
    return 'its members would become administrators; "managed" must name the group "admin" literally for that';
  return isReserved(organization, gid) || isReserved(organization, whole) ? RESERVED : undefined;
}

const RESERVED = "groups whose ids begin like this are another organization's";

function isReserved({ reservedPrefixes }: Organization, gid: string): boolean {
  return reservedPrefixes.some((prefix) => gid.startsWith(prefix));
}

function desiredGroupsOf(
  organization: Organization,
  names: readonly string[] | undefined,
): Pick<DesiredActive, "directoryGroups" | "alwaysGroups"> & { notes: string[] } {
  const always = new Map(
    organization.groups.always.map((gid) => [gid, { gid, displayName: gid, source: "always" as const, name: gid }]),
  );
  const alwaysGroups = [...always.values()];
  if (names === undefined) return { directoryGroups: "unknown", alwaysGroups, notes: [] };
  const groups = new Map<string, DesiredGroup>();
  const notes: string[] = [];
  for (const name of names) {
    if (!isManaged(organization, name)) continue;
    const result = nextcloudGroup(organization, name);
    if ("problem" in result) notes.push(`group ${printable(name)} is skipped: ${result.problem}`);
    else if (!always.has(result.group.gid)) groups.set(result.group.gid, result.group);
  }
  return { directoryGroups: [...groups.values()], alwaysGroups, notes };
}

/** A hash of the names of a person's groups (sorted): tells whether they have changed. */
export function groupsHash(names: readonly string[]): string {
  return hash("sha256", JSON.stringify(names));
}

/**
 * A hash of all that is desired for a person: two equal ones need the same account. Running ledgers hold it, so its formula
 * never changes: another one would queue everybody at the first light run after an update.
 */
export function desiredHash(desired: DesiredAccount): string {
  const { accountId: id, state } = desired;
  const { displayName: name, email, quota } = desired.state === "active" ? desired.profile : NOTHING;
  const gids = desiredGroups(desired)
    .map((group) => group.gid)
    .sort();
  const anonymous = desired.state !== "active" && desired.anonymise ? ["anonymise"] : [];
  return hash("sha256", JSON.stringify([id, state, name, email.toLowerCase(), quota ?? null, gids, ...anonymous]));
}

const NOTHING: Profile = { displayName: "", email: "", quota: undefined };
