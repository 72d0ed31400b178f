import {
  AccountConflict,
  type ActualAccount,
  ATTRIBUTES,
  anotherAccount,
  differingAttributes,
  type Profile,
  ProfileRefused,
} from "./account.ts";
import { type DesiredAccount, type DesiredGroup, desiredGroups, isManaged } from "./desired.ts";
import { schemeOf } from "./identity.ts";
import type { Organization } from "./organization.ts";
import { type SubjectRecord, withoutEffectFor } from "./record.ts";
import { printable } from "./text.ts";

/**
 * What is known of a Nextcloud group. `ours`: this organization made it, or its id is the hash of a group of the directory.
 * `free`: nobody has it and it does not exist yet. `local`: it was there before and is not ours. `other`: another
 * organization's. `unknown`: Nextcloud's answer about it cannot be read. `name` is the Clavex name, where known.
 */
export interface GroupKnowledge {
  ownership: "ours" | "free" | "local" | "other" | "unknown";
  name?: string;
}

/** What an operation does to what a person can reach. `deletes`: the account with its files. */
export type Effect = "grants" | "revokes" | "deletes" | "neutral";

/** One change to Nextcloud. A `join` makes the group first where it is missing. */
export type Operation =
  | { kind: "disable"; effect: "revokes" }
  | { kind: "delete"; effect: "deletes" }
  | { kind: "leave"; effect: "revokes"; gid: string; name: string }
  | { kind: "upsert"; effect: "grants" | "neutral"; providerId: number; profile: Profile; changes: string[] }
  | { kind: "create"; effect: "grants"; profile: Profile; groups: DesiredGroup[] }
  | { kind: "edit"; effect: "neutral"; key: string; value: string }
  | { kind: "join"; effect: "grants"; group: DesiredGroup }
  | { kind: "enable"; effect: "grants" };

export interface Plan {
  operations: Operation[];
  /** The ids of the groups that the person is in by us and stays in: what the ledger holds, beside those that are joined. */
  memberships: string[];
  /** What stays out of sync, and why; one sentence each. */
  notes: string[];
  /** Set when a group was left out that may be joined or left some other time. */
  postponed?: true;
  /** Why only these operations can be done; they only take access away, and are done anyway. */
  refusal: AccountConflict | ProfileRefused | undefined;
}

export interface PlanInput {
  organization: Organization;
  desired: DesiredAccount;
  actual: ActualAccount | undefined;
  record: SubjectRecord | undefined;
  /** Knowledge of every desired group and of every group the account is in. */
  groups: ReadonlyMap<string, GroupKnowledge>;
  /** True when the grace period is over and the policy wants the account deleted; see `isDeletable`. */
  deletable: boolean;
  /** True when user_oidc's POST overwrites nobody's files, because the skeleton that it copies is empty. */
  skeletonIsEmpty: boolean;
}

type Active = Extract<DesiredAccount, { state: "active" }>;
type Inactive = Exclude<DesiredAccount, Active>;
type ActiveInput = PlanInput & { desired: Active };

/** Whether anything of what the person can reach is taken away: their account, or a group. */
export function takesAccess(operations: readonly Operation[]): boolean {
  return operations.some(({ effect }) => effect === "revokes" || effect === "deletes");
}

/** Whether the account itself is closed: what the brake counts. */
export function deprovisions(operations: readonly Operation[]): boolean {
  return operations.some(({ kind }) => kind === "disable" || kind === "delete");
}

/** Whether the person ends up in fewer groups: whoever changes from one to another loses none. */
export function losesGroup(operations: readonly Operation[]): boolean {
  const left = operations.filter(({ kind }) => kind === "leave").length;
  return left > groupsJoinedBy(operations).filter(({ source }) => source === "clavex").length;
}

/** The groups that operations put the person into. */
export function groupsJoinedBy(operations: readonly Operation[]): DesiredGroup[] {
  return operations.flatMap((operation) => {
    if (operation.kind === "create") return operation.groups;
    return operation.kind === "join" ? [operation.group] : [];
  });
}

/**
 * The operations that bring one account from what it is to what is desired, in the order they are to be done: access is
 * taken away first and given last. Touches nothing that is not ours. When Nextcloud cannot hold the person's name, the plan
 * still takes away what they no longer hold: nobody keeps access because of their name.
 */
