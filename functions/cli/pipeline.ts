import type { ActivityLog, RecordActivity } from "../activity/activity-log.ts";
import type { PipelineView } from "../doctor/context.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Running } from "../local/running.ts";
import { hasState, openState } from "../local/state.ts";
import type { DeadLetterQueue, Queue } from "../queue/queue.ts";
import { createDeadLetters, type DeadLetters } from "../replay/dead-letters.ts";
import { findLocalPipeline } from "./local-pipeline.ts";
import type { ConnectOptions, LocalOptions } from "./options.ts";
import { CommandError } from "./report.ts";
import { openSources, type Sources } from "./sources.ts";
import { complain } from "./terminal.ts";

/** What a pipeline keeps, whether it runs or not. */
interface Parts {
  queue: Queue;
  deadLetterQueue: DeadLetterQueue;
  ledger: Ledger;
  /** What happened lately. On AWS the functions' own logs are what is read, and nothing is recorded. */
  activities: ActivityLog & { record: RecordActivity };
}

/** Why nobody works on what is queued. */
interface Stopped {
  /** What to tell the operator of a command that needs it. */
  error: CommandError;
  /** The same as doctor says it. */
  finding: { cause: string; fix: string };
}

/** The pipeline as far as this machine can see it. */
export interface OpenPipeline {
  /** Undefined while it runs. */
  stopped?: Stopped;
  /** What a local pipeline wrote down; undefined for a stage. */
  running?: Running | undefined;
  /** Where deliveries are posted to, without the slug. */
  webhookBaseUrl?: string | undefined;
  /** Whether organizations that its ledger does not know yet start paused; default no. */
  startsPaused?: boolean;
  /** Undefined where nothing was deployed, or nothing has ever run on the state folder. */
  parts: Parts | undefined;
  close(): Promise<void>;
}

/** What commands that only read work with. */
export interface Reading extends Sources, Parts {
  startsPaused: boolean;
  stopped?: Stopped | undefined;
}

/** What commands that change something work with. */
export interface Connection extends Sources, Pick<Parts, "ledger" | "queue" | "activities"> {
  deadLetters: DeadLetters;
  startsPaused: boolean;
  /** Undefined while it runs. */
  stopped?: Stopped | undefined;
  /** Says on stderr that nobody works on what the command has queued, if so. */
  sayIfItWaits(): void;
}

/**
 * Opens what exists of the pipeline that the options name. A stopped pipeline is no error here: `stopped` says why.
 *
 * @throws {CommandError} when the stage's stack lacks outputs
 * @throws {ConfigurationError} when the state folder or its file cannot be used
 */
export async function openPipeline(options: ConnectOptions): Promise<OpenPipeline> {
  if (options.stage === undefined) return openLocal(options);
  const { openStage } = await import("./stage.ts");
  return openStage(options.stage);
}

/** Opens the state file itself, beside the pipeline that may run on it. Looking makes no state folder. */
async function openLocal(options: LocalOptions): Promise<OpenPipeline> {
  const { stateFolder, running } = await findLocalPipeline(options);
  const state = running || hasState(stateFolder) ? openState(stateFolder) : undefined;
  const cause = `no pipeline runs on the state folder ${stateFolder}`;
  const stopped = {
    error: new CommandError(`${cause}: start it with "npm start", or name a --stage`),
    finding: { cause, fix: 'Start it with "npm start", or name a --stage.' },
  };
  return {
    ...(running ? { running, webhookBaseUrl: `${running.url}/webhooks/clavex` } : { stopped }),
    parts: state,
    close: async () => state?.close(),
  };
}

/**
 * Opens the sources and the pipeline, for commands that change something; locally also while it does not run.
 *
 * @throws {CommandError} when there is nothing to work with: nothing was deployed, or has ever run on the state folder
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  return withSources(options, async (sources) => {
    const { stopped, parts, startsPaused = false, close } = await openPipeline(options);
    if (!parts) throw stopped?.error;
    const { ledger, queue, deadLetterQueue, activities } = parts;
    return {
      ledger,
      queue,
      activities,
      startsPaused,
      stopped,
      deadLetters: createDeadLetters({ ledger, queue, deadLetterQueue, slugs: sources.organizations.slugs }),
      sayIfItWaits() {
        if (stopped) complain(`${stopped.finding.cause}: what was queued waits until it is started`);
      },
      close,
    };
  });
}

/** The sources and what the pipeline keeps, for commands that only read; before the first start on this machine it is empty. */
export async function openForReading(options: ConnectOptions): Promise<Reading> {
  return withSources(options, async () => {
    const { stopped, parts, startsPaused = false, close } = await openPipeline(options);
    if (parts) return { ...parts, stopped, startsPaused, close };
    if (options.stage !== undefined) throw stopped?.error;
    const empty = openState(undefined);
    return { ...empty, stopped, startsPaused, close: async () => empty.close() };
  });
}

/** Opens the sources and something else; closing the one closes both. */
async function withSources<T extends { close(): Promise<void> }>(
  options: ConnectOptions,
  open: (sources: Sources) => Promise<T>,
): Promise<Sources & T> {
  const sources = await openSources(options);
  try {
    const opened = await open(sources);
    return {
      ...sources,
      ...opened,
      async close() {
        await opened.close();
        await sources.close();
      },
    };
  } catch (error) {
    await sources.close();
    throw error;
  }
}

/**
 * Where deliveries of the pipeline's organizations are posted to, without the slug.
 *
 * @throws {CommandError} when it does not run, or its stack has no such output
 */
export async function webhookBaseUrl(options: ConnectOptions): Promise<string> {
  const { stopped, webhookBaseUrl: url, close } = await openPipeline(options);
  await close();
  if (stopped) throw stopped.error;
  if (url !== undefined) return url;
  throw new CommandError(`the stage ${options.stage} has no webhook URL: deploy it again`);
}

/** The pipeline as doctor's checks look at it. */
export function viewOf({ stopped, parts, webhookBaseUrl: deliverTo }: OpenPipeline): PipelineView {
  return {
    ...(deliverTo === undefined ? {} : { deliverTo }),
    ...(stopped ? { stopped: stopped.finding } : {}),
    ...(parts ? { queue: parts.queue.counts, ledger: parts.ledger, givenUp: parts.deadLetterQueue.count } : {}),
  };
}
