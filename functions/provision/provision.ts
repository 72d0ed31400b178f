import { AccountConflict, type ActualAccount, differingAttributes, type SubjectState } from "../core/account.ts";
import { desiredHash, isScopeUnknown } from "../core/desired.ts";
import { EDITS_AT_ONCE } from "../core/edit-slots.ts";
import type { Decision } from "../core/evaluate.ts";
import { Failure, isServers, isUndecided, PipelineFailure } from "../core/failure.ts";
import { groupsWantedSince, isStale, isSuperseded, saysDeleted } from "../core/freshness.ts";
import { accountId, schemeOf } from "../core/identity.ts";
import type { PersonJob } from "../core/job.ts";
import { isActing, mayShareIds, type Organization, OWN_ACCOUNT, UNCLAIMED } from "../core/organization.ts";
import type { DirectoryState, Person } from "../core/person.ts";
import { groupsJoinedBy, joinKey, type Plan, takesAccess } from "../core/plan.ts";
import {
  applied,
  departed,
  disabledUnread,
  dropped,
  intended,
  isKnown,
  isUnseen,
  leftUnanswered,
  mayStillHappen,
  newRecord,
  oddlyAnswered,
  ofAccount,
  ordered,
  parked,
  type SubjectRecord,
  type Unrevoked,
} from "../core/record.ts";
import { printable } from "../core/text.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { requireUserOidc } from "../nextcloud/server.ts";
import { UnreadableJob } from "../queue/errors.ts";
import { AccountAppeared, type AppliedChanges, type Apply, createApply, JobOverTime } from "./apply.ts";
import { type Brake, createBrake } from "./brake.ts";
import { createEditWithinLimit, type Edit } from "./edits.ts";
import { createGroupLookup, type GroupLookup } from "./group-lookup.ts";
import type { Entered, Guards } from "./guards.ts";
import { JOB_MS } from "./limits.ts";
import { createObserve, type Observation } from "./observe.ts";
import type { Outcome, ReceivedJob } from "./outcome.ts";
import { whilePaused } from "./pause.ts";
import { permit } from "./permit.ts";
import { untilRemoved } from "./removed.ts";
import { createSkeletonIsEmpty, type SkeletonIsEmpty } from "./skeleton.ts";

export interface ProvisionDependencies {
  guards: Guards;
  ledger: Ledger;
  now?: () => number;
}

/**
 * Brings one subject up to date.
 *
 * @throws {Failure} of whichever module knows the cause; transient or configuration, as permanent ones are parked
 */
export type Provision = (received: ReceivedJob<PersonJob>) => Promise<Outcome>;

/** How often an account may appear between the read and the create, or somebody else write the entry. */
const MOST_LOOKS = 3;
/** After this many failures in a row that were this person's alone, their data is the cause, and waiting does not help. */
const MOST_ODD_ANSWERS = 4;

/** A call about one person failed again and again while the server answered otherwise: it is the person's data. */
class KeepsFailing extends PipelineFailure {
  constructor(work: "read" | "write", times: number, last: Failure) {
    const message = `failed ${times} times to ${work} this person, and not others: ${last.message}`;
    super("permanent", `${last.origin}-${work}-fails`, message, "subject", { cause: last });
  }
}

/** Nextcloud takes no more edits for now; all else of the job was done. */
class EditWaits extends PipelineFailure {
  constructor() {
    super("transient", "edit-waits", "Nextcloud takes no more edits of accounts for now; the rest was done", "subject");
  }
}

/** Whether the person is to have an account depends on a group that cannot be read. */
class ScopeUnknown extends PipelineFailure {
  constructor() {
    super(
      "transient",
      "scope-unknown",
      "whether this person is in scope depends on a group whose members Clavex cannot show: nothing is done until it can",
      "subject",
    );
  }
}

/** Nextcloud does not show an account that the ledger knows, of somebody who is to lose it. */
class AccountUnseen extends PipelineFailure {
  constructor(id: string) {
    super(
      "transient",
      "account-unseen",
      `Nextcloud does not show the account ${id}, which is to be disabled: it is looked at again until a full run finds it gone`,
      "subject",
    );
  }
}

