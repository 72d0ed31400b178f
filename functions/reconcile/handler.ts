import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Context } from "aws-lambda";
import * as z from "zod";
import { settings } from "../config/environment.ts";
import { organizationsFromParameters } from "../config/organizations.ts";
import { parameterSecrets } from "../config/secrets.ts";
import { createSsmClient } from "../config/ssm.ts";
import { Failure } from "../failure.ts";
import { createDocumentClient } from "../ledger/client.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createQueue } from "../queue/queue.ts";
import { createSystems } from "../systems.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { createReconcile } from "./reconcile.ts";

const eventSchema = z.strictObject({ mode: z.enum(["light", "full"]), organization: z.string().optional() });

const NEXTCLOUD_CONNECTIONS = 1;
/** Time that is kept to send the jobs that take access away; without it they are left to the next run. */
const RESERVE_MS = 60_000;

function build() {
  const { stage, queueUrl, tableName } = settings(["stage", "queueUrl", "tableName"]);
  const ssm = createSsmClient();
  const organizations = organizationsFromParameters(ssm, stage);
  const log = createLog("reconcile");
  const counters = createCounters("reconcile", stage);
  const reconcile = createReconcile({
    organizations,
    systems: createSystems({ secrets: parameterSecrets(ssm, stage), nextcloudConnections: NEXTCLOUD_CONNECTIONS }),
    ledger: createLedger(createDocumentClient(new DynamoDBClient()), tableName),
    queue: createQueue(new SQSClient(), queueUrl),
    log,
    counters,
  });
  return { organizations, reconcile, log, counters, lambda: new LambdaClient() };
}

let built: ReturnType<typeof build> | undefined;

/**
 * The Lambda behind the schedules: `{"mode": "light"}` for all organizations, each of which gets an invocation of its own,
 * or `{"mode": "full", "organization": "acme"}` for one.
 */
export async function handler(
  event: unknown,
  context: Pick<Context, "functionName" | "getRemainingTimeInMillis">,
): Promise<void> {
  built ??= build();
  const { organizations, reconcile, log, counters, lambda } = built;
  const { mode, organization } = eventSchema.parse(event);
  if (organization === undefined) {
    for (const slug of await organizations.slugs()) {
      const Payload = JSON.stringify({ mode, organization: slug });
      await lambda.send(new InvokeCommand({ FunctionName: context.functionName, InvocationType: "Event", Payload }));
    }
    return;
  }
  try {
    await reconcile(organization, mode, { hasTime: () => context.getRemainingTimeInMillis() > RESERVE_MS });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    // The next run tries again; an asynchronous invocation that throws would only be repeated at once.
    counters.count(error.failureClass === "configuration" ? "ConfigurationErrors" : "ReconcileFailures");
    log.error("reconcile failed", { organization, mode, code: error.code, problem: error.message, fix: error.fix });
  } finally {
    counters.flush();
  }
}
