import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigurationError } from "../core/failure.ts";
import { createStateFile, hasFile } from "../database.ts";

const LOCK_FILE = "lock";
const IN_USE = "state-in-use";
/** The result code for what another process has locked (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;
/** Longer than somebody looks whether the folder is locked. */
const BUSY_TIMEOUT_MS = 500;

/**
 * Locks a state folder for the one pipeline that may run on it; commands use its files beside it. The operating system
 * releases the lock when the process ends, however it ends.
 *
 * @returns a function that releases it
 * @throws {ConfigurationError} when another process holds it, or the folder cannot be used
 */
export function lockFolder(folder: string): () => void {
  for (;;) {
    const file = createStateFile(folder, LOCK_FILE);
    const found = fileAt(file);
    const lock = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    try {
      // Nothing is ever written into it: a journal file would only be left behind by a killed pipeline.
      lock.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    } catch (error) {
      lock.close();
      throw isBusy(error) ? inUse(folder, error) : noLock(file, error);
    }
    // Whoever held it before may have deleted the folder: then it locks a file that nobody sees.
    if (found !== undefined && fileAt(file) === found) return () => lock.close();
    lock.close();
  }
}

const fileAt = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino;

/**
 * Deletes a state folder with all that is in it, unless a pipeline runs on it.
 *
 * @throws {ConfigurationError} when the folder cannot be used
 */
export function removeFolder(folder: string): void {
  let unlock: () => void;
  try {
    unlock = lockFolder(folder);
  } catch (error) {
    if (error instanceof ConfigurationError && error.code === IN_USE) return;
    throw error;
  }
  try {
    rmSync(folder, { recursive: true });
  } finally {
    unlock();
  }
}

/** A pipeline runs on a state folder where none may. */
export function inUse(folder: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError(IN_USE, [`${folder}: another pipeline runs on this state folder`], {
    fix: "Stop it, or name another folder with --state.",
    cause,
  });
}

/**
 * Whether a pipeline runs on a state folder. Makes nothing there.
 *
 * @throws {ConfigurationError} when this user cannot read the folder, or its lock file is none
 */
export function isLocked(folder: string): boolean {
  if (!hasFile(folder, LOCK_FILE)) return false;
  const file = join(folder, LOCK_FILE);
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(file, { readOnly: true });
    lock.prepare("SELECT 1 FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw noLock(file, error);
  } finally {
    lock?.close();
  }
}

const isBusy = (error: unknown): boolean => (error as { errcode?: number }).errcode === SQLITE_BUSY;

function noLock(file: string, error: unknown): ConfigurationError {
  const message = error instanceof Error ? error.message : String(error);
  return new ConfigurationError("state-lock-unreadable", [`${file}: the lock file cannot be used (${message})`], {
    fix: "Run this as the user that runs the pipeline. If it is no file of the pipeline, delete it while none runs.",
    cause: error,
  });
}
