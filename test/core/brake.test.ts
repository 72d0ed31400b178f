import { describe, expect, it } from "vitest";
import {
  admit,
  allow,
  allowance,
  BrakeHeld,
  type BrakeState,
  brakeItem,
  brakeSchema,
  dailyLimit,
  GroupsEmpty,
  hasChange,
  hold,
  holdLeaves,
  hourlyLimit,
  newBrake,
  passedWithin,
  type RunNumbers,
  withChange,
} from "../../functions/core/brake.ts";
import { fc } from "../support/fast-check.ts";
import { organizationOf } from "./organization.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;

let jobs = 0;
const newJob = (): string => `job ${++jobs}`;

/** How many of this many people get through one after the other, and the brake afterwards. */
function pass(state: BrakeState, number: number, limit: number, now: number): { through: number; state: BrakeState } {
  let through = 0;
  let current = state;
  for (let index = 0; index < number; index += 1) {
    const result = admit(current, newJob(), limit, now);
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
    expect(hourlyLimit(organizationOf({ reconcile: { maxDeprovisions } }), "deprovisions", known)).toBe(expected);
  });

  it.each([
    [0, 2],
    [3, 2],
    [4, 2],
    [5, 2],
    [10, 5],
    [19, 9],
    [20, 10],
    [200, 10],
    [300, 15],
  ])("that nobody chose is, of %i people, %i: at most half of them, never below 2", (enabled, expected) => {
    expect(hourlyLimit(organizationOf(), "deprovisions", enabled)).toBe(expected);
  });

  it("of a chosen percentage is what it says, whatever the default count would be", () => {
    const acme = organizationOf({ reconcile: { maxDeprovisions: { percent: 80 } } });
    expect(hourlyLimit(acme, "deprovisions", 10)).toBe(8);
  });

  it.each([
    [{}, 10, 50],
    [{}, 600, 60],
    [{ count: 3, percent: 0 }, 600, 3],
  ])("of leaves, %j, with %i people is %i", (maxLeaves, enabled, expected) => {
    expect(hourlyLimit(organizationOf({ reconcile: { maxLeaves } }), "leaves", enabled)).toBe(expected);
  });

  it("of a day is three times that of an hour, or what was chosen", () => {
    expect(dailyLimit(organizationOf(), 5)).toBe(15);
    expect(dailyLimit(organizationOf({ reconcile: { maxDeprovisions: { daily: 7 } } }), 5)).toBe(7);
  });
});

describe("within an hour", () => {
  it("as many pass as the limit says, and the next one is held", () => {
    const { through, state } = pass(newBrake(), 13, 10, NOW);
    expect(through).toBe(10);
    expect(state).toMatchObject({ held: true, heldAt: NOW, buckets: [{ at: NOW, people: 10 }] });
  });

  it("a person who was held is held again, which changes nothing", () => {
    const { state } = admit(newBrake(), newJob(), 0, NOW);
    expect(admit(state, newJob(), 0, NOW + 1)).toEqual({ admitted: undefined, state });
  });

  it("the attempts of one job count once, by whatever they were let pass", () => {
    const first = admit(newBrake(), "Ada's job", 1, NOW);
    expect(admit(first.state, "Ada's job", 1, NOW)).toEqual({ admitted: "before", state: first.state });
    const held = admit(first.state, "Grace's job", 1, NOW);
    expect(admit(held.state, "Grace's job", 1, NOW).admitted).toBeUndefined();
    const allowed = admit(allow(held.state, 1, NOW), "Grace's job", 1, NOW);
    expect(allowed.admitted).toBe("allowance");
    expect(admit(allowed.state, "Grace's job", 1, NOW)).toEqual({ admitted: "before", state: allowed.state });
  });

  it("nobody passes once somebody was held, though the limit grows", () => {
    const { state } = pass(newBrake(), 3, 2, NOW);
    expect(pass(state, 5, 100, NOW).through).toBe(0);
  });
});

describe("a new hour", () => {
  it("counts anew when nobody was held", () => {
    const { state } = pass(newBrake(), 10, 10, NOW);
    expect(pass(state, 1, 10, NOW + HOUR_MS - 1).through).toBe(0);
    expect(pass(state, 20, 10, NOW + HOUR_MS).through).toBe(10);
  });

  it("does not begin at the stroke of one: 19 departures within 61 seconds do not pass", () => {
    const first = pass(newBrake(), 9, 10, NOW - 60_000);
    expect(pass(first.state, 10, 10, NOW + 1_000).through).toBe(1);
  });

  it("that is in the future is one of a clock that was ahead: it counts nobody", () => {
    const { state } = pass(newBrake(), 10, 10, NOW + 30 * DAY_MS);
    const later = pass(state, 20, 10, NOW);
    expect(later.through).toBe(10);
    expect(later.state.buckets).toEqual([{ at: NOW, people: 10 }]);
  });

  it("releases nobody once somebody was held, however late", () => {
    const { state } = pass(newBrake(), 11, 10, NOW);
    expect(pass(state, 5, 10, NOW + 100 * HOUR_MS).through).toBe(0);
  });
});

