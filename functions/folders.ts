import { randomUUID } from "node:crypto";
import { accessSync, constants, existsSync, lstatSync, mkdirSync, mkdtempSync, rmdirSync, statSync } from "node:fs";
import { realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";

/**
 * Creates a folder, and those above it that are missing. One that is there stays as it is. Node's own recursive mkdir never ends
 * where the folder above is there but takes no new ones, such as /proc: it tries the two by turns for ever.
 *
 * @param mode the rights of the folders that are created
 * @throws the operating system's error, also when something else than a folder has the name
 */
export function makeFolder(folder: string, mode = 0o777): void {
  const above = dirname(folder);
  if (above !== folder && !existsSync(above)) makeFolder(above, mode);
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    requireFolder(folder);
  }
}

/**
 * Checks that a folder is there and takes new files, or could be created. It is not created for that: whoever creates it in this
 * moment keeps it.
 *
 * @throws the operating system's error otherwise
 */
export function tryFolder(folder: string): void {
  const found = nearest(folder);
  requireFolder(found);
  if (found === folder) accessSync(folder, constants.W_OK | constants.X_OK);
  // What the rights say is not enough: /proc takes no folders, whatever they are.
  else rmdirSync(mkdtempSync(join(found, ".clavex-nextcloud-")));
}

/** The first of a path and those above it that is there, whatever it is. */
function nearest(path: string): string {
  const above = dirname(path);
  const isThere = above === path || lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  return isThere ? path : nearest(above);
}

/** Of a file, and of a link that leads nowhere, the operating system says then that it is no folder. */
function requireFolder(path: string): void {
  statSync(path + sep);
}

/**
 * Writes a file that is its owner's alone from its first byte on. An older one is replaced as a whole: whoever reads it meanwhile, or
 * after a crash, finds all of it. A link to it stays one.
 *
 * @throws the operating system's error; the older file is as it was then
 */
export async function writeOwnFile(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const fresh = `${target}.${randomUUID()}`;
  try {
    await writeFile(fresh, text, { mode: 0o600, flag: "wx", flush: true });
    await rename(fresh, target);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}
