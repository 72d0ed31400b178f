import { describe, expect, it } from "vitest";
import type { SubjectState } from "../../functions/core/account.ts";
import { type DesiredAccount, desiredHash, groupsHash } from "../../functions/core/desired.ts";
import type { Operation, Plan } from "../../functions/core/plan.ts";
import {
  applied,
  departed,
  disabledUnread,
  failedAttempt,
  intended,
  isAdmitted,
  isKnown,
  isPostponedDue,
  isRefusalHeeded,
  leaversStillEnabled,
  newRecord,
  oddlyAnswered,
  ordered,
  parked,
  queued,
  type Result,
  type SubjectRecord,
  subjectItem,
  subjectItemSchema,
  type Unrevoked,
  unqueued,
  withoutEffectFor,
} from "../../functions/core/record.ts";
import { fc } from "../support/fast-check.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const LONG_AGO = NOW - 86_400_000;

/** A record with something in every field. */
const full = (fields: Partial<SubjectRecord> = {}): SubjectRecord => ({
  subject: "ada",
  accountId: "account-of-ada",
  state: "active",
  version: "2026-07-22T08:00:00.000000000Z",
  groups: ["eng"],
  disabledByUs: false,
  goneSince: undefined,
  applied: { desiredHash: "before", groupsHash: "groups before", readAt: LONG_AGO, userReadAt: LONG_AGO + 1 },
  queued: { hash: "waiting", at: LONG_AGO + 2 },
  refused: { hash: "refused", unrevoked: "leave", at: LONG_AGO + 3, times: 2 },
  admitted: { braked: "leaves", at: LONG_AGO + 4 },
  unanswered: LONG_AGO + 5,
  lastSeenEnabled: false,
  ineffective: { hash: "no effect", keys: ["displayname"] },
  postponed: { at: LONG_AGO + 4, times: 1 },
  failures: 3,
  serverErrors: 2,
  madeAt: LONG_AGO - 1,
  pendingEdit: LONG_AGO + 4,
  revision: 5,
  foreign: { madeBy: "another version" },
  ...fields,
});

/** What differs between two records, as it is afterwards. */
function changes(before: SubjectRecord, after: SubjectRecord): Partial<SubjectRecord> {
  expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
  const equal = (key: string) =>
    JSON.stringify(before[key as keyof SubjectRecord]) === JSON.stringify(after[key as keyof SubjectRecord]);
  return Object.fromEntries(Object.entries(after).filter(([key]) => !equal(key)));
}

describe("before a change", () => {
  const cases: [string, Partial<SubjectRecord>, { joining: string[]; disabling: boolean }, Partial<SubjectRecord>][] = [
    ["that joins and locks nothing, nothing is noted", {}, { joining: [], disabling: false }, {}],
    [
      "the groups to be joined are ours beside those that were",
      {},
      { joining: ["ops", "eng"], disabling: false },
      { groups: ["eng", "ops"] },
    ],
    ["the lock to be set is ours", {}, { joining: [], disabling: true }, { disabledByUs: true }],
    ["a lock of ours stays ours", { disabledByUs: true }, { joining: [], disabling: false }, {}],
  ];
  it.each(cases)("%s", (_name, fields, operations, expected) => {
    const before = full(fields);
    expect(changes(before, intended(before, before.accountId, operations))).toEqual(expected);
  });

  it("the account is the one that is about to be changed", () => {
    const after = intended(full(), "another", { joining: [], disabling: false });
    expect(changes(full(), after)).toEqual({ accountId: "another" });
  });
});

const person = { subject: "ada", accountId: "account-of-ada", notes: [] };
const active: DesiredAccount = {
  ...person,
  state: "active",
  profile: { displayName: "Ada Lovelace", email: "ada@acme.example", quota: undefined },
  quotaRule: "none",
  directoryGroups: [],
  unreadGroups: [],
  alwaysGroups: [],
};
const inactive = (state: Exclude<SubjectState, "active">): DesiredAccount => ({ ...person, state });
const planOf = (memberships: string[] = [], ...operations: Operation[]): Plan => ({
  operations,
  memberships,
  notes: [],
  refusal: undefined,
});
const DISABLE: Operation = { kind: "disable", effect: "revokes" };
const ENABLE: Operation = { kind: "enable", effect: "grants" };

const resultOf = (fields: Partial<Result> = {}): Result => ({
  desired: active,
  plan: planOf(),
  joined: [],
  wasEnabled: true,
  editWaits: false,
  reading: { version: "2026-07-23T08:00:00.000000000Z", groups: ["Eng"], readAt: NOW - 3, userReadAt: NOW - 2 },
  ...fields,
});

