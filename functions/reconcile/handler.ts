import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Context } from "aws-lambda";
import * as z from "zod";
import { awsLimits } from "../aws.ts";
import { createClients } from "../clients.ts";
import { isTrue, settings } from "../config/environment.ts";
import { configurationsOf, organizationsFromParameters, withDocuments } from "../config/organization-parameters.ts";
import { parameterSecrets } from "../config/secret-parameters.ts";
import { createSsmClient } from "../config/ssm.ts";
import { DEFAULT_INTERVALS, type RunKind } from "../core/schedule.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createSqsQueue } from "../queue/sqs.ts";
import { stamped } from "../queue/stamped.ts";
import { createLog } from "../telemetry/log.ts";
import { createCounters } from "../telemetry/metrics.ts";
import { invokeLambda } from "./invoke.ts";
import { createReconcile } from "./reconcile.ts";
import { createReport, createScheduledRun, createTick } from "./tick.ts";
import { createWatch } from "./watch.ts";

const tickSchema = z.strictObject({
  mode: z.literal("tick"),
  watchSeconds: z.number().min(0).default(DEFAULT_INTERVALS.watchSeconds),
  lightMinutes: z.number().positive().default(DEFAULT_INTERVALS.lightMinutes),
  fullHours: z.number().positive().default(DEFAULT_INTERVALS.fullHours),
});
const runSchema = z.strictObject({
  mode: z.enum(["watch", "light", "full"]),
  organization: z.string().optional(),
  /** The organization's document, read by who invokes: each run reading all of them would meet SSM's limit. */
  document: z.string().optional(),
});
const eventSchema = z.discriminatedUnion("mode", [tickSchema, runSchema]);

const NEXTCLOUD_CONNECTIONS = 1;
/** Time reserved to send the jobs that take access away; otherwise they are left to the next run. */
const RESERVE_MS = 60_000;

function build() {
  const { stage, queueUrl, tableName, startsPaused } = settings(["stage", "queueUrl", "tableName", "startsPaused"]);
  const ssm = createSsmClient();
  const log = createLog("reconcile");
  const counters = createCounters(stage);
  const handed = new Map<string, string>();
  const organizations = withDocuments(organizationsFromParameters(ssm, stage), handed);
  const dependencies = {
    organizations,
    clients: createClients({ secrets: parameterSecrets(ssm, stage), nextcloudConnections: NEXTCLOUD_CONNECTIONS }),
    ledger: createLedger(dynamoDbTable(new DynamoDBClient(awsLimits()), tableName)),
    queue: stamped(createSqsQueue(new SQSClient(awsLimits()), queueUrl), configurationsOf(organizations)),
    startsPaused: isTrue(startsPaused),
    log,
    counters,
  };
  const run = createScheduledRun({
    reconcile: createReconcile(dependencies),
    watch: createWatch(dependencies),
    queue: dependencies.queue,
    log,
    counters,
  });
  return { ...dependencies, handed, run, report: createReport({ log, counters }) };
}

let built: ReturnType<typeof build> | undefined;

/**
 * The Lambda behind the schedule. `{"mode": "tick"}`, with the intervals where they are not the usual ones, invokes it again
 * for each organization and kind that is due: `{"mode": "full", "organization": "acme"}`. By hand, `{"mode": "light"}` without
 * an organization does so for all of them at once.
 */
export async function handler(
  event: unknown,
  context: Pick<Context, "functionName" | "getRemainingTimeInMillis">,
): Promise<void> {
  built ??= build();
  const { organizations, handed, run, report, counters } = built;
  const parsed = eventSchema.parse(event);
  handed.clear();

  const invoke = async (slug: string, kind: RunKind): Promise<void> => {
    const Payload = JSON.stringify({ mode: kind, organization: slug, document: await organizations.document(slug) });
    await invokeLambda(context.functionName, Payload).catch((error) => report(error, kind, slug));
  };
  try {
    if (parsed.mode === "tick") {
      counters.count("Ticks");
      await createTick({ ...built, intervals: parsed, run: invoke })();
    } else if (parsed.organization !== undefined) {
      if (parsed.document !== undefined) handed.set(parsed.organization, parsed.document);
      await run(parsed.organization, parsed.mode, Math.max(0, context.getRemainingTimeInMillis() - RESERVE_MS));
    } else for (const slug of await organizations.slugs()) await invoke(slug, parsed.mode);
  } catch (error) {
    // The next run tries again; an asynchronous invocation that throws would only be repeated at once.
    report(error, parsed.mode);
  } finally {
    counters.flush();
  }
}