/**
 * Somebody else wrote the entry before anything was done. A reconciliation marks whom it sends a job for, and may do so while
 * the group watch's job for them is under way.
 */
class Overtaken extends PipelineFailure {
  constructor(subject: string) {
    super("transient", "ledger-conflict", `others wrote the entry of ${subject} each time it was looked at`, "subject");
  }
}

/** A write that gave access was not answered before: without an API key only this message can look again later. */
class MayStillHappen extends PipelineFailure {
  constructor() {
    const message = "an earlier write was not answered and may take effect yet: the account is looked at again";
    super("transient", "write-unanswered", message, "subject", { retryAfterSeconds: 5 * 60 });
  }
}

/** What one container works with. */
interface Tools {
  ledger: Ledger;
  lookup: GroupLookup;
  brake: Brake;
  apply: Apply;
  skeletonIsEmpty: SkeletonIsEmpty;
  /** The accounts that were found to be claimed: claims of accounts do not end. */
  claimed: Set<string>;
  now: () => number;
}

/** One job with all that is known of it before the systems are asked. */
interface Work extends ReceivedJob<PersonJob>, Entered {
  /** The id that the person's account has, or will have. */
  id: string;
  record: SubjectRecord | undefined;
  startedAt: number;
}

export function createProvision({ guards, ledger, now = Date.now }: ProvisionDependencies): Provision {
  const lookup = createGroupLookup(ledger.claims, now);
  const apply = createApply(lookup, guards.identity, createEditWithinLimit(ledger.edits, now));
  const skeletonIsEmpty = createSkeletonIsEmpty(ledger, now);
  const claimed = new Set<string>();
  const tools: Tools = { ledger, lookup, apply, skeletonIsEmpty, brake: createBrake(ledger, now), claimed, now };
  const provision: Provision = async (received) => {
    const { job, sentAt } = received;
    const entered = await guards.enter(job, sentAt);
    const { organization, clients } = entered;
    const id = accountId(organization.identity, job.subject);
    const record = ofAccount(await ledger.subjects.get(organization.slug, job.subject), id);
    if (entered.paused) {
      const outcome = whilePaused(entered, job);
      // The full run that follows a pause must not take it for waiting.
      if (record?.queued !== undefined) await ledger.subjects.tryPut(organization.slug, dropped(record));
      return outcome;
    }
    if (isActing(organization, id)) return { result: "ignored", why: OWN_ACCOUNT };
    if (clients.directory.mode === "api" && isSuperseded(record, job, sentAt, now()))
      return { result: "superseded", accountId: record?.accountId };
    const startedAt = now();
    const mayBegin = (): void => {
      if (now() >= startedAt + JOB_MS) throw new JobOverTime();
    };
    return guards.run(
      entered,
      (watched) => bringUpToDate(tools, { ...received, ...entered, clients: watched, id, record, startedAt }),
      mayBegin,
    );
  };
  return (received) => untilRemoved(ledger, received, now, () => provision(received));
}

async function bringUpToDate(tools: Tools, work: Work): Promise<Outcome> {
  const { clients, job, record } = work;
  const { directory } = clients;
  if (directory.mode === "api") return lookAndCarryOut(tools, work, (subject) => directory.directory.person(subject));
  const snapshot = saysDeleted(job) ? undefined : directory.read(job.kind === "person" ? job.snapshot : undefined);
  if (!saysDeleted(job) && !snapshot)
    return { result: "ignored", why: "the job carries no user, and without clavex.apiKey none can be read" };
  if (snapshot && snapshot.subject !== job.subject) throw new UnreadableJob("snapshot: is of another subject");
  if (isStale(record, snapshot, tools.now())) return { result: "stale", accountId: record?.accountId };
  return lookAndCarryOut(tools, work, async () => snapshot);
}

