import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigurationError } from "../core/failure.ts";

/**
 * Locks a folder for this process. The operating system releases the lock when the process ends, however it ends.
 *
 * @returns a function that releases it
 * @throws {ConfigurationError} when another process holds it
 */
export async function lockFolder(folder: string): Promise<() => void> {
  await mkdir(folder, { recursive: true });
  const database = new DatabaseSync(join(folder, "lock"));
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    throw new ConfigurationError("state-in-use", [`${folder}: another pipeline runs on this state folder`], {
      fix: "Stop it, or give this one another folder with --state.",
      cause: error,
    });
  }
  return () => database.close();
}