describe("after a change", () => {
  it("the record holds what was applied, the reading it came from, and nothing of what waited or was refused", () => {
    const result = resultOf({ plan: planOf(["ops", "eng"]), joined: ["design", "ops"] });
    expect(changes(full(), applied(full(), result, NOW))).toEqual({
      version: "2026-07-23T08:00:00.000000000Z",
      groups: ["design", "eng", "ops"],
      applied: {
        desiredHash: desiredHash(active),
        groupsHash: groupsHash(["Eng"]),
        readAt: NOW - 3,
        userReadAt: NOW - 2,
      },
      queued: undefined,
      refused: undefined,
      lastSeenEnabled: true,
      ineffective: undefined,
      postponed: undefined,
      failures: 0,
      serverErrors: 0,
    });
  });

  it("a new person is known", () => {
    const record = applied(newRecord("ada", "account-of-ada"), resultOf({ wasEnabled: undefined }), NOW);
    expect(isKnown(record)).toBe(true);
    expect(record).toMatchObject({ state: "active", disabledByUs: false, goneSince: undefined });
  });

  it("groups that were not joined, though it was intended, are not ours", () => {
    const before = intended(full({ groups: [] }), "account-of-ada", { joining: ["eng", "ops"], disabling: false });
    expect(applied(before, resultOf({ joined: ["ops"] }), NOW).groups).toEqual(["ops"]);
  });

  it("groups that nobody read leave no hash, and a reading without a version leaves the one before", () => {
    const reading = { version: undefined, groups: undefined, readAt: NOW, userReadAt: NOW };
    const record = applied(full(), resultOf({ reading }), NOW);
    expect(record.applied?.groupsHash).toBeUndefined();
    expect(record.version).toBe(full().version);
  });

  const locks: [
    string,
    { before: boolean; wasEnabled: boolean | undefined; desired: DesiredAccount; plan: Plan },
    boolean,
  ][] = [
    [
      "an account that we disable is",
      { before: false, wasEnabled: true, desired: inactive("suspended"), plan: planOf([], DISABLE) },
      true,
    ],
    [
      "an account that was disabled by us before stays",
      { before: true, wasEnabled: false, desired: inactive("suspended"), plan: planOf() },
      true,
    ],
    [
      "an account that an administrator disabled is not",
      { before: false, wasEnabled: false, desired: inactive("suspended"), plan: planOf() },
      false,
    ],
    [
      "an account that somebody else enabled, and that is kept, is not",
      { before: true, wasEnabled: true, desired: inactive("suspended"), plan: planOf() },
      false,
    ],
    [
      "an account that we enable again is not",
      { before: true, wasEnabled: false, desired: active, plan: planOf([], ENABLE) },
      false,
    ],
    [
      "an account that is gone is not",
      { before: true, wasEnabled: undefined, desired: inactive("deleted"), plan: planOf() },
      false,
    ],
  ];
  it.each(locks)("%s disabled by us", (_name, { before, ...result }, expected) => {
    const record = full({ disabledByUs: before, state: "suspended" });
    expect(applied(record, resultOf(result), NOW).disabledByUs).toBe(expected);
  });

  const since: [string, Partial<SubjectRecord>, DesiredAccount, number | undefined][] = [
    ["begins when the person goes", { state: "active" }, inactive("suspended"), NOW],
    ["goes on while nothing changes", { state: "suspended", goneSince: LONG_AGO }, inactive("suspended"), LONG_AGO],
    ["begins anew with another reason", { state: "suspended", goneSince: LONG_AGO }, inactive("deleted"), NOW],
    ["ends when the person is back", { state: "deleted", goneSince: LONG_AGO }, active, undefined],
    ["begins now where nobody knows when it began", { state: "deleted" }, inactive("deleted"), NOW],
    ["begins for somebody who was never here", { state: "new" }, inactive("outOfScope"), NOW],
  ];
  it.each(since)("the grace period %s", (_name, fields, desired, expected) => {
    const record = applied(full(fields), resultOf({ desired }), NOW);
    expect(record).toMatchObject({ state: desired.state, goneSince: expected });
  });
});

