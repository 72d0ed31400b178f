import { randomUUID } from "node:crypto";
import type { Clients, OrganizationClients } from "../clients.ts";
import { type Clocks, clockProblem } from "../clocks.ts";
import type { Organizations } from "../config/organizations.ts";
import type { Held } from "../core/brake.ts";
import { isWithin } from "../core/clock.ts";
import { OrganizationUnknown } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import { departed, isRefusalHeeded, newRecord, queued, unqueued, vanished } from "../core/record.ts";
import { LOCK_MS, type RunFindings } from "../core/schedule.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { createBrake } from "../provision/brake.ts";
import type { Sender } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counters } from "../telemetry/metrics.ts";
import {
  type Drift,
  type DriftReport,
  driftReport,
  type FullReport,
  isUrgent,
  type Mode,
  onlyLeaves,
  takesAway,
} from "./drift-report.ts";
import type { Pace } from "./pace.ts";
import { recordRun } from "./record-run.ts";
import { type UnknownAccounts, unknownOfRun } from "./unknown.ts";

export interface ReconcileDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  queue: Pick<Sender, "sendAll">;
  log: Log;
  counters: Counters;
  /** Whether organizations that the ledger does not know yet start paused. */
  startsPaused?: boolean;
  now?: () => number;
}

export interface ReconcileOptions {
  /** How many more people than the brakes' limits may lose access, or a group; an operator has said so. */
  allowDeprovisions?: number;
  allowLeaves?: number;
  /** When it passes, a run that still reads fails, and one that sends leaves the rest to the next run. */
  deadline?: AbortSignal;
  onProgress?: (phase: string, count: number) => void;
  /**
   * What a full look has found and an operator has been shown: jobs are sent for just that, and nothing is read again; each job reads
   * the current state. `readAt` is when the look began (milliseconds since the epoch).
   */
  shown?: { report: FullReport; readAt: number };
  /** Only finds out what would be sent: takes no lock, writes nothing. */
  dryRun?: boolean;
  /** Asked before jobs are sent that are not urgent; without it they are all sent at once. */
  pace?: Pace;
  /** Called with those for whom jobs were sent, some at a time. */
  onSent?: (drifts: readonly Drift[]) => void;
}

/**
 * What a run did. `busy`: another run of this organization is under way. `unreadable`: it has no API key to read the directory
 * with. `paused`: an operator has not resumed it. All three did nothing.
 */
export type Run = { result: "busy" | "unreadable" | "paused" } | CompletedRun;

export interface CompletedRun {
  result: "done";
  report: DriftReport;
  /** Jobs that were sent. */
  sent: number;
  /** Differences for which a job waits already, or was refused and is not to be tried again yet. */
  waiting: number;
  refused: number;
  /** Why nobody was deprovisioned, or nobody who was not read, if so. */
  held: Held | undefined;
  /** Why nobody was taken out of a group, if so. */
  heldLeaves: Held | undefined;
  /** What a full run found of accounts that nobody is known to have; undefined where another organization's run lists them. */
  unknown?: UnknownAccounts;
}

/** Finds what is out of sync in one organization, and sends a job for each person. Writes nothing to Nextcloud. */
export type Reconcile = (slug: string, mode: Mode, options?: ReconcileOptions) => Promise<Run>;

const DAY_MS = 24 * 60 * 60_000;
/**
 * How long a mark is believed that a job waits. A job cannot be in the queue for more than 14 days; a full run asks sooner,
 * in case that a run was killed between marking and sending.
 */
const QUEUED_MS: Record<Mode, number> = { light: 14 * DAY_MS, full: DAY_MS };
/** How many people are marked and sent together: a failure takes back just these marks. */
const BATCH = 10;

