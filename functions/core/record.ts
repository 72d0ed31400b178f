import * as z from "zod";
import type { SubjectState } from "./account.ts";
import type { Braked } from "./brake.ts";
import { believed, isWithin } from "./clock.ts";
import type { DesiredAccount } from "./desired.ts";
import { desiredHash, groupsHash } from "./desired.ts";
import type { Organization } from "./organization.ts";
import type { Operation, Plan } from "./plan.ts";
import { quick } from "./quick.ts";

/** What the ledger remembers of one subject. Only the transitions below change it. */
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
  /** Set while a dead letter of the person is parked. */
  refused: Refused | undefined;
  /**
   * Which brake let the person pass, and when (milliseconds since the epoch), while what they are to lose is not taken away
   * yet: a retry does not count twice.
   */
  admitted: { braked: Braked; at: number } | undefined;
  /** Whether the account was enabled when a job last saw it or left it; undefined where nobody knows. */
  lastSeenEnabled: boolean | undefined;
  /** What was written twice without effect for a desired state: not written again until something else is desired. */
  ineffective: Ineffective | undefined;
  /** Set while a group is skipped that may be joined some other time: since when, and how often in a row. */
  postponed: Postponed | undefined;
  /**
   * When a write that gives access was not answered (milliseconds since the epoch): it may take effect later, when the person
   * is to have none any more. Set until somebody has looked again afterwards.
   */
  unanswered: number | undefined;
  /** How many jobs of the person failed in a row: each doubles the wait. */
  failures: number;
  /** How often in a row a server failed to read or write this person although it answered for others. */
  serverErrors: number;
  /** When we made the account (milliseconds since the epoch); undefined where it was there before, or an older version made it. */
  madeAt: number | undefined;
  /** Since when an edit of the account has waited for its turn (milliseconds since the epoch); see core/edit-slots.ts. */
  pendingEdit: number | undefined;
  /** Counts the writes, so that two workers with the same subject cannot overwrite each other; 0 before the first. */
  revision: number;
  /** Fields that another version wrote: kept as they are. */
  foreign: Readonly<Record<string, unknown>>;
}

/** Which access could not be taken away: the account, a group, or none. */
export type Unrevoked = "disable" | "leave" | "nothing";

export interface Refused {
  /** The desired state that was refused, where it was known. */
  hash: string | undefined;
  /** What they still have that was to be taken away: tried again until it is. */
  unrevoked: Unrevoked;
  /** When it was refused last (milliseconds since the epoch), and how often in a row; 0 where an older version wrote it. */
  at: number;
  times: number;
}

export interface Ineffective {
  /** See `desiredHash`. */
  hash: string;
  /** The keys of attributes, and `join GID` for groups. */
  keys: readonly string[];
}

interface Postponed {
  /** Milliseconds since the epoch. */
  at: number;
  times: number;
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
  refusedRevokes: z.enum(["disable", "leave"]).optional().catch(undefined),
  refusedAt: z.number().optional(),
  refusedTimes: z.number().optional(),
  lastSeenEnabled: z.boolean().optional(),
  ineffectiveHash: z.string().optional(),
  ineffectiveKeys: z.array(z.string()).optional(),
  postponedAt: z.number().optional(),
  postponedTimes: z.number().optional(),
  failures: z.number().optional(),
  serverErrors: z.number().optional(),
  admittedAt: z.number().optional(),
  unansweredAt: z.number().optional(),
  admittedFor: z.enum(["deprovisions", "leaves"]).optional().catch(undefined),
  queuedHash: z.string().optional(),
  queuedAt: z.number().optional(),
  pendingEdit: z.number().optional().catch(undefined),
  madeAt: z.number().optional().catch(undefined),
  revision: z.number(),
});

