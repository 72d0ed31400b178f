import { randomUUID } from "node:crypto";
import type { Clients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { isRelevant } from "../core/desired.ts";
import { Failure, isServers, OrganizationUnknown, PipelineFailure } from "../core/failure.ts";
import { joinedOrLeft, lookAt, type WatchedGroup } from "../core/group-watch.ts";
import { type Job, membershipJob } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory, DirectoryGroup } from "../core/person.ts";
import { followsGroups } from "../core/record.ts";
import { LOCK_MS } from "../core/schedule.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createAskPaused } from "../ledger/pause.ts";
import type { Sender } from "../queue/queue.ts";
import { sideBySide } from "../side-by-side.ts";
import type { Log } from "../telemetry/log.ts";
import { RunOverTime } from "./drift-report.ts";
import { recordRun } from "./record-run.ts";

export interface WatchDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  queue: Pick<Sender, "sendAll">;
  log: Log;
  /** Whether organizations that the ledger does not know yet start paused. */
  startsPaused?: boolean;
  now?: () => number;
}

/**
 * What a look did. `busy`: another one is under way. `unreadable`: without an API key no groups can be read. `paused`: an
 * operator has not resumed the organization. `held`: the directory shows no groups at all, although some are remembered. None
 * of these changed anything.
 */
export type WatchRun = { result: "busy" | "unreadable" | "paused" | "held" } | CompletedWatch;

interface CompletedWatch {
  result: "done";
  /** Groups that matter to the organization, those whose members were read, and those of them that could not be read. */
  groups: number;
  read: number;
  unread: number;
  /** Jobs that were sent. */
  sent: number;
}

/** Looks at the groups of one organization, and sends a job for each person who joined or left one. */
export type Watch = (slug: string, options?: { deadline?: AbortSignal }) => Promise<WatchRun>;

/** What is read at most: the whole list is in memory, and so are the members of the groups read in one look. */
const MOST_GROUPS = 50_000;
const MOST_MEMBERS = 200_000;
const CONCURRENT_READS = 4;
const CONCURRENT_LEDGER_CALLS = 16;

/** An organization that has more groups than can be compared every minute. */
class TooManyGroups extends PipelineFailure {
  constructor(organization: string) {
    super("configuration", "too-many-groups", `${organization} has more than ${MOST_GROUPS} groups`, "organization", {
      fix: "Switch the group watch off (--watch-seconds 0, on AWS -c watch=false); light reconciliations go on.",
    });
  }
}

/**
 * The group watch: Clavex sends nothing when a membership changes, but its list of groups has the number of members of
 * each. Memory is written after the jobs: a crash in between sends some twice, and forgets none.
 */
export function createWatch(dependencies: WatchDependencies): Watch {
  const { organizations, clients, ledger, startsPaused = false, now = Date.now } = dependencies;
  const isPaused = createAskPaused(ledger, startsPaused);
  return async (slug, { deadline } = {}) => {
    const organization = await organizations.get(slug);
    if (!organization) throw new OrganizationUnknown(slug);
    const access = clients.of(organization).directory;
    if (access.mode === "snapshots") return { result: "unreadable" };
    if (await isPaused(organization)) return { result: "paused" };
    const release = await ledger.locks.take(slug, "watch", now(), now() + LOCK_MS.watch);
    if (!release) return { result: "busy" };
    try {
      return await recordRun({ ledger, now }, slug, "watch", () =>
        watch({ ...dependencies, now, organization, directory: access.directory, deadline }),
      );
    } finally {
      await release();
    }
  };
}

interface Watching extends Pick<WatchDependencies, "ledger" | "queue" | "log"> {
  organization: Organization;
  directory: Directory;
  now: () => number;
  deadline: AbortSignal | undefined;
}

