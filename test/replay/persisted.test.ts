import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SendMessageCommand } from "@aws-sdk/client-sqs";
import { expect, test } from "vitest";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { createSqsDeadLetterQueue, createSqsQueue } from "../../functions/queue/sqs.ts";
import { createDeadLetters } from "../../functions/replay/dead-letters.ts";
import { startEmbedded } from "../support/embedded.ts";

// With persistence the embedded queue loses a message whose visibility is set to 0, until it is restarted.
test("looking at the SQS dead-letter queue takes nothing out of it, with a queue that is kept on disk too", async () => {
  const stateFolder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const embedded = await startEmbedded({ stateFolder, visibilitySeconds: 30 });
  try {
    const { queueUrl, deadLetterQueueUrl, tableName } = embedded.endpoints;
    const { sqs, dynamodb } = embedded.clients;
    const ledger = createLedger(dynamoDbTable(dynamodb, tableName));
    const deadLetters = createDeadLetters({
      ledger,
      queue: createSqsQueue(sqs, queueUrl),
      deadLetterQueue: createSqsDeadLetterQueue(sqs, deadLetterQueueUrl),
      slugs: async () => [],
    });
    const message = { MessageBody: "not a job", MessageGroupId: "acme#ada", MessageDeduplicationId: "1" };
    await sqs.send(new SendMessageCommand({ QueueUrl: deadLetterQueueUrl, ...message }));
    for (const _look of [1, 2, 3]) expect(await deadLetters.list({})).toMatchObject([{ reason: "job-unreadable" }]);
    expect(await deadLetters.drop({})).toMatchObject({ done: 1 });
    expect(await deadLetters.list({})).toEqual([]);
  } finally {
    await embedded.stop();
    await rm(stateFolder, { recursive: true });
  }
});
