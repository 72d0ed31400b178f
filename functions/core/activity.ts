import * as z from "zod";
import { counted, printable, withoutAddresses } from "./text.ts";

/**
 * How a delivery, a job or a run ended. Deliveries: `queued`, `ignored`, `refused` (malformed), `failed` (could not be
 * queued). Jobs: `applied`, `unchanged`, `ignored`, `queued` (a group hint became jobs), `parked`, `retried`, `held` (by the
 * brake). Runs: `done`, `failed`, `held`.
 */
export const ACTIVITY_RESULTS = [
  "queued",
  "ignored",
  "refused",
  "applied",
  "unchanged",
  "parked",
  "retried",
  "held",
  "done",
  "failed",
] as const;
export type ActivityResult = (typeof ACTIVITY_RESULTS)[number];

const text = z.string();

export const activitySchema = z.object({
  /** When it ended (milliseconds since the epoch). */
  at: z.number(),
  organization: text,
  kind: z.enum(["delivery", "job", "run"]),
  result: z.enum(ACTIVITY_RESULTS),
  /** Whom it is about; missing for groups and runs. */
  subject: text.optional(),
  /** Why it happened: the name of Clavex's event, `reconcile`, `manual`, or the kind of run. */
  cause: text,
  /** The delivery that it goes back to, the same for the delivery and its job. */
  deliveryId: text.optional(),
  /** What was done to the account: `upsert displayName+email`, `join Engineering`, `disable`, ... */
  operations: z.array(text).optional(),
  /** What is not in sync although the job is done; one sentence each. */
  notes: z.array(text).optional(),
  /** Why it was ignored, refused, held or failed, and the stable name for that. */
  problem: text.optional(),
  code: text.optional(),
  /** Where that comes from: a server, or our own side. */
  origin: z.enum(["nextcloud", "clavex", "pipeline"]).optional(),
  /** What an operator has to do about it. */
  fix: text.optional(),
  attempt: z.number().optional(),
  retryInSeconds: z.number().optional(),
  /** Of a run: people looked at, differences found, jobs sent. */
  people: z.number().optional(),
  differences: z.number().optional(),
  sent: z.number().optional(),
});

/** One thing that happened: a delivery came, a job ended, a run ended. Holds ids only: no e-mail address, no person's name. */
export type Activity = z.output<typeof activitySchema>;

/** Which are meant; what is left out matches all. */
export interface ActivityFilter {
  organization?: string | undefined;
  subject?: string | undefined;
  result?: ActivityResult | undefined;
  /** Not before this time (milliseconds since the epoch). */
  since?: number | undefined;
}

export function matchesActivity(filter: ActivityFilter, { organization, subject, result, at }: Activity): boolean {
  return (
    (filter.organization === undefined || filter.organization === organization) &&
    (filter.subject === undefined || filter.subject === subject) &&
    (filter.result === undefined || filter.result === result) &&
    at >= (filter.since ?? Number.NEGATIVE_INFINITY)
  );
}

/** A log line: its message and its fields. */
export interface LogLine {
  at: number;
  message: string;
  fields: Readonly<Record<string, unknown>>;
}

const words = text.optional().catch(undefined);
const number = z.number().optional().catch(undefined);
const list = z.array(text).optional().catch(undefined);
/** What lines may hold; a field of another form counts as missing. */
const fieldsSchema = z.object({
  organization: words,
  group: words,
  subject: words,
  trigger: words,
  event: words,
  deliveryId: words,
  status: words,
  reason: words,
  error: words,
  result: words,
  why: words,
  operations: list,
  done: list,
  notes: list,
  problem: words,
  code: words,
  origin: activitySchema.shape.origin.catch(undefined),
  fix: words,
  attempt: number,
  retryInSeconds: number,
  queued: number,
  mode: words,
  people: number,
  differences: number,
  sent: number,
});
type LineFields = z.output<typeof fieldsSchema>;
type What = Omit<Activity, "at" | "organization">;

/**
 * What a log line describes: the same lines on one machine and on AWS. Undefined for all other lines, and for a light run
 * that found nothing to do.
 */
export function activityOf({ at, message, fields }: LogLine): Activity | undefined {
  const parsed = fieldsSchema.parse(fields);
  // A message that cannot be read is known by its FIFO group alone.
  const [ofGroup, whom] = parsed.group?.split("#") ?? [];
  const organization = parsed.organization ?? ofGroup;
  const what = READERS[message]?.({ ...parsed, subject: parsed.subject ?? whom });
  if (organization === undefined || what === undefined) return undefined;
  const subject = what.subject === "groups" ? undefined : what.subject;
  return cleaned({ at, organization, ...what, subject });
}