export function createReconcile(dependencies: ReconcileDependencies): Reconcile {
  const { organizations, clients, ledger, startsPaused = false, now = Date.now } = dependencies;
  const brake = createBrake(ledger, now);
  const isPaused = createAskPaused(ledger, startsPaused);
  const isLeftOut = async (other: Organization) => other.clavex.apiKey === undefined || isPaused(other);
  return async (slug, mode, options = {}) => {
    const organization = await organizations.get(slug);
    if (!organization) throw new OrganizationUnknown(slug);
    if (organization.clavex.apiKey === undefined) return { result: "unreadable" };
    if (await isPaused(organization)) return { result: "paused" };
    const { allowDeprovisions: deprovisions = 0, allowLeaves: leaves = 0, shown, dryRun, ...rest } = options;
    const allowing = { deprovisions, leaves };
    const own = clients.of(organization);
    const { ahead, latest } = own.clocks;
    const looking = { ledger, clients: own, now, ...rest, allowing };
    if (dryRun) return previewOf(await driftReport(organization, mode, looking), now());
    const release = await ledger.locks.take(slug, "reconcile", now(), now() + LOCK_MS[mode]);
    if (!release) return { result: "busy" };
    let run: CompletedRun;
    try {
      const work = async (): Promise<CompletedRun> => {
        const report = shown?.report ?? (await driftReport(organization, mode, looking));
        // A quiet organization has no jobs by which its slug would be remembered.
        await ledger.identities.rememberSlug(organization.organizationId, slug);
        if (report.mode === "full") await releaseClaims(ledger, organization.slug, own, report);
        if (report.mode === "full") await keepProofs({ ledger, now }, organization, report, latest());
        for (const braked of ["deprovisions", "leaves"] as const)
          if (allowing[braked] > 0) await brake.allow(slug, allowing[braked], braked);
        const done = await sendJobs({ ...dependencies, now }, report, options);
        logRun(dependencies, done, slug);
        logClocks(dependencies, slug, ahead());
        return done;
      };
      run = await recordRun({ ledger, now }, slug, mode, work, { findingsOf, readAt: shown?.readAt });
    } finally {
      await release();
    }
    // Last: it reads other organizations' directories, and none may hold up this one.
    const { report } = run;
    if (report.mode !== "full") return run;
    const { deadline } = options;
    const unknown = await unknownOfRun({ ...dependencies, deadline }, organization, report.foreign, isLeftOut);
    if (!unknown) return run;
    logUnknown(dependencies, slug, unknown);
    return { ...run, unknown };
  };
}

/** What the ledger remembers of a run, for whoever asks how things are. */
function findingsOf({ report, sent, held, heldLeaves }: CompletedRun): RunFindings {
  const { people, differences } = report;
  return {
    people,
    ...(report.mode === "full" ? { accounts: report.accounts } : {}),
    differences: differences.length,
    sent,
    enabled: report.enabled,
    leaversStillEnabled: report.leaversStillEnabled,
    ...(held ? { held } : {}),
    ...(heldLeaves ? { heldLeaves } : {}),
  };
}

function logUnknown({ log, counters }: ReconcileDependencies, organization: string, unknown: UnknownAccounts): void {
  if (!unknown.listed) {
    log.info("unknown accounts not looked for", { organization, problem: unknown.reason });
    return;
  }
  const { accounts, unread } = unknown;
  if (accounts.length === 0) return;
  counters.count("UnknownAccounts");
  const problem =
    "enabled accounts of user_oidc that no organization computes or claims; see: npx clavex-nextcloud unknown list";
  log.warn("unknown accounts", { organization, accounts: accounts.length, unread, problem });
}

/** A clock that jumps while everything runs is found here, not only by who asks `doctor`. */
function logClocks({ log }: ReconcileDependencies, organization: string, ahead: ReturnType<Clocks["ahead"]>): void {
  for (const [server, milliseconds] of ahead) {
    const wrong = clockProblem(server, milliseconds);
    if (wrong) log.warn("clocks differ", { organization, ...wrong });
  }
}

