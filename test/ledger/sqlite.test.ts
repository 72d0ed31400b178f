import {
  chmodSync,
  closeSync,
  copyFileSync,
  fstatSync,
  lstatSync,
  openSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { copyDatabase, DATABASE_FILE, type Database, openDatabase, restoreDatabase } from "../../functions/database.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { ALWAYS, type Table } from "../../functions/ledger/table.ts";

let folder: string;
let opened: Database[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  opened = [];
});
afterEach(async () => {
  for (const database of opened) database.close();
  await rm(folder, { recursive: true });
});

function open(): Database {
  const database = openDatabase(folder);
  opened.push(database);
  return database;
}
function close(database: Database): void {
  database.close();
  opened = opened.filter((each) => each !== database);
}

const KEY = { partition: "acme", sort: "subject#ada" };
const numbered = (index: number) => ({ partition: "acme", sort: `subject#${String(index).padStart(4, "0")}` });

async function fill(table: Table, number: number, fields = {}): Promise<void> {
  await Promise.all(
    Array.from({ length: number }, (_, index) => table.put(numbered(index), { index, ...fields }, ALWAYS)),
  );
}

test("what was acknowledged is there after the file was opened again", async () => {
  const first = open();
  await sqliteTable(first).put(KEY, { revision: 1 }, ALWAYS);
  close(first);
  expect(await sqliteTable(open()).get(KEY)).toEqual({ revision: 1 });
});

test("what was begun when the file is closed is there too", async () => {
  const first = open();
  const writing = sqliteTable(first).put(KEY, { revision: 1 }, ALWAYS);
  close(first);
  expect(await writing).toBe(true);
  expect(await sqliteTable(open()).get(KEY)).toEqual({ revision: 1 });
});

test("an item is written as it was when it was given", async () => {
  const table = sqliteTable(open());
  const item = { revision: 1 };
  const writing = table.put(KEY, item, ALWAYS);
  item.revision = 2;
  await writing;
  expect(await table.get(KEY)).toEqual({ revision: 1 });
});

test("writes of one moment are judged one after the other, though they share a transaction", async () => {
  const table = sqliteTable(open());
  const results = await Promise.all([
    table.put(KEY, { revision: 1 }, { when: "absent" }),
    table.put(KEY, { revision: 2 }, { when: "equal", field: "revision", value: 1 }),
    table.put(KEY, { revision: 9 }, { when: "absent" }),
    table.delete(KEY, { when: "equal", field: "revision", value: 2 }),
    table.delete(KEY, { when: "equal", field: "revision", value: 2 }),
  ]);
  expect(results).toEqual([true, true, false, true, false]);
});

test("a file that the first build of 0.2 wrote opens, and keeps what is in it", async () => {
  const older = new DatabaseSync(join(folder, DATABASE_FILE));
  older.exec(`
    CREATE TABLE ledger (partition TEXT NOT NULL, sort TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (partition, sort)) WITHOUT ROWID;
    CREATE TABLE queue_message (sequence INTEGER PRIMARY KEY);
    INSERT INTO ledger VALUES ('acme', 'subject#ada', '{"revision":1}');
    PRAGMA user_version = 1`);
  older.close();
  expect(await sqliteTable(open()).get(KEY)).toEqual({ revision: 1 });
});

describe("a copy", () => {
  const copy = (): string => join(folder, "copy.sqlite");
  const modeOf = (file: string): number => statSync(file).mode & 0o777;
  async function keep(revision: number): Promise<void> {
    const database = open();
    await sqliteTable(database).put(KEY, { revision }, ALWAYS);
    close(database);
  }
  const kept = () => sqliteTable(open()).get(KEY);

  test("is its owner's alone from the first byte on, also where others had such a file open before", async () => {
    await keep(1);
    const theirs = openSync(`${copy()}.partial`, "w+", 0o666);
    await copyDatabase(folder, copy());
    expect([fstatSync(theirs).size, modeOf(copy())]).toEqual([0, 0o600]);
    closeSync(theirs);
    chmodSync(copy(), 0o644);
    await restoreDatabase(folder, copy());
    expect(modeOf(join(folder, DATABASE_FILE))).toBe(0o600);
  });

  test("with what a killed pipeline left beside it is restored with that", async () => {
    const database = open();
    await sqliteTable(database).put(KEY, { revision: 1 }, ALWAYS);
    for (const suffix of ["", "-wal"]) copyFileSync(join(folder, DATABASE_FILE + suffix), copy() + suffix);
    await sqliteTable(database).put(KEY, { revision: 2 }, ALWAYS);
    close(database);
    await restoreDatabase(folder, copy());
    expect(await kept()).toEqual({ revision: 1 });
  });

  test("that is the state file itself is not put in its place", async () => {
    await keep(1);
    symlinkSync(join(folder, DATABASE_FILE), copy());
    for (const file of [copy(), join(folder, DATABASE_FILE)])
      await expect(restoreDatabase(folder, file)).rejects.toThrow("it is the state file itself, not a copy");
    expect(await kept()).toEqual({ revision: 1 });
  });

  test("leaves a link to the state file, and one to the copy, as they are", async () => {
    await keep(1);
    const [elsewhere, linked] = [join(folder, "elsewhere.sqlite"), join(folder, "linked.sqlite")];
    renameSync(join(folder, DATABASE_FILE), elsewhere);
    symlinkSync(elsewhere, join(folder, DATABASE_FILE));
    writeFileSync(linked, "");
    symlinkSync(linked, copy());
    await copyDatabase(folder, copy());
    await keep(2);
    await restoreDatabase(folder, copy());
    expect(await kept()).toEqual({ revision: 1 });
    for (const link of [join(folder, DATABASE_FILE), copy()]) expect(lstatSync(link).isSymbolicLink()).toBe(true);
  });
});

