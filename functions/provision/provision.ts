import { isDeletion, parseSnapshot } from "../clavex/snapshot.ts";
import type { DirectoryUser } from "../clavex/user.ts";
import type { Clients, OrganizationClients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { AccountConflict, type ActualAccount } from "../core/account.ts";
import {
  type DesiredAccount,
  type DesiredGroup,
  type DirectoryState,
  desiredAccount,
  desiredHash,
  groupsHash,
} from "../core/desired.ts";
import { ConfigurationError, Failure } from "../core/failure.ts";
import { GRACE_OVER, isDeletable } from "../core/grace.ts";
import { accountId, identityFingerprint } from "../core/identity.ts";
import { GROUPS_SUBJECT, type Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import { type Operation, type Plan, plan } from "../core/plan.ts";
import { createRetryDelay, type RetryDelay } from "../core/retry.ts";
import { IdentityChanged } from "../ledger/errors.ts";
import { type Ledger, newEntry, type SubjectEntry } from "../ledger/ledger.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { NextcloudServerError, PoisonousWrite } from "../nextcloud/errors.ts";
import { UnreadableJob } from "../queue/errors.ts";
import type { Queue } from "../queue/queue.ts";
import { sendGroupChanges } from "../reconcile/group-hints.ts";
import { AccountAppeared, createApply } from "./apply.ts";
import { createBrake } from "./brake.ts";
import { createCircuitBreaker } from "./circuit-breaker.ts";
import { createGroupLookup } from "./group-lookup.ts";

/**
 * How a job ended. `applied`: Nextcloud was changed. `unchanged`: it was right already. `superseded`: a newer reading than the
 * job's message has been applied. `stale`: without an API key, a newer snapshot or a deletion came first. `ignored`: there is
 * nothing to act on. `parked`: nothing can succeed until somebody changes something; the job is in the dead letters.
 */
export interface Outcome {
  result: "applied" | "unchanged" | "superseded" | "stale" | "ignored" | "parked";
  accountId?: string;
  state?: DesiredAccount["state"];
  operations: string[];
  /** What is not as desired although the job is done, and why. */
  notes: string[];
  /** Why the job was parked. */
  reason?: string;
}

export interface ProvisionDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  /** Takes the jobs that a group's change leads to. */
  queue: Pick<Queue, "sendAll">;
  /** How long a server is paused after a failure that every job would meet. */
  breakerDelay?: RetryDelay;
  now?: () => number;
}

/**
 * Brings one subject up to date.
 *
 * @param sentAt when the job's message was sent (milliseconds since the epoch)
 * @param attempt how often the message has been received, this time included
 * @throws {Failure} of whichever room knows the cause; transient or configuration, as permanent ones are parked
 */
export type Provision = (job: Job, sentAt: number, attempt?: number) => Promise<Outcome>;

/** A plain user webhook may rely on group memberships that were read up to a minute before. */
const GROUP_MAP_AGE_MS = 60_000;
/** After so long a job begins no further operation; the queue's visibility timeout is many times that. */
const JOB_MS = 60_000;
/** How often an account may appear between looking and making it. */
const MOST_LOOKS = 3;
/** A write that fails so often with 5xx while the same server answers GET is not the server's trouble but the person's data. */
const POISONOUS = 8;

/** What Clavex says of a person, and since when: nothing that happened after `readAt` is certain to be in it. */
interface Observation extends DirectoryState {
  user: DirectoryUser | undefined;
  readAt: number;
  userReadAt: number;
  /** When the groups were read; undefined when they were not. */
  groupsReadAt: number | undefined;
  names: ReadonlySet<string> | undefined;
}

export function createProvision(dependencies: ProvisionDependencies): Provision {
  const { organizations, clients, ledger, now = Date.now } = dependencies;
  const ownership = createGroupLookup(ledger, now);
  const apply = createApply(ownership);
  const breaker = createCircuitBreaker(dependencies.breakerDelay ?? createRetryDelay(), now);
  const brake = createBrake(ledger, now);
  const confirmedIdentities = new Set<string>();
  /** When the groups were read that the last look at all people's groups was made with. */
  const groupsFollowed = new Map<string, number>();

  async function requireIdentity(organization: Organization): Promise<void> {
    const fingerprint = identityFingerprint(organization.identity);
    const id = `${organization.slug} ${fingerprint}`;
    if (confirmedIdentities.has(id)) return;
    if ((await ledger.identity(organization.slug, fingerprint)) !== fingerprint)
      throw new IdentityChanged(organization.slug);
    confirmedIdentities.add(id);
  }

  /** What Clavex holds now; the groups only for an active person, and read at `groupsNotBefore` or later. */
  async function observe(
    organization: Organization,
    clavex: NonNullable<OrganizationClients["clavex"]>,
    user: { value: DirectoryUser | undefined; readAt: number },
    groupsNotBefore: number,
  ): Promise<Observation> {
    const base = { user: user.value, readAt: user.readAt, userReadAt: user.readAt };
    if (!user.value?.active || !readsGroups(organization)) {
      return { ...base, groups: [], groupsReadAt: undefined, names: undefined };
    }
    const map = await clavex.groupMap(groupsNotBefore);
    return {
      ...base,
      groups: map.value.of(user.value.subject),
      names: map.value.names,
      groupsReadAt: map.readAt,
      readAt: Math.min(user.readAt, map.readAt),
    };
  }

  return async (job, sentAt, attempt = 1) => {
    const organization = await organizations.get(job.organization);
    if (!organization) {
      throw new ConfigurationError("organization-unknown", [`there is no organization ${job.organization}`]);
    }
    await requireIdentity(organization);
    const system = clients.of(organization);
    if (job.subject === GROUPS_SUBJECT)
      return breaker.run(await system.servers(), () => followGroups(organization, system, job, sentAt));
    const entry = await ledger.subject(organization.slug, job.subject);
    if (system.clavex && isSuperseded(entry, job, sentAt, now())) return finished("superseded", entry?.accountId);
    return breaker.run(await system.servers(), () =>
      bringUpToDate({ organization, system, job, sentAt, attempt, entry, startedAt: now() }),
    );
  };

  /** Some group has changed: queues a job for each person to whom that makes a difference. */
  async function followGroups(
    organization: Organization,
    { clavex }: OrganizationClients,
    { trigger }: Job,
    sentAt: number,
  ): Promise<Outcome> {
    if (!clavex) return finished("ignored", undefined, ["without clavex.apiKey no groups can be read"]);
    if ((groupsFollowed.get(organization.slug) ?? Number.NEGATIVE_INFINITY) > sentAt) return finished("superseded");
    const { value: map, readAt } = await clavex.groupMap(sentAt);
    const sent = await sendGroupChanges(organization, map, dependencies, `groups#${trigger.deliveryId ?? sentAt}`);
    groupsFollowed.set(organization.slug, readAt);
    return { ...finished("unchanged"), notes: [`${sent} people have other groups now: a job was sent for each`] };
  }

  async function bringUpToDate(work: Work): Promise<Outcome> {
    const { organization, system, job, sentAt } = work;
    const { subject } = job;
    const { clavex } = system;
    let snapshot: DirectoryUser | undefined;
    if (!clavex) {
      const deleted = job.trigger.kind !== "manual" && isDeletion(job.trigger.event);
      snapshot = deleted ? undefined : parseSnapshot(job.snapshot);
      if (!deleted && !snapshot) {
        return finished("ignored", undefined, ["the job carries no user, and without clavex.apiKey none can be read"]);
      }
      if (snapshot && snapshot.subject !== subject) throw new UnreadableJob("snapshot: is of another subject");
      if (isStale(work.entry, snapshot)) return finished("stale", work.entry?.accountId);
    }

    const id = accountId(organization.identity, subject);
    for (let looks = 1; ; looks += 1) {
      const readAt = now();
      const [user, actual] = await Promise.all([
        clavex ? clavex.api.user(subject) : snapshot,
        getAccount(system.ocs, id),
      ]);
      let desired: DesiredAccount | undefined;
      const evaluate = async (observation: Observation): Promise<Evaluation> => {
        desired = desiredAccount(organization, subject, observation);
        const groups = await ownership.resolve(organization, system, desired, actual, observation.names);
        const { entry } = work;
        const deletable = job.trigger.event === GRACE_OVER && isDeletable(organization, desired, entry, now());
        return { observation, desired, plan: plan({ organization, desired, actual, entry, groups, deletable }) };
      };
      const look = async (groupsNotBefore: number): Promise<Observation> =>
        clavex
          ? observe(organization, clavex, { value: user, readAt }, groupsNotBefore)
          : { user, groups: undefined, names: undefined, groupsReadAt: undefined, readAt, userReadAt: readAt };
      try {
        const groupsNotBefore = groupsWantedSince(job, sentAt, now());
        let evaluation = await evaluate(await look(groupsNotBefore));
        const { groupsReadAt } = evaluation.observation;
        if (groupsReadAt !== undefined && groupsReadAt < sentAt && takesAccessAway(evaluation.plan)) {
          evaluation = await evaluate(await look(sentAt));
        }
        return await carryOut(work, evaluation, actual);
      } catch (error) {
        if (error instanceof AccountAppeared && looks < MOST_LOOKS) {
          work.entry = await ledger.subject(organization.slug, subject);
          continue;
        }
        if (error instanceof Failure && error.failureClass === "permanent") return park(work, error, desired);
        throw error;
      }
    }
  }

  async function carryOut(work: Work, evaluation: Evaluation, actual: ActualAccount | undefined): Promise<Outcome> {
    const { organization, system, entry } = work;
    const { observation, desired } = evaluation;
    const { operations, notes, memberships } = evaluation.plan;
    const joining = groupsToJoin(operations).filter(({ source }) => source === "clavex");
    const gids = new Set(joining.map(({ gid }) => gid));
    const disabling = operations.some((operation) => operation.kind === "disable");
    let revision = entry?.revision;

    // The first job that has to do with an account claims it: two organizations on one Nextcloud may compute the same id.
    if (entry?.desiredHash === undefined && (actual !== undefined || operations.length > 0)) {
      const owner = await ledger.claimAccount(system.nextcloudOrigin, desired.accountId, organization.slug);
      if (owner !== organization.slug) {
        throw new AccountConflict(`account ${desired.accountId} belongs to organization ${owner}; nothing was touched`);
      }
    }
    // One who was admitted before is not counted again: that attempt wrote `disabledByUs` and then failed.
    const deleting = operations.some((operation) => operation.kind === "delete");
    if (deleting || (disabling && !entry?.disabledByUs)) await brake.admit(organization, desired.subject);
    // Written before the change it speaks of: a crash in between must not leave a membership or a lock that nobody owns.
    if (disabling || joining.length > 0) {
      const intended = {
        ...(entry ?? newEntry(desired)),
        accountId: desired.accountId,
        groups: [...new Set([...(entry?.groups ?? []), ...gids])],
        disabledByUs: disabling || (entry?.disabledByUs ?? false),
      };
      revision = (await ledger.putSubject(organization.slug, intended, revision)).revision;
    }

    const hasTime = () => now() < work.startedAt + JOB_MS;
    const applied = await apply(organization, system, desired, operations, hasTime).catch(async (error) => {
      throw error instanceof NextcloudServerError ? await countServerError(work, error) : error;
    });
    if (entry?.parked) await ledger.dropDeadLetter(organization.slug, desired.subject);
    const written = {
      subject: desired.subject,
      accountId: desired.accountId,
      state: desired.state,
      version: observation.user?.updatedAt ?? entry?.version,
      desiredHash: desiredHash(desired),
      groupsHash: observation.groupsReadAt === undefined ? undefined : groupsHash(observation.groups ?? []),
      groups: [...new Set([...memberships, ...applied.joined.filter((gid) => gids.has(gid))])].sort(),
      disabledByUs:
        disabling || (entry?.disabledByUs === true && actual?.enabled === false && desired.state !== "active"),
      goneSince: sinceWhen(desired, entry, now()),
      readAt: observation.readAt,
      userReadAt: observation.userReadAt,
    };
    await ledger.putSubject(organization.slug, written, revision);
    return {
      result: applied.done.length > 0 ? "applied" : "unchanged",
      accountId: desired.accountId,
      state: desired.state,
      operations: applied.done,
      notes: [...notes, ...applied.notes],
    };
  }

  /**
   * Parks a job: first the mark in the subject's entry, by which a later success finds the dead letter, then the dead letter;
   * the caller deletes the message after both.
   */
  async function park(work: Work, failure: Failure, desired: DesiredAccount | undefined): Promise<Outcome> {
    const { organization, system, job, attempt } = work;
    const { slug } = organization;
    const entry = await ledger.subject(slug, job.subject);
    const { revision, ...kept } = entry ?? { ...newEntry(accountOf(work)), revision: undefined };
    const marked = {
      ...kept,
      // Without an API key the entry is what keeps order: what comes late must not overtake what was refused.
      ...(system.clavex ? {} : orderOf(job, kept)),
      parked: true,
      refusedHash: desired && desiredHash(desired),
      serverErrors: undefined,
      queuedHash: undefined,
      queuedAt: undefined,
    };
    await ledger.putSubject(slug, marked, revision);
    await ledger.park({
      organization: slug,
      subject: job.subject,
      job,
      reason: failure.code,
      message: failure.message,
      attempts: attempt,
      lastAt: now(),
    });
    return { ...finished("parked", kept.accountId, [failure.message]), reason: failure.code };
  }

  /** A 5xx to a write, while the same server has just answered the same job's GET. Counted until it is plainly the data. */
  async function countServerError(work: Work, error: NextcloudServerError): Promise<Failure> {
    const { organization, job } = work;
    const entry = await ledger.subject(organization.slug, job.subject);
    const { revision, ...kept } = entry ?? { ...newEntry(accountOf(work)), revision: undefined };
    const times = (kept.serverErrors ?? 0) + 1;
    if (times >= POISONOUS) return new PoisonousWrite(times, error);
    await ledger.putSubject(organization.slug, { ...kept, serverErrors: times }, revision);
    return error;
  }
}

/** One job with all that is known of it before the systems are asked. */
interface Work {
  organization: Organization;
  system: OrganizationClients;
  job: Job;
  sentAt: number;
  attempt: number;
  entry: SubjectEntry | undefined;
  startedAt: number;
}

interface Evaluation {
  observation: Observation;
  desired: DesiredAccount;
  plan: Plan;
}

function accountOf({ organization, job }: Work): { subject: string; accountId: string } {
  return { subject: job.subject, accountId: accountId(organization.identity, job.subject) };
}

/** Since when a person has been in the state that they are in: each begins its own grace days. */
function sinceWhen({ state }: DesiredAccount, entry: SubjectEntry | undefined, now: number): number | undefined {
  if (state === "active") return undefined;
  return entry?.state === state ? (entry.goneSince ?? now) : now;
}

/** The groups that operations put the person into. */
function groupsToJoin(operations: readonly Operation[]): DesiredGroup[] {
  return operations.flatMap((operation) => {
    if (operation.kind === "create") return operation.groups;
    return operation.kind === "join" ? [operation.group] : [];
  });
}

function finished(result: Outcome["result"], account?: string, notes: string[] = []): Outcome {
  return { result, ...(account === undefined ? {} : { accountId: account }), operations: [], notes };
}

/** Without an API key only the ledger keeps order: a deletion is final, and a strictly older snapshot loses. */
function isStale(entry: SubjectEntry | undefined, snapshot: DirectoryUser | undefined): boolean {
  if (!entry || !snapshot) return false;
  return entry.state === "deleted" || (entry.version !== undefined && snapshot.updatedAt < entry.version);
}

/** What a job without an API key says of the order of things: a snapshot's time, or that the person is gone for good. */
function orderOf(job: Job, entry: Omit<SubjectEntry, "revision">): Pick<SubjectEntry, "state" | "version"> {
  const version = parseSnapshot(job.snapshot)?.updatedAt ?? entry.version;
  return { state: isDeletion(job.trigger.event) ? "deleted" : entry.state, version };
}

/** Whether the groups of people matter to the organization at all. */
function readsGroups({ groups, scope, quota }: Organization): boolean {
  return groups.managed.length > 0 || scope.groups.length > 0 || Object.keys(quota.byGroup).length > 0;
}

/**
 * The earliest reading of the groups that a job may use. A plain user webhook says nothing of groups, and one that was made
 * lately will do; every other reason for a job may be about them.
 */
function groupsWantedSince({ trigger }: Job, sentAt: number, now: number): number {
  const plain = trigger.kind === "webhook" && !trigger.event?.startsWith("group.");
  return plain ? Math.min(sentAt, now - GROUP_MAP_AGE_MS) : sentAt;
}

/**
 * Whether what was applied last was read late enough for this job too: then applying it again could change nothing. The user
 * must have been read after the message was sent, the groups as late as the job would read them now.
 */
function isSuperseded(entry: SubjectEntry | undefined, job: Job, sentAt: number, now: number): boolean {
  if (entry?.readAt === undefined) return false;
  const { readAt, userReadAt = readAt } = entry;
  return userReadAt > sentAt && readAt >= groupsWantedSince(job, sentAt, now);
}

function takesAccessAway({ operations }: Plan): boolean {
  return operations.some((operation) => operation.kind === "disable" || operation.kind === "leave");
}
