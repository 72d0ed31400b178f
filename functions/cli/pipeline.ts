import { existsSync } from "node:fs";
import { join } from "node:path";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { OUTPUTS, stackName } from "../config/deployment.ts";
import type { PipelineView } from "../doctor/context.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../ledger/ledger.ts";
import { type LocalClients, localClients, startTable } from "../local/embedded.ts";
import { findPipeline, type Running } from "../local/running.ts";
import type { DeadLetterQueue, Queue } from "../queue/queue.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../queue/sqs.ts";
import { createDeadLetters, type DeadLetters } from "../replay/dead-letters.ts";
import type { ConnectOptions } from "./options.ts";
import { CommandError } from "./report.ts";
import { openSources, type Sources } from "./sources.ts";
import { type StackOutputs, stackOutputs } from "./stack.ts";

/** A pipeline that runs: where its parts are, and how to talk to them. */
interface Location {
  queueUrl: string;
  deadLetterQueueUrl: string;
  tableName: string;
  clients(): LocalClients;
  /** Where deliveries are posted to, without the slug. */
  webhookBaseUrl: string | undefined;
  /** What the local pipeline wrote down; undefined for a stage. */
  running: Running | undefined;
}

/** A pipeline that does not run. */
interface Stopped {
  /** What to tell the operator of a command that needs it. */
  error: CommandError;
  /** The same as doctor says it. */
  finding: { cause: string; fix: string };
}

/** The pipeline as far as this machine can see it. */
export type OpenPipeline = RunningPipeline | StoppedPipeline;

interface RunningPipeline extends Pick<Location, "webhookBaseUrl" | "running"> {
  stopped?: undefined;
  queue: Queue;
  deadLetterQueue: DeadLetterQueue;
  ledger: Ledger;
  close(): Promise<void>;
}

interface StoppedPipeline {
  stopped: Stopped;
  /** What a local pipeline left behind; undefined where it left nothing, or none was deployed. */
  ledger: Ledger | undefined;
  running?: undefined;
  webhookBaseUrl?: undefined;
  close(): Promise<void>;
}

/** What commands that change something work with. */
export interface Connection extends Sources {
  ledger: Ledger;
  queue: Queue;
  deadLetters: DeadLetters;
}

/**
 * Finds the pipeline that the options name: locally by what the running one wrote down in its state folder, on AWS by the
 * outputs of the stage's stack.
 *
 * @throws {CommandError} when the stack lacks outputs
 */
async function locate({ stage, state }: ConnectOptions): Promise<Location | Stopped> {
  return stage === undefined ? locateLocally(state) : locateStage(stage);
}

async function locateLocally(state: string): Promise<Location | Stopped> {
  const running = await findPipeline(state);
  if (!running) {
    const cause = `no pipeline runs on the state folder ${state}`;
    return {
      error: new CommandError(`${cause}: start it with "npm start", or name a --stage`),
      finding: { cause, fix: 'Start it with "npm start", or name a --stage.' },
    };
  }
  const { endpoints, url } = running;
  return {
    ...endpoints,
    clients: () => localClients(endpoints),
    webhookBaseUrl: `${url}/webhooks/clavex`,
    running,
  };
}

async function locateStage(stage: string): Promise<Location | Stopped> {
  let outputs: StackOutputs;
  try {
    outputs = await stackOutputs(stage);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { error, finding: { cause: error.message, fix: "See docs/deploy.md." } };
  }
  const { queueUrl = "", deadLetterQueueUrl = "", tableName = "", webhookBaseUrl } = outputs;
  const needed = { queueUrl, deadLetterQueueUrl, tableName };
  const missing = (Object.keys(needed) as (keyof typeof needed)[]).filter((name) => needed[name] === "");
  if (missing.length > 0) {
    const names = missing.map((name) => OUTPUTS[name]).join(", ");
    throw new CommandError(`the stack ${stackName(stage)} has no output ${names}: deploy it again`);
  }
  return { ...needed, clients: stageClients, webhookBaseUrl, running: undefined };
}

function stageClients(): LocalClients {
  const [sqs, dynamodb] = [new SQSClient(), new DynamoDBClient()];
  return {
    sqs,
    dynamodb,
    destroy() {
      sqs.destroy();
      dynamodb.destroy();
    },
  };
}

/** Opens what there is of the pipeline. One that does not run is no error here: `stopped` says why. */
export async function openPipeline(options: ConnectOptions): Promise<OpenPipeline> {
  const located = await locate(options);
  if ("error" in located) return openStopped(options, located);
  const { queueUrl, deadLetterQueueUrl, tableName, running, webhookBaseUrl } = located;
  const { sqs, dynamodb, destroy } = located.clients();
  return {
    queue: createSqsQueue(sqs, queueUrl),
    deadLetterQueue: createSqsDeadLetterQueue(sqs, deadLetterQueueUrl),
    ledger: createLedger(dynamoDbTable(dynamodb, tableName)),
    running,
    webhookBaseUrl,
    close: async () => destroy(),
  };
}

/** Opens the ledger of a local pipeline that does not run, where it has left one: looking must not make a state folder. */
async function openStopped({ stage, state }: ConnectOptions, stopped: Stopped): Promise<StoppedPipeline> {
  if (stage !== undefined || !existsSync(join(state, "ledger"))) {
    return { stopped, ledger: undefined, close: async () => undefined };
  }
  const { ledger, close } = await openLedger(state);
  return { stopped, ledger, close };
}

async function openLedger(state: string): Promise<{ ledger: Ledger; close(): Promise<void> }> {
  const { dynamodb, tableName, stop } = await startTable(state);
  return { ledger: createLedger(dynamoDbTable(dynamodb, tableName)), close: stop };
}

/**
 * Connects to a pipeline that runs.
 *
 * @throws {CommandError} when it does not run, or the stack cannot be read
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  return withSources(options, async (sources) => {
    const pipeline = await openPipeline(options);
    if (pipeline.stopped) {
      await pipeline.close();
      throw pipeline.stopped.error;
    }
    const { ledger, queue, deadLetterQueue, close } = pipeline;
    const deadLetters = createDeadLetters({ ledger, queue, deadLetterQueue, slugs: sources.organizations.slugs });
    return { ledger, queue, deadLetters, close };
  });
}

/** The sources and the ledger, for commands that only read: locally they work also while the pipeline does not run. */
export async function openForReading(options: ConnectOptions): Promise<Sources & { ledger: Ledger }> {
  return withSources(options, async () => {
    const { stopped, ledger, close } = await openPipeline(options);
    if (stopped && options.stage !== undefined) throw stopped.error;
    return ledger ? { ledger, close } : openLedger(options.state);
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
  const { stage } = options;
  const located = await locate(options);
  if ("error" in located) throw located.error;
  if (located.webhookBaseUrl !== undefined) return located.webhookBaseUrl;
  throw new CommandError(`the stage ${stage} has no webhook URL: deploy it again`);
}

/** The pipeline as doctor's checks look at it. */
export function viewOf(pipeline: OpenPipeline): PipelineView {
  const { stopped, ledger } = pipeline;
  if (stopped) return { stopped: stopped.finding, ...(ledger ? { ledger } : {}) };
  return { queue: pipeline.queue.counts, ledger, givenUp: pipeline.deadLetterQueue.count };
}
