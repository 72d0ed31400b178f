import { describe, expect, it } from "vitest";
import { groupsWantedSince, isStale, isSuperseded, readsGroups, saysDeleted } from "../../functions/core/freshness.ts";
import type { Trigger } from "../../functions/core/job.ts";
import type { Person } from "../../functions/core/person.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import { type Choices, organizationOf } from "./organization.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const MINUTE_MS = 60_000;

type Webhook = Extract<Trigger, { kind: "webhook" }>;
const webhook = (about: Webhook["about"]): Webhook => ({
  kind: "webhook",
  event: "user.updated",
  deliveryId: "delivery",
  occurredAt: "",
  about,
});
const TRIGGERS: Record<string, Trigger> = {
  "a user webhook": webhook("user"),
  "a deletion": webhook("deletion"),
  "a membership event": webhook("membership"),
  "a reconciliation": { kind: "reconcile", reason: "drift" },
  "a group hint": { kind: "reconcile", reason: "membership" },
  "a command": { kind: "manual" },
  "a replayed user webhook": { kind: "replay", of: webhook("user") },
  "a replayed deletion": { kind: "replay", of: webhook("deletion") },
};
const MAY_USE_EARLIER_GROUPS = ["a user webhook", "a deletion"];
const SAY_DELETED = ["a deletion", "a replayed deletion"];

describe.each(Object.entries(TRIGGERS))("%s", (name, trigger) => {
  it("says how early the groups may have been read", () => {
    const may = MAY_USE_EARLIER_GROUPS.includes(name);
    const sentNow = groupsWantedSince({ trigger }, NOW, NOW);
    const waited = groupsWantedSince({ trigger }, NOW - 10 * MINUTE_MS, NOW);
    expect([sentNow, waited]).toEqual([may ? NOW - MINUTE_MS : NOW, NOW - 10 * MINUTE_MS]);
  });

  it("says whether the person is gone for good", () => {
    expect(saysDeleted({ trigger })).toBe(SAY_DELETED.includes(name));
  });
});

describe("the jobs of one run share a reading of the groups", () => {
  const wanted = (foundAt: number, sentAt: number) =>
    groupsWantedSince({ trigger: { kind: "reconcile", reason: "drift", foundAt } }, sentAt, NOW);
  it.each([
    ["that was made after the run's own", NOW - 5_000, NOW, NOW - 5_000],
    ["and is a minute old at most", NOW - 10 * MINUTE_MS, NOW, NOW - MINUTE_MS],
    [
      "or was made after a job was sent that has waited",
      NOW - 11 * MINUTE_MS,
      NOW - 10 * MINUTE_MS,
      NOW - 10 * MINUTE_MS,
    ],
    ["whatever a wrong clock says", NOW + MINUTE_MS, NOW, NOW],
  ])("%s", (_, foundAt, sentAt, expected) => {
    expect(wanted(foundAt, sentAt)).toBe(expected);
  });
});

describe("groups are read", () => {
  const cases: [string, Choices, boolean][] = [
    ["for the groups that are managed", {}, true],
    ["not where nothing needs them", { groups: { managed: [] } }, false],
    ["for the scope", { groups: { managed: [] }, scope: { groups: ["staff"] } }, true],
    ["for quotas by group", { groups: { managed: [] }, quota: { byGroup: { Finance: "50 GB" } } }, true],
    ["not for groups that everybody is in", { groups: { managed: [], always: ["everybody"] } }, false],
  ];
  it.each(cases)("%s", (_name, choices, expected) => {
    expect(readsGroups(organizationOf(choices))).toBe(expected);
  });
});

describe("a job is superseded", () => {
  const recordOf = (readAt: number, userReadAt: number): SubjectRecord => ({
    ...newRecord("ada", "a"),
    applied: { desiredHash: "d", groupsHash: "g", readAt, userReadAt },
  });
  const sent = NOW - 5_000;
  const user: Trigger = webhook("user");
  const drift: Trigger = { kind: "reconcile", reason: "drift" };
  const cases: [string, SubjectRecord | undefined, Trigger, boolean][] = [
    ["not where nothing is known", undefined, user, false],
    ["not where nothing was applied", newRecord("ada", "a"), user, false],
    ["when all was read after it was sent", recordOf(sent + 1, sent + 1), drift, true],
    ["not when the person was read at the moment it was sent, or before", recordOf(sent, sent), user, false],
    [
      "when it is a user webhook and the groups were read less than a minute ago",
      recordOf(NOW - 59_000, sent + 1),
      user,
      true,
    ],
    ["not when the groups are older than that", recordOf(NOW - 61_000, sent + 1), user, false],
    ["not when it is about groups, and these were read before it was sent", recordOf(sent - 1, sent + 1), drift, false],
    [
      "not when the person was read before, though the groups were read after",
      recordOf(sent + 1, sent - 1),
      user,
      false,
    ],
  ];
  const ahead = NOW + 30 * 24 * 60 * MINUTE_MS;
  cases.push(
    ["not when all was read later than now", recordOf(ahead, ahead), user, false],
    ["not when only the person was read later than now", recordOf(sent + 1, NOW + 1), user, false],
    ["not when only the groups were read later than now", recordOf(NOW + 1, sent + 1), drift, false],
    ["when all was read just now", recordOf(NOW, NOW), drift, true],
  );
  it.each(cases)("%s", (_name, record, trigger, expected) => {
    expect(isSuperseded(record, { trigger }, sent, NOW)).toBe(expected);
  });
});

describe("without an API key a snapshot is stale", () => {
  const snapshotOf = (updatedAt: string): Person => ({
    subject: "ada",
    email: "ada@acme.example",
    firstName: "",
    lastName: "",
    active: true,
    erased: false,
    emailVerified: true,
    attributes: {},
    updatedAt,
  });
  const recordOf = (fields: Partial<SubjectRecord>): SubjectRecord => ({ ...newRecord("ada", "a"), ...fields });
  const older = "2026-07-23T08:00:00.000000000Z";
  const newer = "2026-07-23T08:00:00.000000001Z";
  const cases: [string, SubjectRecord | undefined, string | undefined, boolean][] = [
    ["when it is older than what was applied", recordOf({ version: newer }), older, true],
    ["not when it is of the same moment", recordOf({ version: older }), older, false],
    ["not when it is newer", recordOf({ version: older }), newer, false],
    ["not when nothing was applied", undefined, older, false],
    ["not when no version is known", recordOf({}), older, false],
    [
      "not when what was applied is of a time later than now",
      recordOf({ version: "2027-07-23T08:00:00.000000000Z" }),
      older,
      false,
    ],
    [
      "when both are of a clock that is ahead, which orders them all the same",
      recordOf({ version: "2026-07-23T08:05:00.000000000Z" }),
      "2026-07-23T08:04:00.000000000Z",
      true,
    ],
    ["when the person was deleted, however new it is", recordOf({ state: "deleted", version: older }), newer, true],
    ["not when there is none: a deletion carries no snapshot", recordOf({ state: "deleted" }), undefined, false],
  ];
  it.each(cases)("%s", (_name, record, updatedAt, expected) => {
    expect(isStale(record, updatedAt === undefined ? undefined : snapshotOf(updatedAt), NOW)).toBe(expected);
  });
});
