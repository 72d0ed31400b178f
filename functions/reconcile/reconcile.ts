import { randomUUID } from "node:crypto";
import type { Clients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { ConfigurationError } from "../core/failure.ts";
import { GRACE_OVER } from "../core/grace.ts";
import type { Job } from "../core/job.ts";
import { LedgerConflict } from "../ledger/errors.ts";
import { type Ledger, newEntry } from "../ledger/ledger.ts";
import { createBrake } from "../provision/brake.ts";
import type { Queue } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counters } from "../telemetry/metrics.ts";
import { type Drift, type DriftReport, driftReport, type Held, type Mode, takesAway } from "./drift-report.ts";

export interface ReconcileDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  queue: Pick<Queue, "sendAll">;
  log: Log;
  counters: Counters;
  now?: () => number;
}

export interface ReconcileOptions {
  /** So many more people than the brake's limit may lose access; an operator has said so. */
  allowDeprovisions?: number;
  /** Asked again and again: when false, a run that still reads fails, and one that sends leaves the rest to the next run. */
  hasTime?: () => boolean;
  onProgress?: (phase: string, count: number) => void;
}

/** What a run did. */
export interface Run {
  /**
   * `busy`: another run of this organization is under way. `unreadable`: it has no API key to read the directory with. Both
   * did nothing.
   */
  result: "done" | "busy" | "unreadable";
  survey: DriftReport | undefined;
  /** Jobs that were sent. */
  sent: number;
  /** Differences for which a job waits already, or was refused and nothing has changed since. */
  waiting: number;
  refused: number;
  /** Why nobody was deprovisioned, if so. */
  held: Held | undefined;
}

/** Finds what is not as it should be in one organization, and sends a job for each person. Writes nothing to Nextcloud. */
export type Reconcile = (slug: string, mode: Mode, options?: ReconcileOptions) => Promise<Run>;

const DAY_MS = 24 * 60 * 60_000;
/**
 * How long a mark is believed that a job waits. A job cannot be in the queue for more than 14 days; a full run asks sooner,
 * in case that a run was killed between marking and sending.
 */
const QUEUED_MS: Record<Mode, number> = { light: 14 * DAY_MS, full: DAY_MS };
/** Longer than a run may take, so that a killed run does not block the next one for long. */
const LOCK_MS = 16 * 60_000;

export function createReconcile(dependencies: ReconcileDependencies): Reconcile {
  const { organizations, clients, ledger, queue, log, counters, now = Date.now } = dependencies;
  const brake = createBrake(ledger, now);

  return async (slug, mode, options = {}) => {
    const organization = await organizations.get(slug);
    if (!organization) throw new ConfigurationError("organization-unknown", [`there is no organization ${slug}`]);
    if (organization.clavex.apiKey === undefined) return nothing("unreadable");
    const release = await ledger.lock(slug, "reconcile", now(), now() + LOCK_MS);
    if (!release) return nothing("busy");
    try {
      const { onProgress, hasTime, allowDeprovisions: allowing } = options;
      const system = clients.of(organization);
      const found = await driftReport(organization, mode, {
        ledger,
        system,
        now,
        ...(allowing === undefined ? {} : { allowing }),
        ...(onProgress ? { onProgress } : {}),
        ...(hasTime ? { hasTime } : {}),
      });
      if (allowing !== undefined) await brake.allow(slug, allowing);
      const run = await sendJobs(found, options);
      report(run, mode, slug);
      return run;
    } finally {
      await release();
    }
  };

  async function sendJobs(
    found: DriftReport,
    { hasTime = () => true, onProgress = () => undefined }: ReconcileOptions,
  ): Promise<Run> {
    const run: Run = { result: "done", survey: found, sent: 0, waiting: 0, refused: 0, held: found.held };
    const due = found.differences.filter((difference) => {
      const { entry, hash } = difference;
      const marked = entry?.queuedHash === hash ? entry.queuedAt : undefined;
      const waits = marked !== undefined && now() - marked < QUEUED_MS[found.mode];
      // A full run looks at the account, and comes once a day: what it finds different is tried again, the cause may be gone.
      const refused = found.mode === "light" && entry?.refusedHash === hash;
      if (waits) run.waiting += 1;
      else if (refused) run.refused += 1;
      return !waits && !refused;
    });
    const source = randomUUID();
    const leaving = due.filter(takesAway);
    const send = async (differences: Drift[]): Promise<void> => {
      for (let index = 0; index < differences.length; index += 10) {
        if (!hasTime()) {
          run.held ??= {
            reason: "time-over",
            people: leaving.length,
            explanation: "the time of this run is over: what was not sent is left to the next one",
          };
          return;
        }
        const batch = differences.slice(index, index + 10);
        await sendMarked(found.organization, batch, source);
        run.sent += batch.length;
        onProgress("jobs sent", run.sent);
      }
    };
    await send(due.filter((difference) => !takesAway(difference)));
    if (!run.held) await send(leaving);
    return run;
  }

  /**
   * Marks the people as waiting, and sends their jobs. In this order: the worker may have a job at once, and must not find the
   * entry changed under its hands. When either fails, the marks are taken back.
   */
  async function sendMarked(slug: string, batch: Drift[], source: string): Promise<void> {
    const marks = await Promise.allSettled(batch.map((difference) => markQueued(slug, difference)));
    try {
      for (const mark of marks) if (mark.status === "rejected") throw mark.reason;
      const jobs = batch.map((difference) => job(slug, difference));
      await queue.sendAll(jobs, source);
    } catch (error) {
      await Promise.all(marks.map((mark) => mark.status === "fulfilled" && mark.value()));
      throw error;
    }
  }

  /**
   * Only on top of the entry that was read; one that was written since is left without a mark.
   *
   * @returns a function that takes the mark back
   */
  async function markQueued(slug: string, { subject, accountId, hash, entry }: Drift): Promise<() => Promise<void>> {
    const { revision, ...kept } = entry ?? { ...newEntry({ subject, accountId }), revision: undefined };
    try {
      const marked = await ledger.putSubject(slug, { ...kept, queuedHash: hash, queuedAt: now() }, revision);
      return async () => void (await ledger.putSubject(slug, kept, marked.revision).catch(() => undefined));
    } catch (error) {
      if (!(error instanceof LedgerConflict)) throw error;
      return async () => undefined;
    }
  }

  function report(run: Run, mode: Mode, slug: string): void {
    const { survey: found, sent, waiting, refused, held } = run;
    if (held) {
      counters.count("BrakeHeld");
      log.error("deprovisioning held", {
        organization: slug,
        reason: held.reason,
        people: held.people,
        problem: held.explanation,
      });
    }
    log.info("reconcile", {
      organization: slug,
      mode,
      people: found?.people,
      known: found?.known,
      accounts: found?.accounts,
      differences: found?.differences.length,
      sent,
      waiting,
      refused,
      notes: found?.notes.length,
    });
  }
}

function nothing(result: Run["result"]): Run {
  return { result, survey: undefined, sent: 0, waiting: 0, refused: 0, held: undefined };
}

function job(organization: string, { subject, kind }: Drift): Job {
  const trigger = { kind: "reconcile" as const, ...(kind === "delete" ? { event: GRACE_OVER } : {}) };
  return { version: 1, organization, subject, trigger };
}
