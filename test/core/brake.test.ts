import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  admit,
  allow,
  allowance,
  BrakeHeld,
  type BrakeState,
  deprovisionLimit,
  hold,
  newBrake,
  type RunNumbers,
} from "../../functions/core/brake.ts";
import { organizationOf } from "./organization.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;

/** How many of so many new people get through one after the other, and the brake afterwards. */
let people = 0;
function pass(state: BrakeState, number: number, limit: number, now: number): { through: number; state: BrakeState } {
  let through = 0;
  let current = state;
  for (let index = 0; index < number; index += 1) {
    people += 1;
    const result = admit(current, `person-${people}`, limit, now);
    through += result.admitted ? 1 : 0;
    current = result.state;
  }
  return { through, state: current };
}

describe("the limit", () => {
  it.each([
    [{ count: 10, percent: 5 }, 0, 10],
    [{ count: 10, percent: 5 }, 200, 10],
    [{ count: 10, percent: 5 }, 239, 11],
    [{ count: 10, percent: 5 }, 240, 12],
    [{ count: 3, percent: 5 }, 70, 3],
    [{ count: 0, percent: 5 }, 19, 0],
    [{ count: 0, percent: 0 }, 10_000, 0],
    [{ count: 0, percent: 100 }, 17, 17],
  ])("of %j with %i people is %i", (maxDeprovisions, known, expected) => {
    expect(deprovisionLimit(organizationOf({ reconcile: { maxDeprovisions } }), known)).toBe(expected);
  });
});

describe("within an hour", () => {
  it("as many pass as the limit says, and the next one is held", () => {
    const { through, state } = pass(newBrake(NOW), 13, 10, NOW);
    expect(through).toBe(10);
    expect(state).toMatchObject({ held: true, passed: 10 });
  });

  it("a person who was let pass is let pass again, and is not counted twice", () => {
    const first = admit(newBrake(NOW), "ada", 1, NOW);
    const again = admit(first.state, "ada", 1, NOW + 1);
    expect(again).toEqual({ admitted: true, state: first.state });
    const held = admit(again.state, "grace", 1, NOW + 2);
    expect(held.admitted).toBe(false);
    expect(admit(held.state, "ada", 1, NOW + 3).admitted).toBe(true);
  });

  it("a person who was held is held again", () => {
    const { state } = admit(newBrake(NOW), "ada", 0, NOW);
    expect(admit(state, "ada", 0, NOW + 1)).toEqual({ admitted: false, state });
  });

  it("nobody passes once somebody was held, though the limit grows", () => {
    const { state } = pass(newBrake(NOW), 3, 2, NOW);
    expect(pass(state, 5, 100, NOW).through).toBe(0);
  });
});

describe("a new hour", () => {
  it("counts anew when nobody was held", () => {
    const { state } = pass(newBrake(NOW), 10, 10, NOW);
    expect(pass(state, 1, 10, NOW + HOUR_MS - 1).through).toBe(0);
    expect(pass(state, 20, 10, NOW + HOUR_MS).through).toBe(10);
  });

  it("forgets who was let pass in the last one", () => {
    const { state } = admit(newBrake(NOW), "ada", 1, NOW);
    const later = admit(state, "ada", 1, NOW + HOUR_MS);
    expect(later.state).toMatchObject({ hourStart: NOW + HOUR_MS, passed: 1, admitted: ["ada"] });
  });

  it("releases nobody once somebody was held, however late", () => {
    const { state } = pass(newBrake(NOW), 11, 10, NOW);
    expect(pass(state, 5, 10, NOW + 100 * HOUR_MS).through).toBe(0);
  });
});

describe("an operator", () => {
  it("lets exactly as many of those who were held pass, at any time", () => {
    for (const later of [0, 5 * 60_000, 3 * HOUR_MS]) {
      const { state } = pass(newBrake(NOW), 40, 10, NOW);
      const allowed = pass(allow(state, 7, NOW + later), 30, 10, NOW + later);
      expect(allowed.through).toBe(7);
      expect(pass(allowed.state, 30, 10, NOW + later + HOUR_MS).through).toBe(0);
    }
  });

  it("who lets all go lets the brake work as before", () => {
    const { state } = pass(newBrake(NOW), 14, 10, NOW);
    const allowed = pass(allow(state, 4, NOW), 4, 10, NOW);
    expect(allowed.through).toBe(4);
    expect(pass(allowed.state, 20, 10, NOW + HOUR_MS).through).toBe(10);
  });

  it("may allow in advance, and several times: it is added to the limit", () => {
    const state = allow(allow(newBrake(NOW), 20, NOW), 5, NOW + 1);
    expect(allowance(state, NOW + 1)).toBe(25);
    expect(pass(state, 60, 10, NOW + 1).through).toBe(35);
  });

  it("is forgotten after a day, as far as nobody used it", () => {
    const state = allow(newBrake(NOW), 20, NOW);
    expect(allowance(state, NOW + DAY_MS - 1)).toBe(20);
    expect(allowance(state, NOW + DAY_MS)).toBe(0);
    expect(allowance(allow(state, 3, NOW + DAY_MS), NOW + DAY_MS)).toBe(3);
    expect(pass(state, 30, 10, NOW + DAY_MS).through).toBe(10);
    expect(allowance(undefined, NOW)).toBe(0);
  });

  it("does not move the hour of a brake that has held nobody", () => {
    const { state } = pass(newBrake(NOW), 10, 10, NOW);
    expect(allow(state, 1, NOW + HOUR_MS - 1).hourStart).toBe(NOW);
  });
});