async function watch(watching: Watching): Promise<CompletedWatch | { result: "held" }> {
  const { ledger, log, organization, now } = watching;
  const { slug } = organization;
  const [{ listed, isComplete }, memory] = await Promise.all([list(watching), ledger.groups.groups(slug)]);
  if (listed.length === 0 && memory.groups.length > 0) {
    log.warn("group watch held", {
      organization: slug,
      problem: `Clavex shows no groups, but ${memory.groups.length} are remembered: nothing is changed`,
    });
    return { result: "held" };
  }
  const relevant = listed.filter(({ name }) => isRelevant(organization, name));
  const look = lookAt(memory.groups, relevant, now());
  // Where the list may be incomplete, a missing group may still exist.
  const missing = isComplete ? [] : look.gone;
  const gone = isComplete ? look.gone : [];
  const remembered = new Map(memory.groups.map((group) => [group.id, group]));
  const { readings, unread } = await readMembers(watching, look.read, remembered);
  const changed = new Set<string>();
  // What the first look finds is no change: reconciliation finds people who are not in sync in Nextcloud.
  for (const { group, before, members } of readings)
    if (memory.complete || remembered.has(group.id))
      for (const subject of joinedOrLeft(before, members)) changed.add(subject);
  for (const { id } of gone) for (const subject of await ledger.groups.members(slug, id)) changed.add(subject);
  const sent = await sendJobs(watching, changed);

  await sideBySide(readings, CONCURRENT_READS, async ({ group, before, members }) => {
    if (joinedOrLeft(before, members).length > 0) await ledger.groups.putMembers(slug, group.id, members);
  });
  await sideBySide(gone, CONCURRENT_READS, ({ id }) => ledger.groups.forgetMembers(slug, id));
  const seen = new Map(readings.map(({ group, readAt }) => [group.id, watched(group, readAt)]));
  const groups = [...relevant.flatMap(({ id }) => seen.get(id) ?? remembered.get(id) ?? []), ...missing];
  const complete = memory.complete || (isComplete && groups.length === relevant.length);
  if (readings.length > 0 || gone.length > 0 || complete !== memory.complete)
    await ledger.groups.putGroups(slug, { groups, complete });

  const numbers = { groups: relevant.length, read: readings.length, unread, sent };
  log[sent > 0 || unread > 0 ? "info" : "debug"]("group watch", { organization: slug, ...numbers });
  return { result: "done", ...numbers };
}

async function list({
  directory,
  organization,
  deadline,
}: Watching): Promise<{ listed: DirectoryGroup[]; isComplete: boolean }> {
  const listed: DirectoryGroup[] = [];
  let isComplete = true;
  const unreadable = (): void => {
    isComplete = false;
  };
  for await (const page of directory.groupList(unreadable)) {
    listed.push(...page);
    if (listed.length > MOST_GROUPS) throw new TooManyGroups(organization.slug);
    if (deadline?.aborted) throw new RunOverTime(organization.slug);
  }
  return { listed, isComplete };
}

/** The members of a group, as remembered and as they are now. */
interface MembersReading {
  group: DirectoryGroup;
  readAt: number;
  before: string[];
  members: string[];
}

/**
 * Reads members, of as many groups as time and memory allow: the others are left to the next look, and so is a group that
 * cannot be read, or has no members although it is said to have some.
 *
 * @throws {Failure} when not one of several groups could be read, or the server does not answer at all
 */
async function readMembers(
  { ledger, directory, organization, now, deadline }: Watching,
  groups: DirectoryGroup[],
  remembered: ReadonlyMap<string, WatchedGroup>,
): Promise<{ readings: MembersReading[]; unread: number }> {
  const readings: MembersReading[] = [];
  const failures: Failure[] = [];
  let [total, unread] = [0, 0];
  await sideBySide(groups, CONCURRENT_READS, async (group) => {
    if (total > MOST_MEMBERS || deadline?.aborted) return;
    const readAt = now();
    try {
      const members = group.memberCount === 0 ? [] : await directory.members(group.id);
      const before = remembered.has(group.id) ? await ledger.groups.members(organization.slug, group.id) : [];
      total += members.length + before.length;
      if (members.length === 0 && group.memberCount > 0 && before.length > 0) unread += 1;
      else readings.push({ group, readAt, before, members });
    } catch (error) {
      if (!(error instanceof Failure && error.origin === "clavex")) throw error;
      failures.push(error);
      unread += 1;
    }
  });
  const [first, ...others] = failures;
  if (readings.length === 0 && first && (others.length > 0 || isServers(first))) throw first;
  return { readings, unread };
}

function watched({ id, name, memberCount }: DirectoryGroup, readAt: number): WatchedGroup {
  return { id, name, count: memberCount, readAt };
}

/** People that the ledger does not know yet are left to their own event, or to reconciliation. */
async function sendJobs({ ledger, queue, organization }: Watching, subjects: ReadonlySet<string>): Promise<number> {
  const { slug } = organization;
  const jobs: Job[] = [];
  await sideBySide(subjects, CONCURRENT_LEDGER_CALLS, async (subject) => {
    const record = await ledger.subjects.get(slug, subject);
    if (record && followsGroups(record)) jobs.push(membershipJob(slug, subject));
  });
  await queue.sendAll(jobs, randomUUID());
  return jobs.length;
}