test.each([0, 1, 199, 200, 201, 400, 401])("a listing of %i items has each of them once", async (number) => {
  const table = sqliteTable(open());
  await fill(table, number);
  const pages = await Array.fromAsync(table.query("acme", "subject#"));
  expect(pages.flat().map(({ item }) => item.index)).toEqual(Array.from({ length: number }, (_, index) => index));
  for (const page of pages) expect(page.length).toBeLessThanOrEqual(200);
});

test("a long listing lets others work in between", async () => {
  const table = sqliteTable(open());
  await fill(table, 1_000);
  let turns = 0;
  let listing = true;
  const others = (async () => {
    for (; listing; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  })();
  await Array.fromAsync(table.query("acme", "subject#"));
  listing = false;
  await others;
  expect(turns).toBeGreaterThanOrEqual(5);
});

const METHODS: [name: string, use: (table: Table) => Promise<unknown>][] = [
  ["get", (table) => table.get(KEY)],
  ["put", (table) => table.put(KEY, {}, ALWAYS)],
  ["a put on a condition", (table) => table.put(KEY, {}, { when: "equal", field: "revision", value: 1 })],
  ["delete", (table) => table.delete(KEY, ALWAYS)],
  ["query", (table) => table.query("acme", "subject#").next()],
  ["count", (table) => table.count("acme", "subject#", { having: { field: "state", value: "active" } })],
];
const WRITES = METHODS.filter(([name]) => /put|delete/.test(name));

/** What the failure is, and that it names no place on this machine. */
async function expectUnavailable(use: Promise<unknown>, expected: object): Promise<void> {
  const error = await use.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toMatchObject({ code: "ledger-unavailable", scope: "subject", ...expected });
  expect(`${error.message} ${error.fix ?? ""}`).not.toContain(folder);
}

describe.each(WRITES)("%s", (_name, write) => {
  test("on a full disk is tried again later, and works when there is room", async () => {
    const database = open();
    const table = sqliteTable(database);
    await fill(table, 50, { ballast: "x".repeat(1_000) });
    await table.put(KEY, { revision: 1 }, ALWAYS);
    const full = { failureClass: "transient", message: expect.stringMatching(/\(database-unavailable: .*full\)$/) };
    database.prepare("PRAGMA max_page_count = 1").get();
    await expectUnavailable(fill(table, 100, { ballast: "x".repeat(20_000) }), full);
    database.prepare("PRAGMA max_page_count = 100000").get();
    await write(table);
    expect(await table.get(numbered(0))).toMatchObject({ index: 0 });
  });

  test("on a file that is read-only is tried again later", async () => {
    const database = open();
    const table = sqliteTable(database);
    await table.put(KEY, { revision: 1 }, ALWAYS);
    database.prepare("PRAGMA query_only = 1").run();
    await expectUnavailable(write(table), {
      failureClass: "transient",
      message: "the ledger cannot be used (database-unavailable: attempt to write a readonly database)",
    });
    database.prepare("PRAGMA query_only = 0").run();
    expect(await table.get(KEY)).toEqual({ revision: 1 });
  });
});

test("a write to a file that another process does not let go of is tried again later", async () => {
  const table = sqliteTable(open());
  const other = new DatabaseSync(join(folder, DATABASE_FILE));
  other.exec("BEGIN IMMEDIATE");
  await expectUnavailable(table.put(KEY, {}, ALWAYS), {
    failureClass: "transient",
    message: "the ledger cannot be used (database-unavailable: database is locked)",
  });
  other.exec("ROLLBACK");
  other.close();
  await table.put(KEY, {}, ALWAYS);
});

describe.each(METHODS)("%s", (_name, use) => {
  test("on a damaged file says so and what to do", async () => {
    const first = open();
    await fill(sqliteTable(first), 500, { ballast: "x".repeat(500) });
    close(first);
    const file = join(folder, DATABASE_FILE);
    const handle = openSync(file, "r+");
    writeSync(handle, Buffer.alloc(statSync(file).size - 4096, 0xa5), 0, undefined, 4096);
    closeSync(handle);
    await expectUnavailable(use(sqliteTable(open())), {
      failureClass: "configuration",
      message: "the ledger cannot be used (state-damaged: database disk image is malformed)",
      fix: expect.stringContaining("move the folder away"),
    });
  });

  test("on a file that is closed is a failure of the ledger", async () => {
    const database = open();
    const table = sqliteTable(database);
    close(database);
    await expectUnavailable(use(table), { failureClass: "transient" });
  });
});
