import type { Profile } from "../core/account.ts";
import type { DesiredAccount, DesiredGroup } from "../core/desired.ts";
import { Failure, isServers, isUndecided, PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Operation } from "../core/plan.ts";
import { printable } from "../core/text.ts";
import {
  createCoreAccount,
  deleteAccount,
  joinGroup,
  leaveGroup,
  setAccountEnabled,
  upsertOidcAccount,
} from "../nextcloud/accounts.ts";
import { createGroup } from "../nextcloud/groups.ts";
import type { Edit, EditWithinLimit } from "./edits.ts";
import { againIfOdd, type GroupLookup, type Target } from "./group-lookup.ts";
import type { IdentityGuard } from "./identity-guard.ts";

/** The time for one job is over; the next attempt does the rest, so that a slow server holds up nobody else. */
export class JobOverTime extends PipelineFailure {
  constructor() {
    super("transient", "job-over-time", "the time for one job was over before all was done", "subject");
  }
}

/** An account of the id appeared between the read and the create: look and plan again. */
export class AccountAppeared extends Error {
  override name = "AccountAppeared";
}

export interface AppliedChanges {
  /** What was done, for the log: `upsert`, `join Engineering`, ... */
  done: string[];
  /** What could not be done for this person although the rest was; one sentence each. */
  notes: string[];
  /** What was not written because Nextcloud limits how often accounts are edited; the rest was done. */
  waiting: Edit[];
  /** The ids of the groups that were joined, and of those that were left. */
  joined: string[];
  left: string[];
  /** Whether a group was skipped that may be joined some other time. */
  postponed: boolean;
  /** Groups that could not be joined because of an odd answer about them, although all else was done. */
  odd: { group: DesiredGroup; failure: Failure }[];
  /** Whether all was done that takes access away. */
  revoked: boolean;
  /** Whether a write that gives access may have happened, or may yet, although it failed. */
  unanswered: boolean;
  /** Why the rest was not done; undefined when all was. */
  failure: Failure | undefined;
}

/**
 * Carries plans out, one operation after the other. What takes access away comes first, and each such operation is tried
 * even if Nextcloud refuses another; the rest is only begun when none was refused.
 *
 * @throws {AccountAppeared}
 */
export type Apply = (
  organization: Organization,
  target: Target,
  desired: DesiredAccount,
  operations: readonly Operation[],
  /** Asked before each operation. */
  hasTime: () => boolean,
) => Promise<AppliedChanges>;

/** One plan that is being carried out. */
interface Application {
  organization: Organization;
  target: Target;
  desired: DesiredAccount;
  lookup: GroupLookup;
  identity: IdentityGuard;
  edit: EditWithinLimit;
  changes: AppliedChanges;
}

type WithoutEdit = Exclude<Operation, { kind: "edit" }>;
type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/**
 * @param lookup whom groups belong to; a group is claimed there before it is made
 * @param identity watches over the ids under which accounts are made
 * @param edit edits accounts within Nextcloud's limit
 */
export function createApply(lookup: GroupLookup, identity: IdentityGuard, edit: EditWithinLimit): Apply {
  return async (organization, target, desired, operations, hasTime) => {
    const changes: AppliedChanges = {
      done: [],
      notes: [],
      waiting: [],
      joined: [],
      left: [],
      postponed: false,
      odd: [],
      revoked: false,
      unanswered: false,
      failure: undefined,
    };
    const application = { organization, target, desired, lookup, identity, edit, changes };
    const attempt = async (operation: WithoutEdit): Promise<void> => {
      if (!hasTime()) throw new JobOverTime();
      await applyOne(application, operation);
    };
    const revokes: WithoutEdit[] = [];
    const others: WithoutEdit[] = [];
    const edits: Edit[] = [];
    for (const operation of operations) {
      if (operation.kind === "edit") edits.push(operation);
      else (operation.effect === "revokes" ? revokes : others).push(operation);
    }
    try {
      await attemptEach(revokes, attempt);
      changes.revoked = true;
      for (const operation of others) {
        await attempt(operation).catch((error) => {
          changes.unanswered ||= operation.effect === "grants" && mayHaveHappened(error);
          throw error;
        });
      }
      if (edits.length > 0 && !hasTime()) throw new JobOverTime();
      await editTogether(application, edits);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      changes.failure = error;
    }
    return changes;
  };
}

/** A timeout, a broken connection, or a gateway's answer says nothing about what the server does with the request. */
function mayHaveHappened(error: unknown): boolean {
  return error instanceof Failure && error.origin === "nextcloud" && error.failureClass !== "permanent";
}

/**
 * Tries every operation, even if others fail, unless the server fails as a whole.
 *
 * @throws {Failure} the first one that may pass on another attempt, or else the first one
 */
async function attemptEach(
  operations: readonly WithoutEdit[],
  attempt: (operation: WithoutEdit) => Promise<void>,
): Promise<void> {
  const failures: Failure[] = [];
  for (const operation of operations) {
    try {
      await attempt(operation);
    } catch (error) {
      if (!(error instanceof Failure) || isServers(error)) throw error;
      failures.push(error);
    }
  }
  const failure = failures.find(({ failureClass }) => failureClass !== "permanent") ?? failures[0];
  if (failure) throw failure;
}

