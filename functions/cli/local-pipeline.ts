import { organizationFiles } from "../config/organizations.ts";
import { findPipeline, type Running } from "../local/running.ts";
import { demoFolder } from "./demo-organization.ts";
import type { LocalOptions } from "./options.ts";

/** The pipeline on this machine that the options name. */
export interface LocalPipeline {
  stateFolder: string;
  /** Undefined when it does not run. */
  running: Running | undefined;
}

/**
 * Finds the pipeline on this machine: where no folder was named and the usual one holds no organization files, the demo while one
 * runs, as `npm start` runs it then.
 *
 * @throws {ConfigurationError} when this user cannot read one of the folders
 */
export async function findLocalPipeline({ organizations, state }: LocalOptions): Promise<LocalPipeline> {
  if (!organizations.named && (await organizationFiles(organizations.path)).length === 0) {
    const stateFolder = demoFolder(state.path);
    const running = await findPipeline(stateFolder);
    if (running) return { stateFolder, running };
  }
  return { stateFolder: state.path, running: await findPipeline(state.path) };
}
