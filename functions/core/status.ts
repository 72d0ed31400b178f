import type { Braked, Held } from "./brake.ts";
import type { Server } from "./failure.ts";
import type { LastRuns, RunFindings, RunKind } from "./schedule.ts";
import { counted } from "./text.ts";

/** Jobs that are in the queue. */
export interface WaitingJobs {
  /** All of them; those that were tried and wait for their next attempt among them. */
  jobs: number;
  delayed: number;
  /** How old the oldest is, in milliseconds; undefined where the queue does not tell. */
  oldestAgeMs: number | undefined;
}

/** Who is held. */
export interface HeldPeople {
  /** Since when the brake holds them; undefined where only the last run did. */
  since: number | undefined;
  /** How many the last run counted; undefined where it held nobody. */
  people: number | undefined;
  /** What the last run said about it, where more than the brake's limit was the reason. */
  explanation: string | undefined;
}

/** What is known of one organization from ledger and queue alone. Times are milliseconds since the epoch. */
export interface OrganizationStatus {
  organization: string;
  /** Why its configuration cannot be used, if so. */
  unusable: string | undefined;
  /** Whether its directory can be read; where it cannot, there are no runs. */
  readable: boolean;
  paused: boolean;
  /** People in the directory, as the last run saw them. */
  people: number | undefined;
  /** Accounts of theirs in Nextcloud, as the last full run saw them. */
  accounts: number | undefined;
  /** Accounts that the ledger knew as enabled at the last run; undefined before one. */
  enabled: number | undefined;
  /** Undefined where the queue does not tell organizations apart. */
  jobs: WaitingJobs | undefined;
  /** Why jobs are tried again, and when the next attempt is. */
  waitsFor: { server: Server | undefined; problem: string; nextAt?: number | undefined } | undefined;
  /** Changes of e-mail address or quota that wait for Nextcloud's limit. */
  editsWaiting: number;
  runs: LastRuns;
  held: Partial<Record<Braked, HeldPeople>>;
  deadLetters: number;
  /** How far dead letters and waiting edits were counted: as many are as many or more. Undefined: to the end. */
  countedTo?: number | undefined;
  /** People who left and whose account Nextcloud refuses to disable. */
  leaversStillEnabled: number;
}

/** The status of all organizations. */
export interface PipelineStatus {
  at: number;
  organizations: OrganizationStatus[];
  /** Jobs of all organizations. */
  jobs: WaitingJobs;
  /** Messages that no attempt could read, or that were given up. */
  unread: number;
  /** Why nobody works on the queue, if so, and what to do. */
  stopped: { cause: string; fix: string } | undefined;
}

/** Something that keeps people from being in sync, with what to do about it. */
export interface Concern {
  kind:
    | "stopped"
    | "unusable"
    | "leavers"
    | "held"
    | "waiting"
    | "runs"
    | "dead-letters"
    | "unread"
    | "paused"
    | "not-reconciled"
    | "edits"
    | "under-way";
  organization?: string;
  /** One sentence, without its end. */
  sentence: string;
  /** Exact commands, or sentences where there is no command; none where it passes by itself. */
  fixes: string[];
}

/** What is shown first: one sentence, then what to do, the most urgent first. */
export interface Assessment {
  sentence: string;
  /** Whether everybody is in sync, as far as can be known. */
  inSync: boolean;
  concerns: Concern[];
}

/** The most urgent first: leavers who can still log in, what is held, stopped or refused, and what only takes time. */
const ORDER: Concern["kind"][] = [
  "stopped",
  "unusable",
  "leavers",
  "held",
  "waiting",
  "runs",
  "dead-letters",
  "unread",
  "paused",
  "not-reconciled",
  "edits",
  "under-way",
];

