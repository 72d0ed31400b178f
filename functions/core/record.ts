import * as z from "zod";
import type { SubjectState } from "./account.ts";
import type { DesiredAccount } from "./desired.ts";
import { desiredHash, groupsHash } from "./desired.ts";
import type { Plan } from "./plan.ts";

/** What the ledger remembers of one subject. It changes by the transitions below, and by nothing else. */
export interface SubjectRecord {
  subject: string;
  accountId: string;
  /** What the account was last brought to; `new` while nothing has succeeded yet. */
  state: "new" | SubjectState;
  /** `updated_at` of the person that was applied, normalised; the order of snapshots without an API key. */
  version: string | undefined;
  /** The ids of the groups we put the person in. A superset while a job is under way. */
  groups: string[];
  /** Set while the account is disabled because of us: only then may it be enabled again. */
  disabledByUs: boolean;
  /** Since when the person has been suspended, gone or out of scope (milliseconds since the epoch). */
  goneSince: number | undefined;
  /** What was applied last, and what it was read from; undefined while nothing was. */
  applied: Applied | undefined;
  /** The desired state that a waiting reconciliation job is for, as a hash, and when it was sent. */
  queued: { hash: string; at: number } | undefined;
  /** Set while a dead letter of the person is parked. `hash`: the desired state that was refused, where it was known. */
  refused: { hash: string | undefined } | undefined;
  /** How often in a row a job of the person was tried in vain: what doubles the wait. */
  failures: number;
  /** How often in a row Nextcloud failed to write this person although it answered otherwise. */
  serverErrors: number;
  /** Counts the writes, so that two workers with the same subject cannot overwrite each other; 0 before the first. */
  revision: number;
  /** Fields that another version wrote: kept as they are. */
  foreign: Readonly<Record<string, unknown>>;
}

interface Applied {
  /** See `desiredHash`. */
  desiredHash: string;
  /** See `groupsHash`; undefined where no groups were read. */
  groupsHash: string | undefined;
  /** The start of the reading that was applied (milliseconds since the epoch); jobs sent before it are done. */
  readAt: number;
  /** The start of the person's reading alone: `readAt` is earlier where the groups had been read before. */
  userReadAt: number;
}

const itemSchema = z.looseObject({
  subject: z.string(),
  accountId: z.string(),
  state: z.enum(["new", "active", "suspended", "deleted", "outOfScope"]),
  version: z.string().optional(),
  desiredHash: z.string().optional(),
  groupsHash: z.string().optional(),
  groups: z.array(z.string()),
  disabledByUs: z.boolean(),
  goneSince: z.number().optional(),
  readAt: z.number().optional(),
  userReadAt: z.number().optional(),
  parked: z.boolean().optional(),
  refusedHash: z.string().optional(),
  failures: z.number().optional(),
  serverErrors: z.number().optional(),
  queuedHash: z.string().optional(),
  queuedAt: z.number().optional(),
  revision: z.number(),
});

/** A record as its stored item, whose flat form every version since 0.1 knows. */
export const subjectItemSchema = itemSchema.transform((item): SubjectRecord => {
  const { subject, accountId, state, version, groups, disabledByUs, goneSince, revision, ...rest } = item;
  const { desiredHash: hash, groupsHash: ofGroups, readAt = 0, userReadAt = readAt, ...others } = rest;
  const { parked, refusedHash, failures = 0, serverErrors = 0, queuedHash, queuedAt, ...foreign } = others;
  return {
    subject,
    accountId,
    state,
    version,
    groups,
    disabledByUs,
    goneSince,
    applied: hash === undefined ? undefined : { desiredHash: hash, groupsHash: ofGroups, readAt, userReadAt },
    queued: queuedHash === undefined ? undefined : { hash: queuedHash, at: queuedAt ?? 0 },
    refused: parked ? { hash: refusedHash } : undefined,
    failures,
    serverErrors,
    revision,
    foreign,
  };
});

/** The stored item of a record, without the keys of its table. Undefined fields are not stored. */
export function subjectItem(record: SubjectRecord): Record<string, unknown> {
  const { applied, queued, refused, failures, serverErrors, foreign, ...fields } = record;
  return {
    ...foreign,
    ...fields,
    ...applied,
    parked: refused ? true : undefined,
    refusedHash: refused?.hash,
    failures: failures > 0 ? failures : undefined,
    serverErrors: serverErrors > 0 ? serverErrors : undefined,
    queuedHash: queued?.hash,
    queuedAt: queued?.at,
  };
}

