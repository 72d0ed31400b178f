import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { handle, type LambdaContext, type LambdaEvent } from "hono/aws-lambda";
import { isTrue, settings } from "../config/environment.ts";
import { configurationsOf, organizationsFromParameters } from "../config/organization-parameters.ts";
import { parameterSecrets } from "../config/secret-parameters.ts";
import { createSsmClient } from "../config/ssm.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createIdentities } from "../ledger/identity.ts";
import { createAskPaused, createPauses } from "../ledger/pause.ts";
import { createSendingClient, createSqsQueue } from "../queue/sqs.ts";
import { stamped } from "../queue/stamped.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { createReceiver } from "./app.ts";

function build() {
  const { stage, queueUrl, tableName, startsPaused } = settings(["stage", "queueUrl", "tableName", "startsPaused"]);
  const ssm = createSsmClient();
  const organizations = organizationsFromParameters(ssm, stage);
  const counters = createCounters(stage);
  // Two of the ledger's stores: all of them would make a cold start longer.
  const table = dynamoDbTable(createDynamoDbClient(), tableName);
  const ledger = { pauses: createPauses(table), identities: createIdentities(table) };
  const app = createReceiver({
    organizations,
    secrets: parameterSecrets(ssm, stage),
    queue: stamped(createSqsQueue(createSendingClient(), queueUrl), configurationsOf(organizations)),
    isPaused: createAskPaused(ledger, isTrue(startsPaused)),
    log: createLog("receive"),
    counters,
  });
  return { handle: handle(app), counters };
}

/** Its limits leave time to answer Clavex, which waits ten seconds: without the ledger's answer the worker decides. */
function createDynamoDbClient(): DynamoDBClient {
  return new DynamoDBClient({
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 500, requestTimeout: 1_000, throwOnRequestTimeout: true },
  });
}

let receiver: ReturnType<typeof build> | undefined;

/** The Lambda behind the webhook endpoint (API Gateway HTTP API, payload format 2.0). */
export async function handler(event: LambdaEvent, context: LambdaContext) {
  receiver ??= build();
  try {
    return await receiver.handle(event, context);
  } finally {
    receiver.counters.flush();
  }
}
