import type { ActivityLog } from "../activity/activity-log.ts";
import type { Organizations } from "../config/organizations.ts";
import type { Activity } from "../core/activity.ts";
import type { Braked } from "../core/brake.ts";
import { Failure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { leaversStillEnabled } from "../core/record.ts";
import type { LastRuns, RunFindings } from "../core/schedule.ts";
import {
  isPartialRead,
  latestFindings,
  type OrganizationStatus,
  type PipelineStatus,
  type WaitingJobs,
} from "../core/status.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createAskPaused } from "../ledger/pause.ts";
import type { Countable, Counts, DeadLetterQueue } from "../queue/queue.ts";

export interface StatusSources {
  organizations: Organizations;
  ledger: Pick<Ledger, "subjects" | "runs" | "brakes" | "deadLetters" | "edits" | "pauses" | "identities">;
  queue: Countable;
  deadLetterQueue: Pick<DeadLetterQueue, "count">;
  /** Where it can be read at once why jobs wait: on one machine. */
  activities?: Pick<ActivityLog, "last"> | undefined;
  startsPaused?: boolean;
  /** How many dead letters and waiting edits of an organization are counted at most; all where it is left out. */
  countTo?: number | undefined;
  /** Why nobody works on the queue, if so. */
  stopped?: PipelineStatus["stopped"];
  now?: () => number;
}

/**
 * How things are, from ledger and queue alone: Clavex and Nextcloud are not asked, and no list of people is read. What only a
 * look at everybody can tell is as of the last run.
 *
 * @param slugs of the organizations that are meant
 * @throws {Failure} when ledger or queue cannot be read
 */
export async function readStatus(sources: StatusSources, slugs: readonly string[]): Promise<PipelineStatus> {
  const { queue, deadLetterQueue, stopped, now = Date.now } = sources;
  const [counts, unread] = await Promise.all([queue.counts(), deadLetterQueue.count()]);
  const organizations: OrganizationStatus[] = [];
  for (const slug of slugs) organizations.push(await statusOf(sources, slug, now()));
  return { at: now(), organizations, jobs: jobsOf(counts), unread, stopped };
}

/** What the status of one organization is read from. */
export type OrganizationSources = Omit<StatusSources, "deadLetterQueue" | "stopped" | "now">;

/**
 * The same of one organization.
 *
 * @throws {Failure} when ledger or queue cannot be read
 */
export async function statusOf(sources: OrganizationSources, slug: string, at: number): Promise<OrganizationStatus> {
  const { ledger, queue, startsPaused = false, countTo } = sources;
  const { organization, unusable } = await find(sources.organizations, slug);
  const runs = await ledger.runs.of(slug);
  const [deadLetters, leavers, editsWaiting, counts] = await Promise.all([
    ledger.deadLetters.count(slug, countTo),
    leaversWhoCanLogIn(ledger, slug, runs),
    ledger.edits.countWaiting(slug, countTo),
    queue.countsOf(slug),
  ]);
  const jobs = counts && jobsOf(counts);
  const found = latestFindings(runs);
  return {
    organization: slug,
    unusable,
    readable: organization?.clavex.apiKey !== undefined,
    paused: organization !== undefined && (await createAskPaused(ledger, startsPaused)(organization)),
    people: found?.people,
    accounts: runs.full?.found?.accounts,
    enabled: found?.enabled,
    jobs,
    waitsFor: jobs && jobs.delayed > 0 ? await causeOf(sources, slug, at - (jobs.oldestAgeMs ?? 0)) : undefined,
    editsWaiting,
    runs,
    held: {
      ...(await heldOf(sources, slug, "deprovisions", found?.held)),
      ...(await heldOf(sources, slug, "leaves", found?.heldLeaves)),
    },
    deadLetters,
    countedTo: countTo,
    leaversStillEnabled: leavers,
  };
}

/** Of how many dead letters it is looked up whether they keep a leaver's account enabled. */
const MOST_LEAVERS = 25;

/**
 * How many people left and can still log in: as many as the last run saw, or as there are among the first dead letters, which are
 * newer: whom Nextcloud refused to disable has one. The list of people is not read.
 *
 * @throws {Failure} when the ledger cannot be read
 */
export async function leaversWhoCanLogIn(
  { deadLetters, subjects }: Pick<Ledger, "deadLetters" | "subjects">,
  slug: string,
  runs: LastRuns,
): Promise<number> {
  const found = latestFindings(runs)?.leaversStillEnabled ?? 0;
  for await (const letters of deadLetters.all(slug, MOST_LEAVERS)) {
    const records = await Promise.all(letters.map(({ subject }) => subjects.get(slug, subject)));
    return Math.max(found, leaversStillEnabled(records.filter((record) => record !== undefined)));
  }
  return found;
}

async function find(
  organizations: Organizations,
  slug: string,
): Promise<{ organization?: Organization | undefined; unusable: string | undefined }> {
  try {
    const organization = await organizations.get(slug);
    return { organization, unusable: organization ? undefined : "there is no organization of this slug" };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { unusable: error.message };
  }
}

function jobsOf({ waiting, delayed, inFlight, oldestAgeMs }: Counts): WaitingJobs {
  return { jobs: waiting + delayed + inFlight, delayed, oldestAgeMs };
}

/** Why jobs of the organization are tried again: what the last one said. */
async function causeOf(
  { activities }: OrganizationSources,
  organization: string,
  since: number,
): Promise<OrganizationStatus["waitsFor"]> {
  const page = await activities?.last({ organization, result: "retried", since }, 1);
  const last = page?.activities.at(-1);
  if (!last) return undefined;
  const { origin, problem = "it failed" } = last;
  return { server: origin === "pipeline" ? undefined : origin, problem, nextAt: nextAtOf(last) };
}

/** When a job that failed is tried again. */
export function nextAtOf({ at, retryInSeconds }: Activity): number | undefined {
  return retryInSeconds === undefined ? undefined : at + retryInSeconds * 1_000;
}

/** The reasons for which an operator's allowance is the answer. */
const RELEASABLE = new Set(["brake", "leaves"]);

/** @param last what the last run said; whom it could not read is told of with the runs */
async function heldOf(
  { ledger }: OrganizationSources,
  slug: string,
  braked: Braked,
  last: RunFindings["held"],
): Promise<OrganizationStatus["held"]> {
  const held = last && isPartialRead(last) ? undefined : last;
  const state = (await ledger.brakes.get(slug, braked))?.state;
  if (!state?.held && held === undefined) return {};
  return {
    [braked]: {
      since: state?.held ? state.heldAt : undefined,
      people: held?.people,
      explanation: held === undefined || RELEASABLE.has(held.reason) ? undefined : held.explanation,
    },
  };
}
