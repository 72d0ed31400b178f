import { describe, expect, it } from "vitest";
import { editQuotas } from "../../bench/edits.ts";

const MINUTE_MS = 60_000;
/** Two for whoever leaves: read, disable. Three for whoever joins: read, name, e-mail and quota. */
const ARRIVAL = 5;

describe("a group's quota changes for 600 people who have logged in", () => {
  it("with an empty skeleton: two requests each, no 429, and nobody who joins or leaves waits behind all of them", async () => {
    const edited = await editQuotas({ people: 600, skeleton: "empty", endsAfterMs: 60 * MINUTE_MS, everyMs: 2_000 });
    const arrivals = edited.newcomers.seconds.length;
    expect(arrivals).toBeGreaterThan(5);
    expect(edited).toMatchObject({ left: 0, refused: 0 });
    expect(edited.requests).toBeLessThanOrEqual(600 * 2 + arrivals * ARRIVAL + 3);
    // 100 jobs may wait, and some are under way.
    expect(Math.max(...edited.newcomers.requests, ...edited.leavers.requests)).toBeLessThan(2 * 100 + 50);
    // All jobs of the run share a reading of the groups, or one a minute; each reads its person.
    expect(edited.requestsToClavex).toBeLessThan(600 + 200);
  });

  it("with a skeleton: as many as Nextcloud takes without a 429, one read for whoever waits, and three requests at their turn", async () => {
    const edited = await editQuotas({ people: 300, skeleton: "default", endsAfterMs: 12 * MINUTE_MS });
    expect(edited).toMatchObject({ written: 100, refused: 0 });
    expect(edited.requests).toBeLessThanOrEqual(
      300 + 50 + 50 * 3 + edited.newcomers.seconds.length * (ARRIVAL + 3) + 3,
    );
    expect(Math.max(...edited.leavers.requests)).toBeLessThan(2 * 100 + 50);
  });
});
