import { type Check, type Result, runChecks } from "./check.ts";
import { clavexChecks } from "./clavex.ts";
import { createContext, type DoctorOptions } from "./context.ts";
import { nextcloudChecks } from "./nextcloud.ts";
import { oidcChecks } from "./oidc.ts";
import { peopleChecks } from "./people.ts";
import { pipelineChecks } from "./pipeline.ts";

/** Every check, in the order in which they are shown. */
export const allChecks: readonly Check[] = [
  ...nextcloudChecks,
  ...clavexChecks,
  ...oidcChecks,
  ...peopleChecks,
  ...pipelineChecks,
];

/** Looks at one organization: everything that can be wrong between Clavex, the pipeline and Nextcloud. Only reads. */
export async function examine(options: DoctorOptions): Promise<Result[]> {
  const context = createContext(options);
  try {
    return await runChecks(allChecks, context);
  } finally {
    await context.close();
  }
}