describe("an operator", () => {
  it("lets exactly as many of those who were held pass, at any time", () => {
    for (const later of [0, 5 * 60_000, 3 * HOUR_MS]) {
      const { state } = pass(newBrake(), 40, 10, NOW);
      const allowed = pass(allow(state, 7, NOW + later), 30, 10, NOW + later);
      expect(allowed.through).toBe(7);
      expect(pass(allowed.state, 30, 10, NOW + later + HOUR_MS).through).toBe(0);
    }
  });

  it("who lets all go lets the brake work as before", () => {
    const { state } = pass(newBrake(), 14, 10, NOW);
    const allowed = pass(allow(state, 4, NOW), 4, 10, NOW);
    expect(allowed.through).toBe(4);
    expect(pass(allowed.state, 20, 10, NOW + HOUR_MS).through).toBe(10);
  });

  it("may allow in advance, and several times: it is added to the limit", () => {
    const state = allow(allow(newBrake(), 20, NOW), 5, NOW + 1);
    expect(allowance(state, NOW + 1)).toBe(25);
    expect(pass(state, 60, 10, NOW + 1).through).toBe(35);
  });

  it("is forgotten after a day, as far as nobody used it", () => {
    const state = allow(newBrake(), 20, NOW);
    expect(allowance(state, NOW + DAY_MS - 1)).toBe(20);
    expect(allowance(state, NOW + DAY_MS)).toBe(0);
    expect(allowance(allow(state, 3, NOW + DAY_MS), NOW + DAY_MS)).toBe(3);
    expect(pass(state, 30, 10, NOW + DAY_MS).through).toBe(10);
    expect(allowance(undefined, NOW)).toBe(0);
  });

  it("does not move the hour of a brake that has held nobody", () => {
    const { state } = pass(newBrake(), 10, 10, NOW);
    expect(allow(state, 1, NOW + HOUR_MS - 1).buckets).toEqual([{ at: NOW, people: 10 }]);
  });

  it("whose clock was ahead when they allowed has allowed nothing", () => {
    expect(allowance(allow(newBrake(), 5, NOW + 30 * DAY_MS), NOW)).toBe(0);
  });

  it("whose answer was lost is known by the change's id, as long as few others came after it", () => {
    let state = withChange(allow(newBrake(), 5, NOW), "mine");
    expect(hasChange(state, "mine")).toBe(true);
    for (let index = 0; index < 31; index += 1) state = withChange(state, `other-${index}`);
    expect(hasChange(state, "mine")).toBe(true);
    expect(hasChange(withChange(state, "one more"), "mine")).toBe(false);
  });
});

describe("whatever is asked and allowed", () => {
  const ask = fc.record({ kind: fc.constant("ask" as const), wait: fc.nat(HOUR_MS / 2) });
  const permit = fc.record({ kind: fc.constant("allow" as const), number: fc.nat(4), wait: fc.nat(HOUR_MS) });
  const step = fc.oneof({ arbitrary: ask, weight: 5 }, { arbitrary: permit, weight: 1 });

  it("no more pass than the limit in any hour, whenever it begins, and what was allowed", () => {
    fc.assert(
      fc.property(fc.nat(4), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        let state = newBrake();
        let now = NOW;
        const byLimit: number[] = [];
        let [byAllowance, allowed] = [0, 0];
        for (const each of steps) {
          now += each.wait;
          if (each.kind === "allow") {
            state = allow(state, each.number, now);
            allowed += each.number;
            continue;
          }
          const result = admit(state, newJob(), limit, now);
          if (result.admitted === "limit") byLimit.push(now);
          if (result.admitted === "allowance") byAllowance += 1;
          if (!result.admitted) expect(result.state.held).toBe(true);
          state = result.state;
        }
        for (const begin of byLimit) {
          const within = byLimit.filter((at) => at >= begin && at - begin < HOUR_MS);
          expect(within.length).toBeLessThanOrEqual(limit);
        }
        expect(byAllowance).toBeLessThanOrEqual(allowed);
      }),
    );
  });

  it("what is remembered fits into one item: a day in five minutes each", () => {
    let state = newBrake();
    for (let minute = 0; minute < 3 * 24 * 60; minute += 1)
      state = admit(state, newJob(), 10_000, NOW + minute * 60_000).state;
    expect(state.buckets.length).toBeLessThanOrEqual(24 * 12 + 1);
    expect(passedWithin(state, "day", NOW + 3 * DAY_MS - 60_000)).toBe(24 * 60);
  });
});