/** Reads person and account, decides, and does it; again when somebody else was faster and nothing was written yet. */
async function lookAndCarryOut(
  tools: Tools,
  work: Work,
  readPerson: (subject: string) => Promise<Person | undefined>,
): Promise<Outcome> {
  const { ledger, now } = tools;
  const { organization, clients, job } = work;
  for (let looks = 1; ; looks += 1) {
    const readAt = now();
    const progress: Progress = { decision: undefined, doing: "read", done: [], revoked: true, unread: undefined };
    try {
      const reading = getAccount(clients.ocs, work.id).catch((error) => unread(progress, work, error));
      const [person, account] = await both(readPerson(job.subject), reading);
      const decided = await decide(tools, work, person, account, readAt);
      if (progress.unread && !(await mayCloseUnread(tools, work, decided.decision))) throw progress.unread;
      progress.decision = decided.decision;
      return await carryOut(tools, work, decided.observation, decided.decision, account, progress);
    } catch (error) {
      if ((error instanceof AccountAppeared || error instanceof Overtaken) && looks < MOST_LOOKS) {
        work.record = ofAccount(await ledger.subjects.get(organization.slug, job.subject), work.id);
        continue;
      }
      if (error instanceof Failure) return giveUp(tools, work, error, progress);
      throw error;
    }
  }
}

/**
 * Waits for both readings.
 *
 * @throws {Failure} the one that says more: of a whole server, else of the first
 */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  const [first, second] = await Promise.allSettled([one, other]);
  if (first.status === "fulfilled" && second.status === "fulfilled") return [first.value, second.value];
  const reasons: unknown[] = [first, second].flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  throw reasons.find((reason) => reason instanceof Failure && isServers(reason)) ?? reasons[0];
}

/**
 * Stands for an account that cannot be read, with all that the ledger knows of it.
 *
 * @throws {Failure} where that is nothing, or the failure is of another kind
 */
function unread(progress: Progress, { organization, record, id }: Work, error: unknown): ActualAccount {
  // Any bad answer about this one account: 500, another form, a refusal, a rate limit.
  const isTheirs = error instanceof Failure && (isUndecided(error) || error.scope === "subject");
  if (!isTheirs || !record || !isKnown(record) || record.accountId !== id) throw error;
  progress.unread = error;
  const { backend = "user_oidc" } = schemeOf(organization.identity);
  const closed = record.state !== "active" && organization.deprovision[goneState(record)] !== "keep";
  return {
    id,
    enabled: !closed,
    backend,
    displayName: "",
    email: "",
    quota: undefined,
    groups: record.groups,
    showsAllGroups: false,
    ...UNSEEN,
  };
}

const UNSEEN = { hasLoggedIn: true, used: undefined };

function goneState({ state }: SubjectRecord): keyof Organization["deprovision"] & SubjectState {
  return state === "suspended" || state === "outOfScope" ? state : "deleted";
}

/** Access is taken away from an account that cannot be read too, but nothing else is done, and only to one that is claimed. */
async function mayCloseUnread(
  { ledger }: Tools,
  { organization, clients, id }: Work,
  { desired, plan }: Decision,
): Promise<boolean> {
  const others = plan.operations.some(({ kind }) => kind !== "disable");
  if (desired.state === "active" || others) return false;
  return (await ledger.claims.account(clients.nextcloudOrigin, id)) === organization.slug;
}

/** Decides with sufficiently fresh groups, and with fresher ones where access would be taken away. */
async function decide(
  { lookup, skeletonIsEmpty, now }: Tools,
  { organization, clients, job, sentAt, record, startedAt }: Work,
  person: Person | undefined,
  account: ActualAccount | undefined,
  readAt: number,
): Promise<{ observation: Observation; decision: Decision }> {
  const observe = createObserve(organization, clients.directory, person, readAt);
  // By a clock that was ahead it was sent later than it was taken: no reading of the groups would be late enough.
  const sent = Math.min(sentAt, startedAt);
  const empty = await skeletonIsEmpty(organization);
  const evaluate = async (observation: Observation): Promise<Decision> => {
    const { person: traits, groups, names, unknown } = observation;
    const directory: DirectoryState = { person: traits, groups, ...unknown };
    if (isScopeUnknown(organization, directory, record?.state)) throw new ScopeUnknown();
    return lookup.evaluate(
      {
        organization,
        subject: job.subject,
        directory,
        account,
        record,
        mayPurge: job.kind === "purge",
        skeletonIsEmpty: empty,
        now: clients.clocks.earliest(),
      },
      clients,
      names,
    );
  };
  const observation = await observe(groupsWantedSince(job, sent, now()));
  const decision = await evaluate(observation);
  const { groupsReadAt } = observation;
  // No groups at all may be an odd answer: one that was kept is not taken for the next attempt's, too.
  const since = observation.groupsEmpty ? startedAt : sent;
  const old = groupsReadAt !== undefined && groupsReadAt < since;
  if (!old || !takesAccess(decision.plan.operations)) return { observation, decision };
  const fresh = await observe(since);
  return { observation: fresh, decision: await evaluate(fresh) };
}

