import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { newBrake } from "../../functions/core/brake.ts";
import { SKEW_MS } from "../../functions/core/clock.ts";
import type { Job } from "../../functions/core/job.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import { begun, ended } from "../../functions/core/schedule.ts";
import type { ParkedJob } from "../../functions/ledger/dead-letters.ts";
import { LedgerConflict, LedgerUnreadable } from "../../functions/ledger/errors.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { ABSENT, ALWAYS, type Condition, type Item, type Key, onTopOf } from "../../functions/ledger/table.ts";
import { fc } from "../support/fast-check.ts";
import { dynamoDbTarget, type LedgerTarget, sqliteTarget } from "./ledger-targets.ts";

const ADAPTERS = [
  ["DynamoDB", dynamoDbTarget],
  ["SQLite", sqliteTarget],
] as const;

async function flat<T>(pages: AsyncGenerator<T[]>): Promise<T[]> {
  return (await Array.fromAsync(pages)).flat();
}

describe.each(ADAPTERS)("the table on %s", (_name, open) => {
  let target: LedgerTarget;
  let partition: string;
  beforeAll(async () => {
    target = await open();
  });
  afterAll(() => target.close());
  beforeEach(() => {
    partition = randomUUID();
  });

  const at = (sort: string): Key => ({ partition, sort });
  const put = (sort: string, item: Item = {}, condition: Condition = ALWAYS): Promise<boolean> =>
    target.table.put(at(sort), item, condition);
  const get = (sort: string): Promise<Item | undefined> => target.table.get(at(sort));
  const sorts = async (prefix: string): Promise<string[]> =>
    (await flat(target.table.query(partition, prefix))).map(({ sort }) => sort);

  test("gives back what was put, of every kind of value", async () => {
    const item = {
      text: "Größe 🚀 \u0000 \u2028",
      empty: "",
      whole: 1_785_000_000_123,
      fraction: -0.5,
      yes: true,
      no: false,
      nothing: null,
      list: ["a", 1, { b: [] }],
      tree: { deep: { deeper: [{}] } },
    };
    expect(await put("a", item)).toBe(true);
    expect(await get("a")).toEqual(item);
  });

  test("stores no field that is undefined, at any depth", async () => {
    await put("a", { kept: 1, dropped: undefined, tree: { kept: 2, dropped: undefined } });
    expect(Object.keys((await get("a")) ?? {})).toEqual(["kept", "tree"]);
    expect(await get("a")).toStrictEqual({ kept: 1, tree: { kept: 2 } });
  });

  test("replaces the whole item", async () => {
    await put("a", { one: 1, two: 2 });
    await put("a", { two: 3 });
    expect(await get("a")).toEqual({ two: 3 });
  });

  test("has nothing where nothing was put, and nothing after it was deleted", async () => {
    expect(await get("a")).toBeUndefined();
    await put("a");
    expect(await target.table.delete(at("a"), ALWAYS)).toBe(true);
    expect(await get("a")).toBeUndefined();
    expect(await target.table.delete(at("a"), ALWAYS)).toBe(true);
  });

  test.each([
    "__proto__",
    "a#b",
    "a'b\"c",
    "a\\b%_*?",
    "Größe 🚀",
    " a ",
    "a\u0000b",
    "x".repeat(900),
  ])("has a place %j of its own, in every partition", async (name) => {
    const keys = [at(name), { partition: `${partition} ${name}`, sort: "a" }, at(name.toUpperCase()), at(`${name}a`)];
    for (const [index, key] of keys.entries()) await target.table.put(key, { index }, ALWAYS);
    for (const [index, key] of keys.entries()) expect(await target.table.get(key)).toEqual({ index });
    expect(await target.table.get({ partition, sort: "a" })).toBeUndefined();
  });

  test("shows every write at once to whoever reads next, in the other process too", async () => {
    for (let index = 0; index < 25; index += 1) {
      await put("a", { index });
      expect(await get("a")).toEqual({ index });
      expect(await target.other.get(at("a"))).toEqual({ index });
      expect(await flat(target.other.query(partition, ""))).toEqual([{ sort: "a", item: { index } }]);
    }
  });

  const CONDITIONS: [Condition, Item | undefined, boolean][] = [
    [{ when: "always" }, undefined, true],
    [{ when: "always" }, { n: 1 }, true],
    [{ when: "absent" }, undefined, true],
    [{ when: "absent" }, {}, false],
    [{ when: "equal", field: "n", value: 2 }, undefined, false],
    [{ when: "equal", field: "n", value: 2 }, {}, false],
    [{ when: "equal", field: "n", value: 2 }, { n: 2 }, true],
    [{ when: "equal", field: "n", value: 2 }, { n: 3 }, false],
    [{ when: "equal", field: "n", value: 2 }, { n: "2" }, false],
    [{ when: "equal", field: "n", value: 1 }, { n: true }, false],
    [{ when: "equal", field: "n", value: "two" }, { n: "two" }, true],
    [{ when: "equal", field: "n", value: "two" }, { n: "Two" }, false],
    [{ when: "at-most", field: "n", value: 2 }, undefined, false],
    [{ when: "at-most", field: "n", value: 2 }, {}, false],
    [{ when: "at-most", field: "n", value: 2 }, { n: 1 }, true],
    [{ when: "at-most", field: "n", value: 2 }, { n: 2 }, true],
    [{ when: "at-most", field: "n", value: 2 }, { n: 3 }, false],
    [{ when: "at-most", field: "n", value: 2 }, { n: "1" }, false],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, undefined, true],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, {}, false],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, { n: 1 }, true],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, { n: 2 }, false],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, { n: 4 }, false],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, { n: 5 }, true],
    [{ when: "absent-or-outside", field: "n", low: 2, high: 4 }, { n: "1" }, false],
  ];

  test.each(CONDITIONS)("judges %j on %j as %j, for a put and for a delete", async (condition, stored, held) => {
    for (const sort of ["put", "delete"]) if (stored) await put(sort, stored);
    expect(await put("put", { written: true }, condition)).toBe(held);
    expect(await get("put")).toEqual(held ? { written: true } : stored);
    expect(await target.table.delete(at("delete"), condition)).toBe(held);
    expect(await get("delete")).toEqual(held ? undefined : stored);
  });

  // Some of these words are reserved in one of the systems.
  test.each(["until", "token", "count", "item", "a.b", "$.n"])("judges a field that is called %s", async (field) => {
    await put("a", { [field]: 1 });
    expect(await put("a", { [field]: 2 }, { when: "equal", field, value: 2 })).toBe(false);
    expect(await put("a", { [field]: 2 }, { when: "equal", field, value: 1 })).toBe(true);
    expect(await get("a")).toEqual({ [field]: 2 });
  });

  test("lets exactly one of many put what is absent, in two processes", async () => {
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        (index % 2 === 0 ? target.table : target.other).put(at("a"), { index }, ABSENT),
      ),
    );
    expect(results.filter(Boolean)).toHaveLength(1);
    expect(await get("a")).toEqual({ index: results.indexOf(true) });
  });

  test("loses no count when two processes write on top of what they have read", async () => {
    const increment = async (table: LedgerTarget["table"]): Promise<void> => {
      for (;;) {
        const revision = Number((await table.get(at("a")))?.revision ?? 0);
        if (await table.put(at("a"), { revision: revision + 1 }, onTopOf(revision))) return;
      }
    };
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => increment(index % 2 === 0 ? target.table : target.other)),
    );
    expect(await get("a")).toEqual({ revision: 20 });
  });

  test("lists what begins with a prefix and nothing else, in the order of UTF-8 bytes", async () => {
    const names = ["g#", "g#a", "g#a\u0000", "g#aa", "g#b", "g#ä", "g#\uffff", "g#🚀", "g#\u{10ffff}x"];
    const order = names.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
    for (const sort of names.toReversed()) await put(sort, { of: sort });
    for (const sort of ["g", "G#a", "g$", "f#a", "h"]) await put(sort);
    await target.table.put({ partition: `${partition}g`, sort: "g#other" }, {}, ALWAYS);
    expect(await flat(target.table.query(partition, "g#"))).toEqual(
      order.map((sort) => ({ sort, item: { of: sort } })),
    );
    expect(await sorts("g#\u{10ffff}")).toEqual(["g#\u{10ffff}x"]);
    expect(await sorts("g%")).toEqual([]);
    expect(await sorts("")).toHaveLength(names.length + 5);
  });

  test("lists and counts over many pages, each item once and in order", async () => {
    const names = Array.from({ length: 601 }, (_, index) => `many#${String(index).padStart(4, "0")}`);
    const ballast = "x".repeat(5_000);
    await Promise.all(
      names.map((sort, index) => put(sort, { ballast, state: index % 3 === 0 ? "active" : "suspended" })),
    );
    await put("many", { state: "active" });
    await put("nobody", { state: "active" });
    const pages = await Array.fromAsync(target.table.query(partition, "many#"));
    expect(pages.length).toBeGreaterThan(2);
    expect(pages.flat().map(({ sort }) => sort)).toEqual(names);
    const having = (field: string, value: string) =>
      target.table.count(partition, "many#", { having: { field, value } });
    expect(await having("state", "active")).toBe(201);
    expect(await having("state", "gone")).toBe(0);
    expect(await having("missing", "active")).toBe(0);
    expect(await target.table.count(partition, "many#")).toBe(names.length);
  });

  test("reads and counts no further than asked", async () => {
    await Promise.all(Array.from({ length: 7 }, (_, index) => put(`few#${index}`, { state: "active" })));
    const sizes: number[] = [];
    for await (const page of target.table.query(partition, "few#", 3)) sizes.push(page.length);
    expect(sizes.filter((size) => size > 0)).toEqual([3, 3, 1]);
    const having = { field: "state", value: "active" };
    const upTo = async (most: number) => [
      await target.table.count(partition, "few#", { most }),
      await target.table.count(partition, "few#", { most, having }),
    ];
    expect([await upTo(5), await upTo(7), await upTo(20)]).toEqual([
      [5, 5],
      [7, 7],
      [7, 7],
    ]);
  });

  test("a listing survives what is written and deleted meanwhile", async () => {
    const names = Array.from({ length: 450 }, (_, index) => `item#${String(index).padStart(4, "0")}`);
    const ballast = "x".repeat(5_000);
    await Promise.all(names.map((sort) => put(sort, { ballast })));
    const seen: string[] = [];
    for await (const page of target.table.query(partition, "item#")) {
      seen.push(...page.map(({ sort }) => sort));
      await target.table.delete(at(seen.at(-1) ?? ""), ALWAYS);
      await put("item#", {});
    }
    expect(seen).toEqual(names);
  });

  const field = fc.constantFrom("n", "m");
  const number = fc.integer({ min: 0, max: 3 });
  const condition: fc.Arbitrary<Condition> = fc.oneof(
    fc.constant<Condition>(ALWAYS),
    fc.constant<Condition>(ABSENT),
    fc.record({ when: fc.constantFrom("equal", "at-most"), field, value: number }),
    fc.record({ when: fc.constant("absent-or-outside"), field, low: number, high: number }),
  );
  const step = fc.record({
    sort: fc.constantFrom("a", "a#", "b"),
    item: fc.option(fc.dictionary(field, number), { nil: undefined }),
    condition,
  });

  test("does what a map with the same rules does, whatever is put and deleted", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const within = randomUUID();
        const model = new Map<string, Item>();
        for (const { sort, item, condition } of steps) {
          const key = { partition: within, sort };
          const done = await (item ? target.table.put(key, item, condition) : target.table.delete(key, condition));
          const expected = expectedToHold(condition, model.get(sort));
          expect(done).toBe(expected);
          if (expected && item) model.set(sort, item);
          if (expected && !item) model.delete(sort);
        }
        const all = await flat(target.table.query(within, ""));
        expect(new Map(all.map(({ sort, item }) => [sort, item]))).toEqual(model);
      }),
      { numRuns: 30 },
    );
  });

  function expectedToHold(condition: Condition, stored: Record<string, unknown> | undefined): boolean {
    if (condition.when === "always") return true;
    if (condition.when === "absent") return stored === undefined;
    const value = stored?.[condition.field] as number | undefined;
    if (condition.when === "equal") return value === condition.value;
    if (condition.when === "at-most") return value !== undefined && value <= condition.value;
    return stored === undefined || (value !== undefined && (value < condition.low || value > condition.high));
  }
});