describe("the stored form", () => {
  it("of version 0.1 is read: its hour, its hold and what was allowed go on", () => {
    const first = { hourStart: NOW, passed: 9, held: false, allowed: 2, allowedUntil: NOW + DAY_MS, admitted: ["ada"] };
    const state = brakeSchema.parse(first);
    expect(state).toEqual({
      buckets: [{ at: NOW, people: 9 }],
      held: false,
      allowed: 2,
      allowedUntil: NOW + DAY_MS,
      changes: [],
    });
    expect(pass(state, 10, 10, NOW + 60_000).through).toBe(3);
    expect(brakeSchema.parse({ ...first, held: true })).toMatchObject({ held: true, heldAt: NOW });
  });

  it("can be read by version 0.1", () => {
    const { state } = pass(newBrake(), 3, 10, NOW);
    expect(brakeItem(state)).toMatchObject({ hourStart: NOW, passed: 3, held: false, allowed: 0, admitted: [] });
    expect(brakeSchema.parse(brakeItem(state))).toEqual(state);
    expect(brakeItem(newBrake())).toMatchObject({ hourStart: 0, passed: 0, allowedUntil: 0 });
  });

  it("keeps what a newer version wrote into it", () => {
    const newer = { ...newBrake(), buckets: [{ at: NOW, people: 1, kinds: ["x"] }], reason: "yes" };
    const state = allow(admit(brakeSchema.parse(newer), newJob(), 10, NOW + 1).state, 1, NOW + 1);
    expect(state).toMatchObject({ reason: "yes", buckets: [{ people: 2, kinds: ["x"] }] });
  });
});

describe("a person who is held", () => {
  it("is told why, and what an operator has to do; nobody else is stopped by it", () => {
    expect(new BrakeHeld("acme", "deprovisions", 10)).toMatchObject({
      failureClass: "configuration",
      code: "brake-held",
      scope: "subject",
      message: "more than 10 people of acme would lose access within an hour",
      fix: expect.stringContaining("reconcile --organization acme --allow-deprovisions"),
    });
    expect(new BrakeHeld("acme", "leaves", 50)).toMatchObject({
      failureClass: "configuration",
      code: "leaves-held",
      scope: "subject",
      message: "more than 50 people of acme would lose a group within an hour",
      fix: expect.stringContaining("reconcile --organization acme --allow-leaves"),
    });
    expect(new GroupsEmpty("acme")).toMatchObject({
      failureClass: "configuration",
      code: "groups-empty",
      scope: "subject",
      fix: expect.stringContaining("--allow-leaves"),
    });
  });
});

