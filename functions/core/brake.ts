import * as z from "zod";
import { isAhead, isWithin } from "./clock.ts";
import { PipelineFailure } from "./failure.ts";
import type { Organization } from "./organization.ts";
import { counted } from "./text.ts";

/** What is braked: people who lose their account, and people who lose a group. Each is counted separately. */
export type Braked = "deprovisions" | "leaves";

/** Who passed within the same five minutes: how many, and when the last of them did (milliseconds since the epoch). */
const bucketSchema = z.looseObject({ at: z.number(), people: z.number() });

const currentSchema = z.looseObject({
  /** A day of them. Those who passed by an operator's allowance are not counted. */
  buckets: z.array(bucketSchema),
  /** Set when somebody was held, and since when; only an operator releases it. */
  held: z.boolean(),
  heldAt: z.number().optional(),
  /** How many more an operator has allowed, and until when (milliseconds since the epoch). */
  allowed: z.number(),
  allowedUntil: z.number(),
  /** The last changes, by id: one whose answer was lost is not applied twice. */
  changes: z.array(z.string()).default([]),
});

const firstVersion = { hourStart: z.number(), passed: z.number(), admitted: z.unknown() };

/** As version 0.1 wrote it: one count for an hour, and a list of those who passed. */
const firstVersionSchema = z
  .looseObject({
    ...firstVersion,
    held: z.boolean(),
    allowed: z.number(),
    allowedUntil: z.number(),
  })
  .transform(
    ({ hourStart, passed, admitted: _, ...rest }): z.output<typeof currentSchema> => ({
      ...rest,
      buckets: passed > 0 ? [{ at: hourStart, people: passed }] : [],
      ...(rest.held ? { heldAt: hourStart } : {}),
      changes: [],
    }),
  );

/** The stored form of a brake. What newer versions keep in it stays. */
export const brakeSchema = z.union([
  currentSchema
    .extend(z.object(firstVersion).partial().shape)
    .transform(({ hourStart: _hour, passed: _passed, admitted: _admitted, ...state }) => state),
  firstVersionSchema,
]);

/** A brake as it is stored: version 0.1 can read it, too, as one hour that began with the first who count now. */
export function brakeItem(state: BrakeState): Record<string, unknown> {
  const last = state.buckets.at(-1)?.at ?? 0;
  const hour = state.buckets.filter(({ at }) => isWithin(at, HOUR_MS, last));
  const passed = hour.reduce((sum, { people }) => sum + people, 0);
  return { ...state, hourStart: hour[0]?.at ?? 0, passed, admitted: [] };
}

/** How many people of an organization lost something lately, and whether others are held because of that. */
export type BrakeState = z.output<typeof currentSchema>;

const BUCKET_MS = 5 * 60_000;
const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
const ALLOWED_MS = DAY_MS;
/** With each change that other workers make meanwhile one or two are forgotten: far more than there are workers. */
const MOST_CHANGES = 32;

/** A person who waits for an operator, because too many have lost their account, or a group, within an hour. */
export class BrakeHeld extends PipelineFailure {
  readonly braked: Braked;

  constructor(organization: string, braked: Braked, limit: number) {
    const lose = { deprovisions: "access", leaves: "a group" }[braked];
    super(
      "configuration",
      { deprovisions: "brake-held", leaves: "leaves-held" }[braked],
      `more than ${counted(limit, "person", "people")} of ${organization} would lose ${lose} within an hour`,
      "subject",
      { fix: `If that is right, allow it: ${releaseCommand(organization, braked)}` },
    );
    this.braked = braked;
  }
}

/** The directory shows no groups at all, although people are in some by us: nobody is taken out of any. */
export class GroupsEmpty extends PipelineFailure {
  constructor(organization: string) {
    super(
      "configuration",
      "groups-empty",
      `Clavex shows no groups of ${organization}, but people are in some`,
      "subject",
      {
        fix: `Look at the groups in Clavex. If all are deleted, allow it: ${releaseCommand(organization, "leaves")}`,
      },
    );
  }
}

function releaseCommand(organization: string, braked: Braked, number: number | string = "NUMBER"): string {
  return `npx clavex-nextcloud reconcile --organization ${organization} --allow-${braked} ${number}`;
}

/** The brake of an organization in which nobody has lost anything yet. */
export function newBrake(): BrakeState {
  return { buckets: [], held: false, allowed: 0, allowedUntil: 0, changes: [] };
}

const DEFAULT_COUNT = 10;
/** However small the organization is. */
const LEAST_DEFAULT = 2;

/** From this many people on the default count needs no cap. */
export const UNCAPPED_FROM = 2 * DEFAULT_COUNT;

/**
 * The most people who may lose this within an hour: the larger of the count and the percentage, rounded down. A count of
 * deprovisions that is not configured is at most half of the people, but at least two.
 *
 * @param enabled how many people have an account that is enabled
 */