/** A record as its stored item, whose flat form every version since 0.1 knows. */
export const subjectItemSchema = quick(itemSchema).transform((item): SubjectRecord => {
  const {
    desiredHash: hash,
    readAt = 0,
    userReadAt = readAt,
    queuedHash,
    ineffectiveHash,
    admittedAt,
    postponedAt,
  } = item;
  const unrevoked: Unrevoked = item.refusedRevokes ?? "nothing";
  const { refusedHash, refusedAt = 0, refusedTimes = 0 } = item;
  return {
    subject: item.subject,
    accountId: item.accountId,
    state: item.state,
    version: item.version,
    groups: item.groups,
    disabledByUs: item.disabledByUs,
    goneSince: item.goneSince,
    applied: hash === undefined ? undefined : { desiredHash: hash, groupsHash: item.groupsHash, readAt, userReadAt },
    queued: queuedHash === undefined ? undefined : { hash: queuedHash, at: item.queuedAt ?? 0 },
    refused: item.parked ? { hash: refusedHash, unrevoked, at: refusedAt, times: refusedTimes } : undefined,
    unanswered: item.unansweredAt,
    admitted: admittedAt === undefined ? undefined : { braked: item.admittedFor ?? "deprovisions", at: admittedAt },
    lastSeenEnabled: item.lastSeenEnabled,
    ineffective:
      ineffectiveHash === undefined ? undefined : { hash: ineffectiveHash, keys: item.ineffectiveKeys ?? [] },
    postponed: postponedAt === undefined ? undefined : { at: postponedAt, times: item.postponedTimes ?? 1 },
    failures: item.failures ?? 0,
    serverErrors: item.serverErrors ?? 0,
    madeAt: item.madeAt,
    pendingEdit: item.pendingEdit,
    revision: item.revision,
    foreign: foreignFields(item),
  };
});

const NONE_FOREIGN: SubjectRecord["foreign"] = {};

function foreignFields(item: Readonly<Record<string, unknown>>): SubjectRecord["foreign"] {
  const foreign = Object.keys(item).filter((field) => !Object.hasOwn(itemSchema.shape, field));
  return foreign.length === 0 ? NONE_FOREIGN : Object.fromEntries(foreign.map((field) => [field, item[field]]));
}

/** The stored item of a record, without the keys of its table. Undefined fields are not stored. */
export function subjectItem(record: SubjectRecord): Record<string, unknown> {
  const { applied, queued, refused, admitted, unanswered, ineffective, postponed, ...others } = record;
  const { failures, serverErrors, foreign, ...fields } = others;
  return {
    ...foreign,
    ...fields,
    ...applied,
    parked: refused ? true : undefined,
    refusedHash: refused?.hash,
    refusedRevokes: refused && refused.unrevoked !== "nothing" ? refused.unrevoked : undefined,
    refusedAt: refused && refused.at > 0 ? refused.at : undefined,
    refusedTimes: refused && refused.times > 0 ? refused.times : undefined,
    admittedAt: admitted?.at,
    admittedFor: admitted?.braked,
    ineffectiveHash: ineffective?.hash,
    ineffectiveKeys: ineffective?.keys,
    postponedAt: postponed?.at,
    postponedTimes: postponed?.times,
    unansweredAt: unanswered,
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
    admitted: undefined,
    lastSeenEnabled: undefined,
    ineffective: undefined,
    postponed: undefined,
    unanswered: undefined,
    failures: 0,
    serverErrors: 0,
    madeAt: undefined,
    pendingEdit: undefined,
    revision: 0,
    foreign: {},
  };
}

/**
 * The record as far as it is about this account. With another `identity` a person gets another account: of that one nothing
 * was applied yet, nobody of us has disabled it, and its memberships are not ours.
 */
export function ofAccount(record: SubjectRecord | undefined, accountId: string): SubjectRecord | undefined {
  if (!record || record.accountId === accountId) return record;
  const nothing = { goneSince: undefined, applied: undefined, lastSeenEnabled: undefined, unanswered: undefined };
  return { ...record, accountId, groups: [], disabledByUs: false, ...nothing };
}

