import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { ConfigurationError } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { makeFolder } from "../folders.ts";
import type { Running } from "../local/running.ts";
import { isSystemError, systemWords } from "../system-errors.ts";

/** The demo organization and its simulated systems, loaded when a demo runs: a production run never loads them. */
export const demo = () => import("../simulated/demo.ts");

/**
 * Where the demo keeps its state while it runs: in memory where the system has a folder of this user's for that (Linux:
 * `/run/user/ID`), else among the temporary files; never in the state folder of a real pipeline. Commands that name the same
 * state folder find it.
 */
export function demoFolder(stateFolder: string): string {
  // A container may run as a number that has no name.
  const user = process.getuid?.() ?? userInfo().username;
  const name = createHash("sha256").update(resolve(stateFolder)).digest("hex").slice(0, 16);
  return join(process.env.XDG_RUNTIME_DIR || tmpdir(), `clavex-nextcloud-demo-${user}-${name}`);
}

/**
 * Creates that folder. Its name can be guessed, and everybody may write to a folder of temporary files.
 *
 * @throws {ConfigurationError} when it cannot be created, or somebody else has created it
 */
export function makeDemoFolder(folder: string): void {
  try {
    makeFolder(folder, 0o700);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new ConfigurationError(
      "state-unusable",
      [`${folder}: the demo cannot be kept there (${systemWords(error)})`],
      {
        fix: "Set XDG_RUNTIME_DIR to a folder that this user may write to, and start again.",
        cause: error,
      },
    );
  }
  const found = lstatSync(folder);
  if (found.isDirectory() && (process.getuid === undefined || found.uid === process.getuid())) return;
  throw new ConfigurationError("state-unusable", [`${folder}: somebody else has created it`], {
    fix: "Remove it, and start again.",
  });
}

/** The demo's organization, while it runs. */
export async function demoOf(running: Running | undefined): Promise<Organization | undefined> {
  if (!running?.demo) return undefined;
  const { demoOrganization } = await demo();
  return demoOrganization(running.demo.clavexUrl, running.demo.nextcloudUrl);
}
