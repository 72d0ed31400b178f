import { existsSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { LOG_LEVELS, type LogLevel } from "../config/log-level.ts";
import { machineConfiguration } from "../config/machine.ts";
import { fixedOrganizations, type Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { withoutEffect } from "../core/organization.ts";
import { DEFAULT_INTERVALS, type Intervals, NEVER, TICK_MS } from "../core/schedule.ts";
import { tryStateFolder } from "../database.ts";
import { forgetConsole } from "../local/console-file.ts";
import { followFiles } from "../local/follow-files.ts";
import { isLocked, removeFolder } from "../local/lock.ts";
import type { Pipeline } from "../local/pipeline.ts";
import { localProbeDelay, localRetryDelay } from "../local/recovery.ts";
import { forgetPipeline, rememberPipeline } from "../local/running.ts";
import { openState, stateOfEmulators } from "../local/state.ts";
import { terminalLog } from "../local/terminal-log.ts";
import { jsonLog, type Log } from "../telemetry/log.ts";
import { demoFolder, demo as loadDemo, makeDemoFolder } from "./demo-organization.ts";
import { askBeforeFirstStart } from "./first-start.ts";
import { type LocalOptions, organizationsOption, stateOption } from "./options.ts";
import { askWhether, canAsk } from "./prompt.ts";
import { whenOutputCloses } from "./report.ts";
import { ENVIRONMENT_FILE } from "./setup-answers.ts";
import { startChecks } from "./start-checks.ts";

interface Options extends LocalOptions {
  port: number;
  host: string;
  adminPort: number;
  adminHost: string;
  consoleUrl?: string;
  firstRetry: number;
  lightMinutes: number;
  fullHours: number;
  watchSeconds: number;
  logFormat: "json" | "text";
  logLevel: LogLevel;
  demo?: boolean;
  yes?: boolean;
}

/** How often the demo looks whether somebody has configured an organization meanwhile. */
const LOOK_MS = 1_000;

function port(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 65_535) return number;
  throw new InvalidArgumentError("must be a number from 0 (any free port) to 65535");
}

function consoleUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).pathname === "/")
    return new URL(text).origin;
  throw new InvalidArgumentError("must be an address such as https://console.example.org, without a path");
}

function positive(text: string): number {
  const number = Number(text);
  if (number > 0) return number;
  throw new InvalidArgumentError("must be a number above 0");
}

/** An interval of the schedule, which ticks once a minute. */
function interval(unitSeconds: number): (text: string) => number {
  const least = TICK_MS / 1000 / unitSeconds;
  return (text) => {
    const number = text.trim() === "" ? Number.NaN : Number(text);
    if (number === 0 || (number >= least && Number.isFinite(number))) return number;
    throw new InvalidArgumentError(`must be ${unitSeconds > 60 ? "a minute" : least} or more, or 0 for never`);
  };
}

/** `start`: the whole pipeline in this process; what `npm start` runs. */
export function startCommand(): Command {
  return new Command("start")
    .description("Runs the whole pipeline on this machine: webhook endpoint, queue, worker, ledger, schedules.")
    .addOption(
      new Option("--port <number>", "port of the webhook endpoint")
        .env("CLAVEX_NEXTCLOUD_PORT")
        .default(8787)
        .argParser(port),
    )
    .addOption(new Option("--host <address>", "address to listen on").env("CLAVEX_NEXTCLOUD_HOST").default("127.0.0.1"))
    .addOption(
      new Option("--admin-port <number>", "port of /readyz, /metrics and the console, which only this machine reaches")
        .env("CLAVEX_NEXTCLOUD_ADMIN_PORT")
        .default(8788)
        .argParser(port),
    )
    .addOption(
      new Option(
        "--admin-host <address>",
        "address that this port listens on; any but loopback needs a proxy that asks for a login",
      )
        .env("CLAVEX_NEXTCLOUD_ADMIN_HOST")
        .default("127.0.0.1"),
    )
    .addOption(
      new Option("--console-url <url>", "where browsers reach the console, if that is through a proxy")
        .env("CLAVEX_NEXTCLOUD_CONSOLE_URL")
        .argParser(consoleUrl),
    )
    .addOption(
      new Option(
        "--first-retry <seconds>",
        "how long a failed job waits the first time; doubled each time, up to 15 minutes",
      )
        .env("CLAVEX_NEXTCLOUD_FIRST_RETRY")
        .default(30)
        .argParser(positive),
    )
    .addOption(
      new Option("--light-minutes <minutes>", "how often a light reconciliation runs (reads only Clavex); 0 for never")
        .env("CLAVEX_NEXTCLOUD_LIGHT_MINUTES")
        .default(DEFAULT_INTERVALS.lightMinutes)
        .argParser(interval(60)),
    )
    .addOption(
      new Option("--full-hours <hours>", "how often a full reconciliation runs (reads Nextcloud too); 0 for never")
        .env("CLAVEX_NEXTCLOUD_FULL_HOURS")
        .default(DEFAULT_INTERVALS.fullHours)
        .argParser(interval(3_600)),
    )
    .addOption(
      new Option("--watch-seconds <seconds>", "how often the members of Clavex's groups are compared; 0 for never")
        .env("CLAVEX_NEXTCLOUD_WATCH_SECONDS")
        .default(DEFAULT_INTERVALS.watchSeconds)
        .argParser(interval(1)),
    )
    .addOption(
      new Option("--log-format <format>", "json: one object a line; text: short lines for people")
        .env("CLAVEX_NEXTCLOUD_LOG_FORMAT")
        .choices(["json", "text"])
        .default(process.stdout.isTTY ? "text" : "json", "text on a terminal, else json"),
    )
    .addOption(
      new Option("--log-level <level>", "the minimum level that is logged")
        .env("CLAVEX_NEXTCLOUD_LOG_LEVEL")
        .choices(LOG_LEVELS)
        .default("info"),
    )
    .addOption(organizationsOption())
    .addOption(stateOption())
    .option("--yes", "do not ask before an organization that is new here begins")
    .option("--demo", "run the demo organization between simulated systems, with a state of its own")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { log, tell } = output(options);
  const { path, named } = options.organizations;
  const isDemo = options.demo ?? (!named && !existsSync(path));
  const running = isDemo ? await startDemo(options, log, tell) : await startConfigured(options, log, tell);
  tell(`admin port, for this machine only: ${running.adminUrl}/readyz and /metrics`);
  tell("the operator's pages: npx clavex-nextcloud console");
  tell(`listening on ${running.url}`);
  await running.stopAsked;
  tell("stopping: finishing what is under way (again to stop at once)");
  await running.stop();
}