/**
 * Writes the entry while nothing has been done yet.
 *
 * @throws {Overtaken}
 */
async function putFirst({ ledger }: Tools, slug: string, record: SubjectRecord): Promise<SubjectRecord> {
  const written = await ledger.subjects.tryPut(slug, record);
  if (!written) throw new Overtaken(record.subject);
  return written;
}

async function carryOut(
  tools: Tools,
  work: Work,
  observation: Observation,
  decided: Decision,
  account: ActualAccount | undefined,
  progress: Progress,
): Promise<Outcome> {
  const { ledger, now } = tools;
  const { organization, clients, record: before } = work;
  const { slug } = organization;
  const { refusal } = decided.plan;
  if (refusal && decided.plan.operations.length === 0) throw refusal;
  const claimed = await requireClaim(tools, work, { plan: decided.plan, account, person: observation.person });
  const decision = claimed === "claimed" ? decided : withoutWrites(decided);
  const { desired, plan } = decision;
  if (isUnseen(organization, before, desired, account)) await requireGone(work);
  const { groupsEmpty } = observation;
  const permitted = await permit(tools.brake, { ...work, decision, groupsEmpty, now: now() });
  const { operations, admitted } = permitted;
  const joining = groupsJoinedBy(operations).filter(({ source }) => source === "clavex");
  const gids = new Set(joining.map(({ gid }) => gid));
  const disabling = operations.some((operation) => operation.kind === "disable");

  let record = before ?? newRecord(desired.subject, desired.accountId);
  // Written before the change it speaks of: a crash in between must not leave a membership or a lock that nobody owns.
  if (disabling || joining.length > 0 || admitted) {
    // An account that nobody has seen may have been disabled by somebody else.
    const ours = disabling && (!progress.unread || before?.lastSeenEnabled === true);
    const intention = { joining: [...gids], disabling: ours, admitted };
    record = await putFirst(tools, slug, intended(record, desired.accountId, intention));
  }

  const hasTime = () => now() < work.startedAt + JOB_MS;
  const changes = await tools.apply(organization, clients, desired, operations, hasTime);
  const editWaits = changes.waiting.length > 0;
  // Without an API key only this message knows what is to be written.
  const unkept = editWaits && clients.directory.mode === "snapshots" ? new EditWaits() : undefined;
  const failure = changes.failure ?? permitted.held ?? refusal ?? oddGroups(changes, record) ?? unkept;
  if (failure) {
    const left = departed(record, changes.left);
    if (changes.unanswered) await ledger.subjects.put(slug, leftUnanswered(left, now()));
    else if (left.groups.length < record.groups.length) await ledger.subjects.put(slug, left);
    progress.doing = "write";
    [progress.done, progress.revoked] = [changes.done, changes.revoked];
    throw failure;
  }
  // A removed organization's dead letters have no mark in the record.
  if (before?.refused || work.job.trigger.kind === "replay") await ledger.deadLetters.drop(slug, desired.subject);
  const result = {
    desired,
    plan,
    joined: changes.joined.filter((gid) => gids.has(gid)),
    wasEnabled: account?.enabled,
    editWaits,
    reading: {
      version: observation.person?.updatedAt || undefined,
      groups: observation.groupsReadAt === undefined ? undefined : (observation.groups ?? []),
      readAt: observation.readAt,
      userReadAt: observation.userReadAt,
    },
    ineffective: await withoutEffect(work, decision, changes),
    postponed: changes.postponed || plan.postponed === true,
  };
  const after = progress.unread
    ? disabledUnread(record, desired, result.reading, now(), clients.clocks.latest())
    : applied(record, result, now(), clients.clocks.latest());
  // Whoever waits is listed before their entry says so, and removed from the list after it no longer does.
  if (editWaits) await ledger.edits.wait(slug, { subject: desired.subject, sentAt: undefined });
  if (operations.length === 0) await putFirst(tools, slug, after);
  else await ledger.subjects.put(slug, after);
  if (clients.directory.mode === "snapshots" && mayStillHappen(after, now())) throw new MayStillHappen();
  if (!editWaits && before?.pendingEdit !== undefined) await ledger.edits.done(slug, desired.subject);
  const { unread } = progress;
  return {
    result: changes.done.length > 0 ? "applied" : "unchanged",
    accountId: desired.accountId,
    state: desired.state,
    operations: changes.done,
    notes: [
      ...plan.notes,
      ...changes.notes,
      ...(editWaits ? [waitingNote(changes.waiting)] : []),
      ...(unread ? [`the account was not read: ${unread.message}`] : []),
    ],
    ...(permitted.overDaily ? { overDaily: true } : {}),
  };
}

