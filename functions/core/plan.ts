import type { SubjectEntry } from "../ledger/ledger.ts";
import { AccountConflict, type ActualAccount, type Profile, ProfileRefused } from "./account.ts";
import { type DesiredAccount, type DesiredGroup, isManaged } from "./desired.ts";
import type { Organization } from "./organization.ts";
import { quotaText } from "./quota.ts";
import { printable } from "./text.ts";

/**
 * What is known of a Nextcloud group. `ours`: this organization made it, or its id is the hash of a group of the directory.
 * `free`: nobody has it and it does not exist yet. `local`: it was there before and is not ours. `other`: another
 * organization's. `name` is the Clavex name, where known.
 */
export interface GroupKnowledge {
  ownership: "ours" | "free" | "local" | "other";
  name?: string;
}

/** One change to Nextcloud. A `join` makes the group first where it is missing. */
export type Operation =
  | { kind: "disable" }
  | { kind: "delete" }
  | { kind: "leave"; gid: string; name: string }
  | { kind: "upsert"; profile: Profile; changes: string[] }
  | { kind: "create"; profile: Profile; groups: DesiredGroup[] }
  | { kind: "edit"; key: "displayname" | "email" | "quota"; value: string }
  | { kind: "join"; group: DesiredGroup }
  | { kind: "enable" };

export interface Plan {
  operations: Operation[];
  /** The ids of the groups that the person is in by us and stays in: what the ledger holds, beside those that are joined. */
  memberships: string[];
  /** What stays different although it is not as desired, and why; one sentence each. */
  notes: string[];
}

export interface PlanInput {
  organization: Organization;
  desired: DesiredAccount;
  actual: ActualAccount | undefined;
  entry: SubjectEntry | undefined;
  /** Knowledge of every desired group and of every group the account is in. */
  groups: ReadonlyMap<string, GroupKnowledge>;
  /** True when the grace days are over and the policy wants the account deleted; see `isDeletable`. */
  deletable?: boolean;
}

/**
 * The operations that bring one account from what it is to what is desired, in the order they are to be done: access is
 * taken away first and given last. Touches nothing that is not ours.
 *
 * @throws {AccountConflict} when the account of this id belongs to somebody else
 * @throws {ProfileRefused} when Nextcloud cannot hold the person's data
 */
export function plan(input: PlanInput): Plan {
  const { organization, desired, actual } = input;
  requireOwnAccount(organization, desired, actual);
  if (desired.state !== "active") return deprovision(input);

  requirePossibleProfile(organization, desired);
  const notes = [...desired.notes];
  const leaves = groupsToLeave(input);
  const joins = groupsToJoin(input, notes);
  const profile = profileOperations(input, joins, notes);
  const joined = profile.some((operation) => operation.kind === "create") ? [] : joins;
  const operations: Operation[] = [
    ...leaves,
    ...profile,
    ...joined.map((group): Operation => ({ kind: "join", group })),
    ...enabling(input, notes),
  ];
  return { operations, memberships: membershipsToKeep(input), notes };
}

function requireOwnAccount(
  organization: Organization,
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
): void {
  if (!actual) return;
  if (actual.id !== desired.accountId) {
    throw new AccountConflict(`Nextcloud has an account ${printable(actual.id)}, the same id in other letter case`);
  }
  if (organization.identity.scheme === "user_oidc" && actual.backend !== "user_oidc") {
    throw new AccountConflict(
      `account ${actual.id} belongs to Nextcloud's backend ${printable(actual.backend)}, not to user_oidc; nothing was touched`,
    );
  }
}

/** Measured limits: user_oidc fails over 255 characters of display name, core refuses over 64. */
function requirePossibleProfile(organization: Organization, desired: DesiredAccount): void {
  const limit = organization.identity.scheme === "user_oidc" ? 255 : 64;
  const { length } = [...desired.displayName];
  if (length > limit) {
    throw new ProfileRefused(`the display name has ${length} characters, Nextcloud holds at most ${limit}`);
  }
}

/** A person who is not active is only disabled: name, quota and groups stay as they are until they are active again. */
function deprovision({ organization, desired, actual, entry, deletable }: PlanInput): Plan {
  const state = desired.state as Exclude<DesiredAccount["state"], "active">;
  const { [state]: action } = organization.deprovision;
  const memberships = entry?.groups ?? [];
  if (actual && !actual.enabled && deletable) return { operations: [{ kind: "delete" }], memberships: [], notes: [] };
  if (!actual?.enabled) return { operations: [], memberships, notes: [] };
  if (action === "keep") {
    return { operations: [], memberships, notes: [`the account stays as it is: deprovision.${state} is "keep"`] };
  }
  return { operations: [{ kind: "disable" }], memberships, notes: [] };
}

