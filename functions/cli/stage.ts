import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { SSMClient } from "@aws-sdk/client-ssm";
import type { ActivityLog } from "../activity/activity-log.ts";
import { OUTPUTS, stackName } from "../config/deployment.ts";
import { configurationsOf, organizationsFromParameters } from "../config/organization-parameters.ts";
import { parameterSecrets } from "../config/secret-parameters.ts";
import type { Secrets } from "../config/secrets.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../queue/sqs.ts";
import { stamped } from "../queue/stamped.ts";
import { parameterStore } from "../setup/parameter-store.ts";
import type { SecretStore } from "../setup/store.ts";
import type { OpenPipeline } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import type { Sources } from "./sources.ts";
import { NoStack, type StackOutputs, stackOutputs } from "./stack.ts";

/*
 * A stage on AWS. Commands load this only with --stage: one machine does not need the AWS SDK.
 */

/**
 * The organizations and secrets of a stage.
 *
 * @throws {CommandError} when nothing is deployed there, or it cannot be read
 */
export async function stageSources(stage: string): Promise<Sources> {
  // A stage that does not exist has no organizations either: that must not look like nothing to do.
  await stackOutputs(stage);
  const ssm = new SSMClient();
  return {
    organizations: organizationsFromParameters(ssm, stage),
    secrets: parameterSecrets(ssm, stage),
    isDemo: false,
    close: async () => ssm.destroy(),
  };
}

/** Where `setup` puts an organization's secrets on a stage, and how they are read. */
export function stageStore(
  stage: string,
  slug: string,
  chosen: Parameters<typeof parameterStore>[3],
): { store: SecretStore; secrets: Secrets; close(): void } {
  const ssm = new SSMClient();
  return {
    store: parameterStore(ssm, stage, slug, chosen),
    secrets: parameterSecrets(ssm, stage),
    close: () => ssm.destroy(),
  };
}

/**
 * Opens the pipeline of a stage by the outputs of its stack.
 *
 * @throws {CommandError} when the stack lacks outputs
 */
export async function openStage(stage: string): Promise<OpenPipeline> {
  let outputs: StackOutputs;
  try {
    outputs = await stackOutputs(stage);
  } catch (error) {
    // Before the first deployment setup still has work to do; without credentials no command has.
    if (!(error instanceof NoStack)) throw error;
    const finding = { cause: error.message, fix: "See docs/deploy.md." };
    return { stopped: { error, finding }, parts: undefined, close: async () => undefined };
  }
  const { queueUrl = "", deadLetterQueueUrl = "", tableName = "", webhookBaseUrl } = outputs;
  const needed = { queueUrl, deadLetterQueueUrl, tableName };
  const missing = (Object.keys(needed) as (keyof typeof needed)[]).filter((name) => needed[name] === "");
  if (missing.length > 0) {
    const names = missing.map((name) => OUTPUTS[name]).join(", ");
    throw new CommandError(`the stack ${stackName(stage)} has no output ${names}: deploy it again`);
  }
  const { activities, close: closeActivities } = stageActivities(stage, outputs.logGroups);
  const [sqs, dynamodb, ssm] = [new SQSClient(), new DynamoDBClient(), new SSMClient()];
  return {
    parts: {
      queue: stamped(createSqsQueue(sqs, queueUrl), configurationsOf(organizationsFromParameters(ssm, stage))),
      deadLetterQueue: createSqsDeadLetterQueue(sqs, deadLetterQueueUrl),
      ledger: createLedger(dynamoDbTable(dynamodb, tableName)),
      activities: { ...activities, record: () => undefined },
    },
    webhookBaseUrl,
    startsPaused: outputs.startsPaused === "true",
    async close() {
      await closeActivities();
      sqs.destroy();
      dynamodb.destroy();
      ssm.destroy();
    },
  };
}

/** The activities that the functions of a stage have logged; its client is loaded when somebody asks. */
function stageActivities(
  stage: string,
  logGroups: string | undefined,
): { activities: ActivityLog; close(): Promise<void> } {
  let opened: ReturnType<typeof open> | undefined;
  async function open() {
    if (!logGroups) throw new CommandError(`the stack ${stackName(stage)} has no output LogGroups: deploy it again`);
    const { CloudWatchLogsClient } = await import("@aws-sdk/client-cloudwatch-logs");
    const { createCloudWatchActivities } = await import("../activity/cloudwatch.ts");
    const client = new CloudWatchLogsClient();
    return { client, log: createCloudWatchActivities(client, logGroups.split(",")) };
  }
  async function log(): Promise<ActivityLog> {
    opened ??= open();
    return (await opened).log;
  }
  return {
    activities: {
      last: async (filter, most) => (await log()).last(filter, most),
      after: async (next, filter) => (await log()).after(next, filter),
    },
    close: async () => (await opened?.catch(() => undefined))?.client.destroy(),
  };
}
