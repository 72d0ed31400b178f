import * as z from "zod";
import { PipelineFailure } from "./failure.ts";
import type { Organization } from "./organization.ts";

/** The stored form of the brake. */
export const brakeSchema = z.object({
  /** When the hour that is counted began (milliseconds since the epoch), and how many deprovisions passed in it. */
  hourStart: z.number(),
  passed: z.number(),
  /** Set when somebody was held; only an operator releases it. */
  held: z.boolean(),
  /** How many more an operator has allowed, and until when (milliseconds since the epoch). */
  allowed: z.number(),
  allowedUntil: z.number(),
  /** Who was let pass in this hour: a retry does not count twice. */
  admitted: z.array(z.string()),
});

/** The hourly count of an organization's deprovisions. */
export type BrakeState = z.output<typeof brakeSchema>;

/** How many of those who passed are remembered by name; far below what fits into one item. */
const MOST_REMEMBERED = 2_000;
const HOUR_MS = 60 * 60_000;
const ALLOWED_MS = 24 * HOUR_MS;

/** A deprovision that waits for an operator, because there have been too many in this hour. */
export class BrakeHeld extends PipelineFailure {
  constructor(organization: string, limit: number) {
    super(
      "configuration",
      "brake-held",
      `more than ${limit} people of ${organization} would lose access within an hour`,
      "subject",
      {
        fix: `If that is right, allow it: clavex-nextcloud reconcile --organization ${organization} --allow-deprovisions NUMBER`,
      },
    );
  }
}

/** The brake of an organization in which nobody has lost access yet. */
export function newBrake(now: number): BrakeState {
  return { hourStart: now, passed: 0, held: false, allowed: 0, allowedUntil: 0, admitted: [] };
}

/** The most people who may lose access at once: the larger of the count and the percentage, rounded down. */
export function deprovisionLimit({ reconcile }: Organization, known: number): number {
  const { count, percent } = reconcile.maxDeprovisions;
  return Math.max(count, Math.floor((known * percent) / 100));
}

/** How many more people an operator has allowed to lose access; an unused allowance expires after a day. */
export function allowance(brake: Pick<BrakeState, "allowed" | "allowedUntil"> | undefined, now: number): number {
  return brake !== undefined && now < brake.allowedUntil ? brake.allowed : 0;
}

/**
 * Counts one more person who would lose access; a person who was let pass lately is not counted again.
 *
 * @param limit how many may pass in an hour
 * @returns the brake afterwards; once somebody was held, a new hour releases nobody
 */
export function admit(
  state: BrakeState,
  subject: string,
  limit: number,
  now: number,
): { state: BrakeState; admitted: boolean } {
  const over = now - state.hourStart >= HOUR_MS && !state.held;
  const current = over ? { ...state, hourStart: now, passed: 0, admitted: [] } : state;
  if (current.admitted.includes(subject)) return { state: current, admitted: true };
  const admitted = [...current.admitted, subject].slice(-MOST_REMEMBERED);
  if (allowance(current, now) > 0)
    return { state: { ...current, allowed: current.allowed - 1, admitted }, admitted: true };
  if (!current.held && current.passed < limit)
    return { state: { ...current, passed: current.passed + 1, admitted }, admitted: true };
  return { state: { ...current, held: true }, admitted: false };
}

/** An operator allows `number` more, and those who were held go on. */
export function allow(state: BrakeState, number: number, now: number): BrakeState {
  return {
    ...state,
    // The hour begins anew for those who are still held: otherwise an expired hour would release them.
    ...(state.held ? { hourStart: now } : {}),
    held: false,
    allowed: allowance(state, now) + number,
    allowedUntil: now + ALLOWED_MS,
  };
}

/** Why nobody is deprovisioned by a run. */
export interface Held {
  reason: "brake" | "empty-directory" | "partial-read" | "time-over";
  /** One sentence. */
  explanation: string;
  people: number;
}

/** What a run knows when it has to decide whether people may lose access by it. */
export interface RunNumbers {
  /** How many would lose access. */
  losing: number;
  /** How many people the directory shows, whether it was read to its end, and how many the ledger has, and has as active. */
  users: number;
  complete: boolean;
  known: number;
  active: number;
  /** How many more than the limit an operator has allowed. */
  allowed: number;
}

/** Whether a run must deprovision nobody, and why. */
export function hold(organization: Organization, run: RunNumbers): Held | undefined {
  const people = run.losing;
  if (!run.complete) {
    return {
      reason: "partial-read",
      people,
      explanation: "the list of people could not be read to its end: nobody is deprovisioned by this run",
    };
  }
  if (people === 0) return undefined;
  if (run.users === 0) {
    return {
      reason: "empty-directory",
      people,
      explanation: `Clavex shows no people, but the ledger knows ${run.known}: nobody is deprovisioned`,
    };
  }
  const limit = deprovisionLimit(organization, run.active);
  if (people <= limit + run.allowed) return undefined;
  return {
    reason: "brake",
    people,
    explanation: `${people} people would lose access, more than the ${limit} that may at once: nobody is deprovisioned. If that is right: clavex-nextcloud reconcile --organization ${organization.slug} --allow-deprovisions ${people}`,
  };
}
