import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { makeStateFolder } from "../database.ts";
import { writeOwnFile } from "../folders.ts";
import { isLocked } from "./lock.ts";

const runningSchema = z.object({
  /** Where the webhook endpoint listens. */
  url: z.string(),
  /** Where the simulated systems are, when it runs the demo organization. */
  demo: z.object({ clavexUrl: z.string(), nextcloudUrl: z.string() }).optional(),
});

/** What another process cannot read from the state file of a running pipeline. */
export type Running = z.output<typeof runningSchema>;

const RUNNING_FILE = "pipeline.json";

/** Writes down where the pipeline on this state folder can be reached. */
export async function rememberPipeline(stateFolder: string, running: Running): Promise<void> {
  makeStateFolder(stateFolder);
  await writeOwnFile(join(stateFolder, RUNNING_FILE), JSON.stringify(running));
}

export async function forgetPipeline(stateFolder: string): Promise<void> {
  await rm(join(stateFolder, RUNNING_FILE), { force: true });
}

/**
 * The pipeline that runs on this state folder, or undefined. One that was killed does not count as running.
 *
 * @throws {ConfigurationError} when this user cannot read the folder
 */
export async function findPipeline(stateFolder: string): Promise<Running | undefined> {
  if (!isLocked(stateFolder)) return undefined;
  try {
    return runningSchema.parse(JSON.parse(await readFile(join(stateFolder, RUNNING_FILE), "utf8")));
  } catch {
    // It is about to start or to end.
    return undefined;
  }
}