/** The person's Clavex groups that they are in already, and by us: we put them there, or the group is ours. */
function membershipsToKeep({ desired, actual, entry, groups }: PlanInput): string[] {
  if (!desired.groupsKnown) return entry?.groups ?? [];
  const wanted = new Set(desired.groups.filter((group) => group.source === "clavex").map((group) => group.gid));
  return (actual?.groups ?? []).filter(
    (gid) => wanted.has(gid) && (groups.get(gid)?.ownership === "ours" || entry?.groups.includes(gid)),
  );
}

/** Memberships that are ours (we made them, or the group is ours) and that the person no longer holds. */
function groupsToLeave({ organization, desired, actual, entry, groups }: PlanInput): Operation[] {
  if (!desired.groupsKnown) return [];
  const kept = new Set(desired.groups.map((group) => group.gid));
  return (actual?.groups ?? []).flatMap((gid): Operation[] => {
    const known = groups.get(gid);
    const ours = known?.ownership === "ours" || (known?.ownership !== "other" && entry?.groups.includes(gid));
    const released = known?.name !== undefined && !isManaged(organization, known.name);
    if (kept.has(gid) || !ours || released) return [];
    return [{ kind: "leave", gid, name: known?.name ?? gid }];
  });
}

function groupsToJoin({ organization, desired, actual, groups }: PlanInput, notes: string[]): DesiredGroup[] {
  const member = new Set(actual?.groups);
  return desired.groups.filter((group) => {
    if (member.has(group.gid)) return false;
    const ownership = groups.get(group.gid)?.ownership;
    const shown = printable(group.name);
    if (ownership === "other") {
      notes.push(`group ${shown} is skipped: another organization owns the Nextcloud group ${printable(group.gid)}`);
      return false;
    }
    const { adopt } = organization.groups;
    if (
      ownership === "local" &&
      group.source === "clavex" &&
      !adopt.includes(group.name) &&
      !adopt.includes(group.gid)
    ) {
      notes.push(
        `group ${shown} is skipped: Nextcloud had a group of this id before; name it in groups.adopt to join it`,
      );
      return false;
    }
    return true;
  });
}

/** One call for user_oidc accounts; for core accounts the creation with its groups, or one edit for each changed field. */
function profileOperations(
  { organization, desired, actual }: PlanInput,
  joins: DesiredGroup[],
  notes: string[],
): Operation[] {
  const { displayName, email, quota } = desired;
  const profile: Profile = { displayName, email, quota };
  const oidc = organization.identity.scheme === "user_oidc";
  if (!actual) {
    return oidc ? [{ kind: "upsert", profile, changes: ["account"] }] : [{ kind: "create", profile, groups: joins }];
  }
  const changes: Extract<Operation, { kind: "edit" }>[] = [];
  if (displayName !== "" && actual.displayName !== displayName)
    changes.push({ kind: "edit", key: "displayname", value: displayName });
  if (email !== "" && actual.email.toLowerCase() !== email.toLowerCase())
    changes.push({ kind: "edit", key: "email", value: email });
  if (quota !== undefined && actual.quota !== quota)
    changes.push({ kind: "edit", key: "quota", value: quotaText(quota) });
  if (changes.length === 0) return [];
  if (oidc) return [{ kind: "upsert", profile, changes: changes.map((change) => change.key) }];
  // The display name of an account that login made in user_oidc's backend cannot be edited; login sets it.
  return changes.filter((change) => {
    const possible = change.key !== "displayname" || actual.backend === "Database";
    if (!possible)
      notes.push(`the display name is left to login: the account belongs to backend ${printable(actual.backend)}`);
    return possible;
  });
}

/** Only what we disabled is enabled again; what a Nextcloud administrator locked stays locked. */
function enabling({ actual, entry }: PlanInput, notes: string[]): Operation[] {
  if (!actual || actual.enabled) return [];
  if (entry?.disabledByUs) return [{ kind: "enable" }];
  notes.push("the account is disabled, but not by us: a Nextcloud administrator has to enable it");
  return [];
}