/** A pipeline that was started. */
interface Running {
  url: string;
  adminUrl: string | undefined;
  /** Resolves when the process is to end. */
  stopAsked: Promise<void>;
  stop(): Promise<void>;
}

/** What an organization on this machine is worked with. */
interface Parts {
  organizations: Organizations;
  secrets: Secrets;
  stateFolder: string;
  intervals: Intervals;
  forgetState: boolean;
  demo?: { clavexUrl: string; nextcloudUrl: string };
}

async function startParts(options: Options, parts: Parts, log: Log): Promise<Running & { pipeline: Pipeline }> {
  const { demo, stateFolder, ...rest } = parts;
  // The other commands do not need these.
  const { startPipeline } = await import("../local/pipeline.ts");
  const { createPipelineConsole } = await import("./console-pages.ts");
  const { adminHost, consoleUrl: browserUrl } = options;
  const pages = createPipelineConsole({ ...parts, adminHost, browserUrl });
  const pipeline = await startPipeline({
    ...rest,
    log,
    port: options.port,
    host: options.host,
    adminPort: options.adminPort,
    adminHost,
    adminUrl: browserUrl,
    createPages: pages.create,
    stateFolder,
    retryDelay: localRetryDelay(options.firstRetry),
    probeDelay: localProbeDelay(options.firstRetry),
  });
  // Before it is announced as running, because then somebody may stop it.
  const stopAsked = stopSignal();
  const stop = async () => {
    await Promise.all([forgetPipeline(stateFolder), forgetConsole(stateFolder)]);
    await pipeline.stop();
  };
  try {
    await rememberPipeline(stateFolder, { url: pipeline.url, ...(demo ? { demo } : {}) });
    await pages.remember(pipeline);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pipeline, url: pipeline.url, adminUrl: pipeline.adminUrl, stopAsked, stop };
}

/** The pipeline of the organizations that are configured here, which follows their files. */
async function startConfigured(options: Options, log: Log, tell: Tell): Promise<Running> {
  const configuration = await machineConfiguration({
    folder: options.organizations.path,
    environmentFile: ENVIRONMENT_FILE,
    environment: { ...process.env },
  });
  const { organizations, secrets } = configuration;
  for (const problem of configuration.problems()) log.error(problem);
  await tellUnread(stateOfEmulators(options.state.path), organizations, log, tell);
  await askFirst(options, organizations, tell);
  const { watchSeconds, lightMinutes, fullHours } = options;
  const intervals = { watchSeconds, lightMinutes, fullHours };
  const parts = { organizations, secrets, intervals, stateFolder: options.state.path, forgetState: false };
  const started = await startParts(options, parts, log);
  const { pipeline, url } = started;
  const checks = startChecks({ organizations, secrets, log });
  const show = async (): Promise<void> => {
    for (const slug of await organizations.slugs()) {
      const organization = await organizations.get(slug).catch(() => undefined);
      if (!organization) continue;
      for (const note of withoutEffect(organization)) log.warn(note, { organization: slug });
      const isDeaf = organization.clavex.webhookSecrets.length === 0;
      tell(
        isDeaf ? `${slug}: no webhook, reconciliation does the work` : `webhook of ${slug}: ${webhookUrl(url, slug)}`,
      );
    }
    checks.run();
  };
  await show();
  const stopFollowing = followFiles({
    configuration,
    log,
    async onChange() {
      for (const problem of configuration.problems()) log.error(problem);
      tell("the configuration was read anew");
      await pipeline.reconfigured();
      await show();
    },
  });
  return {
    ...started,
    async stop() {
      await Promise.all([stopFollowing(), checks.stop()]);
      await started.stop();
    },
  };
}