/**
 * Before the change: the groups that are about to be joined and the lock that is about to be set. A crash in between must not
 * leave a membership or a lock that nobody owns.
 */
export function intended(
  record: SubjectRecord,
  accountId: string,
  { joining, disabling, admitted }: Intention,
): SubjectRecord {
  return {
    ...record,
    accountId,
    groups: [...new Set([...record.groups, ...joining])],
    disabledByUs: disabling || record.disabledByUs,
    admitted: admitted ?? record.admitted,
  };
}

/** What is about to be done for a person. */
export interface Intention {
  /** The ids of the groups that they join. */
  joining: readonly string[];
  disabling: boolean;
  /** The brake that has just let them pass. */
  admitted?: SubjectRecord["admitted"];
}

/** Whether the brake has let the person pass before, for something that was not done to its end. */
export function isAdmitted(record: SubjectRecord | undefined, braked: Braked, now: number): boolean {
  return record?.admitted?.braked === braked && believed(record.admitted.at, now) !== undefined;
}

/** What an applied job leaves behind. */
export interface Result {
  desired: DesiredAccount;
  plan: Plan;
  /** The ids of the directory's groups that were joined. */
  joined: readonly string[];
  /** Whether the account was enabled before; undefined when there was none. */
  wasEnabled: boolean | undefined;
  /** Whether an edit of the account has to wait for its turn. */
  editWaits: boolean;
  /** What turned out to be without effect; undefined where nobody looked. */
  ineffective?: readonly string[] | undefined;
  /** Whether a group was skipped that may be joined some other time. */
  postponed?: boolean;
  /** What it was read from; see `Applied`. `groups` are the names, where they were read. */
  reading: { version: string | undefined; groups: readonly string[] | undefined; readAt: number; userReadAt: number };
}

/**
 * After the change: what was done, and from which reading. What waited or was refused before is cleared.
 *
 * @param latest that it can be now, by any clock: a grace period begins then, so that a clock that is behind shortens none
 */
export function applied(record: SubjectRecord, result: Result, now: number, latest = now): SubjectRecord {
  const { desired, plan, joined, wasEnabled, editWaits, reading } = result;
  const disabling = plan.operations.some(({ kind }) => kind === "disable");
  const hash = desiredHash(desired);
  return {
    ...record,
    accountId: desired.accountId,
    state: desired.state,
    version: reading.version ?? record.version,
    groups: [...new Set([...plan.memberships, ...joined])].sort(),
    disabledByUs: disabling || (record.disabledByUs && wasEnabled === false && desired.state !== "active"),
    goneSince: goneSince(record, desired.state, latest),
    applied: {
      desiredHash: hash,
      groupsHash: reading.groups === undefined ? undefined : groupsHash(reading.groups),
      readAt: reading.readAt,
      userReadAt: reading.userReadAt,
    },
    queued: undefined,
    refused: undefined,
    admitted: undefined,
    lastSeenEnabled: enabledAfter(plan, wasEnabled),
    ineffective: ineffectiveAfter(record, hash, result.ineffective),
    postponed: result.postponed ? { at: now, times: (record.postponed?.times ?? 0) + 1 } : undefined,
    unanswered: mayStillHappen(record, reading.readAt) ? record.unanswered : undefined,
    failures: 0,
    serverErrors: 0,
    madeAt: plan.operations.some(makesAccount) ? now : record.madeAt,
    pendingEdit: editWaits ? (believed(record.pendingEdit, now) ?? now) : undefined,
  };
}

/** Whether the account is enabled after the operations; a new one is. */
function enabledAfter({ operations }: Plan, before: boolean | undefined): boolean | undefined {
  const kinds = operations.map(({ kind }) => kind);
  if (kinds.includes("disable")) return false;
  if (kinds.includes("delete")) return undefined;
  return kinds.includes("enable") || (before ?? (kinds.includes("upsert") || kinds.includes("create") || undefined));
}

