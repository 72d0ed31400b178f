import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Context } from "aws-lambda";
import * as z from "zod";
import { createClients } from "../clients.ts";
import { settings } from "../config/environment.ts";
import { organizationsFromParameters } from "../config/organizations.ts";
import { parameterSecrets } from "../config/secrets.ts";
import { createSsmClient } from "../config/ssm.ts";
import { PipelineFailure } from "../core/failure.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createSqsQueue } from "../queue/sqs.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { problemOf } from "../telemetry/problem.ts";
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
    clients: createClients({ secrets: parameterSecrets(ssm, stage), nextcloudConnections: NEXTCLOUD_CONNECTIONS }),
    ledger: createLedger(dynamoDbTable(new DynamoDBClient(), tableName)),
    queue: createSqsQueue(new SQSClient(), queueUrl),
    log,
    counters,
  });
  return { organizations, reconcile, log, counters, lambda: new LambdaClient() };
}

/** Lambda did not take the invocation for one organization; the others get theirs. */
class NotInvoked extends PipelineFailure {
  constructor(cause: unknown) {
    const name = cause instanceof Error ? cause.name : "unknown error";
    super("transient", "reconcile-not-invoked", `Lambda did not take the invocation (${name})`, "subject", {
      cause,
    });
  }
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

  /** The next run tries again; an asynchronous invocation that throws would only be repeated at once. */
  const fail = (slug: string | undefined, error: unknown): void => {
    const problem = problemOf(error);
    counters.count(problem.class === "configuration" ? "ConfigurationErrors" : "ReconcileFailures");
    log.error("reconcile failed", { organization: slug, mode, ...problem });
  };
  const invoke = async (slug: string): Promise<void> => {
    const Payload = JSON.stringify({ mode, organization: slug });
    await lambda
      .send(new InvokeCommand({ FunctionName: context.functionName, InvocationType: "Event", Payload }))
      .catch((error) => fail(slug, new NotInvoked(error)));
  };
  try {
    if (organization === undefined) for (const slug of await organizations.slugs()) await invoke(slug);
    else await reconcile(organization, mode, { deadline: deadlineOf(context) });
  } catch (error) {
    fail(organization, error);
  } finally {
    counters.flush();
  }
}

function deadlineOf(context: Pick<Context, "getRemainingTimeInMillis">): AbortSignal {
  return AbortSignal.timeout(Math.max(0, context.getRemainingTimeInMillis() - RESERVE_MS));
}