describe("a run", () => {
  const acme = organizationOf({ reconcile: { maxDeprovisions: { count: 10, percent: 5 } } });
  type Fields = Partial<Omit<RunNumbers, "losing" | "admitted" | "brakes">> & {
    losing?: number;
    allowed?: number;
    leaves?: number;
    /** How many passed the brakes, and how many minutes ago; how many of them come again; whether others are held. */
    passed?: number;
    minutesAgo?: number;
    admitted?: number;
    isHeld?: boolean;
  };
  const brakeOf = ({ allowed = 0, passed = 0, minutesAgo = 20, isHeld = false }: Fields): BrakeState => ({
    ...newBrake(),
    buckets: [{ at: NOW - minutesAgo * 60_000, people: passed }],
    held: isHeld,
    allowed,
    allowedUntil: NOW + 60_000,
  });
  const runOf = (fields: Fields = {}): RunNumbers => numbersOf(fields, brakeOf(fields));
  const numbersOf = (
    { losing = 5, leaves = 0, admitted = 0, allowed: _, passed: __, minutesAgo: ___, isHeld: ____, ...fields }: Fields,
    brake: BrakeState,
  ): RunNumbers => ({
    losing: { deprovisions: losing, leaves },
    users: 300,
    complete: true,
    known: 310,
    unread: 0,
    enabled: 300,
    admitted: { deprovisions: admitted, leaves: admitted },
    brakes: { deprovisions: brake, leaves: brake },
    groupsEmpty: false,
    ...fields,
  });

  const cases: [string, Fields, string | undefined][] = [
    ["that takes access from few is not held", {}, undefined],
    ["that takes access from nobody is not held", { losing: 0, users: 0 }, undefined],
    ["may take access from as many as the limit says", { losing: 15 }, undefined],
    ["that takes access from one more is held", { losing: 16 }, "brake"],
    ["may take access from as many more as an operator has allowed", { losing: 20, allowed: 5 }, undefined],
    ["that takes access from more than that is held", { losing: 21, allowed: 5 }, "brake"],
    ["takes the percentage of those who are active, not of all who are known", { losing: 11, enabled: 20 }, "brake"],
    [
      "that sees no people at all is held, whatever was allowed",
      { losing: 1, users: 0, allowed: 99 },
      "empty-directory",
    ],
    ["that has not seen all people says so", { losing: 1, complete: false, unread: 4 }, "partial-read"],
    [
      "that has not seen all people says so, even if it takes access from nobody",
      { losing: 0, complete: false },
      "partial-read",
    ],
    ["that has not seen all people heeds the brake like any other", { losing: 16, complete: false }, "brake"],
    ["may take access from as many as the hour has left", { losing: 7, passed: 8 }, undefined],
    ["that takes access from one more than the hour has left is held", { losing: 8, passed: 8 }, "brake"],
    ["takes no account of what passed more than an hour ago", { losing: 8, passed: 8, minutesAgo: 61 }, undefined],
    [
      "may take access from those the hour has left and those allowed",
      { losing: 10, passed: 8, allowed: 3 },
      undefined,
    ],
    ["that takes access from more than both is held", { losing: 11, passed: 8, allowed: 3 }, "brake"],
    ["does not count twice whom the brake has let pass before", { losing: 15, passed: 8, admitted: 8 }, undefined],
    ["counts the others beside them", { losing: 16, passed: 8, admitted: 8 }, "brake"],
    ["is held while others are held, however few lose access", { losing: 1, isHeld: true }, "brake"],
    ["that an operator has allowed goes on all the same", { losing: 1, isHeld: true, allowed: 1 }, undefined],
    [
      "takes the percentage of those who were there before the hour's departures",
      { losing: 5, enabled: 290, passed: 10 },
      undefined,
    ],
    ["that sees no groups goes on where no group decides who has an account", { groupsEmpty: true }, undefined],
  ];
  it.each(cases)("%s", (_name, fields, reason) => {
    const run = runOf(fields);
    const held = hold(acme, run, NOW);
    expect(held?.reason).toBe(reason);
    const isPartial = reason === "partial-read";
    if (held)
      expect(held).toMatchObject({
        people: isPartial ? run.unread : run.losing.deprovisions,
        holds: isPartial ? "unread" : "everybody",
      });
  });

  it("says in one sentence what an operator may do", () => {
    expect(hold(acme, runOf({ losing: 16 }), NOW)?.explanation).toBe(
      "16 people would lose access, more than the 15 that may at once: nobody is deprovisioned. " +
        "If that is right: npx clavex-nextcloud reconcile --organization acme --allow-deprovisions 16",
    );
    expect(hold(acme, runOf({ losing: 8, passed: 10 }), NOW)?.explanation).toMatch(
      /^8 people would lose access, and 10 have within the last hour, more than the 15 that may: nobody is deprovisioned/,
    );
    expect(hold(acme, runOf({ losing: 8, isHeld: true }), NOW)?.explanation).toMatch(
      /^8 people would lose access, while others are held already: nobody is deprovisioned/,
    );
    expect(hold(acme, runOf({ users: 0 }), NOW)?.explanation).toContain("the ledger knows 310");
  });

  it("that sees no groups, where groups decide who has an account, is held unless an operator allows it", () => {
    const scoped = organizationOf({ scope: { groups: ["staff"] } });
    expect(hold(scoped, runOf({ losing: 1, groupsEmpty: true }), NOW)?.reason).toBe("empty-groups");
    expect(hold(scoped, runOf({ losing: 1, groupsEmpty: true, allowed: 1 }), NOW)).toBeUndefined();
  });

  const ofLeaves: [string, Fields, string | undefined][] = [
    ["that takes a group from nobody", { groupsEmpty: true }, undefined],
    ["that takes a group from as many as the limit says", { leaves: 50 }, undefined],
    ["that takes a group from one more", { leaves: 51 }, "leaves"],
    ["that an operator has allowed so many more", { leaves: 60, allowed: 10 }, undefined],
    ["that sees no groups at all", { leaves: 1, groupsEmpty: true }, "empty-groups"],
    ["that sees no groups at all, as an operator has said", { leaves: 7, groupsEmpty: true, allowed: 7 }, undefined],
    ["that takes a group from as many as the hour has left", { leaves: 20, passed: 30 }, undefined],
    ["that takes a group from one more than the hour has left", { leaves: 21, passed: 30 }, "leaves"],
    [
      "that takes a group from those whom the brake let pass before",
      { leaves: 21, passed: 30, admitted: 1 },
      undefined,
    ],
    ["that takes a group from somebody while others are held", { leaves: 1, isHeld: true }, "leaves"],
    ["that takes a group from ten per cent of many", { leaves: 60, enabled: 600 }, undefined],
  ];
  it.each(ofLeaves)("%s is held, of the leaves: %s", (_name, fields, reason) => {
    const held = holdLeaves(organizationOf(), runOf(fields), NOW);
    expect(held?.reason).toBe(reason);
    if (held) expect(held.explanation).toMatch(/--allow-leaves/);
  });
});