const READERS: Readonly<Record<string, (fields: LineFields) => What | undefined>> = {
  delivery: (line) => ({
    kind: "delivery",
    result: line.status === "queued" ? "queued" : line.status === "ignored" ? "ignored" : "refused",
    ...about(line),
    problem: line.reason ?? line.error,
  }),
  "delivery not accepted": (line) => ({ kind: "delivery", result: "failed", ...about(line), ...failure(line) }),
  job: (line) => {
    const { result = "" } = line;
    const outcome = { kind: "job", ...about(line), attempt: line.attempt } as const;
    if (result === "parked") {
      const operations = line.done?.length ? line.done : undefined;
      return { ...outcome, result, operations, problem: line.problem, code: line.reason };
    }
    if (result === "followed") return { ...outcome, result: "queued", sent: line.queued };
    if (result === "ignored") return { ...outcome, result, problem: line.why };
    if (result !== "applied" && result !== "unchanged") return { ...outcome, result: "unchanged", code: result };
    return { ...outcome, result, operations: line.operations, notes: line.notes };
  },
  "job failed": (line) => ({
    kind: "job",
    result: HELD.has(line.code ?? "") ? "held" : "retried",
    ...about(line),
    ...failure(line),
    attempt: line.attempt,
    retryInSeconds: line.retryInSeconds,
  }),
  reconcile: (line) => (line.mode === "light" && !line.sent ? undefined : run(line, "done")),
  "reconcile failed": (line) => ({ ...run(line, "failed"), ...failure(line) }),
  "group watch": (line) => run({ ...line, mode: "watch" }, "done"),
  "deprovisioning held": (line) => ({ ...run(line, "held"), ...failure(line), code: line.reason }),
  "leaves held": (line) => ({ ...run(line, "held"), ...failure(line), code: line.reason }),
};

/** The messages of log lines that describe an activity. */
export const ACTIVITY_MESSAGES: readonly string[] = Object.keys(READERS);

/** The codes of what waits for an operator: core/brake.ts. */
const HELD: ReadonlySet<string> = new Set(["brake-held", "leaves-held", "groups-empty"]);

const about = ({ subject, event, trigger, deliveryId }: LineFields) => ({
  subject,
  cause: event ?? trigger ?? "",
  deliveryId,
});

const failure = ({ problem, code, origin, fix }: LineFields) => ({ problem, code, origin, fix });

const run = ({ mode = "", people, differences, sent }: LineFields, result: ActivityResult): What => ({
  kind: "run",
  result,
  cause: mode,
  people,
  differences,
  sent,
});

/** Without what is missing, and without what a log line must not hold either. */
function cleaned(activity: Activity): Activity {
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(clean);
    return typeof value === "string" ? printable(withoutAddresses(value)) : value;
  };
  const held = Object.entries(activity).filter(([, value]) => value !== undefined);
  return Object.fromEntries(held.map(([name, value]) => [name, clean(value)])) as Activity;
}

/** What happened, as half a sentence without its end; who it is about stands beside it. */
export function activityInWords(activity: Activity): string {
  const { kind, result, problem = "unknown", operations = [], notes = [] } = activity;
  if (kind === "run") return runInWords(activity);
  if (kind === "delivery")
    return result === "queued" ? "delivered and queued" : `${DELIVERIES[result] ?? result}: ${problem}`;
  switch (result) {
    case "applied":
      return [operations.map(operationInWords).join(", "), ...notes].join("; ");
    case "unchanged":
      return [UNCHANGED[activity.code ?? ""] ?? "in sync already", ...notes].join("; ");
    case "queued":
      return `groups looked at: ${counted(activity.sent ?? 0, "job")} queued`;
    case "ignored":
      return `nothing to do: ${problem}`;
    case "parked":
      return [`refused, now a dead letter: ${problem}`, ...operations.map(operationInWords)].join("; done: ");
    case "held":
      return `held until an operator allows it: ${problem}`;
    default:
      return `attempt ${activity.attempt ?? 1} failed, next one in ${activity.retryInSeconds ?? 0} s: ${problem}`;
  }
}

const DELIVERIES: Partial<Record<ActivityResult, string>> = {
  ignored: "delivered, ignored",
  refused: "delivery refused",
  failed: "delivery not accepted, Clavex will send it again",
};

const UNCHANGED: Readonly<Record<string, string>> = {
  superseded: "in sync already: a later reading was applied before",
  stale: "in sync already: something newer was applied before",
};

function runInWords({ result, cause, problem = "unknown", people, differences, sent = 0 }: Activity): string {
  if (result === "failed") return `${RUNS[cause] ?? cause} failed: ${problem}`;
  if (result === "held") return problem;
  const queued = `${counted(sent, "job")} queued`;
  if (people === undefined || differences === undefined) return `${RUNS[cause] ?? cause}: ${queued}`;
  const looked = `${counted(people, "person", "people")}, ${counted(differences, "difference")}`;
  return `${RUNS[cause] ?? cause}: ${looked}, ${queued}`;
}

const RUNS: Readonly<Record<string, string>> = {
  full: "full reconciliation",
  light: "light reconciliation",
  watch: "group watch",
};

/** One of the operations that a job names in its log line (functions/provision/apply.ts). */
function operationInWords(operation: string): string {
  const [verb = "", ...rest] = operation.split(" ");
  const what = rest.join(" ");
  switch (verb) {
    case "create":
      return "account created";
    case "upsert":
      return what === "account" ? "account created" : `${what.split("+").map(attribute).join(", ")} written`;
    case "edit":
      return `${attribute(what)} written`;
    case "join":
      return `joined ${what}`;
    case "leave":
      return `left ${what}`;
    case "disable":
    case "enable":
    case "delete":
      return `account ${verb}d`;
    default:
      return operation;
  }
}

const ATTRIBUTE_NAMES: Readonly<Record<string, string>> = { displayname: "name", email: "e-mail address" };
const attribute = (name: string): string => ATTRIBUTE_NAMES[name] ?? name;
