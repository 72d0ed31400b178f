import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import { NEVER } from "../../functions/core/schedule.ts";
import { startPipeline } from "../../functions/local/pipeline.ts";
import { terminalLog } from "../../functions/local/terminal-log.ts";

/**
 * The pipeline of the soak test whose clock is moved: a process of its own, so that its memory is its own. The parent says how far
 * to move the clock and what to run then; it gets back what memory is in use when nothing is left to do.
 */
const { organization, secrets, stateFolder } = JSON.parse(process.env.SOAK ?? "{}");

// Before anything takes Date.now for its clock.
const realNow = Date.now;
let ahead = 0;
Date.now = () => realNow() + ahead;

let lines = 0;
const count = (): void => {
  lines += 1;
};

const pipeline = await startPipeline({
  organizations: fixedOrganizations([organizationSchema.parse(organization)]),
  secrets: environmentSecrets(secrets),
  log: terminalLog(count),
  port: 0,
  adminPort: 0,
  intervals: NEVER,
  stateFolder,
  retryDelay: () => 0.1,
  probeDelay: () => 0.1,
});

interface Order {
  /** How far to move the clock, in milliseconds. */
  later: number;
  run: "light" | "full";
}

process.on("message", async ({ later, run }: Order) => {
  ahead += later;
  await pipeline.idle();
  // A run that meets a server that is away fails as a whole, and the next one goes on.
  const { result } = await pipeline.reconcile(organization.slug, run).catch(() => ({ result: "failed" }));
  await pipeline.idle();
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  process.send?.({ result, rss, heapUsed, lines });
});
process.once("disconnect", () => void pipeline.stop());
process.send?.({ url: pipeline.url, adminUrl: pipeline.adminUrl });