async function applyOne(application: Application, operation: WithoutEdit): Promise<void> {
  const { desired, changes } = application;
  const { ocs } = application.target;
  const id = desired.accountId;
  switch (operation.kind) {
    case "disable":
    case "enable":
      await setAccountEnabled(ocs, id, operation.kind === "enable");
      return void changes.done.push(operation.kind);
    case "delete":
      await deleteAccount(ocs, id);
      return void changes.done.push("delete");
    case "leave":
      await leaveGroup(ocs, id, operation.gid);
      changes.left.push(operation.gid);
      return void changes.done.push(`leave ${printable(operation.name)}`);
    case "upsert":
      return upsert(application, operation);
    case "create":
      return create(application, operation);
    case "join":
      return join(application, operation.group);
  }
}

async function editTogether(
  { organization, target, desired, edit, changes }: Application,
  edits: Edit[],
): Promise<void> {
  if (edits.length === 0) return;
  const written = await edit(organization, target, desired.accountId, edits);
  changes.done.push(...written.map(({ key }) => `edit ${key}`));
  changes.waiting = edits.filter((each) => !written.includes(each));
}

/**
 * A new account gets its name first: Nextcloud writes its card in the address book when e-mail address or quota come, and
 * would call the person by their id there until they log in (docs/facts/nextcloud.md 2).
 */
async function upsert(application: Application, { providerId, profile, changes, effect }: Of<"upsert">): Promise<void> {
  const { organization, target, desired, identity } = application;
  const write = (what: Profile) => () => upsertOidcAccount(target.ocs, providerId, desired.subject, what);
  if (effect === "grants") {
    const name: Profile = { displayName: profile.displayName, email: "", quota: undefined };
    await identity.create(organization, target, desired.accountId, write(name));
  }
  if (effect !== "grants" || profile.email !== "" || profile.quota !== undefined)
    await identity.check(organization, target, desired.accountId, write(profile));
  application.changes.done.push(`upsert ${changes.join("+")}`);
}

async function create(application: Application, operation: Of<"create">): Promise<void> {
  const { desired, target, changes } = application;
  const attempt = (groups: DesiredGroup[]) =>
    createCoreAccount(
      target.ocs,
      desired.accountId,
      operation.profile,
      groups.map((group) => group.gid),
    );
  let groups = await filter(operation.groups, (group) => prepare(application, group));
  let result = await attempt(groups);
  if (result === "group-missing") {
    groups = await filter(groups, (group) => make(application, group));
    result = await attempt(groups);
  }
  if (result === "group-missing")
    throw new PipelineFailure(
      "transient",
      "group-vanished",
      "a group was deleted while it was being created",
      "subject",
    );
  if (result === "exists") throw new AccountAppeared();
  changes.joined.push(...groups.map((group) => group.gid));
  changes.done.push("create", ...groups.map((group) => `join ${printable(group.name)}`));
}

async function join(application: Application, group: DesiredGroup): Promise<void> {
  const { changes } = application;
  if (!(await prepare(application, group))) return;
  try {
    await joinPrepared(application, group);
  } catch (error) {
    // An odd answer about one group does not stop the rest.
    if (!(error instanceof Failure && isUndecided(error))) throw error;
    changes.odd.push({ group, failure: error });
    changes.unanswered = true;
  }
}

async function joinPrepared(application: Application, group: DesiredGroup): Promise<void> {
  const { organization, target, desired, lookup, changes } = application;
  if (!(await joinGroup(target.ocs, desired.accountId, group.gid))) {
    // Deleted in Nextcloud, or never made because a worker stopped after claiming it.
    // One that was to be adopted and is not there becomes ours.
    if (group.source === "clavex")
      await lookup.claim(organization, target.nextcloudOrigin, group.gid, group.name, true);
    if (!(await make(application, group))) return;
    if (!(await joinGroup(target.ocs, desired.accountId, group.gid)))
      return void skip(application, group, "Nextcloud does not find it");
  }
  changes.joined.push(group.gid);
  changes.done.push(`join ${printable(group.name)}`);
}

/** Claims a group and makes it if it is new; a group that somebody made before is taken to be there still. */
async function prepare(application: Application, group: DesiredGroup): Promise<boolean> {
  const { organization, target, lookup } = application;
  const { adopt } = organization.groups;
  if (group.source === "always" || adopt.includes(group.name) || adopt.includes(group.gid)) return true;
  const claim = await lookup.claim(organization, target.nextcloudOrigin, group.gid, group.name);
  if (claim === "other") return skip(application, group, `another organization owns the Nextcloud group ${group.gid}`);
  return claim === "ours" || make(application, group);
}

/** Creates a group; skips it for this person when Nextcloud cannot hold it, or answers oddly to it. */
async function make(application: Application, group: DesiredGroup): Promise<boolean> {
  const { ocs } = application.target;
  try {
    const refusal = await againIfOdd(() => createGroup(ocs, group.gid, group.displayName));
    return refusal === undefined || skip(application, group, refusal);
  } catch (error) {
    if (!(error instanceof Failure && isUndecided(error))) throw error;
    application.changes.postponed = true;
    return skip(application, group, error.message);
  }
}

function skip({ changes }: Application, group: DesiredGroup, reason: string): false {
  changes.notes.push(`group ${printable(group.name)} is skipped: ${printable(reason)}`);
  return false;
}

async function filter<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<T[]> {
  const kept: T[] = [];
  for (const item of items) if (await test(item)) kept.push(item);
  return kept;
}
