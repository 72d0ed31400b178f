import { randomUUID } from "node:crypto";
import { GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { beforeEach, describe, expect, it } from "vitest";
import { createDocumentClient } from "../../functions/ledger/client.ts";
import { LedgerConflict, LedgerUnavailable } from "../../functions/ledger/errors.ts";
import { createLedger, type Ledger, type SubjectEntry } from "../../functions/ledger/ledger.ts";
import { localClients } from "../../functions/local/embedded.ts";
import { useWorld } from "../support/world.ts";

const world = useWorld();
const ORIGIN = "https://nextcloud.acme.example";

let ledger: Ledger;
let organization: string;
let origin: string;

beforeEach(() => {
  ledger = world.ledger;
  organization = `acme-${randomUUID()}`;
  origin = `${ORIGIN}/${randomUUID()}`;
});

const entryOf = (subject: string, fields: Partial<SubjectEntry> = {}): Omit<SubjectEntry, "revision"> => ({
  subject,
  accountId: `account-of-${subject}`,
  state: "active",
  groups: [],
  disabledByUs: false,
  ...fields,
});

/** A ledger whose table is another one. */
function ledgerOf(table: string): Ledger {
  return createLedger(createDocumentClient(world.embedded.clients.dynamodb), table);
}

describe("the entry of a subject", () => {
  it("is not there before it is written", async () => {
    expect(await ledger.subject(organization, "ada")).toBeUndefined();
  });

  it("is read back with every field as it was written, and what is undefined is left out", async () => {
    const entry = entryOf("ada", {
      state: "deleted",
      version: "2026-07-23T08:15:30.120100000Z",
      desiredHash: "abc",
      groups: ["eng", "ops/backend", "Größe 🚀"],
      disabledByUs: true,
      goneSince: 1_785_000_000_000,
      readAt: 1_785_000_000_001,
    });
    const written = await ledger.putSubject(organization, entry, undefined);
    expect(await ledger.subject(organization, "ada")).toEqual(written);
    expect(written).toEqual({ ...entry, revision: 1 });

    const { revision } = await ledger.putSubject(organization, { ...entry, goneSince: undefined }, written.revision);
    const { goneSince: _, ...rest } = entry;
    expect(await ledger.subject(organization, "ada")).toEqual({ ...rest, revision });
  });

  it("belongs to one organization and one subject", async () => {
    await ledger.putSubject(organization, entryOf("ada", { accountId: "a" }), undefined);
    await ledger.putSubject(`${organization}-2`, entryOf("ada", { accountId: "b" }), undefined);
    await ledger.putSubject(organization, entryOf("ada-2", { accountId: "c" }), undefined);
    expect(await ledger.subject(organization, "ada")).toMatchObject({ accountId: "a" });
    expect(await ledger.subject(`${organization}-2`, "ada")).toMatchObject({ accountId: "b" });
    expect(await ledger.subject(organization, "ada-2")).toMatchObject({ accountId: "c" });
  });

  it("may have a subject like a property of every object", async () => {
    for (const subject of ["__proto__", "constructor", "toString"]) {
      expect(await ledger.subject(organization, subject)).toBeUndefined();
      await ledger.putSubject(organization, entryOf(subject), undefined);
      expect(await ledger.subject(organization, subject)).toMatchObject({ subject });
    }
  });

  it("is seen at once by whoever reads it after the write", async () => {
    let revision: number | undefined;
    for (let write = 1; write <= 25; write += 1) {
      const groups = [`g${write}`];
      ({ revision } = await ledger.putSubject(organization, entryOf("ada", { groups }), revision));
      expect(await ledger.subject(organization, "ada")).toMatchObject({ groups, revision });
    }
  });

  it("is asked for with a consistent read", async () => {
    const { client, sent, destroy } = recorded();
    await createLedger(client, world.embedded.endpoints.tableName).subject(organization, "ada");
    destroy();
    expect(sent()).toMatchObject([{ ConsistentRead: true }]);
  });
});

describe("two workers with one subject", () => {
  it("cannot both make the entry", async () => {
    const writes = ["a", "b"].map((accountId) =>
      ledger.putSubject(organization, entryOf("ada", { accountId }), undefined),
    );
    const results = await Promise.allSettled(writes);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const lost = results.find((result) => result.status === "rejected");
    const won = results.find((result) => result.status === "fulfilled");
    expect(lost?.reason).toBeInstanceOf(LedgerConflict);
    expect(await ledger.subject(organization, "ada")).toEqual(won?.value);
  });

  it("cannot both write on top of the same revision: the slower one conflicts and changes nothing", async () => {
    const first = await ledger.putSubject(organization, entryOf("ada"), undefined);
    const second = await ledger.putSubject(organization, entryOf("ada", { groups: ["eng"] }), first.revision);
    const late = ledger.putSubject(organization, entryOf("ada", { groups: ["ops"] }), first.revision);
    await expect(late).rejects.toThrow(LedgerConflict);
    await expect(late).rejects.toMatchObject({ failureClass: "transient" });
    expect(await ledger.subject(organization, "ada")).toEqual(second);
  });

  it("cannot write on top of an entry that is gone", async () => {
    await expect(ledger.putSubject(organization, entryOf("ada"), 3)).rejects.toThrow(LedgerConflict);
    expect(await ledger.subject(organization, "ada")).toBeUndefined();
  });

  it("cannot begin anew where there is an entry", async () => {
    await ledger.putSubject(organization, entryOf("ada"), undefined);
    await expect(ledger.putSubject(organization, entryOf("ada"), undefined)).rejects.toThrow(LedgerConflict);
  });
});

describe("all entries of an organization", () => {
  it("are those of its subjects and of nobody else", async () => {
    for (const subject of ["ada", "grace"]) await ledger.putSubject(organization, entryOf(subject), undefined);
    await ledger.putSubject(`${organization}-2`, entryOf("linus"), undefined);
    await ledger.identity(organization, "fingerprint");
    const subjects: string[] = [];
    for await (const page of ledger.subjects(organization)) subjects.push(...page.map(({ subject }) => subject));
    expect(subjects.sort()).toEqual(["ada", "grace"]);
  });

  it("are counted where the person is active", async () => {
    expect(await ledger.countActive(organization)).toBe(0);
    const states = ["active", "active", "suspended", "deleted", "outOfScope", "new"] as const;
    for (const [index, state] of states.entries()) {
      await ledger.putSubject(organization, entryOf(`person-${index}`, { state }), undefined);
    }
    expect(await ledger.countActive(organization)).toBe(2);
  });
});

describe("a Nextcloud group", () => {
  it("belongs to nobody before it is claimed", async () => {
    expect(await ledger.group(origin, "eng")).toBeUndefined();
  });

  it("belongs to who claims it first, and a second organization is told so", async () => {
    const first = await ledger.claimGroup(origin, "eng", { owner: "acme", name: "Engineering" });
    const second = await ledger.claimGroup(origin, "eng", { owner: "globex", name: "eng" });
    expect(first).toEqual({ entry: { owner: "acme", name: "Engineering" }, written: true });
    expect(second).toEqual({ entry: { owner: "acme", name: "Engineering" }, written: false });
    expect(await ledger.group(origin, "eng")).toEqual({ owner: "acme", name: "Engineering" });
  });

  it("of every organization is listed, and none of another Nextcloud", async () => {
    await ledger.claimGroup(origin, "eng", { owner: "acme", name: "Engineering" });
    await ledger.claimGroup(origin, "group#sales", { owner: "globex", name: "Sales" });
    await ledger.claimGroup(`${origin}.other`, "ops", { owner: "acme", name: "Ops" });
    await ledger.claimAccount(origin, "ada", "acme");
    expect((await Array.fromAsync(ledger.groups(origin))).flat()).toEqual([
      { gid: "eng", owner: "acme", name: "Engineering" },
      { gid: "group#sales", owner: "globex", name: "Sales" },
    ]);
  });

  it("that is claimed twice by its owner stays the same", async () => {
    await ledger.claimGroup(origin, "eng", { owner: "acme", name: "Engineering" });
    const again = await ledger.claimGroup(origin, "eng", { owner: "acme", name: "Other" });
    expect(again).toEqual({ entry: { owner: "acme", name: "Engineering" }, written: false });
  });

  it("that many claim at once gets exactly one owner, and all are told the same", async () => {
    const owners = Array.from({ length: 8 }, (_, index) => `organization-${index}`);
    const claims = await Promise.all(owners.map((owner) => ledger.claimGroup(origin, "eng", { owner, name: owner })));
    expect(claims.filter(({ written }) => written)).toHaveLength(1);
    const holder = await ledger.group(origin, "eng");
    for (const { entry } of claims) expect(entry).toEqual(holder);
    expect(claims.find(({ written }) => written)?.entry).toEqual(holder);
  });

  it("of one Nextcloud says nothing of another's, and letter case matters", async () => {
    await ledger.claimGroup(origin, "eng", { owner: "acme", name: "eng" });
    expect(await ledger.group(`${origin}/other`, "eng")).toBeUndefined();
    expect(await ledger.group(origin, "Eng")).toBeUndefined();
  });

  it.each(["eng/backend", "a#b", "c++", "Größe 🚀", "__proto__", " lead "])("may be called %j", async (gid) => {
    await ledger.claimGroup(origin, gid, { owner: "acme", name: gid });
    expect(await ledger.group(origin, gid)).toEqual({ owner: "acme", name: gid });
  });
});

describe("the identity of an organization", () => {
  it("is the first one ever given, whatever comes later", async () => {
    expect(await ledger.identity(organization, "one")).toBe("one");
    expect(await ledger.identity(organization, "one")).toBe("one");
    expect(await ledger.identity(organization, "two")).toBe("one");
  });

  it("is one for all who give it at once", async () => {
    const given = ["one", "two", "three", "four"];
    const held = await Promise.all(given.map((fingerprint) => ledger.identity(organization, fingerprint)));
    expect(new Set(held).size).toBe(1);
    expect(await ledger.identity(organization, "five")).toBe(held[0]);
  });

  it("is another one once an operator has accepted it", async () => {
    await ledger.identity(organization, "one");
    await ledger.acceptIdentity(organization, "two");
    expect(await ledger.identity(organization, "one")).toBe("two");
  });
});

describe("a dead letter", () => {
  const letter = (subject: string, fields: { reason?: string; lastAt?: number; attempts?: number } = {}) => ({
    organization,
    subject,
    job: { version: 1 as const, organization, subject, trigger: { kind: "manual" as const } },
    reason: "account-conflict",
    message: "account ada belongs to Database",
    attempts: 1,
    lastAt: 1_000,
    ...fields,
  });

  it("keeps the first time and takes all else from the newest", async () => {
    await ledger.park(letter("ada"));
    await ledger.park(letter("ada", { reason: "profile-refused", attempts: 4, lastAt: 5_000 }));
    expect(await ledger.deadLetter(organization, "ada")).toEqual({
      ...letter("ada", { reason: "profile-refused", attempts: 4, lastAt: 5_000 }),
      firstAt: 1_000,
    });
  });

  it("is removed by a success, but not one that was parked since", async () => {
    await ledger.park(letter("ada", { lastAt: 5_000 }));
    await ledger.dropDeadLetter(organization, "ada", 4_999);
    expect(await ledger.deadLetter(organization, "ada")).toBeDefined();
    await ledger.dropDeadLetter(organization, "ada", 5_000);
    expect(await ledger.deadLetter(organization, "ada")).toBeUndefined();
    await ledger.dropDeadLetter(organization, "ada");
  });

  it("is marked as sent back, but not when it was parked anew in between", async () => {
    await ledger.park(letter("ada"));
    const read = await ledger.deadLetter(organization, "ada");
    if (read === undefined) throw new Error("nothing was parked");
    await ledger.markReplayed(read, 2_000);
    expect(await ledger.deadLetter(organization, "ada")).toMatchObject({ replayedAt: 2_000 });
    await ledger.park(letter("ada", { lastAt: 3_000 }));
    expect((await ledger.deadLetter(organization, "ada"))?.replayedAt).toBeUndefined();
    await ledger.markReplayed(read, 4_000);
    expect((await ledger.deadLetter(organization, "ada"))?.replayedAt).toBeUndefined();
  });

  it("is listed with those of its organization only", async () => {
    await ledger.park(letter("ada"));
    await ledger.park(letter("grace"));
    await ledger.putSubject(organization, entryOf("linus"), undefined);
    const subjects: string[] = [];
    for await (const page of ledger.deadLetters(organization)) subjects.push(...page.map(({ subject }) => subject));
    expect(subjects.sort()).toEqual(["ada", "grace"]);
    for await (const page of ledger.deadLetters(`${organization}-2`)) expect(page).toEqual([]);
  });
});

describe("a ledger that cannot be used", () => {
  it("because the table is missing is the configuration's fault, for every method", async () => {
    const missing = ledgerOf("no-such-table");
    for (const call of [
      () => missing.subject(organization, "ada"),
      () => missing.putSubject(organization, entryOf("ada"), undefined),
      () => missing.putSubject(organization, entryOf("ada"), 1),
      () => missing.group(origin, "eng"),
      () => missing.claimGroup(origin, "eng", { owner: "acme", name: "eng" }),
      () => missing.identity(organization, "one"),
      () => missing.deadLetter(organization, "ada"),
      () => missing.subjects(organization).next(),
    ]) {
      const used = call();
      await expect(used).rejects.toThrow(LedgerUnavailable);
      await expect(used).rejects.toMatchObject({ failureClass: "configuration", fix: expect.any(String) });
    }
  });

  it("because an entry is of another version is a failure that says so, and not an unknown error", async () => {
    await world.embedded.clients.dynamodb.send(
      new PutItemCommand({
        TableName: world.embedded.endpoints.tableName,
        Item: {
          partition: { S: organization },
          sort: { S: "subject#ada" },
          subject: { S: "ada" },
          state: { S: "odd" },
        },
      }),
    );
    await expect(ledger.subject(organization, "ada")).rejects.toMatchObject({ failureClass: expect.any(String) });
  });

  it("does not write what nobody asked for: the item of a subject holds its entry and its keys only", async () => {
    await ledger.putSubject(organization, entryOf("ada"), undefined);
    const { Item = {} } = await world.embedded.clients.dynamodb.send(
      new GetItemCommand({
        TableName: world.embedded.endpoints.tableName,
        Key: { partition: { S: organization }, sort: { S: "subject#ada" } },
      }),
    );
    expect(Object.keys(Item).sort()).toEqual(["partition", "sort", "revision", ...Object.keys(entryOf("ada"))].sort());
  });
});

/** A document client of its own for the embedded table, and the inputs of the commands it was sent. */
function recorded(): { client: DynamoDBDocumentClient; sent: () => object[]; destroy: () => void } {
  const inputs: object[] = [];
  const clients = localClients(world.embedded.endpoints);
  const client = createDocumentClient(clients.dynamodb);
  client.middlewareStack.add(
    (next) => (parameters) => {
      inputs.push(parameters.input);
      return next(parameters);
    },
    { step: "initialize" },
  );
  return { client, sent: () => inputs, destroy: clients.destroy };
}
