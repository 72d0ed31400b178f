import { setTimeout as sleep } from "node:timers/promises";
import { type Check, complains, type Result, runChecks } from "./check.ts";
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

/** What `occ` writes reached the web server after 3.8 s at most (docs/facts/nextcloud.md 8). */
const SETTLE_MS = 4_500;

/** Waits until what `occ` wrote has reached the web server. */
export async function settled(milliseconds = SETTLE_MS): Promise<void> {
  await sleep(milliseconds);
}

/**
 * Looks at one organization: everything that can be wrong between Clavex, the pipeline and Nextcloud. Only reads, unless
 * `writeChecks` is set. What somebody may just have fixed with `occ` is checked twice before it is reported.
 */
export async function examine(options: DoctorOptions): Promise<Result[]> {
  const results = await look(options, allChecks);
  const complaints = new Set(results.filter(complains).map(({ id }) => id));
  const unsettled = allChecks.filter(({ id, settles }) => settles && complaints.has(id));
  if (unsettled.length === 0) return results;
  await settled(options.settleMs);
  const again = new Map((await look(options, withNeeds(unsettled))).map((result) => [result.id, result]));
  return results.map((result) => (complaints.has(result.id) ? (again.get(result.id) ?? result) : result));
}

async function look(options: DoctorOptions, checks: readonly Check[]): Promise<Result[]> {
  const context = createContext(options);
  try {
    return await runChecks(checks, context);
  } finally {
    await context.close();
  }
}

/** These checks and all that they need. */
function withNeeds(checks: readonly Check[]): Check[] {
  const ids = new Set<string>();
  const add = ({ id, needs = [] }: Check): void => {
    ids.add(id);
    for (const need of allChecks) if (needs.includes(need.id)) add(need);
  };
  for (const check of checks) add(check);
  return allChecks.filter(({ id }) => ids.has(id));
}
