import {
  fixedOrganizations,
  type Organizations,
  organizationsFromFolder,
  requireOrganizationFiles,
} from "../config/organizations.ts";
import { environmentSecrets, type Secrets } from "../config/secrets.ts";
import { demo, demoOf } from "./demo-organization.ts";
import { findLocalPipeline } from "./local-pipeline.ts";
import { type ConnectOptions, loadEnvironmentFile, withState } from "./options.ts";
import { CommandError } from "./report.ts";

/** What is configured. It can be read even while the local pipeline does not run. */
export interface Sources {
  organizations: Organizations;
  secrets: Secrets;
  /** Whether they are the demo's. */
  isDemo: boolean;
  close(): Promise<void>;
}

/**
 * The configured organizations and their secrets: of a stage, of the folder on this machine, or of the running demo.
 *
 * @throws {ConfigurationError} with every problem of the files when none is usable, and when a folder that somebody has named
 * holds none
 * @throws {CommandError} when there are no files and no demo runs
 */
export async function openSources(options: ConnectOptions): Promise<Sources> {
  if (options.stage !== undefined) {
    const { stageSources } = await import("./stage.ts");
    return stageSources(options.stage);
  }
  loadEnvironmentFile();
  const close = async () => undefined;
  const { path, named } = options.organizations;
  if (named) await requireOrganizationFiles(path);
  const { organizations, refused } = await organizationsFromFolder(path);
  if (organizations.length > 0) {
    const secrets = environmentSecrets(process.env);
    return { organizations: fixedOrganizations(organizations, refused), secrets, isDemo: false, close };
  }
  const organization = await demoOf((await findLocalPipeline(options)).running);
  if (!organization) {
    throw new CommandError(
      `there are no organization files in ${path}, and no demo runs${withState(options)}: start it with "npm start"`,
    );
  }
  const { demoSecrets } = await demo();
  return { organizations: fixedOrganizations([organization]), secrets: demoSecrets(), isDemo: true, close };
}