/** The record of a person for whom nothing was done yet. */
export function newRecord(subject: string, accountId: string): SubjectRecord {
  return {
    subject,
    accountId,
    state: "new",
    version: undefined,
    groups: [],
    disabledByUs: false,
    goneSince: undefined,
    applied: undefined,
    queued: undefined,
    refused: undefined,
    failures: 0,
    serverErrors: 0,
    revision: 0,
    foreign: {},
  };
}

/**
 * Before the change: the groups that are about to be joined and the lock that is about to be set. A crash in between must not
 * leave a membership or a lock that nobody owns.
 */
export function intended(
  record: SubjectRecord,
  accountId: string,
  { joining, disabling }: { joining: readonly string[]; disabling: boolean },
): SubjectRecord {
  return {
    ...record,
    accountId,
    groups: [...new Set([...record.groups, ...joining])],
    disabledByUs: disabling || record.disabledByUs,
  };
}

/** What an applied job leaves behind. */
export interface Result {
  desired: DesiredAccount;
  plan: Plan;
  /** The ids of the directory's groups that were joined. */
  joined: readonly string[];
  /** Whether the account was enabled before; undefined when there was none. */
  wasEnabled: boolean | undefined;
  /** What it was read from; see `Applied`. `groups` are the names, where they were read. */
  reading: { version: string | undefined; groups: readonly string[] | undefined; readAt: number; userReadAt: number };
}

/** After the change: what was done, and from which reading. Whatever waited or was refused is over. */
export function applied(record: SubjectRecord, result: Result, now: number): SubjectRecord {
  const { desired, plan, joined, wasEnabled, reading } = result;
  const disabling = plan.operations.some(({ kind }) => kind === "disable");
  return {
    ...record,
    accountId: desired.accountId,
    state: desired.state,
    version: reading.version ?? record.version,
    groups: [...new Set([...plan.memberships, ...joined])].sort(),
    disabledByUs: disabling || (record.disabledByUs && wasEnabled === false && desired.state !== "active"),
    goneSince: goneSince(record, desired.state, now),
    applied: {
      desiredHash: desiredHash(desired),
      groupsHash: reading.groups === undefined ? undefined : groupsHash(reading.groups),
      readAt: reading.readAt,
      userReadAt: reading.userReadAt,
    },
    queued: undefined,
    refused: undefined,
    failures: 0,
    serverErrors: 0,
  };
}

/** Since when a person has been in the state that they are in: each state begins its own grace period. */
function goneSince(record: SubjectRecord, state: SubjectState, now: number): number | undefined {
  if (state === "active") return undefined;
  return record.state === state ? (record.goneSince ?? now) : now;
}

/** A job became a dead letter. `hash`: the desired state that was refused, where it was known. */
export function parked(record: SubjectRecord, hash: string | undefined): SubjectRecord {
  return { ...record, refused: { hash }, failures: 0, serverErrors: 0, queued: undefined };
}

/**
 * Without an API key the record is what keeps order: what comes late must not overtake what was refused.
 *
 * @param version of the refused snapshot; undefined for a deletion
 */
export function ordered(record: SubjectRecord, deletion: boolean, version: string | undefined): SubjectRecord {
  return { ...record, state: deletion ? "deleted" : record.state, version: version ?? record.version };
}

/** A job of the person was tried in vain. */
export function failedAttempt(record: SubjectRecord): SubjectRecord {
  return { ...record, failures: record.failures + 1 };
}

/** Nextcloud failed to write this person although it answers otherwise. */
export function failedWrite(record: SubjectRecord): SubjectRecord {
  return { ...record, serverErrors: record.serverErrors + 1 };
}

/** A reconciliation job for this desired state is about to be sent. */
export function queued(record: SubjectRecord, hash: string, now: number): SubjectRecord {
  return { ...record, queued: { hash, at: now } };
}

/** The job could not be sent: what waited before waits again. */
export function unqueued(record: SubjectRecord, before: SubjectRecord["queued"]): SubjectRecord {
  return { ...record, queued: before };
}

/** Whether anything was ever applied for the subject: then the account is claimed, and known by its hash. */
export function isKnown(record: SubjectRecord | undefined): boolean {
  return record?.applied !== undefined;
}