describe("a refusal", () => {
  it("is kept with the state that was refused; nothing waits any more, and failures are counted anew", () => {
    const before = full({ refused: undefined });
    expect(changes(before, parked(before, { hash: "hash", unrevoked: "nothing" }, NOW))).toEqual({
      refused: { hash: "hash", unrevoked: "nothing", at: NOW, times: 1 },
      queued: undefined,
      failures: 0,
      serverErrors: 0,
    });
  });

  it("may be of a state that nobody knows", () => {
    expect(parked(full(), { hash: undefined, unrevoked: "nothing" }, NOW).refused).toMatchObject({ hash: undefined });
  });

  it("of the same is counted, and one of something else is counted anew", () => {
    const refused = { hash: "refused", unrevoked: "leave" } as const;
    expect(parked(full(), refused, NOW).refused).toMatchObject({ at: NOW, times: 3 });
    expect(parked(full(), { ...refused, hash: "other" }, NOW).refused).toMatchObject({ times: 1 });
    expect(parked(full(), { ...refused, unrevoked: "disable" }, NOW).refused).toMatchObject({ times: 1 });
  });

  it("of a part leaves what was done: the groups that the person left are no longer theirs", () => {
    const before = full({ groups: ["eng", "ops", "secret"] });
    expect(changes(before, departed(before, ["secret", "elsewhere"]))).toEqual({ groups: ["eng", "ops"] });
  });

  it("without an API key keeps the order: a deletion is final, and a snapshot's version stays the newest", () => {
    expect(changes(full(), ordered(full(), true, undefined))).toEqual({ state: "deleted" });
    expect(changes(full(), ordered(full(), false, "2026-07-24"))).toEqual({ version: "2026-07-24" });
    expect(changes(full(), ordered(full(), false, undefined))).toEqual({});
  });
});

describe("a light run", () => {
  const MINUTE_MS = 60_000;
  const refusedAs = (unrevoked: Unrevoked, times = 1, at = NOW) =>
    full({ refused: { hash: "hash", unrevoked, at, times } });

  it.each([
    [1, 10],
    [2, 20],
    [3, 40],
    [7, 640],
    [8, 1_280],
    [9, 1_440],
    [5_000, 1_440],
  ])("tries to take access away again: after %d refusals, %d minutes later", (times, minutes) => {
    for (const unrevoked of ["disable", "leave"] as const) {
      const heeded = (after: number) => isRefusalHeeded(refusedAs(unrevoked, times), "hash", false, NOW + after);
      expect(heeded(minutes * MINUTE_MS - 1)).toBe(true);
      expect(heeded(minutes * MINUTE_MS)).toBe(false);
    }
  });

  it("heeds any other refusal for ever, unless the account is to be closed", () => {
    const late = NOW + 1_000 * 24 * 60 * MINUTE_MS;
    expect(isRefusalHeeded(refusedAs("nothing"), "hash", false, late)).toBe(true);
    expect(isRefusalHeeded(refusedAs("nothing"), "hash", true, NOW + 9 * MINUTE_MS)).toBe(true);
    expect(isRefusalHeeded(refusedAs("nothing"), "hash", true, NOW + 10 * MINUTE_MS)).toBe(false);
  });

  it("tries at once what an older version gave up without a time", () => {
    expect(isRefusalHeeded(refusedAs("nothing", 0, 0), "hash", true, NOW)).toBe(false);
  });

  it("tries at once what is desired anew, what nobody refused, and what a clock refused that was ahead", () => {
    expect(isRefusalHeeded(refusedAs("leave"), "other", false, NOW)).toBe(false);
    expect(isRefusalHeeded(full({ refused: undefined }), "hash", true, NOW)).toBe(false);
    expect(isRefusalHeeded(undefined, "hash", true, NOW)).toBe(false);
    expect(isRefusalHeeded(refusedAs("disable", 1, NOW + 1), "hash", true, NOW)).toBe(false);
  });

  it("knows how many leavers are still enabled: those whose disable was refused", () => {
    const records = [refusedAs("disable"), refusedAs("leave"), refusedAs("nothing"), full({ refused: undefined })];
    expect(leaversStillEnabled(records)).toBe(1);
  });
});

describe("a failed write", () => {
  it("of a whole attempt is counted, and nothing else changes", () => {
    expect(changes(full(), failedAttempt(full()))).toEqual({ failures: 4 });
    expect(failedAttempt(newRecord("ada", "a")).failures).toBe(1);
  });

  it("is counted, and nothing else changes", () => {
    expect(changes(full(), oddlyAnswered(full()))).toEqual({ serverErrors: 3 });
    expect(oddlyAnswered(newRecord("ada", "a")).serverErrors).toBe(1);
  });
});

describe("a reconciliation job", () => {
  it("that is sent is noted with its time", () => {
    expect(changes(full(), queued(full(), "hash", NOW))).toEqual({ queued: { hash: "hash", at: NOW } });
  });

  it("that could not be sent leaves what waited before", () => {
    const before = full();
    expect(unqueued(queued(before, "hash", NOW), before.queued)).toEqual(before);
    expect(unqueued(queued(before, "hash", NOW), undefined).queued).toBeUndefined();
  });
});

