import { Duration } from "aws-cdk-lib";
import { EventSourceMapping } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { JobQueue } from "./job-queue.ts";
import type { LedgerTable } from "./ledger-table.ts";
import { invokeFunction, onLedger, onQueue, readOrganizations, readSecrets } from "./permissions.ts";
import { functionName, PipelineFunction } from "./pipeline-function.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface FunctionsProps {
  settings: DeploymentSettings;
  jobs: JobQueue;
  ledger: LedgerTable;
}

/**
 * How long one batch may take; the queue's visibility timeout follows from it. No job begins when less is left
 * than a job takes at the most (functions/provision/limits.ts), however slow Nextcloud is.
 */
export const WORKER_TIMEOUT = Duration.minutes(10);
/** Clavex waits ten seconds for its answer; after that nobody reads it. */
const RECEIVER_TIMEOUT = Duration.seconds(10);
/** Lambda's longest. */
const RUN_TIMEOUT = Duration.minutes(15);
const BATCH_SIZE = 10;

/** The Lambda functions: what each of them is, may use and may do. */
export class Functions extends Construct {
  readonly receive: PipelineFunction;
  readonly provision: PipelineFunction;
  readonly reconcile: PipelineFunction;
  readonly replay: PipelineFunction;

  constructor(scope: Construct, id: string, { settings, jobs, ledger }: FunctionsProps) {
    super(scope, id);
    const { stage, logDays, logLevel } = settings;
    const { queue, deadLetterQueue } = jobs;
    const { table } = ledger;
    const startsPaused = String(!settings.autostart);
    const sendJobs = onQueue("SendJobs", queue, ["sqs:SendMessage"]);
    const common = { stage, logDays, logLevel };

    this.receive = new PipelineFunction(this, "Receive", {
      ...common,
      name: "receive",
      description: "Webhook endpoint: verifies a delivery of Clavex and queues a job.",
      timeout: RECEIVER_TIMEOUT,
      memorySize: 512,
      resources: { queueUrl: queue.queueUrl, tableName: table.tableName, startsPaused },
      permissions: [
        readOrganizations(this, stage),
        readSecrets(this, stage, "webhook"),
        sendJobs,
        // Whether the organization is paused.
        onLedger(table, ["dynamodb:GetItem"]),
      ],
    });

    this.provision = new PipelineFunction(this, "Provision", {
      ...common,
      name: "provision",
      description: "Queue consumer: brings one person's Nextcloud account up to date per job.",
      timeout: WORKER_TIMEOUT,
      memorySize: 512,
      resources: { queueUrl: queue.queueUrl, tableName: table.tableName, startsPaused },
      permissions: [
        readOrganizations(this, stage),
        readSecrets(this, stage, "api"),
        sendJobs,
        onQueue("WorkOnJobs", queue, [
          "sqs:ReceiveMessage",
          "sqs:DeleteMessage",
          "sqs:GetQueueAttributes",
          "sqs:ChangeMessageVisibility",
        ]),
        onLedger(table, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"]),
      ],
    });
    new EventSourceMapping(this, "Jobs", {
      target: this.provision.handler,
      eventSourceArn: queue.queueArn,
      batchSize: BATCH_SIZE,
      // Only the failed messages come back; without it one failure would repeat the whole batch.
      reportBatchItemFailures: true,
      maxConcurrency: settings.maxConcurrency,
    });

    this.reconcile = new PipelineFunction(this, "Reconcile", {
      ...common,
      name: "reconcile",
      description: "Schedule: finds who is not as they should be, and queues a job for each of them.",
      timeout: RUN_TIMEOUT,
      memorySize: 1024,
      resources: { queueUrl: queue.queueUrl, tableName: table.tableName, startsPaused },
      permissions: [
        readOrganizations(this, stage),
        readSecrets(this, stage, "api"),
        sendJobs,
        onQueue("CountJobs", queue, ["sqs:GetQueueAttributes"]),
        onLedger(table, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"]),
        invokeFunction(this, functionName(stage, "reconcile")),
      ],
    });

    this.replay = new PipelineFunction(this, "Replay", {
      ...common,
      name: "replay",
      description: "On demand: sends dead letters back to the job queue.",
      timeout: RUN_TIMEOUT,
      memorySize: 512,
      resources: {
        queueUrl: queue.queueUrl,
        deadLetterQueueUrl: deadLetterQueue.queueUrl,
        tableName: table.tableName,
      },
      permissions: [
        readOrganizations(this, stage),
        onQueue("TakeDeadLetters", deadLetterQueue, [
          "sqs:ReceiveMessage",
          "sqs:DeleteMessage",
          "sqs:ChangeMessageVisibility",
        ]),
        sendJobs,
        onLedger(table, ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]),
      ],
    });
  }

  /** All of them, by name. */
  get all(): PipelineFunction[] {
    return [this.receive, this.provision, this.reconcile, this.replay];
  }
}
