import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ActivityRing, createActivityRing } from "../activity/ring.ts";
import { Failure } from "../core/failure.ts";
import { DATABASE_FILE, hasFile, openDatabase } from "../database.ts";
import { createLedger, type Ledger } from "../ledger/ledger.ts";
import { sqliteTable } from "../ledger/sqlite.ts";
import { ALWAYS } from "../ledger/table.ts";
import type { DeadLetterQueue, Queue, Releasable } from "../queue/queue.ts";
import { createSqliteDeadLetterQueue, createSqliteQueue } from "../queue/sqlite.ts";

/** What the pipeline on one machine keeps, in one file. */
export interface State {
  queue: Queue & Releasable;
  deadLetterQueue: DeadLetterQueue;
  ledger: Ledger;
  activities: Pick<ActivityRing, "record" | "last" | "after">;
  /** @throws {ConfigurationError} when any part of the file is damaged */
  check(): void;
  /**
   * Writes a few bytes.
   *
   * @throws {DatabaseUnavailable} when nothing can be written now: the disk is full, or another process holds the file
   */
  probe(): Promise<void>;
  close(): void;
}

/** Short, so that a killed pipeline soon continues; extended while a job is worked on. */
export const VISIBILITY_SECONDS = 30;

/**
 * Opens queue and ledger of a state folder, and makes them when they are missing. Several processes may do so at a time.
 *
 * @param folder undefined keeps everything in memory
 * @throws {ConfigurationError} when the folder cannot be used, or the file is damaged or of a newer version
 * @throws {DatabaseUnavailable} when the disk is full, or another process holds the file
 */
export function openState(folder: string | undefined, visibilitySeconds = VISIBILITY_SECONDS): State {
  const database = openDatabase(folder);
  const table = sqliteTable(database);
  const activities = createActivityRing(database);
  return {
    queue: createSqliteQueue(database, { visibilitySeconds }),
    deadLetterQueue: createSqliteDeadLetterQueue(database),
    ledger: createLedger(table),
    activities,
    check: database.check,
    async probe() {
      await table.put(PROBE, { at: Date.now() }, ALWAYS).catch((error) => {
        // The file's own error says more.
        throw error instanceof Error && error.cause instanceof Failure ? error.cause : error;
      });
    },
    close() {
      activities.flush();
      database.close();
    },
  };
}

/** No organization has such a slug. */
const PROBE = { partition: "#state", sort: "probe" };

/** Whether a pipeline has ever run on this state folder. Makes nothing there. */
export function hasState(folder: string): boolean {
  return hasFile(folder, DATABASE_FILE);
}

/** Deletes what a pipeline has kept; none may run on it. */
export function forgetState(folder: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(join(folder, DATABASE_FILE + suffix), { force: true });
}

/** The folders in which the emulators of version 0.1 kept queue and ledger, as far as they are there. */
export function stateOfEmulators(folder: string): string[] {
  return ["queue", "ledger"].map((name) => join(folder, name)).filter((each) => existsSync(join(each, ".")));
}
