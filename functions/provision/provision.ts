import { isDeletion, parseSnapshot } from "../clavex/snapshot.ts";
import type { DirectoryUser } from "../clavex/user.ts";
import { ConfigurationError } from "../config/errors.ts";
import type { Organization } from "../config/organization.ts";
import type { Organizations } from "../config/organizations.ts";
import { IdentityChanged } from "../ledger/errors.ts";
import { identityFingerprint, type Ledger, type SubjectEntry } from "../ledger/ledger.ts";
import { type ActualAccount, getAccount } from "../nextcloud/accounts.ts";
import { accountId } from "../nextcloud/identity.ts";
import { UnreadableJob } from "../queue/errors.ts";
import type { Job } from "../queue/job.ts";
import type { OrganizationSystems, Systems } from "../systems.ts";
import { AccountAppeared, createApply } from "./apply.ts";
import { type DesiredAccount, type DirectoryState, desiredAccount, desiredHash } from "./desired.ts";
import { createOwnership } from "./ownership.ts";
import { type Plan, plan } from "./plan.ts";

/**
 * How a job ended. `applied`: Nextcloud was changed. `unchanged`: it was right already. `covered`: a newer reading than the
 * job's message has been applied. `stale`: without an API key, a newer snapshot or a deletion came first. `ignored`: there is
 * nothing to act on.
 */
export interface Outcome {
  result: "applied" | "unchanged" | "covered" | "stale" | "ignored";
  accountId?: string;
  state?: DesiredAccount["state"];
  operations: string[];
  /** What is not as desired although the job is done, and why. */
  notes: string[];
}

export interface ProvisionDependencies {
  organizations: Organizations;
  systems: Systems;
  ledger: Ledger;
  now?: () => number;
}

/**
 * Brings one subject up to date.
 *
 * @param sentAt when the job's message was sent (milliseconds since the epoch)
 * @throws {Failure} of whichever room knows the cause
 */
export type Provision = (job: Job, sentAt: number) => Promise<Outcome>;

/** A plain user webhook may rely on group memberships that were read up to a minute before. */
const GROUP_MAP_AGE_MS = 60_000;
const MOST_ATTEMPTS = 3;

/** What Clavex says of a person, and since when: nothing that happened after `readAt` is certain to be in it. */
interface Observation extends DirectoryState {
  readAt: number;
  /** When the groups were read; undefined when they were not. */
  groupsReadAt: number | undefined;
  names: ReadonlySet<string> | undefined;
}

