import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { backup, DatabaseSync, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { ConfigurationError, PipelineFailure } from "./core/failure.ts";
import { makeFolder, tryFolder } from "./folders.ts";
import { isSystemError, systemWords } from "./system-errors.ts";

/** The state of the pipeline on one machine: queue and ledger in one SQLite file, which several processes may have open. */
export interface Database {
  /**
   * A statement, compiled at its first use and kept.
   *
   * @throws {DatabaseUnavailable} or {ConfigurationError}, as `read`
   */
  prepare(sql: string): StatementSync;
  /**
   * Reads; what `work` sees belongs together only if it is one statement.
   *
   * @throws {DatabaseUnavailable} when the file cannot be read now
   * @throws {ConfigurationError} when the file is damaged
   */
  read<T>(work: () => T): T;
  /**
   * Runs `work` in a transaction and resolves with its result when that is on disk. All writes of one moment share one
   * transaction, and so one wait for the disk; if `work` throws, only its own changes are undone.
   *
   * @param work must not wait for anything: the other writes of the moment are in the same transaction
   * @throws {DatabaseUnavailable} when the file cannot be written now; `work` is rolled back
   * @throws {ConfigurationError} when the file is damaged
   */
  write<T>(work: () => T): Promise<T>;
  /**
   * Reads the whole file; without this, damage is found only when the damaged part is used.
   *
   * @throws {ConfigurationError} when any part of it is damaged
   */
  check(): void;
  /** Finishes the writes that were begun, and closes the file. */
  close(): void;
}

/** The state file cannot be used at this moment: the disk is full, or another process holds the file for too long. */
export class DatabaseUnavailable extends PipelineFailure {
  constructor(file: string, cause: Error) {
    super(
      "transient",
      "database-unavailable",
      `${file}: the state file cannot be used now (${cause.message})`,
      "subject",
      {
        fix: "Try again. If it stays like this, see that the disk has room and that this user may write there.",
        cause,
      },
    );
  }
}

/** The file's name in the state folder. SQLite keeps two more beside it, with `-wal` and `-shm` at the end. */
export const DATABASE_FILE = "state.sqlite";

/**
 * How long a write waits for another process's. Meanwhile nothing else runs in this process, and the receiver must answer
 * within eight seconds.
 */
const BUSY_TIMEOUT_MS = 2_000;

/** What each schema version adds to the one before; `user_version` says how many a file has. Only append. */
const MIGRATIONS = [
  `
  CREATE TABLE ledger (
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
  ) WITHOUT ROWID;

  -- visible_at is 0 until a message is received for the first time; held is 1 while a consumer works on it.
  CREATE TABLE queue_message (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    visible_at INTEGER NOT NULL DEFAULT 0,
    receive_count INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0
  );
  CREATE INDEX queue_message_of_group ON queue_message (group_id, sequence);
  CREATE INDEX queue_message_received ON queue_message (group_id, visible_at) WHERE visible_at > 0;

  -- The groups that have messages, and when each may give out some: when its last invisible message becomes visible.
  CREATE TABLE queue_group (
    group_id TEXT PRIMARY KEY,
    available_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX queue_group_available ON queue_group (available_at);

  CREATE TABLE queue_deduplication (
    id TEXT PRIMARY KEY,
    sent_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX queue_deduplication_sent ON queue_deduplication (sent_at);

  CREATE TABLE queue_dead_letter (
    sequence INTEGER PRIMARY KEY,
    group_id TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    receive_count INTEGER NOT NULL
  );
  `,
  `
  CREATE TABLE activity (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    organization TEXT NOT NULL,
    subject TEXT,
    result TEXT NOT NULL,
    item TEXT NOT NULL
  );
  CREATE INDEX activity_of_subject ON activity (subject) WHERE subject IS NOT NULL;
  CREATE INDEX activity_of_result ON activity (result);
  `,
];

/**
 * Opens the state file of a folder, and makes both if they are missing: readable by their owner only.
 *
 * @param folder undefined keeps everything in memory, for the demo and for tests
 * @throws {ConfigurationError} when the folder cannot be used, or the file is damaged, of a newer version or of another program
 * @throws {DatabaseUnavailable} when the disk is full, or another process holds the file
 */
export function openDatabase(folder: string | undefined): Database {
  if (folder !== undefined) requireUsable(folder);
  const file = folder === undefined ? ":memory:" : createStateFile(folder, DATABASE_FILE);
  const connection = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // A commit is on disk before it is acknowledged: WAL alone would sync at checkpoints only.
    connection.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864");
    // In KiB. Deduplication ids are spread over their whole index: with the default of 2 MB a large run reads it again and again.
    connection.exec("PRAGMA cache_size = -16384");
    migrate(connection, file);
  } catch (error) {
    connection.close();
    throw explain(error, file);
  }
  return connect(connection, file);
}

