import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Context } from "aws-lambda";
import * as z from "zod";
import { awsLimits } from "../aws.ts";
import { settings } from "../config/environment.ts";
import { configurationsOf, organizationsFromParameters } from "../config/organization-parameters.ts";
import { createSsmClient } from "../config/ssm.ts";
import { withDeadline } from "../deadline.ts";
import { dynamoDbTable } from "../ledger/dynamodb.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../queue/sqs.ts";
import { stamped } from "../queue/stamped.ts";
import { createLog } from "../telemetry/log.ts";
import { loggingUnexpected } from "../telemetry/unexpected.ts";
import { createDeadLetters, type DeadLetters, filterSchema, type Summary } from "./dead-letters.ts";

const eventSchema = z.strictObject({ filter: filterSchema.default({}), dryRun: z.boolean().default(false) });

/** Time reserved to finish the current dead letter. */
const RESERVE_MS = 20_000;

function build() {
  const { stage, queueUrl, deadLetterQueueUrl, tableName } = settings([
    "stage",
    "queueUrl",
    "deadLetterQueueUrl",
    "tableName",
  ]);
  const organizations = organizationsFromParameters(createSsmClient(), stage);
  const sqs = new SQSClient(awsLimits());
  return {
    deadLetters: createDeadLetters({
      ledger: createLedger(dynamoDbTable(new DynamoDBClient(awsLimits()), tableName)),
      queue: stamped(createSqsQueue(sqs, queueUrl), configurationsOf(organizations)),
      deadLetterQueue: createSqsDeadLetterQueue(sqs, deadLetterQueueUrl),
      slugs: organizations.slugs,
    }),
  };
}

const log = createLog("replay");
let replay: { deadLetters: DeadLetters } | undefined;

/**
 * The Lambda that sends dead letters back to the queue: `{"filter": {...}, "dryRun": true}`, both optional; a dry run answers
 * what would be done. When its time is over it answers `stopped: true`; invoking it again goes on.
 */
export async function handler(event: unknown, context: Pick<Context, "getRemainingTimeInMillis">): Promise<Summary> {
  return loggingUnexpected(log, () => work(event, context));
}

async function work(event: unknown, context: Pick<Context, "getRemainingTimeInMillis">): Promise<Summary> {
  replay ??= build();
  const { deadLetters } = replay;
  const { filter, dryRun } = eventSchema.parse(event ?? {});
  const milliseconds = Math.max(0, context.getRemainingTimeInMillis() - RESERVE_MS);
  const summary = await withDeadline(milliseconds, (deadline) => deadLetters.replay(filter, { dryRun, deadline }));
  log.info("replay", { dryRun, done: summary.done, stayed: summary.stayed.length, stopped: summary.stopped });
  return summary;
}
