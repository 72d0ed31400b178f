import { hash } from "node:crypto";
import { type DirectoryUser, isErased } from "../clavex/user.ts";
import type { SubjectState } from "../ledger/ledger.ts";
import { accountId, groupId, groupProblem } from "./identity.ts";
import type { Organization } from "./organization.ts";
import { matchesAny } from "./patterns.ts";
import { InvalidQuota, largerQuota, parseQuota, type Quota } from "./quota.ts";
import { printable } from "./text.ts";

/** What of a user decides something. */
export type Profile = Omit<DirectoryUser, "subject" | "organizationId" | "updatedAt">;

/**
 * A person as Clavex has them now. `user` is undefined when they are gone; `groups` are the names of their groups, undefined
 * when groups cannot be read (no API key).
 */
export interface DirectoryState {
  user: Profile | undefined;
  groups: readonly string[] | undefined;
}

/** A group the person shall be in. */
export interface DesiredGroup {
  gid: string;
  displayName: string;
  /** `clavex`: a group of the directory, made and emptied by us. `always`: a group of the policy, joined and never left. */
  source: "clavex" | "always";
  /** The Clavex group's name, or the id for `always`. */
  name: string;
}

/** What Nextcloud should hold for a person. The profile and groups say nothing while the person is not active. */
export interface DesiredAccount {
  subject: string;
  accountId: string;
  state: SubjectState;
  displayName: string;
  email: string;
  quota: Quota | undefined;
  /** Which rule gave the quota: `attribute`, `group NAME`, `default` or `none`. */
  quotaRule: string;
  groups: DesiredGroup[];
  /** False when nobody could read the person's groups: then none is left. */
  groupsKnown: boolean;
  /** What could not be honoured, one sentence each. */
  notes: string[];
}

/**
 * What Nextcloud should hold for one person: the whole policy of an organization, as a pure function of the directory.
 *
 * @param directory the person now; for a person who is gone only the state is desired
 */
export function desiredAccount(organization: Organization, subject: string, directory: DirectoryState): DesiredAccount {
  const { user, groups: names = [] } = directory;
  const notes: string[] = [];
  const account = {
    subject,
    accountId: accountId(organization.identity, subject),
    state: stateOf(organization, directory),
    groupsKnown: directory.groups !== undefined,
    notes,
  };
  if (!user || account.state !== "active") {
    return { ...account, displayName: "", email: "", quota: undefined, quotaRule: "none", groups: [] };
  }
  const quota = desiredQuota(organization, user, names, notes);
  return {
    ...account,
    displayName: displayName(user),
    email: user.email.trim(),
    quota: quota?.quota,
    quotaRule: quota?.rule ?? "none",
    groups: desiredGroups(organization, names, notes),
  };
}

function stateOf(organization: Organization, { user, groups = [] }: DirectoryState): SubjectState {
  if (!user || isErased(user)) return "deleted";
  if (!user.active) return "suspended";
  const { groups: scope } = organization.scope;
  return scope.length === 0 || groups.some((name) => matchesAny(scope, name)) ? "active" : "outOfScope";
}

/** First and last name; without both the e-mail address, because user_oidc would show the account id. */
function displayName(user: Profile): string {
  const name = printable(`${user.firstName} ${user.lastName}`).toWellFormed().replaceAll(/\s+/g, " ").trim();
  // user_oidc ignores "0" as it ignores an empty name.
  return name === "" || name === "0" ? user.email.trim() : name;
}

function desiredQuota(
  organization: Organization,
  user: Profile,
  names: readonly string[],
  notes: string[],
): { quota: Quota; rule: string } | undefined {
  const { attribute, byGroup, default: fallback } = organization.quota;
  const own = Object.hasOwn(user.attributes, attribute) ? user.attributes[attribute]?.trim() : undefined;
  if (own) {
    try {
      return { quota: parseQuota(own), rule: "attribute" };
    } catch (error) {
      if (!(error instanceof InvalidQuota)) throw error;
      notes.push(`the attribute ${attribute} is passed over: ${printable(error.message)}`);
    }
  }
  let best: { quota: Quota; rule: string } | undefined;
  for (const name of names) {
    const quota = Object.hasOwn(byGroup, name) ? byGroup[name] : undefined;
    if (quota === undefined || (best && largerQuota(best.quota, quota) === best.quota)) continue;
    best = { quota, rule: `group ${name}` };
  }
  return best ?? (fallback === undefined ? undefined : { quota: fallback, rule: "default" });
}

/** Whether the pipeline manages memberships of the Clavex group of this name. */
export function isManaged(organization: Organization, name: string): boolean {
  return matchesAny(organization.groups.managed, name) && !matchesAny(organization.groups.never, name);
}

/** Whether the group matters at all: for membership, for who gets an account, or for the quota. */
export function isRelevant(organization: Organization, name: string): boolean {
  return (
    isManaged(organization, name) ||
    matchesAny(organization.scope.groups, name) ||
    Object.hasOwn(organization.quota.byGroup, name)
  );
}

/** The Nextcloud group of a managed Clavex group, or why there can be none. */
export function nextcloudGroup(
  organization: Organization,
  name: string,
): { group: DesiredGroup } | { problem: string } {
  const display = `${organization.groups.prefix}${name}`;
  const gid = groupId(organization.identity, display);
  const literal = organization.groups.managed.includes(name);
  const problem =
    gid === "admin" && !literal
      ? 'its members would become administrators; "managed" must name it literally for that'
      : groupProblem(gid, display);
  return problem === undefined ? { group: { gid, displayName: display, source: "clavex", name } } : { problem };
}

function desiredGroups(organization: Organization, names: readonly string[], notes: string[]): DesiredGroup[] {
  const groups = new Map<string, DesiredGroup>();
  for (const name of names) {
    if (!isManaged(organization, name)) continue;
    const result = nextcloudGroup(organization, name);
    if ("group" in result) groups.set(result.group.gid, result.group);
    else notes.push(`group ${printable(name)} is skipped: ${result.problem}`);
  }
  for (const gid of organization.groups.always) {
    groups.set(gid, { gid, displayName: gid, source: "always", name: gid });
  }
  return [...groups.values()];
}

/** A hash of the names of a person's groups (sorted): tells whether they have changed. */
export function groupsHash(names: readonly string[]): string {
  return hash("sha256", JSON.stringify(names));
}

/** A hash of all that is desired for a person: two equal ones need the same account. */
export function desiredHash(desired: DesiredAccount): string {
  const { accountId: id, state, displayName: name, email, quota, groups } = desired;
  const gids = groups.map((group) => group.gid).sort();
  return hash("sha256", JSON.stringify([id, state, name, email.toLowerCase(), quota ?? null, gids]));
}
