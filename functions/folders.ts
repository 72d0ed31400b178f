import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, sep } from "node:path";

/**
 * Creates a folder, and those above it that are missing. One that is there stays as it is. Node's own recursive mkdir never ends
 * where the folder above is there but takes no new ones, such as /proc: it tries the two by turns for ever.
 *
 * @param mode the rights of the folders that are created
 * @returns the topmost folder that was created; undefined when all were there
 * @throws the operating system's error, also when something else than a folder has the name
 */
export function makeFolder(folder: string, mode = 0o777): string | undefined {
  const above = dirname(folder);
  const topmost = above === folder || existsSync(above) ? undefined : makeFolder(above, mode);
  try {
    mkdirSync(folder, { mode });
    return topmost ?? folder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    // Of a file the operating system says then that it is no folder.
    statSync(folder + sep);
    return topmost;
  }
}