/** Judges a status. In sync: the last full run's differences are applied, nothing waits, and there are no dead letters. */
export function assess(status: PipelineStatus): Assessment {
  const { organizations, jobs, unread, stopped, at } = status;
  const concerns: Concern[] = organizations.flatMap((each) => concernsOf(each, at));
  if (stopped) concerns.push({ kind: "stopped", sentence: stopped.cause, fixes: [stopped.fix] });
  const told = organizations.every((each) => each.jobs !== undefined);
  if (!told && jobs.jobs > 0) {
    const sentence = `${counted(jobs.jobs, "job waits", "jobs wait")} in the queue or ${jobs.jobs === 1 ? "is" : "are"} under way`;
    concerns.push({ kind: "under-way", sentence, fixes: [] });
  }
  if (unread > 0) {
    const sentence = `${counted(unread, "message was", "messages were")} given up by the queue`;
    concerns.push({ kind: "unread", sentence, fixes: [command("dead-letters list --reason job-unreadable")] });
  }
  concerns.sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
  const [first] = concerns;
  if (!first) return { sentence: `${inSyncSentence(organizations, at)}.`, inSync: true, concerns };
  const whose = first.organization !== undefined && organizations.length > 1 ? `${first.organization}: ` : "";
  return { sentence: `${whose}${capital(first.sentence)}.`, inSync: false, concerns };
}

function concernsOf(status: OrganizationStatus, at: number): Concern[] {
  const { organization, unusable } = status;
  const of = (kind: Concern["kind"], sentence: string, ...fixes: string[]): Concern => ({
    kind,
    organization,
    sentence,
    fixes: fixes.map((fix) => command(fix, organization)),
  });
  if (unusable !== undefined)
    return [of("unusable", `the configuration of ${organization} cannot be used: ${unusable}`, "doctor")];
  const { leaversStillEnabled, editsWaiting, deadLetters, countedTo, paused } = status;
  const concerns: Concern[] = [];
  if (leaversStillEnabled > 0) {
    const people = counted(leaversStillEnabled, "person who left", "people who left");
    concerns.push(of("leavers", `${people} can still log in: Nextcloud refuses to disable them`, "dead-letters list"));
  }
  // While it is paused, nothing else matters.
  if (paused) return [...concerns, of("paused", `the organization ${organization} is paused`, "plan", "resume")];
  for (const braked of ["deprovisions", "leaves"] as const) concerns.push(...heldConcern(status, braked, at, of));
  concerns.push(...jobConcern(status, at, of), ...runConcern(status, of));
  if (deadLetters > 0)
    concerns.push(
      of(
        "dead-letters",
        `${counted(deadLetters, "person was", "people were", countedTo)} refused by Nextcloud`,
        "dead-letters list",
      ),
    );
  if (editsWaiting > 0) {
    const sentence = `${counted(editsWaiting, "change", "changes", countedTo)} of e-mail address or quota wait for Nextcloud's limit`;
    concerns.push(of("edits", sentence));
  }
  return concerns;
}

type Of = (kind: Concern["kind"], sentence: string, ...fixes: string[]) => Concern;

function heldConcern({ held }: OrganizationStatus, braked: Braked, at: number, of: Of): Concern[] {
  const found = held[braked];
  if (!found) return [];
  const { people, since, explanation } = found;
  const what = braked === "deprovisions" ? "Deprovisioning is blocked" : "Leaving groups is blocked";
  const whom = people === undefined ? "" : ` for ${counted(people, "person", "people")}`;
  const time = since === undefined ? "" : `, since ${clockTime(since, at)}`;
  if (explanation !== undefined) return [of("held", `${what}${whom}${time}: ${explanation}`, "plan")];
  return [of("held", `${what}${whom}${time}`, "plan", `reconcile --allow-${braked} ${people ?? "NUMBER"}`)];
}

function jobConcern({ jobs, waitsFor }: OrganizationStatus, at: number, of: Of): Concern[] {
  if (jobs === undefined || jobs.jobs === 0) return [];
  const since = jobs.oldestAgeMs === undefined ? "" : `, since ${clockTime(at - jobs.oldestAgeMs, at)}`;
  if (jobs.delayed > 0 && waitsFor) {
    const server = waitsFor.server === undefined ? "another attempt" : SERVERS[waitsFor.server];
    const sentence = `${counted(jobs.delayed, "person waits", "people wait")} for ${server}${since}: ${waitsFor.problem}${nextAttempt(waitsFor.nextAt, at)}`;
    return [of("waiting", sentence, "doctor", "activity --result retried")];
  }
  const sentence = `${counted(jobs.jobs, "job is", "jobs are")} under way${since}`;
  return [of("under-way", sentence)];
}