describe("whatever is asked and allowed", () => {
  const ask = fc.record({ kind: fc.constant("ask" as const), subject: fc.nat(12), wait: fc.nat(HOUR_MS / 2) });
  const permit = fc.record({ kind: fc.constant("allow" as const), number: fc.nat(4), wait: fc.nat(HOUR_MS) });
  const step = fc.oneof({ arbitrary: ask, weight: 5 }, { arbitrary: permit, weight: 1 });

  it("no more pass than the limit for each hour begun and what was allowed", () => {
    fc.assert(
      fc.property(fc.nat(4), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        let state = newBrake(NOW);
        let now = NOW;
        let counted = 0;
        let allowed = 0;
        for (const each of steps) {
          now += each.wait;
          if (each.kind === "allow") {
            state = allow(state, each.number, now);
            allowed += each.number;
            continue;
          }
          const subject = `person-${each.subject}`;
          const hourOver = now - state.hourStart >= HOUR_MS && !state.held;
          const known = !hourOver && state.admitted.includes(subject);
          const result = admit(state, subject, limit, now);
          if (result.admitted && !known) counted += 1;
          if (!result.admitted) expect(result.state.held).toBe(true);
          state = result.state;
        }
        const hours = Math.floor((now - NOW) / HOUR_MS) + 1;
        expect(counted).toBeLessThanOrEqual(limit * hours + allowed);
      }),
    );
  });

  it("the names that are remembered fit into one item", () => {
    const { state } = pass(newBrake(NOW), 2_500, 10_000, NOW);
    expect(state.admitted).toHaveLength(2_000);
    expect(state.admitted.at(-1)).toBe(`person-${people}`);
  });
});

describe("a person who is held", () => {
  it("is told why, and what an operator has to do; nobody else is stopped by it", () => {
    expect(new BrakeHeld("acme", 10)).toMatchObject({
      failureClass: "configuration",
      code: "brake-held",
      scope: "subject",
      message: "more than 10 people of acme would lose access within an hour",
      fix: expect.stringContaining("reconcile --organization acme --allow-deprovisions"),
    });
  });
});

describe("a run", () => {
  const acme = organizationOf({ reconcile: { maxDeprovisions: { count: 10, percent: 5 } } });
  const runOf = (fields: Partial<RunNumbers> = {}): RunNumbers => ({
    losing: 5,
    users: 300,
    complete: true,
    known: 310,
    active: 300,
    allowed: 0,
    ...fields,
  });

  const cases: [string, Partial<RunNumbers>, string | undefined][] = [
    ["that takes access from few is not held", {}, undefined],
    ["that takes access from nobody is not held", { losing: 0, users: 0 }, undefined],
    ["may take access from as many as the limit says", { losing: 15 }, undefined],
    ["that takes access from one more is held", { losing: 16 }, "brake"],
    ["may take access from as many more as an operator has allowed", { losing: 20, allowed: 5 }, undefined],
    ["that takes access from more than that is held", { losing: 21, allowed: 5 }, "brake"],
    ["takes the percentage of those who are active, not of all who are known", { losing: 11, active: 20 }, "brake"],
    [
      "that sees no people at all is held, whatever was allowed",
      { losing: 1, users: 0, allowed: 99 },
      "empty-directory",
    ],
    ["that has not seen all people is held", { losing: 1, complete: false }, "partial-read"],
    [
      "that has not seen all people is held, even if it takes access from nobody",
      { losing: 0, complete: false },
      "partial-read",
    ],
  ];
  it.each(cases)("%s", (_name, fields, reason) => {
    const run = runOf(fields);
    const held = hold(acme, run);
    expect(held?.reason).toBe(reason);
    if (held) expect(held.people).toBe(run.losing);
  });

  it("says in one sentence what an operator may do", () => {
    expect(hold(acme, runOf({ losing: 16 }))?.explanation).toBe(
      "16 people would lose access, more than the 15 that may at once: nobody is deprovisioned. " +
        "If that is right: clavex-nextcloud reconcile --organization acme --allow-deprovisions 16",
    );
    expect(hold(acme, runOf({ users: 0 }))?.explanation).toContain("the ledger knows 310");
  });
});
