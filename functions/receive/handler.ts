import { SQSClient } from "@aws-sdk/client-sqs";
import { handle, type LambdaContext, type LambdaEvent } from "hono/aws-lambda";
import { settings } from "../config/environment.ts";
import { organizationsFromParameters } from "../config/organization-parameters.ts";
import { parameterSecrets } from "../config/secret-parameters.ts";
import { createSsmClient } from "../config/ssm.ts";
import { createSqsQueue } from "../queue/sqs.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { createReceiver } from "./app.ts";

function build() {
  const { stage, queueUrl } = settings(["stage", "queueUrl"]);
  const ssm = createSsmClient();
  const counters = createCounters("receive", stage);
  const app = createReceiver({
    organizations: organizationsFromParameters(ssm, stage),
    secrets: parameterSecrets(ssm, stage),
    queue: createSqsQueue(new SQSClient(), queueUrl),
    log: createLog("receive"),
    counters,
  });
  return { handle: handle(app), counters };
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
