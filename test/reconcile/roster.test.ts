import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { CLAVEX_UNDECIDED, ClavexUnavailable } from "../../functions/clavex/errors.ts";
import { accountId } from "../../functions/core/identity.ts";
import type { Directory, Person } from "../../functions/core/person.ts";
import { newRecord, type SubjectRecord } from "../../functions/core/record.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { readRoster } from "../../functions/reconcile/roster.ts";
import { organizationOf } from "../core/organization.ts";

const acme = organizationOf();
const SUBJECTS = Array.from({ length: 2_500 }, () => randomUUID());
const RECORDS = SUBJECTS.map(
  (subject): SubjectRecord => ({ ...newRecord(subject, accountId(acme.identity, subject)), state: "active" }),
);

/** A directory whose list of people shows one of them and then breaks off, every time. */
function breakingOff(person: (subject: string) => Promise<Person | undefined>) {
  const asked: string[] = [];
  let lists = 0;
  const directory = {
    groups: async () => ({
      value: { names: new Set(), unread: new Set(), isEmpty: false, isComplete: true, of: () => [] },
      readAt: 0,
    }),
    async *people() {
      lists += 1;
      yield [personOf(SUBJECTS[0] ?? "")];
      throw new ClavexUnavailable("Clavex answers HTTP 500", CLAVEX_UNDECIDED);
    },
    person: (subject: string) => {
      asked.push(subject);
      return person(subject);
    },
  } as Partial<Directory> as Directory;
  const ledger = {
    subjects: {
      async *all() {
        yield RECORDS;
      },
    },
  } as unknown as Pick<Ledger, "subjects">;
  const read = () => readRoster({ ledger, directory, now: () => 0, onProgress: () => undefined }, acme);
  return { asked, lists: () => lists, read };
}

const personOf = (subject: string): Person => ({
  subject,
  email: `${subject}@acme.example`,
  emailVerified: true,
  firstName: "Ada",
  lastName: "L",
  active: true,
  erased: false,
  attributes: {},
  updatedAt: "",
});

describe("a list of people that breaks off every time", () => {
  it("is begun three times; then 2,000 of those whom the ledger knows are asked for one by one, and the rest is left", async () => {
    const { asked, lists, read } = breakingOff(async (subject) => personOf(subject));
    const { complete, counts } = await read();
    expect([lists(), asked.length, complete]).toEqual([3, 2_000, false]);
    expect(counts).toMatchObject({ users: 2_001, known: 2_500, unread: 499 });
  });

  it("says who is gone, where their own reading says so, and does not count them as unread", async () => {
    const gone = new Set<string>(SUBJECTS.slice(1, 3));
    const { read } = breakingOff(async (subject) => (gone.has(subject) ? undefined : personOf(subject)));
    const { people, counts } = await read();
    expect([...people.values()].flatMap(({ isGone, subject }) => (isGone ? [subject] : []))).toEqual([...gone]);
    expect(counts).toMatchObject({ users: 1_999, unread: 499 });
  });

  it("is no reason to ask a server for long that answers for nobody", async () => {
    const { asked, read } = breakingOff(async () => {
      throw new ClavexUnavailable("Clavex answers HTTP 500", CLAVEX_UNDECIDED);
    });
    const { counts } = await read();
    expect(asked.length).toBeLessThan(16);
    expect(counts).toMatchObject({ users: 1, unread: 2_499 });
  });
});