export function plan(input: PlanInput): Plan {
  const { organization, desired, actual, record } = input;
  const refusal = conflict(organization, desired, actual);
  if (refusal) return { operations: [], memberships: record?.groups ?? [], notes: [], refusal };
  return desired.state === "active" ? provision({ ...input, desired }) : deprovision({ ...input, desired });
}

function conflict(
  organization: Organization,
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
): AccountConflict | undefined {
  if (!actual) return undefined;
  if (actual.id !== desired.accountId) return anotherAccount(desired.accountId, actual.id);
  const { backend } = schemeOf(organization.identity);
  if (backend === undefined || actual.backend === backend) return undefined;
  return new AccountConflict(
    `account ${actual.id} belongs to Nextcloud's backend ${printable(actual.backend)}, not to ${backend}; nothing was touched`,
  );
}

function provision(input: ActiveInput): Plan {
  const leaves = groupsToLeave(input);
  const memberships = membershipsToKeep(input);
  const refusal = impossibleProfile(input);
  if (refusal) return { operations: leaves, memberships, notes: input.desired.notes, refusal };
  const futile = withoutEffectFor(input.record, input.desired);
  const joins = groupsToJoin(input, futile);
  const profile = profileOperations(input, joins.groups, futile);
  const enabling = enablingOperations(input);
  const joined = profile.made?.kind === "create" ? [] : joins.groups;
  const unread = [...unreadNotes(input), ...unshownNotes(input)];
  return {
    operations: [
      ...leaves,
      ...(profile.made ? [profile.made] : []),
      ...joined.map((group): Operation => ({ kind: "join", effect: "grants", group })),
      ...enabling.operations,
      ...profile.edits,
    ],
    memberships,
    notes: [
      ...input.desired.notes,
      ...unread,
      ...joins.notes,
      ...profile.notes,
      ...futileNotes(input, futile),
      ...enabling.notes,
    ],
    ...(joins.postponed || unread.length > 0 ? { postponed: true } : {}),
    refusal: undefined,
  };
}

function impossibleProfile({ organization, desired }: ActiveInput): ProfileRefused | undefined {
  const { longestName: limit } = schemeOf(organization.identity);
  const { displayName } = desired.profile;
  // Its characters are as many as its code units, or fewer.
  const length = displayName.length > limit ? [...displayName].length : 0;
  return length > limit
    ? new ProfileRefused(`the display name has ${length} characters, Nextcloud holds at most ${limit}`)
    : undefined;
}

/**
 * A person who is not active is only disabled: name, quota and groups stay as they are until they are active again. Of somebody who
 * was erased name and e-mail address go too, where the policy says so.
 */
function deprovision(input: PlanInput & { desired: Inactive }): Plan {
  const { organization, desired, actual, record, deletable } = input;
  const { state, notes } = desired;
  const nothing: Plan = { operations: [], memberships: record?.groups ?? [], notes, refusal: undefined };
  if (actual && !actual.enabled && deletable)
    return { ...nothing, operations: [{ kind: "delete", effect: "deletes" }], memberships: [] };
  // A suspended or deleted person without an account gets none.
  if (!actual) return nothing;
  const anonymous = desired.anonymise ? anonymisingOperations(input, actual) : { operations: [], notes: [] };
  if (!actual.enabled) return { ...nothing, ...anonymous };
  if (organization.deprovision[state] === "keep") {
    return { ...nothing, notes: [`the account stays as it is: deprovision.${state} is "keep"`] };
  }
  return {
    ...nothing,
    operations: [{ kind: "disable", effect: "revokes" }, ...anonymous.operations],
    notes: anonymous.notes,
  };
}

/** What Nextcloud calls somebody who was erased; it takes no empty name. */
const ERASED = "Erased person";