/**
 * What was written for the second time for one and the same desired state and still is not there: an LDAP group that takes
 * members without a word, a name that is stored without its emoji.
 *
 * @returns the keys of what has no effect, which is not written any more for that state
 */
async function withoutEffect(
  { clients, record, id }: Work,
  { desired, plan }: Decision,
  { joined, waiting }: AppliedChanges,
): Promise<string[]> {
  if (desired.state !== "active" || record?.applied?.desiredHash !== desiredHash(desired)) return [];
  const written = plan.operations.flatMap((operation) => {
    if (operation.kind === "edit") return waiting.length > 0 ? [] : [operation.key];
    if (operation.kind === "join") return joined.includes(operation.group.gid) ? [joinKey(operation.group.gid)] : [];
    return operation.kind === "upsert" && operation.effect === "neutral" ? operation.changes : [];
  });
  if (written.length === 0) return [];
  // Whoever cannot be looked at now is written once more some other time.
  const actual = await getAccount(clients.ocs, id).catch(() => undefined);
  if (actual === undefined) return [];
  const differing = new Set(differingAttributes(desired.profile, actual).map(({ key }) => key));
  const member = new Set(actual.groups.map(joinKey));
  return written.filter((key) => (key.startsWith("join ") ? !member.has(key) : differing.has(key)));
}

const waitingNote = (edits: readonly Edit[]): string =>
  `${edits.map(({ key }) => key).join(" and ")} will be written later: Nextcloud takes ${EDITS_AT_ONCE} edits in ten minutes`;

/**
 * Groups that could not be joined although all else was done: tried again a few times, then skipped.
 *
 * @returns why the job has to be tried again, if it has to
 */
function oddGroups(changes: AppliedChanges, { serverErrors }: SubjectRecord): Failure | undefined {
  const [first] = changes.odd;
  if (first === undefined || serverErrors + 1 < MOST_ODD_ANSWERS) return first?.failure;
  changes.postponed = true;
  for (const { group, failure } of changes.odd)
    changes.notes.push(`group ${printable(group.name)} is skipped: ${printable(failure.message)}`);
  return undefined;
}

/**
 * Somebody is to lose an account that the ledger knows and Nextcloud does not show. It is looked at again until it is seen, or
 * a full run finds it gone; where there are no full runs, a second look while user_oidc is enabled has to do.
 */
async function requireGone({ organization, clients, id }: Work): Promise<void> {
  const { ocs, directory } = clients;
  if (schemeOf(organization.identity).making.by === "user_oidc") await requireUserOidc(ocs);
  if (directory.mode === "api" || (await getAccount(ocs, id)) !== undefined) throw new AccountUnseen(id);
}

/**
 * Nothing is written to an account that the organization has not claimed, even if its entry knows it: two organizations on one
 * Nextcloud may compute the same id. Only a person whom the directory knows, in any state, makes a claim where that can be;
 * somebody else's are gone from this directory, too.
 *
 * @throws {AccountConflict} when another organization has it
 */
