import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { SSMClient } from "@aws-sdk/client-ssm";
import type { Command } from "commander";
import {
  fixedOrganizations,
  type Organizations,
  organizationsFromFolder,
  organizationsFromParameters,
} from "../config/organizations.ts";
import { environmentSecrets, parameterSecrets, type Secrets } from "../config/secrets.ts";
import { createDocumentClient } from "../ledger/client.ts";
import { createLedger, type Ledger } from "../ledger/ledger.ts";
import { localClients, startTable } from "../local/embedded.ts";
import { findPipeline } from "../local/running.ts";
import { createQueue, type Queue } from "../queue/queue.ts";
import { createDeadLetters, type DeadLetters } from "../replay/dead-letters.ts";
import { demoOrganization, demoSecrets } from "../simulated/demo.ts";
import { type LocalOptions, loadEnvironmentFile, organizationsOption, stateOption } from "./options.ts";
import { CommandError } from "./report.ts";

/** Which pipeline a command works on: a stage on AWS, or the one on this machine. */
export interface ConnectOptions extends LocalOptions {
  stage?: string;
}

/** Adds `--stage`, `--organizations` and `--state` to a command. */
export function withConnection(command: Command): Command {
  return command
    .option("--stage <name>", "work on this stage on AWS, instead of on the pipeline on this machine")
    .addOption(organizationsOption())
    .addOption(stateOption());
}

/** What a command reads; works also while the local pipeline does not run. */
export interface Sources {
  organizations: Organizations;
  secrets: Secrets;
}

/** A pipeline that a command works on. */
export interface Connection extends Sources {
  ledger: Ledger;
  queue: Queue;
  deadLetters: DeadLetters;
  close(): void;
}

/** The stack's name, and what the CLI needs of its outputs. */
export const stackName = (stage: string): string => `clavex-nextcloud-${stage}`;
const OUTPUTS = ["QueueUrl", "DeadLetterQueueUrl", "TableName"] as const;

/**
 * Connects to a pipeline: locally through what the running one wrote down in its state folder, on AWS through the outputs of
 * the stage's stack, with the operator's usual credentials and region.
 *
 * @throws {CommandError} when it does not run, or the stack cannot be read
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  return options.stage === undefined ? connectLocally(options) : connectToStage(options.stage);
}

/** The configured organizations and their secrets; locally also while the pipeline does not run. */
export async function openSources(options: ConnectOptions): Promise<Sources> {
  if (options.stage !== undefined) {
    const ssm = new SSMClient();
    return {
      organizations: organizationsFromParameters(ssm, options.stage),
      secrets: parameterSecrets(ssm, options.stage),
    };
  }
  loadEnvironmentFile();
  const configured = await organizationsFromFolder(options.organizations);
  if (configured.length > 0) {
    return { organizations: fixedOrganizations(configured), secrets: environmentSecrets(process.env) };
  }
  const demo = (await findPipeline(options.state))?.demo;
  if (demo)
    return {
      organizations: fixedOrganizations([demoOrganization(demo.clavexUrl, demo.nextcloudUrl)]),
      secrets: demoSecrets(),
    };
  throw new CommandError(
    `there are no organization files in ${options.organizations}, and no demo runs: start it with "npm start"`,
  );
}

/**
 * The sources and the ledger, for commands that only read: locally they work also while the pipeline does not run.
 */
export async function openForReading(
  options: ConnectOptions,
): Promise<Sources & { ledger: Ledger; close(): Promise<void> }> {
  if (options.stage !== undefined || (await findPipeline(options.state))) {
    const connection = await connect(options);
    return { ...connection, close: async () => connection.close() };
  }
  const sources = await openSources(options);
  const { dynamodb, tableName, stop } = await startTable(options.state);
  return { ...sources, ledger: createLedger(createDocumentClient(dynamodb), tableName), close: stop };
}

async function connectLocally(options: ConnectOptions): Promise<Connection> {
  const sources = await openSources(options);
  const running = await findPipeline(options.state);
  if (!running) {
    throw new CommandError(
      `no pipeline runs on the state folder ${options.state}: start it with "npm start", or name a --stage`,
    );
  }
  const { endpoints } = running;
  const { sqs, dynamodb, destroy } = localClients(endpoints);
  return assemble(sources, sqs, dynamodb, endpoints, destroy);
}

async function connectToStage(stage: string): Promise<Connection> {
  const outputs = await stackOutputs(stage);
  const missing = OUTPUTS.filter((name) => outputs[name] === undefined);
  if (missing.length > 0)
    throw new CommandError(`the stack ${stackName(stage)} has no output ${missing.join(", ")}: deploy it again`);
  const { QueueUrl = "", DeadLetterQueueUrl = "", TableName = "" } = outputs;
  const endpoints = { queueUrl: QueueUrl, deadLetterQueueUrl: DeadLetterQueueUrl, tableName: TableName };
  const [sqs, dynamodb] = [new SQSClient(), new DynamoDBClient()];
  const ssm = new SSMClient();
  const sources = { organizations: organizationsFromParameters(ssm, stage), secrets: parameterSecrets(ssm, stage) };
  return assemble(sources, sqs, dynamodb, endpoints, () => {
    for (const client of [sqs, dynamodb, ssm]) client.destroy();
  });
}

/** The outputs of a stage's stack, by name. */
export async function stackOutputs(stage: string): Promise<Record<string, string | undefined>> {
  const client = new CloudFormationClient();
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName(stage) }));
    return Object.fromEntries(
      (Stacks[0]?.Outputs ?? []).map(({ OutputKey = "", OutputValue }) => [OutputKey, OutputValue]),
    );
  } catch (error) {
    throw new CommandError(explain(stage, error));
  } finally {
    client.destroy();
  }
}

function explain(stage: string, error: unknown): string {
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "CredentialsProviderError")
    return "there are no AWS credentials: set AWS_PROFILE, or log in as you do for the AWS CLI";
  if (/region is missing/i.test(message)) return "there is no AWS region: set AWS_REGION";
  if (/does not exist/.test(message))
    return `there is no stack ${stackName(stage)} in this account and region: deploy it with "npx cdk deploy -c stage=${stage}"`;
  return `the stack ${stackName(stage)} cannot be read (${name})`;
}

function assemble(
  sources: Sources,
  sqs: SQSClient,
  dynamodb: DynamoDBClient,
  endpoints: { queueUrl: string; deadLetterQueueUrl: string; tableName: string },
  close: () => void,
): Connection {
  const ledger = createLedger(createDocumentClient(dynamodb), endpoints.tableName);
  const { queueUrl, deadLetterQueueUrl } = endpoints;
  return {
    ...sources,
    ledger,
    queue: createQueue(sqs, queueUrl),
    deadLetters: createDeadLetters({ ledger, sqs, queueUrl, deadLetterQueueUrl, slugs: sources.organizations.slugs }),
    close,
  };
}
