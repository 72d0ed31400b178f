import { rm } from "node:fs/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { LOG_LEVELS, type LogLevel } from "../config/log-level.ts";
import { organizationsFromFolder } from "../config/organizations.ts";
import { environmentSecrets } from "../config/secrets.ts";
import { withoutEffect } from "../core/organization.ts";
import { DEFAULT_INTERVALS, type Intervals, NEVER, TICK_MS } from "../core/schedule.ts";
import type { Pipeline } from "../local/pipeline.ts";
import { localProbeDelay, localRetryDelay } from "../local/recovery.ts";
import { forgetPipeline, rememberPipeline } from "../local/running.ts";
import { stateOfEmulators } from "../local/state.ts";
import { terminalLog } from "../local/terminal-log.ts";
import { jsonLog, type Log } from "../telemetry/log.ts";
import { demoFolder, demo as loadDemo } from "./demo-organization.ts";
import { type LocalOptions, loadEnvironmentFile, organizationsOption, stateOption } from "./options.ts";

interface Options extends LocalOptions {
  port: number;
  host: string;
  firstRetry: number;
  lightMinutes: number;
  fullHours: number;
  watchSeconds: number;
  logFormat: "json" | "text";
  logLevel: LogLevel;
}

function port(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 65_535) return number;
  throw new InvalidArgumentError("must be a number from 0 (any free port) to 65535");
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
      new Option("--log-level <level>", "the least level that is logged")
        .env("CLAVEX_NEXTCLOUD_LOG_LEVEL")
        .choices(LOG_LEVELS)
        .default("info"),
    )
    .addOption(organizationsOption())
    .addOption(stateOption())
    .action(run);
}

async function run(options: Options): Promise<void> {
  loadEnvironmentFile();
  const { log, tell } = output(options);
  const { organizations, refused } = await organizationsFromFolder(options.organizations);
  for (const { error } of refused)
    for (const problem of error.problems) log.error(problem, { code: error.code, fix: error.fix });
  for (const organization of organizations)
    for (const note of withoutEffect(organization)) log.warn(note, { organization: organization.slug });
  const demo = organizations.length === 0 ? await (await loadDemo()).startDemoSystems() : undefined;
  const stateFolder = demo ? demoFolder(options.state) : options.state;
  const unread = stateOfEmulators(stateFolder);
  if (unread.length > 0) {
    tell(
      `${unread.join(" and ")}: state of version 0.1, which is not read: reconciliation finds every difference again, and it can be deleted`,
    );
  }
  // The other commands need none of it.
  const { startPipeline } = await import("../local/pipeline.ts");
  let pipeline: Pipeline;
  try {
    pipeline = await startPipeline({
      organizations: demo ? [demo.organization] : organizations,
      refused,
      secrets: demo ? demo.secrets : environmentSecrets(process.env),
      log,
      port: options.port,
      host: options.host,
      stateFolder,
      forgetState: demo !== undefined,
      retryDelay: localRetryDelay(options.firstRetry),
      probeDelay: localProbeDelay(options.firstRetry),
      intervals: demo ? NEVER : intervalsOf(options),
    });
  } catch (error) {
    await demo?.close();
    throw error;
  }
  // Before anybody is told that it runs, and may stop it.
  const stopped = stopSignal();
  await rememberPipeline(stateFolder, {
    url: pipeline.url,
    ...(demo ? { demo: { clavexUrl: demo.clavex.url, nextcloudUrl: demo.nextcloud.url } } : {}),
  });
  if (demo) {
    tell(
      `No organization files in ${options.organizations}: running the demo organization "${demo.organization.slug}"`,
    );
    tell(`  simulated Clavex     ${demo.clavex.url}`);
    tell(`  simulated Nextcloud  ${demo.nextcloud.url}`);
    tell("  what would change    npx clavex-nextcloud plan");
    tell(`  try it               npx clavex-nextcloud send user.created --organization ${demo.organization.slug}`);
    tell("  everybody at once    npx clavex-nextcloud reconcile (the demo does not run it by itself)");
  }
  for (const { slug } of demo ? [demo.organization] : organizations)
    tell(`webhook of ${slug}: ${webhookUrl(pipeline, slug)}`);
  tell(`listening on ${pipeline.url}`);

  await stopped;
  tell("stopping: finishing what is under way (again to stop at once)");
  await forgetPipeline(stateFolder);
  await pipeline.stop();
  await demo?.close();
  if (demo) await rm(stateFolder, { recursive: true, force: true });
}

/** The log, and what `start` itself has to say: a bare line for people, a line of the log where programs read it. */
function output({ logFormat, logLevel }: Options): { log: Log; tell: (line: string) => void } {
  const print = (line: string) => console.log(line);
  if (logFormat === "text") return { log: terminalLog(print, logLevel), tell: print };
  const log = jsonLog("clavex-nextcloud", print, logLevel);
  return { log, tell: (line) => log.info(line.trim()) };
}

function intervalsOf({ watchSeconds, lightMinutes, fullHours }: Options): Intervals {
  return { watchSeconds, lightMinutes, fullHours };
}

function webhookUrl(pipeline: Pipeline, slug: string): string {
  return `${pipeline.url}/webhooks/clavex/${slug}`;
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once, as it would without a handler. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}