/**
 * The claims of groups that are gone have ended, and with them what the entries know of memberships. When an entry was written
 * in between, the next run does it.
 */
async function releaseClaims(
  { claims, subjects }: Ledger,
  slug: string,
  { nextcloudOrigin }: Pick<OrganizationClients, "nextcloudOrigin">,
  { vanished: { gids, members } }: FullReport,
): Promise<void> {
  for (const record of members) if (!(await subjects.tryPut(slug, departed(record, gids)))) return;
  for (const gid of gids) await claims.releaseGroup(nextcloudOrigin, gid, slug);
}

/** What a full run proves of Nextcloud is written down for the worker, which sees one account at a time. */
async function keepProofs(
  { ledger, now }: Pick<Sending, "ledger" | "now">,
  { slug, nextcloud: { baseUrl } }: Organization,
  report: FullReport,
  latest: number,
): Promise<void> {
  for (const { record, desired } of report.lost) await ledger.subjects.tryPut(slug, vanished(record, desired, latest));
  if (report.filesInNewAccount) await ledger.skeletons.put(baseUrl, { empty: false, at: now() });
}

type Sending = Pick<ReconcileDependencies, "ledger" | "queue"> & { now: () => number };

/**
 * First what gives access and what takes it away. The rest, which may be thousands of names or quotas, is sent last and as
 * slowly as it is worked on: new people and leavers do not wait behind it.
 */
async function sendJobs(sending: Sending, report: DriftReport, options: ReconcileOptions): Promise<CompletedRun> {
  const { deadline, pace, onProgress = () => undefined } = options;
  const { staying, leaving, ...counts } = select(report, sending.now());
  const { held, heldLeaves } = report;
  const run: CompletedRun = { result: "done", report, sent: 0, ...counts, held, heldLeaves };
  const source = randomUUID();
  const foundAt = sending.now();
  /** Returns whether there was time for all. */
  const send = async (drifts: Drift[], paced?: Pace): Promise<boolean> => {
    for (let index = 0; index < drifts.length; index += BATCH) {
      const batch = drifts.slice(index, index + BATCH);
      await paced?.(batch.length, deadline);
      if (deadline?.aborted) return false;
      await sendMarked(sending, report.organization, batch, { source, foundAt });
      run.sent += batch.length;
      options.onSent?.(batch);
      onProgress("jobs sent", run.sent);
    }
    return true;
  };
  const sendUrgent = async (drifts: Drift[]): Promise<void> => {
    if (await send(drifts)) return;
    run.held ??= {
      reason: "time-over",
      holds: "everybody",
      people: leaving.length,
      explanation: "the time of this run is over: what was not sent is left to the next one",
    };
  };
  await sendUrgent(staying.filter(isUrgent));
  if (run.held?.holds !== "everybody") await sendUrgent(leaving);
  // What there is no time for is found again by the next run: nobody's access depends on it.
  await send(
    staying.filter((drift) => !isUrgent(drift)),
    pace,
  );
  return run;
}

/** What a run would do that found this. */
function previewOf(report: DriftReport, now: number): CompletedRun {
  const { staying, leaving, ...counts } = select(report, now);
  const { held, heldLeaves } = report;
  const sent = staying.length + (held?.holds === "everybody" ? 0 : leaving.length);
  return { result: "done", report, sent, ...counts, held, heldLeaves };
}

interface Selected {
  /** Those for whom a job has to be sent now, and who keep their access. */
  staying: Drift[];
  /** Those who lose it, if no brake holds everybody. */
  leaving: Drift[];
  waiting: number;
  refused: number;
}