export function hourlyLimit({ reconcile }: Organization, braked: Braked, enabled: number): number {
  const { maxDeprovisions, maxLeaves } = reconcile;
  const { percent } = braked === "leaves" ? maxLeaves : maxDeprovisions;
  const count = braked === "leaves" ? maxLeaves.count : (maxDeprovisions.count ?? defaultCount(enabled));
  return Math.max(count, Math.floor((enabled * percent) / 100));
}

function defaultCount(enabled: number): number {
  return Math.min(DEFAULT_COUNT, Math.max(LEAST_DEFAULT, Math.floor(enabled / 2)));
}

/** The number of deprovisions within a day that raises an alarm. */
export function dailyLimit({ reconcile }: Organization, hourly: number): number {
  return reconcile.maxDeprovisions.daily ?? 3 * hourly;
}

/** How many more people an operator has allowed to lose something; an unused allowance expires after a day. */
export function allowance(brake: Pick<BrakeState, "allowed" | "allowedUntil"> | undefined, now: number): number {
  return brake !== undefined && isAhead(brake.allowedUntil, ALLOWED_MS, now) ? brake.allowed : 0;
}

/** How many have passed within the last hour, or day. */
export function passedWithin({ buckets }: Pick<BrakeState, "buckets">, span: "hour" | "day", now: number): number {
  const milliseconds = span === "hour" ? HOUR_MS : DAY_MS;
  return buckets.reduce((sum, { at, people }) => sum + (isWithin(at, milliseconds, now) ? people : 0), 0);
}

/** Why somebody was admitted; `before`: by an earlier attempt of the same job. */
export type Admission = "allowance" | "limit" | "before";

/** Whether `admit` needs to know the limit: not for whom an allowance or an earlier attempt lets pass, nor while others are held. */
export function dependsOnLimit(state: BrakeState, attempt: string, now: number): boolean {
  return !hasChange(state, attempt) && allowance(state, now) === 0 && !state.held;
}

/** How many had passed within the hour when the first was held; undefined while nobody is. */
export function passedUntilHeld(state: BrakeState): number | undefined {
  return state.held && state.heldAt !== undefined ? passedWithin(state, "hour", state.heldAt) : undefined;
}

/**
 * Counts one more person. Whoever was admitted before, and whose job is not done yet, must not come here again: see
 * `isAdmitted` of core/record.ts.
 *
 * @param attempt what all attempts of one job share, remembered when they are admitted: one that ends before their record
 *   says so is not counted again by the next
 * @param limit how many may pass in an hour, whenever it begins; see `dependsOnLimit`
 * @returns the brake afterwards; once somebody was held, a new hour releases nobody
 */
export function admit(
  state: BrakeState,
  attempt: string,
  limit: number,
  now: number,
): { state: BrakeState; admitted: Admission | undefined } {
  if (hasChange(state, attempt)) return { state, admitted: "before" };
  const after = withChange(state, attempt);
  if (allowance(state, now) > 0) return { state: { ...after, allowed: state.allowed - 1 }, admitted: "allowance" };
  if (!state.held && passedWithin(state, "hour", now) < limit)
    return { state: { ...after, buckets: oneMore(state.buckets, now) }, admitted: "limit" };
  return { state: state.held ? state : { ...state, held: true, heldAt: now }, admitted: undefined };
}

function oneMore(buckets: BrakeState["buckets"], now: number): BrakeState["buckets"] {
  const kept = buckets.filter(({ at }) => isWithin(at, DAY_MS, now));
  const last = kept.at(-1);
  // Each bucket counts until the last of its five minutes is an hour old: no hour exceeds the limit.
  if (last && Math.floor(last.at / BUCKET_MS) === Math.floor(now / BUCKET_MS))
    return [...kept.slice(0, -1), { ...last, at: Math.max(last.at, now), people: last.people + 1 }];
  return [...kept, { at: now, people: 1 }];
}

/** An operator allows `number` more, and those who were held go on. */
export function allow(state: BrakeState, number: number, now: number): BrakeState {
  const { heldAt } = state;
  // The hour stopped while people were held: otherwise an expired hour would release all the others.
  const stoodStill = state.held && heldAt !== undefined ? now - heldAt : 0;
  return {
    ...state,
    buckets: state.buckets.map((bucket) => ({ ...bucket, at: bucket.at + stoodStill })),
    held: false,
    heldAt: undefined,
    allowed: allowance(state, now) + number,
    allowedUntil: now + ALLOWED_MS,
  };
}

/** Whether a change was made before, although its answer was lost. */
export function hasChange({ changes }: BrakeState, id: string): boolean {
  return changes.includes(id);
}

/** Remembers the id of a change. */
export function withChange(state: BrakeState, id: string): BrakeState {
  return { ...state, changes: [...state.changes, id].slice(-MOST_CHANGES) };
}

