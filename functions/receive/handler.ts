import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import { awsLimits } from "../aws.ts";
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
import { requestOf, resultOf } from "./api-gateway.ts";
import { createReceiver } from "./app.ts";

function build() {
  const { stage, queueUrl, tableName, startsPaused } = settings(["stage", "queueUrl", "tableName", "startsPaused"]);
  const ssm = createSsmClient();
  const organizations = organizationsFromParameters(ssm, stage);
  const counters = createCounters(stage);
  // Its limits leave time to answer Clavex, which waits ten seconds: without the ledger's answer the worker decides.
  const dynamodb = new DynamoDBClient(awsLimits({ attempts: 1, connectMs: 500, requestMs: 1_000 }));
  // Two of the ledger's stores: all of them would make a cold start longer.
  const table = dynamoDbTable(dynamodb, tableName);
  const ledger = { pauses: createPauses(table), identities: createIdentities(table) };
  const app = createReceiver({
    organizations,
    secrets: parameterSecrets(ssm, stage),
    queue: stamped(createSqsQueue(createSendingClient(), queueUrl), configurationsOf(organizations)),
    isPaused: createAskPaused(ledger, isTrue(startsPaused)),
    log: createLog("receive"),
    counters,
  });
  return { app, counters };
}

let receiver: ReturnType<typeof build> | undefined;

/** The Lambda behind the webhook endpoint (API Gateway HTTP API, payload format 2.0). */
export async function handler(event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> {
  receiver ??= build();
  try {
    return await resultOf(await receiver.app.fetch(requestOf(event)));
  } finally {
    receiver.counters.flush();
  }
}