/** When something is tried again, as the end of a sentence; nothing where that is not known, or is now. */
export function nextAttempt(nextAt: number | undefined, at: number): string {
  return nextAt === undefined || nextAt <= at ? "" : `; next attempt at ${clockTime(nextAt, at, "second")}`;
}

/** What keeps jobs of an organization from being done now. */
const HINDRANCES: Concern["kind"][] = ["unusable", "paused", "waiting", "held"];

/** Why jobs of an organization may not be done now; undefined where nothing is in their way. */
export function hindrance(status: OrganizationStatus, at: number): Pick<Concern, "kind" | "sentence"> | undefined {
  const concerns = concernsOf(status, at);
  return HINDRANCES.map((kind) => concerns.find((each) => each.kind === kind)).find((each) => each !== undefined);
}

const SERVERS: Record<Server, string> = { nextcloud: "Nextcloud", clavex: "Clavex" };

function runConcern({ readable, runs, organization }: OrganizationStatus, of: Of): Concern[] {
  if (!readable) return [];
  for (const kind of ["full", "light", "watch"] as const) {
    const { result = "done" } = runs[kind] ?? {};
    if (result !== "done")
      return [of("runs", `the last ${RUNS[kind]} failed: ${result}`, "doctor", "activity --result failed")];
  }
  const held = latestFindings(runs)?.held;
  if (held && isPartialRead(held)) return [of("runs", held.explanation, "doctor")];
  if (runs.full?.doneAt !== undefined) return [];
  return [of("not-reconciled", `no full reconciliation of ${organization} has ended yet`, "plan", "apply")];
}

const RUNS: Record<RunKind, string> = {
  full: "full reconciliation",
  light: "light reconciliation",
  watch: "group watch",
};

function inSyncSentence(organizations: readonly OrganizationStatus[], at: number): string {
  const read = organizations.filter(({ readable }) => readable);
  const blind = organizations.length - read.length;
  const numbers = new Intl.NumberFormat("en");
  if (read.length === 0) return "All that Clavex has delivered is done";
  const people = read.reduce((sum, each) => sum + (each.people ?? each.enabled ?? 0), 0);
  const since = Math.min(...read.map(({ runs }) => runs.full?.doneAt ?? at));
  const all = people === 1 ? "The only person is" : `All ${numbers.format(people)} people are`;
  const others = blind === 0 ? "" : `; of ${counted(blind, "organization")} only deliveries are known`;
  return `${all} in sync as of ${clockTime(since, at)}${others}`;
}

/** Whether a run held only those back whom it could not read: others lose their access by it. */
export function isPartialRead({ reason }: Pick<NonNullable<RunFindings["held"]>, "reason">): boolean {
  return reason === ("partial-read" satisfies Held["reason"]);
}

/** What the last light or full run saw. */
export function latestFindings({ full, light }: LastRuns): RunFindings | undefined {
  const [older, newer] = (full?.doneAt ?? 0) >= (light?.doneAt ?? 0) ? [light, full] : [full, light];
  return newer?.found ?? older?.found;
}

/** A time of day in UTC; with the date where it is another day than now. */
export function clockTime(time: number, now: number, to: "minute" | "second" = "minute"): string {
  const [day = "", clock = ""] = new Date(time).toISOString().split("T");
  const shown = `${clock.slice(0, to === "minute" ? 5 : 8)} UTC`;
  return new Date(now).toISOString().startsWith(day) ? shown : `${day} ${shown}`;
}

function command(text: string, organization?: string): string {
  const [name = "", ...options] = text.split(" ");
  const sub = name === "dead-letters" ? [options.shift() ?? ""] : [];
  const whose = organization === undefined ? [] : ["--organization", organization];
  return ["npx clavex-nextcloud", name, ...sub, ...whose, ...options].join(" ");
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