/** Why people are deprovisioned, or taken out of groups, by no job of a run. */
export interface Held {
  reason: "brake" | "empty-directory" | "partial-read" | "time-over" | "leaves" | "empty-groups";
  /** Whom it holds: everybody who would lose something, or only those of whom nothing could be read. */
  holds: "everybody" | "unread";
  /** One sentence. */
  explanation: string;
  people: number;
}

/** What a run knows when it has to decide whether people may lose something by it. */
export interface RunNumbers {
  /** How many would lose access, and how many a group. */
  losing: Readonly<Record<Braked, number>>;
  /** How many people the directory shows, whether it was read to its end, and how many the ledger has. */
  users: number;
  complete: boolean;
  known: number;
  /** How many people with an account, as the ledger knows, neither the list nor a reading of their own has shown. */
  unread: number;
  /** How many have an account that is enabled: as the ledger knows, or as the run has seen, whichever is more. */
  enabled: number;
  /** How many of those who would lose something were admitted before: the brake does not count them again. */
  admitted: Readonly<Record<Braked, number>>;
  /** The brakes as the run's jobs will find them, with what an operator has just allowed. */
  brakes: Readonly<Record<Braked, BrakeState>>;
  /** Whether the directory shows no groups at all. */
  groupsEmpty: boolean;
}

/**
 * Whether a run must deprovision nobody, or not those whom it could not read, and why. Whoever was read as gone or suspended
 * waits for nobody else's page.
 *
 * @param now milliseconds since the epoch
 */
export function hold(organization: Organization, run: RunNumbers, now: number): Held | undefined {
  return holdEverybody(organization, run, now) ?? (run.complete ? undefined : holdUnread(run));
}

function holdUnread({ unread }: RunNumbers): Held {
  return {
    reason: "partial-read",
    holds: "unread",
    people: unread,
    explanation: `the list of people could not be read to its end: whoever was not read is left as they are, ${unread} of those whom the ledger knows`,
  };
}

function holdEverybody(organization: Organization, run: RunNumbers, now: number): Held | undefined {
  const people = run.losing.deprovisions;
  if (people === 0) return undefined;
  if (run.users === 0) {
    return {
      reason: "empty-directory",
      holds: "everybody",
      people,
      explanation: `Clavex shows no people, but the ledger knows ${run.known}: nobody is deprovisioned`,
    };
  }
  if (run.groupsEmpty && organization.scope.groups.length > 0 && people > allowance(run.brakes.leaves, now))
    return emptyGroups(organization, people);
  const excess = excessOf(organization, "deprovisions", run, now);
  if (excess === undefined) return undefined;
  return {
    reason: "brake",
    holds: "everybody",
    people,
    explanation: `${counted(people, "person", "people")} would lose access, ${excess}: nobody is deprovisioned. If that is right: ${releaseCommand(organization.slug, "deprovisions", people)}`,
  };
}

/**
 * Whether a run must take nobody out of a group, and why.
 *
 * @param now milliseconds since the epoch
 */
export function holdLeaves(organization: Organization, run: RunNumbers, now: number): Held | undefined {
  const people = run.losing.leaves;
  if (people === 0) return undefined;
  if (run.groupsEmpty && people > allowance(run.brakes.leaves, now)) return emptyGroups(organization, people);
  const excess = excessOf(organization, "leaves", run, now);
  if (excess === undefined) return undefined;
  return {
    reason: "leaves",
    holds: "everybody",
    people,
    explanation: `${counted(people, "person", "people")} would lose a group, ${excess}: nobody leaves one. If that is right: ${releaseCommand(organization.slug, "leaves", people)}`,
  };
}

/** Why the brake would hold some of the people whose jobs the run sends, as half a sentence; undefined where all would pass. */
function excessOf(organization: Organization, braked: Braked, run: RunNumbers, now: number): string | undefined {
  const brake = run.brakes[braked];
  const passed = passedWithin(brake, "hour", now);
  // Of the people who were there before this hour's departures, as the worker counts.
  const limit = hourlyLimit(organization, braked, run.enabled + passed);
  const left = brake.held ? 0 : Math.max(0, limit - passed);
  const people = run.losing[braked];
  if (people - run.admitted[braked] <= left + allowance(brake, now)) return undefined;
  if (people > limit) return `more than the ${limit} that may at once`;
  if (brake.held) return "while others are held already";
  return `and ${passed} have within the last hour, more than the ${limit} that may`;
}

function emptyGroups({ slug }: Organization, people: number): Held {
  return {
    reason: "empty-groups",
    holds: "everybody",
    people,
    explanation: `Clavex shows no groups, but people are in some by us: nobody loses one. If all are deleted: ${releaseCommand(slug, "leaves", people)}`,
  };
}