async function requireClaim(
  { ledger, claimed }: Tools,
  { organization, clients, id, record, job }: Work,
  { plan, account, person }: { plan: Plan; account: ActualAccount | undefined; person: Person | undefined },
): Promise<"claimed" | "unclaimed"> {
  const { nextcloudOrigin: origin } = clients;
  const { slug } = organization;
  if (plan.operations.length === 0 && (isKnown(record) || !account)) return "claimed";
  const key = `${slug} ${origin} ${id}`;
  if (claimed.has(key)) return "claimed";
  const may = person !== undefined || !mayShareIds(organization);
  const owner = may
    ? await ledger.claims.claimAccount(origin, id, slug, job.subject)
    : await ledger.claims.account(origin, id);
  if (owner === undefined) return "unclaimed";
  if (owner !== slug) throw new AccountConflict(`account ${id} belongs to organization ${owner}; nothing was touched`);
  claimed.add(key);
  return "claimed";
}

/** What is left of a decision about an account that nobody has claimed. */
function withoutWrites(decision: Decision): Decision {
  const { plan } = decision;
  if (plan.operations.length === 0) return decision;
  return { ...decision, plan: { ...plan, operations: [], notes: [...plan.notes, UNCLAIMED] } };
}

/** How far a job has come: what was done of it, and whether all was done that takes access away. */
interface Progress extends Pick<AppliedChanges, "done" | "revoked"> {
  decision: Decision | undefined;
  doing: "read" | "write";
  /** Why the account could not be read, where it was decided without. */
  unread: Failure | undefined;
}

/** Parks a job that was done in part or not at all, if its failure is permanent. */
async function giveUp(tools: Tools, work: Work, error: Failure, progress: Progress): Promise<Outcome> {
  const failure = isUndecided(error) ? await countOddAnswer(tools, work, error, progress.doing) : error;
  if (failure.failureClass !== "permanent") throw failure;
  return park(tools, work, failure, progress);
}

/**
 * Parks a job: first the mark in the subject's record, by which a later success finds the dead letter, then the dead letter;
 * the caller deletes the message after both.
 */
async function park(
  tools: Tools,
  work: Work,
  failure: Failure,
  { decision, done, revoked }: Progress,
): Promise<Outcome> {
  const { ledger, now } = tools;
  const { organization, clients, job, receiveCount } = work;
  const { slug } = organization;
  const record = (await ledger.subjects.get(slug, job.subject)) ?? newRecord(job.subject, work.id);
  const before = record.refused?.unrevoked ?? "nothing";
  // Without a decision nothing is known of what is to be taken away, but what was owed before still is.
  const unrevoked = decision === undefined ? before : revoked ? "nothing" : unrevokedOf(decision);
  const marked = parked(record, { hash: decision && desiredHash(decision.desired), unrevoked }, now());
  const { directory } = clients;
  if (directory.mode === "api") await ledger.subjects.put(slug, marked);
  else {
    const version = directory.read(job.kind === "person" ? job.snapshot : undefined)?.updatedAt;
    await ledger.subjects.put(slug, ordered(marked, saysDeleted(job), version));
  }
  await ledger.deadLetters.park({
    organization: slug,
    subject: job.subject,
    job,
    reason: failure.code,
    message: failure.message,
    attempts: receiveCount,
    lastAt: now(),
  });
  return {
    result: "parked",
    accountId: record.accountId,
    reason: failure.code,
    problem: failure.message,
    done,
    revoke: unrevoked === "nothing" ? "none" : before === "nothing" ? "refused" : "refused-again",
  };
}

/** The access that was to be taken away and was not. */
function unrevokedOf({ plan }: Decision): Unrevoked {
  const kinds = plan.operations.map(({ kind }) => kind);
  if (kinds.includes("disable")) return "disable";
  return kinds.includes("leave") ? "leave" : "nothing";
}

/** A failure that is this person's alone. Counted until their data is clearly the cause. */
async function countOddAnswer(
  { ledger }: Tools,
  work: Work,
  error: Failure,
  doing: Progress["doing"],
): Promise<Failure> {
  const { organization, job } = work;
  const { slug } = organization;
  const record = oddlyAnswered((await ledger.subjects.get(slug, job.subject)) ?? newRecord(job.subject, work.id));
  if (record.serverErrors >= MOST_ODD_ANSWERS) return new KeepsFailing(doing, record.serverErrors, error);
  await ledger.subjects.put(slug, record);
  return error;
}