/** The code of the error that refuses what another program keeps under the state file's name. */
const FOREIGN = "state-foreign";
/** Two tables that every state file has; a ledger alone may be some bookkeeper's. */
const OWN_TABLES = ["ledger", "queue_message"];

/**
 * Why what a folder has under the state file's name cannot be used, as far as its beginning shows; undefined also for an empty file and
 * for none. Leaves the file as it is, with nothing new beside it.
 *
 * @throws {ConfigurationError} when this user cannot read the file
 */
function objection(folder: string): Error | undefined {
  const file = join(folder, DATABASE_FILE);
  const found = usable(folder, () => statSync(file, { throwIfNoEntry: false }));
  if (!found) return undefined;
  // Of a pipe, opening it would never return.
  if (!found.isFile()) return foreign(file, found.isDirectory() ? "it is a folder, not a state file" : "it is no file");
  if (found.size === 0) return undefined;
  usable(folder, () => accessSync(file, constants.R_OK));
  try {
    const connection = openAsItIs(file);
    try {
      return foreignOrNewer(connection, file);
    } finally {
      connection.close();
    }
  } catch (error) {
    const explained = explain(error, file);
    if (explained instanceof Error) return explained;
    throw explained;
  }
}

function foreignOrNewer(connection: DatabaseSync, file: string): ConfigurationError | undefined {
  const version = versionOf(connection);
  const tables = tablesOf(connection);
  const isEmpty = tables.size === 0;
  if (version > MIGRATIONS.length && (isEmpty || tables.has("ledger"))) return tooNew(file);
  if ((isEmpty && version === 0) || OWN_TABLES.every((table) => tables.has(table))) return undefined;
  return foreign(file, "another program keeps its data in it");
}

function tablesOf(connection: DatabaseSync): Set<string> {
  const rows = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return new Set(rows.map(({ name }) => String(name)));
}

function foreign(file: string, what: string): ConfigurationError {
  return new ConfigurationError(FOREIGN, [`${file}: ${what}; it is left as it is`], {
    fix: "Move it away, or name another folder with --state.",
  });
}

/**
 * Opens a file to read it, and leaves it as it is. What SQLite has written beside it and not into it yet is read too: a pipeline that
 * runs or was killed has such a file.
 */