describe.each(ADAPTERS)("the ledger on %s", (_name, open) => {
  let target: LedgerTarget;
  let ledger: Ledger;
  /** The same ledger in another process. */
  let other: Ledger;
  let organization: string;
  let origin: string;
  beforeAll(async () => {
    target = await open();
    [ledger, other] = [createLedger(target.table), createLedger(target.other)];
  });
  afterAll(() => target.close());
  beforeEach(() => {
    organization = `acme-${randomUUID()}`;
    origin = `https://nextcloud.acme.example/${randomUUID()}`;
  });

  const stored = (sort: string): Promise<Item | undefined> => target.table.get({ partition: organization, sort });
  const store = (sort: string, item: Item): Promise<boolean> =>
    target.table.put({ partition: organization, sort }, item, ALWAYS);

  describe("the record of a subject", () => {
    const recordOf = (subject: string, fields: Partial<SubjectRecord> = {}): SubjectRecord => ({
      ...newRecord(subject, `account-of-${subject}`),
      state: "active",
      ...fields,
    });
    const full = (subject: string): SubjectRecord =>
      recordOf(subject, {
        state: "deleted",
        version: "2026-07-23T08:15:30.120100000Z",
        groups: ["eng", "ops/backend", "Größe 🚀"],
        disabledByUs: true,
        goneSince: 1_785_000_000_000,
        applied: { desiredHash: "abc", groupsHash: "def", readAt: 1_785_000_000_001, userReadAt: 1_785_000_000_002 },
        queued: { hash: "ghi", at: 1_785_000_000_003 },
        refused: { hash: "jkl", unrevoked: "disable", at: 1_785_000_000_004, times: 2 },
        lastSeenEnabled: true,
        ineffective: { hash: "mno", keys: ["displayname", "join vip"] },
        postponed: { at: 1_785_000_000_005, times: 3 },
        serverErrors: 3,
      });

    test("is not there before it is written", async () => {
      expect(await ledger.subjects.get(organization, "ada")).toBeUndefined();
    });

    test("is read back with every field as it was written, and with one revision more", async () => {
      const written = await ledger.subjects.put(organization, full("ada"));
      expect(written).toEqual({ ...full("ada"), revision: 1 });
      expect(await ledger.subjects.get(organization, "ada")).toStrictEqual(written);
    });

    test("forgets what is undefined afterwards", async () => {
      const { revision } = await ledger.subjects.put(organization, full("ada"));
      const emptied = await ledger.subjects.put(organization, { ...newRecord("ada", "a"), revision });
      expect(await ledger.subjects.get(organization, "ada")).toStrictEqual(emptied);
    });

    test("takes no more space than its fields need", async () => {
      await ledger.subjects.put(organization, recordOf("ada"));
      expect(await stored("subject#ada")).toEqual({
        subject: "ada",
        accountId: "account-of-ada",
        state: "active",
        groups: [],
        disabledByUs: false,
        revision: 1,
      });
    });

    test("belongs to one organization and one subject", async () => {
      await ledger.subjects.put(organization, recordOf("ada", { accountId: "a" }));
      await ledger.subjects.put(`${organization}-2`, recordOf("ada", { accountId: "b" }));
      await ledger.subjects.put(organization, recordOf("ada-2", { accountId: "c" }));
      expect(await ledger.subjects.get(organization, "ada")).toMatchObject({ accountId: "a" });
      expect(await ledger.subjects.get(`${organization}-2`, "ada")).toMatchObject({ accountId: "b" });
      expect(await ledger.subjects.get(organization, "ada-2")).toMatchObject({ accountId: "c" });
    });

    test.each(["__proto__", "constructor", "toString"])("may be of a subject %s", async (subject) => {
      expect(await ledger.subjects.get(organization, subject)).toBeUndefined();
      await ledger.subjects.put(organization, recordOf(subject));
      expect(await ledger.subjects.get(organization, subject)).toMatchObject({ subject });
    });

    test("is seen at once by whoever reads it after the write", async () => {
      let record = recordOf("ada");
      for (let write = 1; write <= 25; write += 1) {
        record = await ledger.subjects.put(organization, { ...record, groups: [`g${write}`] });
        expect(await other.subjects.get(organization, "ada")).toStrictEqual(record);
      }
    });

    test("cannot be made by two workers at once", async () => {
      const writes = [ledger, other].map(({ subjects }, index) =>
        subjects.put(organization, recordOf("ada", { accountId: `account-${index}` })),
      );
      const results = await Promise.allSettled(writes);
      const lost = results.filter((result) => result.status === "rejected");
      const won = results.filter((result) => result.status === "fulfilled");
      expect([lost.length, won.length]).toEqual([1, 1]);
      expect(lost[0]?.reason).toBeInstanceOf(LedgerConflict);
      expect(await ledger.subjects.get(organization, "ada")).toEqual(won[0]?.value);
    });

    test("is not overwritten by a worker that read an older one: it conflicts and changes nothing", async () => {
      const first = await ledger.subjects.put(organization, recordOf("ada"));
      const second = await other.subjects.put(organization, { ...first, groups: ["eng"] });
      const late = ledger.subjects.put(organization, { ...first, groups: ["ops"] });
      await expect(late).rejects.toThrow(LedgerConflict);
      await expect(late).rejects.toMatchObject({ failureClass: "transient", scope: "subject" });
      expect(await ledger.subjects.tryPut(organization, { ...first, groups: ["ops"] })).toBeUndefined();
      expect(await ledger.subjects.get(organization, "ada")).toEqual(second);
    });

    test("is not written on top of one that is gone, nor begun anew where there is one", async () => {
      await expect(ledger.subjects.put(organization, recordOf("ada", { revision: 3 }))).rejects.toThrow(LedgerConflict);
      expect(await ledger.subjects.get(organization, "ada")).toBeUndefined();
      expect(await ledger.subjects.tryPut(organization, recordOf("ada"))).toMatchObject({ revision: 1 });
      await expect(ledger.subjects.put(organization, recordOf("ada"))).rejects.toThrow(LedgerConflict);
    });

    test("is listed with those of its organization and nothing else", async () => {
      for (const subject of ["grace", "ada"]) await ledger.subjects.put(organization, recordOf(subject));
      await ledger.subjects.put(`${organization}-2`, recordOf("linus"));
      await ledger.identities.ensure(organization, "fingerprint");
      await ledger.brakes.put(organization, newBrake(), 0);
      const all = await flat(ledger.subjects.all(organization));
      expect(all.map(({ subject }) => subject)).toEqual(["ada", "grace"]);
      expect(all[0]).toStrictEqual(await ledger.subjects.get(organization, "ada"));
      expect(await flat(ledger.subjects.all(`${organization}-3`))).toEqual([]);
    });

    test("is counted where the person is active", async () => {
      expect(await ledger.subjects.countActive(organization)).toBe(0);
      const states = ["active", "active", "suspended", "deleted", "outOfScope", "new"] as const;
      for (const [index, state] of states.entries())
        await ledger.subjects.put(organization, recordOf(`person-${index}`, { state }));
      expect(await ledger.subjects.countActive(organization)).toBe(2);
    });

    test("keeps the fields that another version wrote over every rewrite", async () => {
      const foreign = { admittedAt: 1_785_000_000_000, refusedBy: { revokes: ["leave eng"] }, madeBy: null };
      const known = { subject: "ada", accountId: "a", state: "active", groups: [], disabledByUs: false, revision: 1 };
      await store("subject#ada", { ...foreign, ...known });
      const read = await ledger.subjects.get(organization, "ada");
      await ledger.subjects.put(organization, {
        ...recordOf("ada", read),
        groups: ["eng"],
        queued: { hash: "h", at: 1 },
      });
      expect(await stored("subject#ada")).toMatchObject({ ...foreign, groups: ["eng"], queuedHash: "h", revision: 2 });
    });

    test("of another version whose form nobody knows is a failure of this person that says so", async () => {
      await store("subject#ada", { subject: "ada", state: "odd" });
      const reading = ledger.subjects.get(organization, "ada");
      await expect(reading).rejects.toThrow(LedgerUnreadable);
      await expect(reading).rejects.toMatchObject({
        failureClass: "configuration",
        scope: "subject",
        message: `the ledger's item ${organization} subject#ada has an unknown form`,
      });
    });
  });

  describe("what version 0.1 has written", () => {
    test("a record with every field is read", async () => {
      await store("subject#ada", {
        subject: "ada",
        accountId: "a",
        state: "suspended",
        version: "2026-07-23T08:15:30.120100000Z",
        desiredHash: "desired",
        groupsHash: "groups",
        groups: ["eng"],
        disabledByUs: true,
        goneSince: 1_785_000_000_000,
        readAt: 1_785_000_000_001,
        userReadAt: 1_785_000_000_002,
        parked: true,
        refusedHash: "refused",
        serverErrors: 2,
        queuedHash: "queued",
        queuedAt: 1_785_000_000_003,
        revision: 7,
      });
      expect(await ledger.subjects.get(organization, "ada")).toStrictEqual({
        subject: "ada",
        accountId: "a",
        state: "suspended",
        version: "2026-07-23T08:15:30.120100000Z",
        groups: ["eng"],
        disabledByUs: true,
        goneSince: 1_785_000_000_000,
        applied: {
          desiredHash: "desired",
          groupsHash: "groups",
          readAt: 1_785_000_000_001,
          userReadAt: 1_785_000_000_002,
        },
        queued: { hash: "queued", at: 1_785_000_000_003 },
        refused: { hash: "refused", unrevoked: "nothing", at: 0, times: 0 },
        admitted: undefined,
        unanswered: undefined,
        lastSeenEnabled: undefined,
        ineffective: undefined,
        postponed: undefined,
        failures: 0,
        serverErrors: 2,
        madeAt: undefined,
        pendingEdit: undefined,
        revision: 7,
        foreign: {},
      });
    });

    test("a rewrite leaves a record in the form that 0.1 reads", async () => {
      const item = {
        subject: "ada",
        accountId: "a",
        state: "active",
        desiredHash: "desired",
        groups: [],
        disabledByUs: false,
        readAt: 1,
        userReadAt: 2,
        parked: true,
        queuedHash: "queued",
        queuedAt: 3,
        revision: 1,
      };
      await store("subject#ada", item);
      const record = await ledger.subjects.get(organization, "ada");
      if (!record) throw new Error("there is no record");
      await ledger.subjects.put(organization, record);
      expect(await stored("subject#ada")).toEqual({ ...item, revision: 2 });
    });

    test("a dead letter is read, with its job as one of today", async () => {
      const subject = randomUUID();
      const letter = {
        organization,
        subject,
        reason: "account-conflict",
        message: "account ada belongs to Database",
        attempts: 2,
        firstAt: 1,
        lastAt: 2,
      };
      const trigger = { kind: "webhook", event: "user.deleted", deliveryId: "d", occurredAt: "o" };
      await store(`dead#${subject}`, { ...letter, job: { version: 1, organization, subject, trigger } });
      expect(await ledger.deadLetters.get(organization, subject)).toEqual({
        ...letter,
        job: { version: 2, kind: "person", organization, subject, trigger: { ...trigger, about: "deletion" } },
      });
    });

    test("fields of newer versions outlive a rewrite: of an identity, a run, a dead letter, a pause, a skeleton", async () => {
      const newer = { ofNewer: { much: 1 } };
      const stored = async (sort: string, partition = organization) => target.table.get({ partition, sort });
      await store("identity", { fingerprint: "one", confirmed: true, ...newer });
      await ledger.identities.update(organization, {
        fingerprint: "one",
        mismatch: { at: 1, made: "m", expected: "e" },
      });
      expect(await stored("identity")).toEqual({
        fingerprint: "one",
        mismatch: { at: 1, made: "m", expected: "e" },
        ...newer,
      });
      await ledger.identities.accept(organization, "two");
      expect(await stored("identity")).toEqual({ fingerprint: "two", ...newer });

      await store("run#full", { beganAt: 1, endedAt: 2, result: "done", doneAt: 1, ...newer });
      const run = begun((await ledger.runs.of(organization)).full, 5);
      await ledger.runs.put(organization, "full", run);
      expect(await stored("run#full")).toEqual({ beganAt: 5, doneAt: 1, ...newer });
      await ledger.runs.put(organization, "full", ended(run, "done", 6));
      expect(await stored("run#full")).toEqual({ beganAt: 5, endedAt: 6, result: "done", doneAt: 5, ...newer });

      const subject = randomUUID();
      const job: Job = { version: 2, kind: "person", organization, subject, trigger: { kind: "manual" } };
      const letter = { organization, subject, job, reason: "r", message: "m", attempts: 1 };
      await store(`dead#${subject}`, { ...letter, firstAt: 1, lastAt: 1, ...newer });
      await ledger.deadLetters.park({ ...letter, lastAt: 2 });
      expect(await stored(`dead#${subject}`)).toEqual({ ...letter, firstAt: 1, lastAt: 2, ...newer });
      const parked = (await ledger.deadLetters.get(organization, subject)) ?? expect.fail("it is parked");
      await ledger.deadLetters.markReplayed(parked, 3);
      expect(await stored(`dead#${subject}`)).toMatchObject({ replayedAt: 3, ...newer });

      await store("paused", { paused: true, at: 1, ...newer });
      await ledger.pauses.put(organization, { paused: false, at: 2 });
      expect(await stored("paused")).toEqual({ paused: false, at: 2, ...newer });
      const partition = `nextcloud#${origin}`;
      await target.table.put({ partition, sort: "skeleton" }, { empty: true, at: 1, ...newer }, ALWAYS);
      await ledger.skeletons.put(origin, { empty: false, at: 2 });
      expect(await stored("skeleton", partition)).toEqual({ empty: false, at: 2, ...newer });
    });

    test("an identity, a brake, and the claims are read", async () => {
      await store("identity", { fingerprint: "one" });
      const brake = { held: true, allowed: 3, allowedUntil: 4 };
      await store("brake", { ...brake, hourStart: 1, passed: 2, admitted: ["ada"], revision: 5 });
      const partition = `nextcloud#${origin}`;
      await target.table.put({ partition, sort: "group#eng" }, { owner: "acme", name: "Engineering" }, ALWAYS);
      await target.table.put({ partition, sort: "account#ada" }, { owner: "acme" }, ALWAYS);
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint: "one" });
      expect(await ledger.brakes.get(organization)).toEqual({
        state: { ...brake, buckets: [{ at: 1, people: 2 }], heldAt: 1, changes: [] },
        revision: 5,
      });
      expect(await ledger.claims.group(origin, "eng")).toEqual({ owner: "acme", name: "Engineering" });
      expect(await ledger.claims.account(origin, "ada")).toBe("acme");
    });
  });

  describe("a Nextcloud group", () => {
    test("belongs to nobody before it is claimed", async () => {
      expect(await ledger.claims.group(origin, "eng")).toBeUndefined();
    });

    test("belongs to who claims it first, and a second organization is told so", async () => {
      const claim = { owner: "acme", name: "Engineering" };
      expect(await ledger.claims.claimGroup(origin, "eng", claim)).toEqual({ claim, written: true });
      const second = await other.claims.claimGroup(origin, "eng", { owner: "globex", name: "eng" });
      expect(second).toEqual({ claim, written: false });
      expect(await ledger.claims.group(origin, "eng")).toEqual(claim);
    });

    test("that is claimed twice by its owner stays the same", async () => {
      const claim = { owner: "acme", name: "Engineering" };
      await ledger.claims.claimGroup(origin, "eng", claim);
      const again = await ledger.claims.claimGroup(origin, "eng", { owner: "acme", name: "Other" });
      expect(again).toEqual({ claim, written: false });
    });

    test("of every organization is listed, and none of another Nextcloud", async () => {
      await ledger.claims.claimGroup(origin, "eng", { owner: "acme", name: "Engineering" });
      await ledger.claims.claimGroup(origin, "group#sales", { owner: "globex", name: "Sales" });
      await ledger.claims.claimGroup(`${origin}.other`, "ops", { owner: "acme", name: "Ops" });
      await ledger.claims.claimAccount(origin, "ada", "acme");
      expect(await flat(ledger.claims.groups(origin))).toEqual([
        { gid: "eng", owner: "acme", name: "Engineering" },
        { gid: "group#sales", owner: "globex", name: "Sales" },
      ]);
    });

    test("that many claim at once gets exactly one owner, and all are told the same", async () => {
      const owners = Array.from({ length: 8 }, (_, index) => `organization-${index}`);
      const claims = await Promise.all(
        owners.map((owner, index) =>
          (index % 2 === 0 ? ledger : other).claims.claimGroup(origin, "eng", { owner, name: owner }),
        ),
      );
      expect(claims.filter(({ written }) => written)).toHaveLength(1);
      const holder = await ledger.claims.group(origin, "eng");
      for (const { claim } of claims) expect(claim).toEqual(holder);
      expect(claims.find(({ written }) => written)?.claim).toEqual(holder);
    });

    test("of one Nextcloud says nothing of another's, and letter case matters", async () => {
      await ledger.claims.claimGroup(origin, "eng", { owner: "acme", name: "eng" });
      expect(await ledger.claims.group(`${origin}/other`, "eng")).toBeUndefined();
      expect(await ledger.claims.group(origin, "Eng")).toBeUndefined();
    });

    test.each(["eng/backend", "a#b", "c++", "Größe 🚀", "__proto__", " lead "])("may be called %j", async (gid) => {
      await ledger.claims.claimGroup(origin, gid, { owner: "acme", name: gid });
      expect(await ledger.claims.group(origin, gid)).toEqual({ owner: "acme", name: gid });
    });
  });

  describe("a Nextcloud account", () => {
    test("belongs to nobody before it is claimed, and then to who claimed it first", async () => {
      expect(await ledger.claims.account(origin, "ada")).toBeUndefined();
      expect(await ledger.claims.claimAccount(origin, "ada", "acme")).toBe("acme");
      expect(await other.claims.claimAccount(origin, "ada", "globex")).toBe("acme");
      // An older version did not write down whose account it is; only its owner can.
      await other.claims.claimAccount(origin, "ada", "globex", "subject of globex");
      expect(await ledger.claims.accountClaim(origin, "ada")).toEqual({ owner: "acme" });
      await ledger.claims.claimAccount(origin, "ada", "acme", "subject");
      await ledger.claims.claimAccount(origin, "ada", "acme", "another");
      expect(await ledger.claims.accountClaim(origin, "ada")).toEqual({ owner: "acme", subject: "subject" });
      expect(await ledger.claims.account(origin, "ada")).toBe("acme");
      expect(await ledger.claims.account(`${origin}.other`, "ada")).toBeUndefined();
    });

    test("that many claim at once gets exactly one owner, and all are told the same", async () => {
      const owners = Array.from({ length: 8 }, (_, index) => `organization-${index}`);
      const told = await Promise.all(owners.map((owner) => ledger.claims.claimAccount(origin, "ada", owner)));
      expect(new Set(told)).toEqual(new Set([await ledger.claims.account(origin, "ada")]));
    });

    test("is no group of the same name", async () => {
      await ledger.claims.claimAccount(origin, "ada", "acme");
      expect(await ledger.claims.group(origin, "ada")).toBeUndefined();
    });
  });

  describe("the identity of an organization", () => {
    test("is the first one ever given, whatever comes later", async () => {
      expect(await ledger.identities.get(organization)).toBeUndefined();
      for (const fingerprint of ["one", "one", "two"])
        expect(await ledger.identities.ensure(organization, fingerprint)).toEqual({ fingerprint: "one" });
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint: "one" });
    });

    test("is one for all who give it at once", async () => {
      const given = ["one", "two", "three", "four"];
      const held = await Promise.all(
        given.map((fingerprint, index) =>
          (index % 2 === 0 ? ledger : other).identities.ensure(organization, fingerprint),
        ),
      );
      expect(new Set(held.map(({ fingerprint }) => fingerprint)).size).toBe(1);
      expect(await ledger.identities.ensure(organization, "five")).toEqual(held[0]);
    });

    test("is confirmed, and a mismatch is kept with what was made", async () => {
      const { fingerprint } = await ledger.identities.ensure(organization, "one");
      await ledger.identities.update(organization, { fingerprint, confirmed: true });
      expect(await ledger.identities.ensure(organization, "one")).toEqual({ fingerprint, confirmed: true });
      const mismatch = { at: 1_785_000_000_000, made: "a", expected: "b" };
      await ledger.identities.update(organization, { fingerprint, mismatch });
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint, mismatch });
    });

    test("is not updated when another one holds by now, nor made by an update", async () => {
      await ledger.identities.update(organization, { fingerprint: "one", confirmed: true });
      expect(await ledger.identities.get(organization)).toBeUndefined();
      await ledger.identities.ensure(organization, "two");
      await ledger.identities.update(organization, { fingerprint: "one", confirmed: true });
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint: "two" });
    });

    test("is corrected only on top of the one that is known to be wrong", async () => {
      await ledger.identities.ensure(organization, "one");
      await ledger.identities.update(organization, { fingerprint: "two", confirmed: true }, "three");
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint: "one" });
      await ledger.identities.update(organization, { fingerprint: "two", confirmed: true }, "one");
      expect(await ledger.identities.get(organization)).toEqual({ fingerprint: "two", confirmed: true });
    });

    test("is another one, not confirmed yet, once an operator has accepted it", async () => {
      await ledger.identities.ensure(organization, "one");
      await ledger.identities.update(organization, { fingerprint: "one", confirmed: true });
      await ledger.identities.accept(organization, "two");
      expect(await ledger.identities.ensure(organization, "one")).toEqual({ fingerprint: "two" });
    });
  });

  describe("the slug of an organization", () => {
    test("is the first one ever given, whatever comes later and from whom", async () => {
      const id = randomUUID();
      expect(await ledger.identities.slugOf(id)).toBeUndefined();
      for (const [store, slug] of [
        [ledger, "acme"],
        [ledger, "acme"],
        [other, "new"],
      ] as const)
        await store.identities.rememberSlug(id, slug);
      for (const store of [ledger, other]) expect(await store.identities.slugOf(id)).toBe("acme");
    });

    test("is one for all who give it at once", async () => {
      const id = randomUUID();
      const given = ["a", "b", "c", "d"].map((slug, index) =>
        (index % 2 === 0 ? ledger : other).identities.rememberSlug(id, slug),
      );
      await Promise.all(given);
      expect(await ledger.identities.slugOf(id)).toBe(await other.identities.slugOf(id));
    });
  });

  describe("a dead letter", () => {
    const ada = randomUUID();
    const letterOf = (subject: string, fields: Partial<ParkedJob> = {}): Omit<ParkedJob, "firstAt" | "replayedAt"> => ({
      organization,
      subject,
      job: { version: 2, kind: "person", organization, subject, trigger: { kind: "manual" } },
      reason: "account-conflict",
      message: "account ada belongs to Database",
      attempts: 1,
      lastAt: 1_000,
      ...fields,
    });

    test("keeps the first time and takes all else from the newest", async () => {
      await ledger.deadLetters.park(letterOf(ada));
      const newest = letterOf(ada, { reason: "profile-refused", attempts: 4, lastAt: 5_000 });
      await ledger.deadLetters.park(newest);
      expect(await ledger.deadLetters.get(organization, ada)).toEqual({ ...newest, firstAt: 1_000 });
    });

    test("that is parked by many at once is one of theirs", async () => {
      const times = Array.from({ length: 8 }, (_, index) => 1_000 + index);
      await Promise.all(
        times.map((lastAt) => (lastAt % 2 === 0 ? ledger : other).deadLetters.park(letterOf(ada, { lastAt }))),
      );
      const letter = await ledger.deadLetters.get(organization, ada);
      expect(times).toContain(letter?.lastAt);
      expect(times).toContain(letter?.firstAt);
    });

    test("is removed by a success, but not one that was parked since", async () => {
      await ledger.deadLetters.park(letterOf(ada, { lastAt: 5_000 }));
      await ledger.deadLetters.drop(organization, ada, 4_999);
      expect(await ledger.deadLetters.get(organization, ada)).toBeDefined();
      await ledger.deadLetters.drop(organization, ada, 5_000);
      expect(await ledger.deadLetters.get(organization, ada)).toBeUndefined();
      await ledger.deadLetters.drop(organization, ada, 5_000);
    });

    test("is removed at any time by who says so, and nothing happens where there is none", async () => {
      await ledger.deadLetters.park(letterOf(ada));
      for (let time = 0; time < 2; time += 1) await ledger.deadLetters.drop(organization, ada);
      expect(await ledger.deadLetters.get(organization, ada)).toBeUndefined();
    });

    test("is marked as sent back, but not when it was parked anew in between, or is gone", async () => {
      await ledger.deadLetters.park(letterOf(ada));
      const read = await ledger.deadLetters.get(organization, ada);
      if (read === undefined) throw new Error("nothing was parked");
      await ledger.deadLetters.markReplayed(read, 2_000);
      expect(await ledger.deadLetters.get(organization, ada)).toEqual({ ...read, replayedAt: 2_000 });
      await ledger.deadLetters.park(letterOf(ada, { lastAt: 3_000 }));
      expect((await ledger.deadLetters.get(organization, ada))?.replayedAt).toBeUndefined();
      await ledger.deadLetters.markReplayed(read, 4_000);
      expect((await ledger.deadLetters.get(organization, ada))?.replayedAt).toBeUndefined();
      await ledger.deadLetters.drop(organization, ada);
      await ledger.deadLetters.markReplayed(read, 5_000);
      expect(await ledger.deadLetters.get(organization, ada)).toBeUndefined();
    });

    test("is listed with those of its organization only", async () => {
      const subjects = [ada, randomUUID()].sort();
      for (const subject of subjects) await ledger.deadLetters.park(letterOf(subject));
      await ledger.subjects.put(organization, newRecord("linus", "a"));
      const all = await flat(ledger.deadLetters.all(organization));
      expect(all.map(({ subject }) => subject)).toEqual(subjects);
      expect(await flat(ledger.deadLetters.all(`${organization}-2`))).toEqual([]);
    });

    test("may be of the job that follows groups", async () => {
      const job = { version: 2, kind: "groups", organization, trigger: { kind: "manual" } } as const;
      await ledger.deadLetters.park(letterOf("groups", { job }));
      expect(await ledger.deadLetters.get(organization, "groups")).toMatchObject({ subject: "groups", job });
    });
  });

  describe("the brake of an organization", () => {
    test("is read back as it was written, and only the first of two writes on one revision counts", async () => {
      expect(await ledger.brakes.get(organization)).toBeUndefined();
      const state = { ...newBrake(), buckets: [{ at: 1_000, people: 2 }], ofANewerVersion: { kept: true } };
      expect(await ledger.brakes.put(organization, state, 0)).toBe(true);
      expect(await ledger.brakes.get(organization)).toEqual({ state, revision: 1 });
      expect(await other.brakes.put(organization, { ...state, held: true }, 1)).toBe(true);
      expect(await ledger.brakes.put(organization, newBrake(), 1)).toBe(false);
      expect(await ledger.brakes.put(organization, newBrake(), 0)).toBe(false);
      expect(await ledger.brakes.get(organization)).toEqual({ state: { ...state, held: true }, revision: 2 });
      expect(await ledger.brakes.get(`${organization}-2`)).toBeUndefined();
      expect(await ledger.brakes.get(organization, "leaves")).toBeUndefined();
      expect(await ledger.brakes.put(organization, newBrake(), 0, "leaves")).toBe(true);
      expect(await other.brakes.get(organization, "leaves")).toEqual({ state: newBrake(), revision: 1 });
      expect(await ledger.brakes.get(organization)).toMatchObject({ revision: 2 });
    });
  });

  describe("the memory of the group watch", () => {
    const group = (id: string, count: number) => ({ id, name: `group ${id}`, count, readAt: 1 });

    test("holds nothing before the first look, and afterwards what was put last", async () => {
      expect(await ledger.groups.groups(organization)).toEqual({ groups: [], complete: false });
      await ledger.groups.putGroups(organization, { groups: [group("a", 1)], complete: false });
      await ledger.groups.putGroups(organization, { groups: [group("a", 2), group("b", 0)], complete: true });
      expect(await ledger.groups.groups(organization)).toEqual({
        groups: [group("a", 2), group("b", 0)],
        complete: true,
      });
      await ledger.groups.putGroups(organization, { groups: [], complete: true });
      expect(await ledger.groups.groups(organization)).toEqual({ groups: [], complete: true });
    });

    test("holds more groups than fit into one item, and fewer again", async () => {
      const many = Array.from({ length: 900 }, (_, index) => ({
        ...group(String(index), index),
        name: "ü".repeat(300),
      }));
      await ledger.groups.putGroups(organization, { groups: many, complete: true });
      expect(await ledger.groups.groups(organization)).toEqual({ groups: many, complete: true });
      await ledger.groups.putGroups(organization, { groups: [group("a", 1)], complete: true });
      expect(await ledger.groups.groups(organization)).toEqual({ groups: [group("a", 1)], complete: true });
    });

    test("holds the members of a group, as many as there are, and forgets them", async () => {
      const many = Array.from({ length: 14_000 }, () => randomUUID());
      await ledger.groups.putMembers(organization, "a", many);
      await ledger.groups.putMembers(organization, "ab", ["other"]);
      expect(await ledger.groups.members(organization, "a")).toEqual(many);
      await ledger.groups.putMembers(organization, "a", many.slice(0, 3));
      expect(await ledger.groups.members(organization, "a")).toEqual(many.slice(0, 3));
      await ledger.groups.forgetMembers(organization, "a");
      expect(await ledger.groups.members(organization, "a")).toEqual([]);
      expect(await ledger.groups.members(organization, "ab")).toEqual(["other"]);
    });
  });

  describe("a lock", () => {
    test("has one holder at a time, until it is given back", async () => {
      const release = await ledger.locks.take(organization, "full", 1_000, 2_000);
      expect(release).toBeDefined();
      expect(await other.locks.take(organization, "full", 1_500, 3_000)).toBeUndefined();
      expect(await other.locks.take(organization, "light", 1_500, 3_000)).toBeDefined();
      expect(await other.locks.take(`${organization}-2`, "full", 1_500, 3_000)).toBeDefined();
      await release?.();
      expect(await other.locks.take(organization, "full", 1_500, 3_000)).toBeDefined();
    });

    test("that is over may be taken, and who had it before does not give back another's", async () => {
      const late = await ledger.locks.take(organization, "full", 1_000, 2_000);
      expect(await other.locks.take(organization, "full", 2_000, 3_000)).toBeUndefined();
      expect(await other.locks.take(organization, "full", 2_001, 3_000)).toBeDefined();
      await late?.();
      expect(await ledger.locks.take(organization, "full", 2_500, 4_000)).toBeUndefined();
    });

    test("whose end is further away than it can be taken for is one of a clock that was ahead, and may be taken", async () => {
      const [now, length, ahead] = [1_000_000, 1_000, 30 * 24 * 60 * 60_000];
      const late = await ledger.locks.take(organization, "full", now + ahead, now + ahead + length);
      expect(await other.locks.take(organization, "full", now, now + length)).toBeDefined();
      await late?.();
      expect(await ledger.locks.take(organization, "full", now, now + length)).toBeUndefined();
      const skewed = await ledger.locks.take(organization, "light", now + SKEW_MS, now + SKEW_MS + length);
      expect(skewed).toBeDefined();
      expect(await other.locks.take(organization, "light", now, now + length)).toBeUndefined();
    });

    test("that many ask for at once is given to one", async () => {
      const asked = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          (index % 2 === 0 ? ledger : other).locks.take(organization, "full", 1_000, 2_000),
        ),
      );
      expect(asked.filter((release) => release !== undefined)).toHaveLength(1);
    });
  });

  test("the last run of each kind is what was written last", async () => {
    expect(await ledger.runs.of(organization)).toEqual({});
    await ledger.runs.put(organization, "full", { beganAt: 1, endedAt: 2, result: "done", doneAt: 1 });
    await ledger.runs.put(organization, "light", { beganAt: 3 });
    await ledger.runs.put(organization, "full", { beganAt: 4, doneAt: 1 });
    expect(await ledger.runs.of(organization)).toEqual({ full: { beganAt: 4, doneAt: 1 }, light: { beganAt: 3 } });
    expect(await ledger.runs.of(`${organization}-other`)).toEqual({});
  });
});
