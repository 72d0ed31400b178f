import * as z from "zod";
import { isAhead, isWithin } from "./clock.ts";

/**
 * Nextcloud takes 50 edits of accounts in 600 s from each acting account, failed ones too, and those by PUT and by PATCH count
 * apart (docs/facts/nextcloud.md 2). A slot is the right to send one.
 */
export const EDITS_AT_ONCE = 50;
const PERIOD_MS = 600_000;
/** An edit arrives a little later than its slot was taken, and Nextcloud counts from then on. */
const ARRIVAL_MS = 5_000;
/** After a 429 no edit is sent for this long: somebody else edits with the same account. */
const BLOCKED_MS = 60_000;

/** The two ways to edit an account. */
export type EditVerb = "PUT" | "PATCH";

/** The stored form of the slots of one server, acting account and verb. All times are milliseconds since the epoch. */
export const editSlotsSchema = z.object({
  /** When each slot was taken. */
  taken: z.array(z.number()),
  blockedUntil: z.number(),
});
export type EditSlots = z.output<typeof editSlotsSchema>;

export const ALL_FREE: EditSlots = { taken: [], blockedUntil: 0 };

const recent = ({ taken }: EditSlots, now: number): number[] =>
  taken.filter((at) => isWithin(at, PERIOD_MS + ARRIVAL_MS, now));

/** How many edits may be sent now. */
export function freeSlots(slots: EditSlots, now: number): number {
  if (isAhead(slots.blockedUntil, BLOCKED_MS, now)) return 0;
  return Math.max(0, EDITS_AT_ONCE - recent(slots, now).length);
}

/** Takes one slot; undefined while none is free. */
export function takeSlot(slots: EditSlots, now: number): EditSlots | undefined {
  return freeSlots(slots, now) > 0 ? { ...slots, taken: [...recent(slots, now), now] } : undefined;
}

/** Nextcloud answered 429: there is no slot for a while. */
export function blockSlots(slots: EditSlots, now: number): EditSlots {
  return { ...slots, blockedUntil: now + BLOCKED_MS };
}

/**
 * About how long this many edits take.
 *
 * @returns milliseconds; 0 if all may be sent at once
 */
export function durationOfEdits(edits: number): number {
  return edits <= EDITS_AT_ONCE ? 0 : (edits * PERIOD_MS) / EDITS_AT_ONCE;
}