/** State of version 0.1 is not read. What waited there is found again, if there is a key to read the directory with. */
async function tellUnread(unread: string[], organizations: Organizations, log: Log, tell: Tell): Promise<void> {
  if (unread.length === 0) return;
  tell(
    `${unread.join(" and ")}: state of version 0.1, which is not read: reconciliation finds every difference again, and it can be deleted`,
  );
  for (const slug of await organizations.slugs()) {
    const organization = await organizations.get(slug).catch(() => undefined);
    if (!organization || organization.clavex.apiKey !== undefined) continue;
    const problem =
      "without clavex.apiKey there is no reconciliation: what still waits in the state of version 0.1 is found by nothing";
    const fix = "If jobs were waiting, stop this, let version 0.1 do them, and start again. (CHANGELOG.md)";
    log.warn("jobs of version 0.1 may be lost", { organization: slug, problem, fix });
  }
}

/** On a terminal somebody can look at the plan before a new organization begins; a service starts unattended. */
async function askFirst(
  { state: { path: state }, yes }: Options,
  organizations: Organizations,
  tell: Tell,
): Promise<void> {
  // While a pipeline runs on the folder, this one will not.
  if (yes || !canAsk() || isLocked(state)) return;
  const { ledger, close } = openState(state);
  try {
    const paused = await askBeforeFirstStart(organizations, ledger, async (slug) => {
      tell(
        `${slug} is new here: "npx clavex-nextcloud plan" shows what will change in Nextcloud, and changes nothing itself.`,
      );
      return askWhether(`Let ${slug} begin now?`);
    });
    for (const slug of paused)
      tell(`${slug} is paused: look at the plan, then: npx clavex-nextcloud resume --organization ${slug}`);
  } finally {
    close();
  }
}

/** The demo: simulated systems, and a state of its own that is deleted afterwards. */
async function startDemo(options: Options, log: Log, tell: Tell): Promise<Running> {
  const { organizations: folder, state } = options;
  // The demo keeps nothing there, but the commands that follow are to name it too.
  if (state.named) tryStateFolder(state.path);
  const systems = await (await loadDemo()).startDemoSystems();
  const { organization, secrets, clavex, nextcloud } = systems;
  const stateFolder = demoFolder(state.path);
  let started: Running;
  try {
    makeDemoFolder(stateFolder);
    const parts = {
      organizations: fixedOrganizations([organization]),
      secrets,
      // What no webhook reports is caught; the rest is left to the person who tries it out.
      intervals: { ...NEVER, watchSeconds: options.watchSeconds },
      stateFolder,
      forgetState: true,
      demo: { clavexUrl: clavex.url, nextcloudUrl: nextcloud.url },
    };
    started = await startParts(options, parts, log);
  } catch (error) {
    await systems.close();
    throw error;
  }
  const { slug } = organization;
  tell(
    options.demo
      ? `running the demo organization "${slug}"`
      : `No organization files in ${folder.path}: running the demo organization "${slug}"`,
  );
  tell(`  simulated Clavex     ${clavex.url}`);
  tell(`  simulated Nextcloud  ${nextcloud.url}`);
  tell("  what would change    npx clavex-nextcloud plan");
  tell(`  try it               npx clavex-nextcloud send user.created --organization ${slug}`);
  tell("  or                   npx clavex-nextcloud demo join, move, leave, break");
  tell("  everybody at once    npx clavex-nextcloud reconcile (the demo does not run it by itself)");
  tell(`webhook of ${slug}: ${webhookUrl(started.url, slug)}`);
  const looking = setInterval(() => {
    if (options.demo || !existsSync(folder.path)) return;
    clearInterval(looking);
    tell(`${folder.path} is there now: stop this demo and start again, to run what is configured there`);
  }, LOOK_MS);
  return {
    ...started,
    async stop() {
      clearInterval(looking);
      await started.stop();
      await systems.close();
      // The next demo may have begun there.
      removeFolder(stateFolder);
    },
  };
}

/** What `start` itself has to say. */
type Tell = (line: string) => void;

/** The log, and `tell`: a bare line for people, a line of the log where programs read it. */
function output({ logFormat, logLevel }: Options): { log: Log; tell: Tell } {
  const print = (line: string) => console.log(line);
  if (logFormat === "text") return { log: terminalLog(print, logLevel), tell: print };
  const log = jsonLog("clavex-nextcloud", print, logLevel);
  return { log, tell: (line) => log.info(line.trim()) };
}

function webhookUrl(url: string, slug: string): string {
  return `${url}/webhooks/clavex/${slug}`;
}

/**
 * Resolves at the first SIGINT or SIGTERM, and when nobody reads the output any more; a second signal ends the process at
 * once, as it would without a handler.
 */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    whenOutputCloses(resolve);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}
