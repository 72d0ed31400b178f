import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const REQUIREMENTS = fileURLToPath(new URL("requirements.txt", import.meta.url));
const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "clavex-nextcloud");

/** The folder with the programs `ministack`, `aws` and `cfn-lint`; or why there is none. */
export type Tools = { bin: string } | { missing: string };

/**
 * The programs, where they are wanted.
 *
 * @param mode undefined: not wanted; `wanted`, or `required`: a machine without Python is a failure
 * @throws when they are required and there is no Python, or when they cannot be installed
 */
export async function toolsFor(mode: string | undefined): Promise<Tools> {
  if (mode === undefined) return { missing: "npm run test:deploy" };
  const tools = await installTools();
  if ("missing" in tools && mode === "required") throw new Error(`the deployment test needs ${tools.missing}`);
  return tools;
}

/**
 * Installs the programs of requirements.txt into a virtual environment of its own, in the user's cache, unless they are there.
 * The folder's name is made of the file's bytes: other versions get another folder.
 *
 * @throws when Python is there, but the packages cannot be installed
 */
export async function installTools(): Promise<Tools> {
  const python = process.env.PYTHON ?? "python3";
  try {
    await run(python, ["-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)"]);
  } catch {
    return { missing: `${python} 3.10 or later, with its modules venv and ensurepip` };
  }
  const folder = join(CACHE, `deploy-${hash("sha256", await readFile(REQUIREMENTS)).slice(0, 12)}`);
  const bin = join(folder, "bin");
  const complete = join(folder, "complete");
  if (existsSync(complete)) return { bin };
  await rm(folder, { recursive: true, force: true });
  await run(python, ["-m", "venv", folder]);
  await run(join(bin, "python"), ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS]);
  // Written last: an installation that was interrupted is not taken for a complete one.
  await writeFile(complete, "");
  return { bin };
}