function anonymisingOperations(
  { organization, skeletonIsEmpty }: Pick<PlanInput, "organization" | "skeletonIsEmpty">,
  actual: ActualAccount,
): Pick<Plan, "operations" | "notes"> {
  const { making } = schemeOf(organization.identity);
  const { displayName, email } = ATTRIBUTES;
  const operations: Operation[] = [];
  const notes: string[] = [];
  if (actual.displayName !== ERASED) {
    const profile: Profile = { displayName: ERASED, email: "", quota: undefined };
    if (making.by === "user_oidc" && (skeletonIsEmpty || !actual.hasLoggedIn)) {
      const { providerId } = making;
      operations.push({ kind: "upsert", effect: "neutral", providerId, profile, changes: [displayName.key] });
    } else if (actual.backend === "Database")
      operations.push({ kind: "edit", effect: "neutral", key: displayName.key, value: ERASED });
    else notes.push(ERASED_NAME_STAYS);
  }
  if (actual.email !== "") operations.push({ kind: "edit", effect: "neutral", key: email.key, value: "" });
  return { operations, notes };
}

/** The person's Clavex groups that they are in already, and by us: we put them there, or the group is ours. */
function membershipsToKeep({ desired, actual, record, groups }: ActiveInput): string[] {
  if (desired.directoryGroups === "unknown") return record?.groups ?? [];
  const wanted = new Set(desired.directoryGroups.map((group) => group.gid));
  const kept = (actual?.groups ?? []).filter(
    (gid) => wanted.has(gid) && (groups.get(gid)?.ownership === "ours" || record?.groups.includes(gid)),
  );
  const isUnknown = (gid: string) => actual?.showsAllGroups === false || desired.unreadGroups.includes(gid);
  const unread = (record?.groups ?? []).filter(isUnknown);
  return [...new Set([...kept, ...unread])];
}

/** Memberships that are ours (we made them, or the group is ours) and that the person no longer holds. */
function groupsToLeave({ organization, desired, actual, record, groups }: ActiveInput): Operation[] {
  if (desired.directoryGroups === "unknown") return [];
  const kept = new Set([...desiredGroups(desired).map(({ gid }) => gid), ...desired.unreadGroups]);
  return (actual?.groups ?? []).flatMap((gid): Operation[] => {
    const known = groups.get(gid);
    const ours = known?.ownership === "ours" || (known?.ownership !== "other" && record?.groups.includes(gid));
    const released = known?.name !== undefined && !isManaged(organization, known.name);
    if (kept.has(gid) || !ours || released) return [];
    return [{ kind: "leave", effect: "revokes", gid, name: known?.name ?? gid }];
  });
}

/** Memberships that may have ended: nobody could read who is in the group. */
function unreadNotes({ desired, actual, record }: ActiveInput): string[] {
  if (desired.unreadGroups.length === 0) return [];
  const mine = new Set([...(actual?.groups ?? []), ...(record?.groups ?? [])]);
  return desired.unreadGroups
    .filter((gid) => mine.has(gid))
    .map((gid) => `group ${printable(gid)} is left as it is: the directory's answer about its members cannot be read`);
}

/** Without its groups an account says nothing about those that are to be left. */
function unshownNotes({ actual }: ActiveInput): string[] {
  if (actual?.showsAllGroups !== false) return [];
  return ["Nextcloud's answer about the account's groups cannot be read: those that are to be left are left later"];
}

/** What Nextcloud took twice and did not keep, as far as it still differs. */
function futileNotes({ desired, actual }: ActiveInput, futile: ReadonlySet<string>): string[] {
  if (!actual || futile.size === 0) return [];
  const attributes = differingAttributes(desired.profile, actual).filter(({ key }) => futile.has(key));
  const groups = desiredGroups(desired).filter(({ gid }) => futile.has(joinKey(gid)) && !actual.groups.includes(gid));
  return [
    ...attributes.map(({ label }) => `the ${label} is left as it is: Nextcloud took it twice and keeps another`),
    ...groups.map(
      ({ name }) => `group ${printable(name)} is skipped: Nextcloud took the membership twice and keeps none`,
    ),
  ];
}

/** By what a membership that has no effect is remembered. */
export function joinKey(gid: string): string {
  return `join ${gid}`;
}

function groupsToJoin(
  { organization, desired, actual, groups }: ActiveInput,
  futile: ReadonlySet<string>,
): {
  groups: DesiredGroup[];
  notes: string[];
  postponed: boolean;
} {
  const member = new Set(actual?.groups);
  const result: ReturnType<typeof groupsToJoin> = { groups: [], notes: [], postponed: false };
  for (const group of desiredGroups(desired)) {
    if (member.has(group.gid) || (actual && futile.has(joinKey(group.gid)))) continue;
    const ownership = groups.get(group.gid)?.ownership;
    const problem = whyNotJoined(organization, group, ownership);
    result.postponed ||= ownership === "unknown";
    if (problem === undefined) result.groups.push(group);
    else result.notes.push(`group ${printable(group.name)} is skipped: ${problem}`);
  }
  return result;
}

