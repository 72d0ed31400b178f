import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Context, SQSBatchResponse, SQSEvent } from "aws-lambda";
import { awsLimits } from "../aws.ts";
import { createClients } from "../clients.ts";
import { isTrue, settings } from "../config/environment.ts";
import { configurationsOf, organizationsFromParameters } from "../config/organization-parameters.ts";
import { parameterSecrets } from "../config/secret-parameters.ts";
import { createSsmClient } from "../config/ssm.ts";
import { createProbeDelay, createRetryDelay } from "../core/retry.ts";
import { withDeadline } from "../deadline.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createSqsQueue, receivedByLambda } from "../queue/sqs.ts";
import { stamped } from "../queue/stamped.ts";
import { createFollowGroups } from "../reconcile/group-hints.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { loggingUnexpected } from "../telemetry/unexpected.ts";
import { createCountFailure } from "./attempts.ts";
import { createGuards } from "./guards.ts";
import { CONTAINER_LIMITS, LONGEST_JOB_MS } from "./limits.ts";
import { createProvision } from "./provision.ts";
import { createWorker, type Worker } from "./worker.ts";

function build(): Worker {
  const { stage, queueUrl, tableName, startsPaused } = settings(["stage", "queueUrl", "tableName", "startsPaused"]);
  const ssm = createSsmClient();
  const ledger = createLedger(dynamoDbTable(new DynamoDBClient(awsLimits()), tableName));
  const organizations = organizationsFromParameters(ssm, stage);
  const queue = stamped(createSqsQueue(new SQSClient(awsLimits()), queueUrl), configurationsOf(organizations));
  const guards = createGuards({
    organizations,
    clients: createClients({
      secrets: parameterSecrets(ssm, stage),
      nextcloudConnections: CONTAINER_LIMITS.nextcloudConnections,
    }),
    ledger,
    startsPaused: isTrue(startsPaused),
    breakerDelay: createProbeDelay(),
  });
  return createWorker({
    provision: createProvision({ guards, ledger }),
    followGroups: createFollowGroups({ guards, ledger, queue }),
    countFailure: createCountFailure(organizations, ledger),
    queue,
    retryDelay: createRetryDelay(),
    log,
    counters: createCounters(stage),
    concurrency: CONTAINER_LIMITS.concurrentSubjects,
  });
}

const log = createLog("provision");
let worker: Worker | undefined;

/** The Lambda function that consumes the job queue. */
export async function handler(
  event: SQSEvent,
  context: Pick<Context, "getRemainingTimeInMillis">,
): Promise<SQSBatchResponse> {
  return loggingUnexpected(log, () => work(event, context));
}

async function work(event: SQSEvent, context: Pick<Context, "getRemainingTimeInMillis">): Promise<SQSBatchResponse> {
  worker ??= build();
  const messages = event.Records.map(receivedByLambda);
  const milliseconds = Math.max(0, context.getRemainingTimeInMillis() - LONGEST_JOB_MS);
  const run = worker;
  const stayed = await withDeadline(milliseconds, (deadline) => run(messages, deadline));
  return { batchItemFailures: stayed.map(({ id }) => ({ itemIdentifier: id })) };
}
