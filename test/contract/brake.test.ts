import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Organization } from "../../functions/core/organization.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import type { Table } from "../../functions/ledger/table.ts";
import { type Brake, createBrake } from "../../functions/provision/brake.ts";
import { organizationOf } from "../core/organization.ts";
import { dynamoDbTarget, type LedgerTarget, sqliteTarget } from "./ledger-targets.ts";

const ADAPTERS = [
  ["DynamoDB", dynamoDbTarget],
  ["SQLite", sqliteTarget],
] as const;
const PEOPLE = 100;
const PERCENT = 30;
const LIMIT = 30;

describe.each(ADAPTERS)("the brake of a large organization on %s", (_name, open) => {
  let target: LedgerTarget;
  let ledger: Ledger;
  let slug: string;
  let organization: Organization;
  let staying: SubjectRecord[];
  /** Two containers. */
  let brakes: Brake[];
  let clock: number;
  /** How often all people were read to count them. */
  let counts: number;

  beforeAll(async () => {
    target = await open();
  });
  afterAll(() => target.close());
  beforeEach(async () => {
    clock = Date.UTC(2026, 6, 23, 8);
    counts = 0;
    staying = [];
    slug = `acme-${randomUUID().slice(0, 8)}`;
    organization = limited(PERCENT);
    ledger = createLedger(target.table);
    brakes = [target.table, target.other].map((table) => createBrake(createLedger(counting(table)), () => clock));
    await come(PEOPLE);
  });

  function counting(table: Table): Table {
    return {
      ...table,
      count(partition, prefix, options) {
        if (options?.most === undefined) counts += 1;
        return table.count(partition, prefix, options);
      },
    };
  }
  const limited = (percent: number, daily?: number): Organization =>
    organizationOf({ slug, reconcile: { maxDeprovisions: { count: 10, percent, daily } } });

  async function come(number: number): Promise<void> {
    const records = Array.from({ length: number }, () => ({
      ...newRecord(randomUUID(), "a"),
      state: "active" as const,
    }));
    staying.push(...(await Promise.all(records.map((record) => ledger.subjects.put(slug, record)))));
  }
  async function leaveUnbraked(number: number): Promise<void> {
    const leaving = staying.splice(0, number);
    await Promise.all(leaving.map((record) => ledger.subjects.put(slug, { ...record, state: "suspended" })));
  }
  /** How many of this many pass, one after the other, in turns by both containers. */
  async function pass(number: number): Promise<number> {
    let passed = 0;
    for (let index = 0; index < number; index += 1) {
      const asked = brakes[index % 2]?.admit(organization, "deprovisions", randomUUID());
      const isAdmitted = await asked?.then(
        () => true,
        (error) => {
          expect(error.code).toBe("brake-held");
          return false;
        },
      );
      if (!isAdmitted) continue;
      passed += 1;
      await leaveUnbraked(1);
    }
    return passed;
  }

  test("exactly the limit passes, and the people are counted a few times, not for each who leaves", async () => {
    expect(await pass(LIMIT)).toBe(LIMIT);
    expect(counts).toBeLessThan(LIMIT / 2);
    expect(await pass(1)).toBe(0);
  });

  test("nobody is counted for those who wait once somebody was held, nor for those whom an operator allowed", async () => {
    // The alarm of a day may count, too.
    organization = limited(PERCENT, 1_000);
    await pass(LIMIT + 1);
    const before = counts;
    expect(await pass(10)).toBe(0);
    await brakes[0]?.allow(slug, 5);
    expect(await pass(5)).toBe(5);
    expect(counts).toBe(before);
  });

  test("says of those who wait what it said of the first", async () => {
    await pass(LIMIT);
    const refusal = () => brakes[1]?.admit(organization, "deprovisions", randomUUID()).catch(({ message }) => message);
    const message = `more than ${LIMIT} people of ${slug} would lose access within an hour`;
    expect(await refusal()).toBe(message);
    clock += 3 * 60 * 60_000;
    expect(await refusal()).toBe(message);
  });

  test("who has left meanwhile without the brake counts no more: no more pass than if everybody was counted each time", async () => {
    expect(await pass(15)).toBe(15);
    await leaveUnbraked(20);
    expect(await pass(LIMIT)).toBe(0.3 * 80 - 15);
  });

  test("who has come meanwhile counts: nobody is held by an old count", async () => {
    expect(await pass(15)).toBe(15);
    await come(20);
    expect(await pass(LIMIT)).toBe(0.3 * 120 - 15);
  });

  test("an old count decides nothing", async () => {
    expect(await pass(15)).toBe(15);
    await leaveUnbraked(70);
    clock += 10_000;
    expect(await pass(1)).toBe(0);
  });

  test("a lower limit counts at once", async () => {
    expect(await pass(15)).toBe(15);
    organization = limited(5);
    expect(await pass(1)).toBe(0);
  });
});