function whyNotJoined(
  { groups: { adopt } }: Organization,
  { gid, name, source }: DesiredGroup,
  ownership: GroupKnowledge["ownership"] | undefined,
): string | undefined {
  if (ownership === "unknown") return "Nextcloud's answer about it cannot be read";
  if (ownership === "other") return `another organization owns the Nextcloud group ${printable(gid)}`;
  const adopted = adopt.includes(name) || adopt.includes(gid);
  if (ownership === "local" && source === "clavex" && !adopted)
    return "Nextcloud had a group of this id before; name it in groups.adopt to join it";
  return undefined;
}

/** What brings an account's name, e-mail address and quota about. */
interface ProfileOperations {
  /** Creates the account, or writes all of its profile. */
  made: Operation | undefined;
  /** Nextcloud limits how often it is edited: what comes last keeps nothing else waiting. */
  edits: Operation[];
  notes: string[];
}

/**
 * A POST for accounts of user_oidc, but only where it does no harm: it copies the skeleton over the files of whoever has logged
 * in. Otherwise, and for core accounts, one edit for each changed attribute.
 */
function profileOperations(
  { organization, desired: { profile }, actual, skeletonIsEmpty }: ActiveInput,
  joins: DesiredGroup[],
  futile: ReadonlySet<string>,
): ProfileOperations {
  const { making } = schemeOf(organization.identity);
  const byPost = making.by === "user_oidc" && (actual === undefined || skeletonIsEmpty || !actual.hasLoggedIn);
  if (!actual) {
    const made: Operation = byPost
      ? { kind: "upsert", effect: "grants", providerId: making.providerId, profile, changes: ["account"] }
      : { kind: "create", effect: "grants", profile, groups: joins };
    return { made, edits: [], notes: [] };
  }
  const changes = differingAttributes(profile, actual).filter(({ key }) => !futile.has(key));
  if (changes.length === 0) return { made: undefined, edits: [], notes: [] };
  if (byPost) {
    const keys = changes.map(({ key }) => key);
    const { providerId } = making;
    return {
      made: { kind: "upsert", effect: "neutral", providerId, profile, changes: keys },
      edits: [],
      notes: [],
    };
  }
  // The display name of an account in user_oidc's backend cannot be edited.
  const possible = changes.filter((change) => change !== ATTRIBUTES.displayName || actual.backend === "Database");
  const note = making.by === "user_oidc" ? NAME_STAYS : nameIsLogins(actual);
  return {
    made: undefined,
    edits: possible.map(({ key, text }) => ({ kind: "edit", effect: "neutral", key, value: text(profile) ?? "" })),
    notes: possible.length === changes.length ? [] : [note],
  };
}

const NAME_STAYS =
  "the changed name cannot be written: the person has logged in, and to write it would put the skeleton's files over theirs; " +
  'empty the skeleton (occ config:system:set skeletondirectory --value="", then nextcloud.skeleton "empty"), or let the ' +
  "login set it (enrich_login_id_token_with_userinfo)";

const ERASED_NAME_STAYS =
  "the name of the erased person cannot be written: they had logged in, and to write it would put the skeleton's files over theirs; " +
  'empty the skeleton (occ config:system:set skeletondirectory --value="", then nextcloud.skeleton "empty")';

const nameIsLogins = ({ backend }: ActualAccount): string =>
  `the display name is left to login: the account belongs to backend ${printable(backend)}`;

/** Only what we disabled is enabled again; what a Nextcloud administrator locked stays locked. */
function enablingOperations({ actual, record }: ActiveInput): { operations: Operation[]; notes: string[] } {
  if (!actual || actual.enabled) return { operations: [], notes: [] };
  if (record?.disabledByUs) return { operations: [{ kind: "enable", effect: "grants" }], notes: [] };
  return {
    operations: [],
    notes: ["the account is disabled, but not by us: a Nextcloud administrator has to enable it"],
  };
}
