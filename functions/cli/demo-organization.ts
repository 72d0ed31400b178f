import { join } from "node:path";
import type { Organization } from "../core/organization.ts";
import type { Running } from "../local/running.ts";

/** The demo organization and its simulated systems, loaded when a demo runs: a production run never loads them. */
export const demo = () => import("../simulated/demo.ts");

/** Where the demo keeps its state while it runs, apart from that of a real pipeline. */
export const demoFolder = (stateFolder: string): string => join(stateFolder, "demo");

/** The demo's organization, while it runs. */
export async function demoOf(running: Running | undefined): Promise<Organization | undefined> {
  if (!running?.demo) return undefined;
  const { demoOrganization } = await demo();
  return demoOrganization(running.demo.clavexUrl, running.demo.nextcloudUrl);
}