/** Those for whom a job has to be sent now, and how many wait already or were refused. */
function select({ mode, differences, heldLeaves }: DriftReport, now: number): Selected {
  const due: Drift[] = [];
  let [waiting, refused] = [0, 0];
  for (const drift of differences) {
    const { record, hash } = drift;
    const mark = record?.queued?.hash === hash ? record.queued.at : undefined;
    if (isWithin(mark, QUEUED_MS[mode], now) || waitsForEdit(drift)) waiting += 1;
    // A full run looks at the account, and comes once a day: what it finds different is tried again, the cause may be gone.
    else if (mode === "light" && isRefusalHeeded(record, hash, takesAway(drift), now)) refused += 1;
    else due.push(drift);
  }
  const staying = due.filter((drift) => !takesAway(drift) && !(heldLeaves && onlyLeaves(drift)));
  return { staying, leaving: due.filter(takesAway), waiting, refused };
}

/** Whether all that is left to do waits for its turn: the ticks send those jobs. */
function waitsForEdit(drift: Drift): boolean {
  const left = "operations" in drift ? drift.operations : [];
  return drift.record?.pendingEdit !== undefined && left.length > 0 && left.every(({ kind }) => kind === "edit");
}

/**
 * Marks the people as waiting, and sends their jobs. In this order: the worker may have a job at once, and must not find the
 * record changed meanwhile. When either fails, the marks are removed again.
 */
async function sendMarked(
  sending: Sending,
  slug: string,
  batch: Drift[],
  { source, foundAt }: { source: string; foundAt: number },
): Promise<void> {
  const marks = await Promise.allSettled(batch.map((drift) => markQueued(sending, slug, drift)));
  try {
    for (const mark of marks) if (mark.status === "rejected") throw mark.reason;
    await sending.queue.sendAll(
      batch.map((drift) => jobOf(slug, drift, foundAt)),
      source,
    );
  } catch (error) {
    await Promise.all(marks.map((mark) => mark.status === "fulfilled" && mark.value()));
    throw error;
  }
}

/**
 * Only on top of the record that was read; one written since then gets no mark.
 *
 * @returns a function that takes the mark back
 */
async function markQueued(
  { ledger, now }: Sending,
  slug: string,
  { subject, accountId, hash, record }: Drift,
): Promise<() => Promise<void>> {
  const before = record ?? newRecord(subject, accountId);
  const marked = await ledger.subjects.tryPut(slug, queued(before, hash, now()));
  if (!marked) return async () => undefined;
  return async () => void (await ledger.subjects.tryPut(slug, unqueued(marked, before.queued)).catch(() => undefined));
}

function jobOf(organization: string, { subject, kind }: Drift, foundAt: number): Job {
  return {
    version: 2,
    kind: kind === "delete" ? "purge" : "person",
    organization,
    subject,
    trigger: { kind: "reconcile", reason: "drift", foundAt },
  };
}

function logRun({ log, counters }: ReconcileDependencies, run: CompletedRun, organization: string): void {
  const { report, sent, waiting, refused, held, heldLeaves } = run;
  if (held) {
    counters.count("BrakeHeld");
    const { reason, people, explanation: problem } = held;
    log.error("deprovisioning held", { organization, reason, people, problem });
  }
  if (heldLeaves) {
    counters.count("LeavesHeld");
    const { reason, people, explanation: problem } = heldLeaves;
    log.error("leaves held", { organization, reason, people, problem });
  }
  const groups = report.unreadGroups;
  if (groups.length > 0) {
    const problem = "Clavex cannot show their members: memberships of these groups stay as they are";
    log.warn("groups unreadable", { organization, groups, problem });
  }
  if (report.leaversStillEnabled > 0) counters.measure("LeaversStillEnabled", report.leaversStillEnabled);
  log.info("reconcile", {
    organization,
    mode: report.mode,
    people: report.people,
    known: report.known,
    leaversStillEnabled: report.leaversStillEnabled > 0 ? report.leaversStillEnabled : undefined,
    accounts: report.mode === "full" ? report.accounts : undefined,
    differences: report.differences.length,
    sent,
    waiting,
    refused,
    notes: report.notes.length,
  });
}