/** What was found without effect before stays so for as long as the same is desired. */
function ineffectiveAfter(
  { ineffective }: SubjectRecord,
  hash: string,
  found: readonly string[] | undefined,
): Ineffective | undefined {
  const before = ineffective?.hash === hash ? ineffective.keys : [];
  const keys = [...new Set([...before, ...(found ?? [])])];
  return keys.length > 0 ? { hash, keys } : undefined;
}

/** What is not written any more for this desired state, because that had no effect. */
export function withoutEffectFor(record: SubjectRecord | undefined, desired: DesiredAccount): ReadonlySet<string> {
  const { hash, keys = [] } = record?.ineffective ?? {};
  return hash !== undefined && hash === desiredHash(desired) ? new Set(keys) : NOTHING;
}

const NOTHING: ReadonlySet<string> = new Set();

/**
 * An account that could not be read was disabled. It is enabled again when the person is back only if it is known to have been
 * enabled before: else an administrator may have locked it.
 */
export function disabledUnread(
  record: SubjectRecord,
  desired: DesiredAccount,
  reading: Result["reading"],
  now: number,
  latest = now,
): SubjectRecord {
  const plan: Plan = { operations: [], memberships: record.groups, notes: [], refusal: undefined };
  const result = { desired, plan, joined: [], wasEnabled: undefined, editWaits: false, reading };
  const after = applied(record, result, now, latest);
  const disabledByUs = record.disabledByUs || record.lastSeenEnabled === true;
  return { ...after, disabledByUs, lastSeenEnabled: record.lastSeenEnabled };
}

const makesAccount = ({ kind, effect }: Operation): boolean =>
  kind === "create" || (kind === "upsert" && effect === "grants");

/** Longer than any request is waited for, by us or by a proxy. */
const UNANSWERED_MS = 5 * 60_000;

/** A write that gives access was not answered. */
export function leftUnanswered(record: SubjectRecord, now: number): SubjectRecord {
  return { ...record, unanswered: now };
}

/** Whether a write that was not answered may still take effect. */
export function mayStillHappen({ unanswered }: Pick<SubjectRecord, "unanswered">, now: number): boolean {
  return isWithin(unanswered, UNANSWERED_MS, now);
}

/** Whether the account has to be looked at because a write that was not answered may have taken effect since. */
export function hasToBeLookedAt(record: SubjectRecord | undefined, now: number): boolean {
  return record?.unanswered !== undefined && !mayStillHappen(record, now);
}

/** Since when a person has been in the state that they are in: each state begins its own grace period. */
function goneSince(record: SubjectRecord, state: SubjectState, latest: number): number | undefined {
  if (state === "active") return undefined;
  return record.state === state ? (believed(record.goneSince, latest) ?? latest) : latest;
}

/** The person left these groups, even if the rest of the job fails. */
export function departed(record: SubjectRecord, left: readonly string[]): SubjectRecord {
  return { ...record, groups: record.groups.filter((gid) => !left.includes(gid)) };
}

/** A job became a dead letter. */
export function parked(
  record: SubjectRecord,
  { hash, unrevoked }: Pick<Refused, "hash" | "unrevoked">,
  now: number,
): SubjectRecord {
  const { refused: last } = record;
  const again = last !== undefined && last.hash === hash && last.unrevoked === unrevoked;
  const refused: Refused = { hash, unrevoked, at: now, times: again ? last.times + 1 : 1 };
  return { ...record, refused, failures: 0, serverErrors: 0, queued: undefined };
}

const FIRST_AGAIN_MS = 10 * 60_000;
const LAST_AGAIN_MS = 24 * 60 * 60_000;

/** What could not be done is tried again after 10 minutes, then twice as long each time, up to a day. */
function againAfter(times: number): number {
  return Math.min(LAST_AGAIN_MS, FIRST_AGAIN_MS * 2 ** Math.max(0, times - 1));
}

