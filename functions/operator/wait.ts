import { setTimeout as sleep } from "node:timers/promises";
import type { ActivityLog } from "../activity/activity-log.ts";
import { type Activity, activityInWords } from "../core/activity.ts";
import type { Braked } from "../core/brake.ts";
import type { SubjectRecord } from "../core/record.ts";
import { clockTime, hindrance, nextAttempt } from "../core/status.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { type Drift, takesAway } from "../reconcile/drift-report.ts";
import { sideBySide } from "../side-by-side.ts";
import { nextAtOf, type OrganizationSources, statusOf } from "./status.ts";

/** Somebody for whom a job was sent. */
export interface Awaited {
  organization: string;
  subject: string;
  /** The person's entry before the job was sent: what is different afterwards is the job's. */
  before: SubjectRecord | undefined;
  /** What the job would take away, which a brake may hold. */
  loses: Braked | undefined;
}

/** What became of a job. */
export type Fate =
  | { result: "done"; words: string | undefined }
  | { result: "ignored"; words: string }
  | { result: "parked"; reason: string; problem: string }
  | { result: "held"; braked: Braked };

export interface WaitState {
  /** Whose jobs have ended since the last report, and how. */
  ended: { awaited: Awaited; fate: Fate }[];
  /** How many have not ended yet. */
  waiting: number;
}

export interface WaitSources {
  ledger: Pick<Ledger, "subjects" | "deadLetters" | "brakes">;
  /** Where it can soon be read what jobs did: on one machine. */
  activities?: ActivityLog | undefined;
  /** When the first job was sent (milliseconds since the epoch). */
  since: number;
  /** How long between two looks, in milliseconds. */
  everyMs: number;
  /** Ends the wait; the jobs go on. */
  signal: AbortSignal;
}

const AT_ONCE = 8;
/** Entries read in one look: roughly how many people can be in progress at a time. */
const LOOKED_AT = 100;
/** Activities arrive a moment after the ledger is written: how many looks to wait for what a job did. */
const LOOKS_FOR_WORDS = 5;
/** How far back activities from before the wait are read. */
const MOST_TOLD = 1_000;

/** Somebody whom a run has sent a job for. */
export function awaitedOf(organization: string, drift: Drift): Awaited {
  const loses = takesAway(drift) ? "deprovisions" : drift.losesGroup ? "leaves" : undefined;
  return { organization, subject: drift.subject, before: drift.record, loses };
}

/**
 * Waits until all of these jobs have ended, whichever process does them, and reports how each ended. Also ends when those that are
 * left are held by a brake, or when it is stopped.
 *
 * @throws {Failure} when the ledger cannot be read
 */
export async function* waitForJobs(sources: WaitSources, jobs: readonly Awaited[]): AsyncGenerator<WaitState> {
  const { activities, everyMs, signal } = sources;
  let waiting = [...jobs];
  const heard = new Map<string, Activity>();
  const silentLooks = new Map<Awaited, number>();
  const isTold = (awaited: Awaited, fate: Fate): boolean => {
    if (!activities || fate.result !== "done" || fate.words !== undefined) return true;
    const looks = (silentLooks.get(awaited) ?? 0) + 1;
    silentLooks.set(awaited, looks);
    return looks > LOOKS_FOR_WORDS;
  };
  let page = await activities?.last({ since: sources.since }, MOST_TOLD);
  for (;;) {
    hear(page?.activities ?? [], heard);
    const looked = waiting.slice(0, LOOKED_AT);
    const ended: WaitState["ended"] = [];
    const left = new Set(looked);
    await sideBySide(looked, AT_ONCE, async (awaited) => {
      const fate = await fateOf(sources, awaited, heard.get(keyOf(awaited)));
      if (!fate || !isTold(awaited, fate)) return;
      ended.push({ awaited, fate });
      left.delete(awaited);
    });
    // Those that had not ended are looked at again after the others.
    waiting = [...waiting.slice(LOOKED_AT), ...left];
    yield { ended, waiting: waiting.length };
    if (waiting.length === 0 || signal.aborted) return;
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    page = page && (await activities?.after(page.next, {}));
  }
}

/** Notes what jobs did, the latest of each person. */
function hear(activities: readonly Activity[], heard: Map<string, Activity>): void {
  for (const each of activities) {
    const { kind, organization, subject } = each;
    if (kind === "job" && subject !== undefined) heard.set(keyOf({ organization, subject }), each);
  }
}

/**
 * Why jobs may take longer: what `status` says of their organizations, or of a single job what its last attempt said. One sentence,
 * without its end; undefined where nothing is in their way.
 *
 * @param at the time now (milliseconds since the epoch)
 * @throws {Failure} when ledger or queue cannot be read
 */
export async function hindranceOf(
  sources: OrganizationSources,
  waiting: readonly Pick<Awaited, "organization" | "subject">[],
  at: number,
): Promise<string | undefined> {
  for (const slug of new Set(waiting.map(({ organization }) => organization))) {
    const found = hindrance(await statusOf(sources, slug, at), at);
    const [only, ...others] = waiting;
    const stops = found?.kind === "unusable" || found?.kind === "paused";
    const own = stops || !only || others.length > 0 ? undefined : await lastFailure(sources, only, at);
    if (own ?? found) return own ?? found?.sentence;
  }
  return undefined;
}

/** Of how many of somebody's latest activities the last job's is looked for. */
const LATEST = 20;

async function lastFailure(
  { activities }: OrganizationSources,
  { organization, subject }: Pick<Awaited, "organization" | "subject">,
  at: number,
): Promise<string | undefined> {
  const page = await activities?.last({ organization, subject }, LATEST);
  const last = page?.activities.findLast(({ kind }) => kind === "job");
  if (last?.result !== "retried") return undefined;
  const { problem = "it failed" } = last;
  return `the attempt at ${clockTime(last.at, at)} failed: ${problem}${nextAttempt(nextAtOf(last), at)}`;
}

const keyOf = ({ organization, subject }: Pick<Awaited, "organization" | "subject">) => `${organization}#${subject}`;

/** Which brake a failure's code speaks of: core/brake.ts. */
const BRAKED: Readonly<Record<string, Braked>> = { "brake-held": "deprovisions" };

/** What became of a job, by the person's entry; undefined while it has not ended. */
async function fateOf(
  { ledger }: WaitSources,
  { organization, subject, before, loses }: Awaited,
  heard: Activity | undefined,
): Promise<Fate | undefined> {
  const record = await ledger.subjects.get(organization, subject);
  const parkedAt = record?.refused?.at;
  if (parkedAt !== undefined && parkedAt !== before?.refused?.at) {
    const letter = await ledger.deadLetters.get(organization, subject);
    // The mark is written before the dead letter. Without one when the job is heard to be over, somebody has dropped it.
    if (!letter && heard?.result !== "parked") return undefined;
    return { result: "parked", reason: letter?.reason ?? "unknown", problem: letter?.message ?? "it was refused" };
  }
  const readAt = record?.applied?.readAt;
  if (readAt !== undefined && readAt !== before?.applied?.readAt) {
    const isAbout = heard?.result === "applied" || heard?.result === "unchanged";
    return { result: "done", words: isAbout ? activityInWords(heard) : undefined };
  }
  if (heard?.result === "held") return { result: "held", braked: BRAKED[heard.code ?? ""] ?? "leaves" };
  if (heard?.result === "ignored") return { result: "ignored", words: activityInWords(heard) };
  if (heard?.result === "unchanged") return { result: "done", words: activityInWords(heard) };
  if (loses && (await ledger.brakes.get(organization, loses))?.state.held) return { result: "held", braked: loses };
  return undefined;
}