describe("a person was let pass by the brake", () => {
  const passing = intended(newRecord("ada", "a"), "a", {
    joining: [],
    disabling: true,
    admitted: { braked: "deprovisions", at: NOW },
  });

  it("until what they were to lose is taken away: a retry does not count twice", () => {
    expect(isAdmitted(passing, "deprovisions", NOW + 86_400_000)).toBe(true);
    expect(isAdmitted(passing, "leaves", NOW)).toBe(false);
    expect(isAdmitted(undefined, "deprovisions", NOW)).toBe(false);
    const retried = intended(passing, "a", { joining: [], disabling: true });
    expect(isAdmitted(failedAttempt(retried), "deprovisions", NOW)).toBe(true);
  });

  it("not later than now: that was a clock that was ahead", () => {
    expect(isAdmitted(passing, "deprovisions", NOW - 86_400_000)).toBe(false);
  });
});

describe("a person is known", () => {
  it.each<[string, SubjectRecord | undefined, boolean]>([
    ["not without a record", undefined, false],
    ["not with a new one", newRecord("ada", "a"), false],
    [
      "not when all that happened was refused",
      parked(newRecord("ada", "a"), { hash: "hash", unrevoked: "leave" }, NOW),
      false,
    ],
    [
      "not when the change was only intended",
      intended(newRecord("ada", "a"), "a", { joining: ["eng"], disabling: false }),
      false,
    ],
    ["once something was applied", full(), true],
  ])("%s", (_name, record, expected) => {
    expect(isKnown(record)).toBe(expected);
  });
});

describe("what was skipped for now", () => {
  const skipped = (record: SubjectRecord, now: number) => applied(record, resultOf({ postponed: true }), now);

  it("is tried again after 10 minutes, then after twice as long each time, at least daily", () => {
    const waits: number[] = [];
    let [record, now] = [newRecord("ada", "a"), NOW];
    for (let times = 0; times < 12; times += 1) {
      record = skipped(record, now);
      let minutes = 0;
      while (!isPostponedDue(record, now + minutes * 60_000)) minutes += 10;
      waits.push(minutes);
      now += minutes * 60_000;
    }
    expect(waits).toEqual([10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440, 1440]);
  });

  it("is due at once where its time is later than now, and never where nothing was skipped", () => {
    expect(isPostponedDue(skipped(full(), NOW), NOW - 1)).toBe(true);
    expect(isPostponedDue(applied(skipped(full(), NOW), resultOf(), NOW), NOW + 10 * 86_400_000)).toBe(false);
    expect(isPostponedDue(undefined, NOW)).toBe(false);
  });
});

describe("what had no effect", () => {
  it("is remembered for as long as the same is desired, and added to", () => {
    const once = applied(full(), resultOf({ ineffective: ["displayname"] }), NOW);
    expect([...withoutEffectFor(once, active)]).toEqual(["displayname"]);
    const twice = applied(once, resultOf({ ineffective: ["join vip"] }), NOW);
    expect([...withoutEffectFor(applied(twice, resultOf(), NOW), active)]).toEqual(["displayname", "join vip"]);
    const other = applied(twice, resultOf({ desired: inactive("suspended") }), NOW);
    expect(other.ineffective).toBeUndefined();
    expect([...withoutEffectFor(twice, inactive("suspended"))]).toEqual([]);
    expect([...withoutEffectFor(undefined, active)]).toEqual([]);
  });
});

describe("an account that was disabled without having been read", () => {
  it.each([
    ["ours to enable again where it was enabled when it was last seen", { lastSeenEnabled: true }, true],
    ["not ours where it was disabled already", { lastSeenEnabled: false }, false],
    ["not ours where nobody knows", { lastSeenEnabled: undefined }, false],
    ["ours where we had disabled it", { lastSeenEnabled: false, disabledByUs: true }, true],
  ])("is %s", (_name, fields, disabledByUs) => {
    const before = full(fields);
    const after = disabledUnread(before, inactive("suspended"), resultOf().reading, NOW);
    expect(after).toMatchObject({
      state: "suspended",
      disabledByUs,
      lastSeenEnabled: before.lastSeenEnabled,
      groups: before.groups,
      goneSince: NOW,
    });
  });
});