export function createProvision(dependencies: ProvisionDependencies): Provision {
  const { organizations, systems, ledger, now = Date.now } = dependencies;
  const ownership = createOwnership(ledger, now);
  const apply = createApply(ownership);
  const confirmedIdentities = new Set<string>();

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
    clavex: NonNullable<OrganizationSystems["clavex"]>,
    user: { value: DirectoryUser | undefined; readAt: number },
    groupsNotBefore: number,
  ): Promise<Observation> {
    const base = { user: user.value, readAt: user.readAt };
    if (!user.value?.active || !readsGroups(organization)) {
      return { ...base, groups: [], groupsReadAt: undefined, names: undefined };
    }
    const map = await clavex.groupMap(groupsNotBefore);
    return {
      user: user.value,
      groups: map.value.of(user.value.subject),
      names: map.value.names,
      groupsReadAt: map.readAt,
      readAt: Math.min(user.readAt, map.readAt),
    };
  }

  return async (job, sentAt) => {
    const organization = await organizations.get(job.organization);
    if (!organization) {
      throw new ConfigurationError("organization-unknown", [`there is no organization ${job.organization}`]);
    }
    await requireIdentity(organization);
    const { subject } = job;
    const system = systems.of(organization);
    const { clavex } = system;
    const entry = await ledger.subject(organization.slug, subject);
    if (clavex && entry?.readAt !== undefined && entry.readAt > sentAt) return finished("covered", entry.accountId);

    let snapshot: DirectoryUser | undefined;
    if (!clavex) {
      const deleted = job.trigger.kind === "webhook" && isDeletion(job.trigger.event);
      snapshot = deleted ? undefined : parseSnapshot(job.snapshot);
      if (!deleted && !snapshot)
        return finished("ignored", undefined, ["the job carries no user, and without clavex.apiKey none can be read"]);
      if (snapshot && snapshot.subject !== subject) throw new UnreadableJob("snapshot: is of another subject");
      if (isStale(entry, snapshot)) return finished("stale", entry?.accountId);
    }

    const id = accountId(organization.identity, subject);
    for (let attempt = 1; ; attempt += 1) {
      const readAt = now();
      const [user, actual] = await Promise.all([
        clavex ? clavex.api.user(subject) : snapshot,
        getAccount(system.ocs, id),
      ]);
      const evaluate = async (observation: Observation) => {
        const desired = desiredAccount(organization, subject, observation);
        const groups = await ownership.resolve(organization, system, desired, actual, observation.names);
        return { observation, desired, plan: plan({ organization, desired, actual, entry, groups }) };
      };
      const look = (groupsNotBefore: number) =>
        clavex
          ? observe(organization, clavex, { value: user, readAt }, groupsNotBefore)
          : Promise.resolve({ user, groups: undefined, names: undefined, groupsReadAt: undefined, readAt });

      let evaluated = await evaluate(
        await look(needsFreshGroups(job) ? sentAt : Math.min(sentAt, now() - GROUP_MAP_AGE_MS)),
      );
      const { groupsReadAt } = evaluated.observation;
      if (groupsReadAt !== undefined && groupsReadAt < sentAt && takesAccessAway(evaluated.plan)) {
        evaluated = await evaluate(await look(sentAt));
      }
      try {
        return await carryOut(organization, system, evaluated, actual, entry);
      } catch (error) {
        if (!(error instanceof AccountAppeared) || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  };

  async function carryOut(
    organization: Organization,
    system: OrganizationSystems,
    evaluated: { observation: Observation; desired: DesiredAccount; plan: Plan },
    actual: ActualAccount | undefined,
    entry: SubjectEntry | undefined,
  ): Promise<Outcome> {
    const { observation, desired } = evaluated;
    const { operations, notes, memberships } = evaluated.plan;
    const gids = new Set(desired.groups.filter((group) => group.source === "clavex").map((group) => group.gid));
    const disabling = operations.some((operation) => operation.kind === "disable");
    const joining = operations.some((operation) => operation.kind === "join" || operation.kind === "create");
    let revision = entry?.revision;

    // Written before the change it speaks of: a crash in between must not leave a membership or a lock that nobody owns.
    if (disabling || joining) {
      const intended = {
        ...(entry ?? { subject: desired.subject, state: desired.state, disabledByUs: false, groups: [] }),
        accountId: desired.accountId,
        groups: [...new Set([...(entry?.groups ?? []), ...(joining ? gids : [])])],
        disabledByUs: disabling || (entry?.disabledByUs ?? false),
      };
      revision = (await ledger.putSubject(organization.slug, intended, revision)).revision;
    }

    const applied = await apply(organization, system, desired, operations);
    const written = {
      subject: desired.subject,
      accountId: desired.accountId,
      state: desired.state,
      version: observation.user?.updatedAt ?? entry?.version,
      desiredHash: desiredHash(desired),
      groups: [...new Set([...memberships, ...applied.joined.filter((gid) => gids.has(gid))])].sort(),
      disabledByUs:
        disabling || ((entry?.disabledByUs ?? false) && actual?.enabled === false && desired.state !== "active"),
      goneSince: desired.state === "deleted" ? (entry?.goneSince ?? now()) : undefined,
      readAt: observation.readAt,
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
}

function finished(result: Outcome["result"], account?: string, notes: string[] = []): Outcome {
  return { result, ...(account === undefined ? {} : { accountId: account }), operations: [], notes };
}

/** Without an API key only the ledger keeps order: a deletion is final, and a strictly older snapshot loses. */
function isStale(entry: SubjectEntry | undefined, snapshot: DirectoryUser | undefined): boolean {
  if (!entry || !snapshot) return false;
  return entry.state === "deleted" || (entry.version !== undefined && snapshot.updatedAt < entry.version);
}

/** Whether the groups of people matter to the organization at all. */
function readsGroups({ groups, scope, quota }: Organization): boolean {
  return groups.managed.length > 0 || scope.groups.length > 0 || Object.keys(quota.byGroup).length > 0;
}

/** A plain user webhook says nothing of groups; every other reason for a job may be about them. */
function needsFreshGroups({ trigger }: Job): boolean {
  return trigger.kind !== "webhook" || (trigger.event?.startsWith("group.") ?? false);
}

function takesAccessAway({ operations }: Plan): boolean {
  return operations.some((operation) => operation.kind === "disable" || operation.kind === "leave");
}