function openAsItIs(file: string): DatabaseSync {
  const url = pathToFileURL(file);
  // Otherwise SQLite would put files of its own beside any that was in use once.
  if (!existsSync(`${realpathSync(file)}-wal`)) url.search = "immutable=1";
  return new DatabaseSync(url, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
}

function requireUsable(folder: string): void {
  const found = objection(folder);
  if (found) throw found;
}

/**
 * Checks that no other program keeps something in a folder under the name of the state file: then nothing may be written there.
 *
 * @throws {ConfigurationError} otherwise
 */
export function refuseForeign(folder: string): void {
  const found = objection(folder);
  if (found instanceof ConfigurationError && found.code === FOREIGN) throw found;
}

/**
 * Creates a state folder if it is missing, and takes it away from other users; one with folders in it, such as /tmp, stays as it is.
 *
 * @throws {ConfigurationError} when this user cannot write there, or another program's state file is in it
 */
export function makeStateFolder(folder: string): void {
  refuseForeign(folder);
  usable(folder, () => {
    makeFolder(folder, 0o700);
    if (!hasFolders(folder)) ownerOnly(folder, 0o700);
  });
}

/**
 * The path of a file in the state folder. Makes both when they are missing, and takes them away from other users.
 *
 * @throws {ConfigurationError} as makeStateFolder
 */
export function createStateFile(folder: string, name: string): string {
  const file = join(folder, name);
  makeStateFolder(folder);
  return usable(folder, () => {
    closeSync(openSync(file, "a", 0o600));
    ownerOnly(file, 0o600);
    return file;
  });
}

/**
 * Checks that a state folder is there, or could be created: it is not.
 *
 * @throws {ConfigurationError} when this user cannot write there
 */
export function tryStateFolder(folder: string): void {
  usable(folder, () => tryFolder(folder));
}

function usable<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const problem = `${folder}: queue and ledger cannot be kept there (${systemWords(error)})`;
    throw new ConfigurationError("state-unusable", [problem], {
      fix: MENDS[error.code] ?? "Let this user write to the folder, or name another one with --state.",
      cause: error,
    });
  }
}

const [ROOM, ANOTHER] = ["Make room on the disk, and start again.", "Name another folder with --state."];
/** What to do where rights are not the reason. */
const MENDS: Readonly<Record<string, string>> = { ENOSPC: ROOM, EDQUOT: ROOM, ENOENT: ANOTHER, ENOTDIR: ANOTHER };

/**
 * Whether a state folder has this file. Makes nothing there.
 *
 * @throws {ConfigurationError} when this user cannot look into the folder, or it is none
 */
export function hasFile(folder: string, name: string): boolean {
  try {
    statSync(join(folder, name));
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "ENOENT") return false;
    throw new ConfigurationError(
      "state-unreadable",
      [`${folder}: the state folder cannot be read (${systemWords(error)})`],
      {
        fix: MENDS[error.code] ?? "Run this as the user that runs the pipeline, or name another folder with --state.",
        cause: error,
      },
    );
  }
}

/** Whether a folder serves something else, too: state is files alone. */
function hasFolders(folder: string): boolean {
  return readdirSync(folder, { withFileTypes: true }).some((each) => each.isDirectory());
}

/** Takes a folder or file away from other users, unless it belongs to somebody else. */
function ownerOnly(path: string, mode: number): void {
  try {
    chmodSync(path, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
  }
}

/**
 * Copies the state file of a folder as it is at one moment, also while a pipeline works on it. The copy is one file, readable by
 * its owner only; it takes the place of an older one when it is complete.
 *
 * @throws {ConfigurationError} when the state file is missing or damaged
 * @throws {DatabaseUnavailable} when it cannot be read now, or the copy's disk is full
 */
export async function copyDatabase(folder: string, copy: string): Promise<void> {
  const file = join(folder, DATABASE_FILE);
  if (!hasFile(folder, DATABASE_FILE)) {
    throw new ConfigurationError("state-missing", [`${folder}: no pipeline has ever run on this state folder`], {
      fix: "Name the right folder with --state. The demo of npm start has a state of its own, which is not kept.",
    });
  }
  requireUsable(folder);
  const older = copyAt(copy);
  if (older?.isDirectory()) throw new CopyImpossible(`${copy}: it is a folder`);
  if (older && isOf(folder, older)) throw new CopyImpossible(`${copy}: it is the state file itself, not a copy`);
  try {
    await replace(copy, () => new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS }), { named: file, fix: MEND });
  } catch (error) {
    if (isSystemError(error)) throw new CopyImpossible(`${copy}: cannot be written (${systemWords(error)})`, error);
    throw explain(error, `${file}, copied to ${copy}`);
  }
}

/**
 * Puts a copy of a state file in the place of another file, when it is complete: one file, readable by its owner only, with nothing
 * beside it. A link to the file stays one.
 */