describe("the stored item", () => {
  const time = fc.integer({ min: 0, max: 4_000_000_000_000 });
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const names = new Set([...Object.keys(newRecord("a", "b")), ...Object.keys(subjectItem(full()))]);
  const record: fc.Arbitrary<SubjectRecord> = fc.record({
    subject: fc.string(),
    accountId: fc.string(),
    state: fc.constantFrom("new", "active", "suspended", "deleted", "outOfScope"),
    version: optional(fc.string()),
    groups: fc.array(fc.string()),
    disabledByUs: fc.boolean(),
    goneSince: optional(time),
    applied: optional(
      fc.record({ desiredHash: fc.string(), groupsHash: optional(fc.string()), readAt: time, userReadAt: time }),
    ),
    queued: optional(fc.record({ hash: fc.string(), at: time })),
    refused: optional(
      fc.record({
        hash: optional(fc.string()),
        unrevoked: fc.constantFrom("disable", "leave", "nothing"),
        at: time,
        times: fc.nat(),
      }),
    ),
    unanswered: optional(time),
    admitted: optional(fc.record({ braked: fc.constantFrom("deprovisions", "leaves"), at: time })),
    lastSeenEnabled: optional(fc.boolean()),
    ineffective: optional(fc.record({ hash: fc.string(), keys: fc.array(fc.string()) })),
    postponed: optional(fc.record({ at: time, times: fc.nat() })),
    failures: fc.nat(),
    serverErrors: fc.nat(),
    madeAt: optional(time),
    pendingEdit: optional(time),
    revision: fc.nat(),
    foreign: fc.dictionary(
      fc.stringMatching(/^[a-z][A-Za-z]{0,12}$/).filter((name) => !names.has(name)),
      fc.jsonValue(),
      { noNullPrototype: true },
    ),
  });
  /** As a table gives it back: without the fields that are undefined. */
  const throughTable = (item: object): unknown => JSON.parse(JSON.stringify(item));

  it("gives back every record as it was, with the fields of another version", () => {
    fc.assert(
      fc.property(record, (given) => {
        // JSON knows no -0.
        const foreign = throughTable(given.foreign);
        expect(subjectItemSchema.parse(throughTable(subjectItem(given)))).toEqual({ ...given, foreign });
      }),
    );
  });

  it("is the same after it was read and written again", () => {
    fc.assert(
      fc.property(record, (given) => {
        const item = throughTable(subjectItem(given));
        expect(throughTable(subjectItem(subjectItemSchema.parse(item)))).toEqual(item);
      }),
    );
  });

  it("has the flat form that every version since 0.1 knows", () => {
    expect(throughTable(subjectItem(full({ goneSince: NOW })))).toEqual({
      subject: "ada",
      accountId: "account-of-ada",
      state: "active",
      version: "2026-07-22T08:00:00.000000000Z",
      desiredHash: "before",
      groupsHash: "groups before",
      groups: ["eng"],
      disabledByUs: false,
      goneSince: NOW,
      readAt: LONG_AGO,
      userReadAt: LONG_AGO + 1,
      parked: true,
      refusedHash: "refused",
      refusedRevokes: "leave",
      refusedAt: LONG_AGO + 3,
      refusedTimes: 2,
      admittedAt: LONG_AGO + 4,
      admittedFor: "leaves",
      unansweredAt: LONG_AGO + 5,
      lastSeenEnabled: false,
      ineffectiveHash: "no effect",
      ineffectiveKeys: ["displayname"],
      postponedAt: LONG_AGO + 4,
      postponedTimes: 1,
      failures: 3,
      serverErrors: 2,
      queuedHash: "waiting",
      queuedAt: LONG_AGO + 2,
      madeAt: LONG_AGO - 1,
      pendingEdit: LONG_AGO + 4,
      revision: 5,
      madeBy: "another version",
    });
  });

  it("of a first version without the later times is read with the ones it has", () => {
    const item = { subject: "ada", accountId: "a", state: "active", groups: [], disabledByUs: false, revision: 1 };
    const read = (fields: object) => subjectItemSchema.parse({ ...item, ...fields });
    expect(read({ desiredHash: "d", readAt: 5 }).applied).toMatchObject({ readAt: 5, userReadAt: 5 });
    expect(read({ desiredHash: "d" }).applied).toMatchObject({ readAt: 0, userReadAt: 0 });
    expect(read({ queuedHash: "q" }).queued).toEqual({ hash: "q", at: 0 });
    expect(read({ refusedHash: "r" }).refused).toBeUndefined();
    expect(read({ parked: true, refusedHash: "r" }).refused).toEqual({
      hash: "r",
      unrevoked: "nothing",
      at: 0,
      times: 0,
    });
  });
});
