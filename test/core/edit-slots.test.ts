import { describe, expect, it } from "vitest";
import {
  ALL_FREE,
  blockSlots,
  durationOfEdits,
  type EditSlots,
  freeSlots,
  takeSlot,
} from "../../functions/core/edit-slots.ts";
import { fc } from "../support/fast-check.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const MINUTE = 60_000;

/** Takes as many slots as there are. */
function takeAll(before: EditSlots, now: number): { slots: EditSlots; taken: number } {
  let [slots, taken] = [before, 0];
  for (let next = takeSlot(slots, now); next; next = takeSlot(slots, now)) {
    slots = next;
    taken += 1;
  }
  return { slots, taken };
}

describe("slots for edits", () => {
  it("are 50 at first, and again when ten minutes are over", () => {
    const first = takeAll(ALL_FREE, NOW);
    expect(first.taken).toBe(50);
    expect(freeSlots(first.slots, NOW + 10 * MINUTE)).toBe(0);
    expect(takeAll(first.slots, NOW + 10 * MINUTE + 5_000).taken).toBe(50);
  });

  it("are no more than 50 in any ten minutes, whenever they are taken", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 100, maxLength: 300 }), (waits) => {
        let [slots, now] = [ALL_FREE, NOW];
        const taken: number[] = [];
        for (const wait of waits) {
          now += wait;
          const next = takeSlot(slots, now);
          if (next) taken.push(now);
          slots = next ?? slots;
        }
        for (const from of taken)
          expect(taken.filter((at) => at >= from && at < from + 600_000).length).toBeLessThanOrEqual(50);
      }),
    );
  });

  it("are none for a minute after a 429, and the rest is kept", () => {
    const slots = blockSlots(takeSlot(ALL_FREE, NOW) ?? ALL_FREE, NOW);
    expect(freeSlots(slots, NOW + MINUTE - 1)).toBe(0);
    expect(freeSlots(slots, NOW + MINUTE)).toBe(49);
  });

  it("do not wait for a clock that was years ahead", () => {
    const later = NOW + 365 * 24 * 60 * MINUTE;
    expect(freeSlots(takeAll(ALL_FREE, later).slots, NOW)).toBe(50);
    expect(freeSlots(blockSlots(ALL_FREE, later), NOW)).toBe(50);
  });

  it.each([
    [0, 0],
    [50, 0],
    [51, 612_000],
    [10_000, 2_000 * MINUTE],
  ])("let %d edits that come at once take about %d ms", (edits, milliseconds) => {
    expect(durationOfEdits(edits)).toBe(milliseconds);
  });
});
