import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
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
    async *people(_unreadable: unknown, after?: string) {
      if (after === undefined) lists += 1;
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
  const read = (now = 0) => readRoster({ ledger, directory, now: () => now, onProgress: () => undefined }, acme);
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

  it("leaves others in each run: whoever is gone is found by one of the next ones, however often they come", async () => {
    for (const minutes of [1, 10, 30, 1_440]) {
      const { asked, read } = breakingOff(async (subject) => personOf(subject));
      for (let run = 0; run < 8; run += 1) await read(run * minutes * 60_000);
      expect(new Set(asked).size, `a run every ${minutes} minutes`).toBe(2_499);
    }
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

describe("people and groups are read at the same time", () => {
  const map = { names: new Set<string>(), unread: new Set<string>(), isEmpty: false, isComplete: true, of: () => [] };
  const ledger = {
    subjects: {
      async *all() {
        yield RECORDS;
      },
    },
  } as unknown as Pick<Ledger, "subjects">;

  /** A directory of 50 pages; the groups come, or fail, when `after` of them were given. */
  function pagesAndGroups(after: number, failure?: Error) {
    const due = Promise.withResolvers<void>();
    const seen = { pages: 0 };
    const directory = {
      groups: async () => {
        await due.promise;
        if (failure) throw failure;
        return { value: map, readAt: 0 };
      },
      async *people() {
        for (const subject of SUBJECTS.slice(0, 50)) {
          seen.pages += 1;
          yield [personOf(subject)];
          if (seen.pages === after) due.resolve();
        }
      },
    } as Partial<Directory> as Directory;
    const read = () => readRoster({ ledger, directory, now: () => 0, onProgress: () => undefined }, acme);
    return { seen, read };
  }

  it("groups that take longer than the people are waited for", async () => {
    const { read } = pagesAndGroups(50);
    expect(await read()).toMatchObject({ complete: true, counts: { users: 50 }, map });
  });

  it("groups that cannot be read fail the reading, and the rest of the people is not read", async () => {
    const failure = new ClavexUnavailable("reading all groups takes too long", CLAVEX_UNDECIDED);
    const { seen, read } = pagesAndGroups(10, failure);
    await expect(read()).rejects.toBe(failure);
    expect(seen.pages).toBeLessThan(15);
  });

  it("people who cannot be read fail the reading, and groups that fail afterwards fail nothing", async () => {
    const [failure, unhandled]: [Error, unknown[]] = [new Error("not a failure of Clavex"), []];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    const due = Promise.withResolvers<never>();
    const directory = {
      groups: () => due.promise,
      // biome-ignore lint/correctness/useYield: it fails before its first page
      async *people() {
        throw failure;
      },
    } as Partial<Directory> as Directory;
    const reading = readRoster({ ledger, directory, now: () => 0, onProgress: () => undefined }, acme);
    await expect(reading).rejects.toBe(failure);
    due.reject(new ClavexUnavailable("Clavex answers HTTP 500", CLAVEX_UNDECIDED));
    await setImmediate();
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});