async function replace(file: string, open: () => DatabaseSync, told?: Told): Promise<void> {
  const target = copyAt(file) ? realpathSync(file) : file;
  const partial = `${target}.partial`;
  // Nobody else may have opened it before anything goes in.
  rmSync(partial, { force: true });
  closeSync(openSync(partial, "wx", 0o600));
  try {
    const source = open();
    try {
      await backup(source, partial);
    } finally {
      source.close();
    }
    inOneFile(partial);
    checkCopy(partial, told);
    // These belong to what was there before.
    for (const suffix of ["-wal", "-shm"]) rmSync(target + suffix, { force: true });
    renameSync(partial, target);
  } finally {
    rmSync(partial, { force: true });
  }
}

/** No copy can be written where somebody has named one. */
class CopyImpossible extends ConfigurationError {
  constructor(problem: string, cause?: Error) {
    super("copy-impossible", [problem], {
      fix: "Name a file for the copy, in a folder that this user may write to.",
      cause,
    });
  }
}

/** What is where the copy is to be; a part of the path that is missing shows when it is written. */
function copyAt(copy: string): Stats | undefined {
  try {
    return statSync(copy, { throwIfNoEntry: false });
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

/** Whether a file is the state file of a folder, or one that SQLite keeps beside it: a pipeline may have it open. */
function isOf(folder: string, { dev, ino }: Stats): boolean {
  return ["", "-wal", "-shm"].some((suffix) => {
    const own = statSync(join(folder, DATABASE_FILE + suffix), { throwIfNoEntry: false });
    return own?.dev === dev && own.ino === ino;
  });
}

/**
 * Puts a copy in the place of a folder's state file. Nobody may have that open.
 *
 * @throws {ConfigurationError} when the copy is damaged, no state file, or of a newer version; nothing is changed then
 */
export async function restoreDatabase(folder: string, copy: string): Promise<void> {
  checkCopy(copy);
  if (isOf(folder, statSync(copy))) {
    throw new ConfigurationError("copy-impossible", [`${copy}: it is the state file itself, not a copy`], {
      fix: "Name a file that backup has written.",
    });
  }
  await replace(createStateFile(folder, DATABASE_FILE), () => openAsItIs(copy));
}

/** A state file in WAL mode has two more beside it as soon as it is opened. */
function inOneFile(file: string): void {
  const connection = new DatabaseSync(file);
  try {
    connection.exec("PRAGMA journal_mode = DELETE");
  } finally {
    connection.close();
  }
}

/** What an error calls a file, and what it says to do. */
interface Told {
  named: string;
  fix: string;
}

/**
 * Reads a whole copy, and leaves it as it is, with nothing beside it.
 *
 * @param told what to call it and what to do in an error, where it is not a copy that somebody has named
 * @throws {ConfigurationError} when it is damaged, no state file, or of a newer version
 */
export function checkCopy(file: string, { named, fix }: Told = { named: file, fix: ANOTHER_COPY }): void {
  // SQLite would make a file that is missing, or say less about one that cannot be read.
  accessSync(file, constants.R_OK);
  if (!statSync(file).isFile()) {
    throw new ConfigurationError("state-damaged", [`${file}: it is a folder, not a copy`], {
      fix: "Name a file that backup has written.",
    });
  }
  try {
    const connection = openAsItIs(file);
    try {
      const tables = tablesOf(connection);
      requireKnown(versionOf(connection), named);
      if (!OWN_TABLES.every((table) => tables.has(table)))
        throw damaged(named, "it is no copy of a state file", undefined, fix);
      const found = connection.prepare("PRAGMA quick_check(1)").get()?.quick_check;
      if (found !== "ok") throw damaged(named, String(found).replaceAll(/\s+/g, " "), undefined, fix);
    } finally {
      connection.close();
    }
  } catch (error) {
    throw explain(error, named, fix);
  }
}

function versionOf(connection: DatabaseSync): number {
  return Number(connection.prepare("PRAGMA user_version").get()?.user_version);
}

function requireKnown(version: number, file: string): void {
  if (version > MIGRATIONS.length) throw tooNew(file);
}

function tooNew(file: string): ConfigurationError {
  return new ConfigurationError("state-too-new", [`${file}: it was written by a newer version`], {
    fix: "Start that version again, or name another folder with --state.",
  });
}

function migrate(connection: DatabaseSync, file: string): void {
  if (versionOf(connection) === MIGRATIONS.length) return;
  connection.exec("BEGIN IMMEDIATE");
  // Another process may have been faster.
  const found = versionOf(connection);
  requireKnown(found, file);
  for (const migration of MIGRATIONS.slice(found)) connection.exec(migration);
  connection.exec(`PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`);
}

interface Write {
  work: () => unknown;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

function connect(connection: DatabaseSync, file: string): Database {
  const statements = new Map<string, StatementSync>();
  let writes: Write[] = [];

  function prepare(sql: string): StatementSync {
    const statement = statements.get(sql) ?? read(() => connection.prepare(sql));
    statements.set(sql, statement);
    return statement;
  }

  function read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw explain(error, file);
    }
  }

  /** Runs one write. Returns what settles its promise after the commit; throws when SQLite aborted the transaction. */
  function run({ work, resolve, reject }: Write): () => void {
    prepare("SAVEPOINT one").run();
    try {
      const result = work();
      prepare("RELEASE one").run();
      return () => resolve(result);
    } catch (error) {
      if (!connection.isTransaction) throw error;
      connection.exec("ROLLBACK TO one; RELEASE one");
      return () => reject(explain(error, file));
    }
  }

  /** Runs all writes that were begun as one transaction. */
  function flush(): void {
    const batch = writes;
    writes = [];
    if (batch.length === 0) return;
    let settle: (() => void)[];
    try {
      prepare("BEGIN IMMEDIATE").run();
      settle = batch.map(run);
      prepare("COMMIT").run();
    } catch (error) {
      // A write that was begun after `close` fails too, and nothing else.
      if (connection.isOpen && connection.isTransaction) connection.exec("ROLLBACK");
      const explained = explain(error, file);
      settle = batch.map(
        ({ reject }) =>
          () =>
            reject(explained),
      );
    }
    for (const each of settle) each();
  }

  return {
    prepare,
    read,
    write: <T>(work: () => T) =>
      new Promise<T>((resolve, reject) => {
        const first = writes.length === 0;
        writes.push({ work, resolve: resolve as (result: unknown) => void, reject });
        // After the input that has arrived together: all deliveries of that moment are in the batch.
        if (first) setImmediate(flush);
      }),
    check() {
      const found = read(() => connection.prepare("PRAGMA quick_check(1)").get()?.quick_check);
      if (found !== "ok") throw damaged(file, String(found).replaceAll(/\s+/g, " "));
    },
    close() {
      flush();
      connection.close();
    },
  };
}

/** The primary result codes of SQLite (sqlite.org/rescode.html) that say "not now". */
const NOT_NOW = new Set([
  5 /* BUSY */, 6 /* LOCKED */, 8 /* READONLY */, 10 /* IOERR */, 13 /* FULL */, 14 /* CANTOPEN */,
]);
const DAMAGED = new Set([11 /* CORRUPT */, 26 /* NOTADB */]);

/** An error of SQLite as one of ours; any other error as it is. */
function explain(error: unknown, file: string, fix = MEND): unknown {
  if (!(error instanceof Error) || !("errcode" in error)) return error;
  // The low byte is the primary code, the others the details.
  const code = Number(error.errcode) & 0xff;
  if (NOT_NOW.has(code)) return new DatabaseUnavailable(file, error);
  if (!DAMAGED.has(code)) return error;
  return damaged(file, error.message, error, fix);
}

const ANOTHER_COPY = "Name another copy: this one cannot be restored.";
const MEND =
  "Stop the pipeline, and put back a copy (npx clavex-nextcloud restore FILE), or move the folder away: the next start begins empty, and a full reconciliation finds every difference again.";

function damaged(file: string, how: string, cause?: Error, fix = MEND): ConfigurationError {
  return new ConfigurationError("state-damaged", [`${file}: the file is damaged (${how})`], { fix, cause });
}