/** Whether a light run tries again what was skipped although it may be possible by now. */
export function isPostponedDue(record: SubjectRecord | undefined, now: number): boolean {
  const postponed = record?.postponed;
  return postponed !== undefined && !(postponed.at <= now && now < postponed.at + againAfter(postponed.times));
}

/**
 * Whether a light run leaves a refusal alone. What is newly desired is tried at once. A refusal to give something is final
 * until then; one to take access away never is: it is tried again after 10 minutes, then twice as long each time, up to a day.
 *
 * @param hash of what is desired now
 * @param closes whether the account is to be closed, even if something else was refused before
 */
export function isRefusalHeeded(
  record: SubjectRecord | undefined,
  hash: string,
  closes: boolean,
  now: number,
): boolean {
  const refused = record?.refused;
  if (!refused || refused.hash !== hash) return false;
  if (refused.unrevoked === "nothing" && !closes) return true;
  // A refusal in the future was dated by a clock that was ahead: trying again costs one request.
  return refused.at <= now && now < refused.at + againAfter(refused.times);
}

/** Whether the person can use the account, as far as the ledger knows: they are active, or what they are now lets them keep it. */
export function hasAccess(
  { deprovision }: Pick<Organization, "deprovision">,
  record: SubjectRecord | undefined,
): record is SubjectRecord {
  if (!record || record.state === "new") return false;
  return record.state === "active" || (deprovision[record.state] === "keep" && !record.disabledByUs);
}

/**
 * Whether a person is to lose an account that Nextcloud does not show. That the ledger knows it as theirs means that it may come
 * back, as accounts of user_oidc do when the app is enabled again: the person's job is not done.
 */
export function isUnseen(
  organization: Pick<Organization, "deprovision">,
  record: SubjectRecord | undefined,
  desired: DesiredAccount,
  account: object | undefined,
): record is SubjectRecord {
  const { state } = desired;
  if (account !== undefined || state === "active" || organization.deprovision[state] === "keep") return false;
  return hasAccess(organization, record);
}

/**
 * A full run saw other accounts and not this one: it is gone, and with it all that was to be taken away.
 *
 * @param latest see `applied`
 */
export function vanished(record: SubjectRecord, desired: DesiredAccount, latest: number): SubjectRecord {
  return {
    ...record,
    state: desired.state,
    groups: [],
    disabledByUs: false,
    goneSince: goneSince(record, desired.state, latest),
    ...(record.applied === undefined ? {} : { applied: { ...record.applied, desiredHash: desiredHash(desired) } }),
  };
}

/** How many people can still use an account that Nextcloud refused to disable. */
export function leaversStillEnabled(records: Iterable<SubjectRecord>): number {
  let count = 0;
  for (const { refused } of records) if (refused?.unrevoked === "disable") count += 1;
  return count;
}

/**
 * Without an API key the record keeps order: a late snapshot must not overtake a refused one.
 *
 * @param version of the refused snapshot; undefined for a deletion
 */
export function ordered(record: SubjectRecord, deletion: boolean, version: string | undefined): SubjectRecord {
  return { ...record, state: deletion ? "deleted" : record.state, version: version ?? record.version };
}

/** A job of the person failed. */
export function failedAttempt(record: SubjectRecord): SubjectRecord {
  return { ...record, failures: record.failures + 1 };
}

/** A server failed to read or write this person although it answers for others. */
export function oddlyAnswered(record: SubjectRecord): SubjectRecord {
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

/** The job that waited ended without having done anything: nobody is to rely on it. */
export function dropped(record: SubjectRecord): SubjectRecord {
  return { ...record, queued: undefined };
}

/**
 * Whether the person's groups in the directory decide anything: those of somebody who is suspended or gone are left as they are;
 * for the others scope and quota may depend on them too.
 */
export function followsGroups({ state }: SubjectRecord): boolean {
  return state === "active" || state === "outOfScope";
}

/** Whether anything was ever applied for the subject: then the account is claimed, and known by its hash. */
export function isKnown(record: SubjectRecord | undefined): boolean {
  return record?.applied !== undefined;
}
