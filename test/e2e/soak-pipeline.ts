import { flushCompileCache } from "node:module";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import { NEVER } from "../../functions/core/schedule.ts";
import { startPipeline } from "../../functions/local/pipeline.ts";
import type { Fields, Log } from "../../functions/telemetry/log.ts";

/**
 * The pipeline of the soak test as a process of its own, so that it can be killed: failed jobs wait one second, servers that
 * hang are given up soon, its clock is `AHEAD` milliseconds ahead, and each log line is one of JSON on stdout. SIGTERM stops it
 * in good order.
 */
const { organization, secrets, stateFolder } = JSON.parse(process.env.SOAK ?? "{}");

// Before anything takes Date.now for its clock.
const realNow = Date.now;
const ahead = Number(process.env.AHEAD ?? 0);
Date.now = () => realNow() + ahead;

const write = (value: object): void => console.log(JSON.stringify(value));
const line =
  (level: string) =>
  (message: string, fields: Fields = {}): void =>
    write({ level, message, ...fields });
const log: Log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

const pipeline = await startPipeline({
  organizations: fixedOrganizations([organizationSchema.parse(organization)]),
  secrets: environmentSecrets(secrets),
  log,
  port: 0,
  intervals: NEVER,
  stateFolder,
  retryDelay: (wait) => ("untriedForMs" in wait ? 1 : Math.max(1, wait.atLeast ?? 0)),
  probeDelay: () => 1,
  visibilitySeconds: 5,
  timeouts: {
    clavex: { connect: 500, headers: 500, body: 500 },
    nextcloud: { connect: 500, headers: 500, body: 500 },
  },
});
process.once("SIGTERM", () => void pipeline.stop());
// At its end, where Node would write it, this process is killed.
flushCompileCache();
write({ ready: pipeline.url });
