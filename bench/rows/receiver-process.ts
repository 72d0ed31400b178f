import { createHash } from "node:crypto";
import { GetQueueAttributesCommand, PurgeQueueCommand, SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { Hono } from "hono";
import { parseDelivery } from "../../functions/clavex/events.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { createSendingClient, createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver, decide } from "../../functions/receive/app.ts";
import { createLog } from "../../functions/telemetry/log.ts";
import { createCounters } from "../../functions/telemetry/metrics.ts";
import { type Endpoints, localClients, localSqs } from "../../test/support/embedded.ts";
import { type Delivery, delivery, ORGANIZATION, type Receive, receiveAll } from "../deliveries.ts";
import { benchSecrets } from "../organization.ts";
import { quantile } from "../report.ts";

/**
 * Measures the receiver and its baseline by turns and tells the parent. A process of its own, because the log and the metrics
 * go to stdout as they do on Lambda. The one argument is the endpoints of the queue.
 */
/** Many short ones: what else this machine does meets few of them, and both sides alike. */
const ROUNDS = 30;
const WARM_UP_ROUNDS = 6;
const DELIVERIES = 200;
const IN_FLIGHT = 8;
const ORDER: readonly (keyof Measured)[] = ["pipeline", "baseline"];

/** What one round of deliveries took. */
export interface Round {
  perSecond: number;
  p50: number;
  p99: number;
  /** CPU time of this process for each delivery. */
  cpuMs: number;
}

/** The counted rounds; those with the same index ran one by one. */
export interface Measured {
  pipeline: Round[];
  baseline: Round[];
}

const endpoints = JSON.parse(process.argv[2] ?? "") as Endpoints;
const { sqs, destroy } = localClients(endpoints);
const sending = createSendingClient(localSqs(endpoints));
process.once("disconnect", () => process.exit());
const measured = await measureByTurns({
  pipeline: pipeline(sending, endpoints.queueUrl),
  baseline: baseline(sqs, endpoints.queueUrl),
});
destroy();
sending.destroy();
process.send?.(measured, () => process.disconnect());

async function measureByTurns(receivers: Record<keyof Measured, Receive>): Promise<Measured> {
  const rounds: Measured = { pipeline: [], baseline: [] };
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
    for (const name of round % 2 === 0 ? ORDER : ORDER.toReversed()) {
      // Every round finds the same queue, in which its own messages can be counted afterwards.
      await sqs.send(new PurgeQueueCommand({ QueueUrl: endpoints.queueUrl }));
      const result = await measure(receivers[name], Array.from({ length: DELIVERIES }, delivery));
      await requireMessages(DELIVERIES);
      if (round >= WARM_UP_ROUNDS) rounds[name].push(result);
    }
  }
  return rounds;
}

/** The receiver as its Lambda builds it; only the configuration does not come from SSM. */
function pipeline(client: SQSClient, queueUrl: string): Receive {
  const counters = createCounters("bench");
  const app = createReceiver({
    organizations: fixedOrganizations([ORGANIZATION]),
    secrets: benchSecrets(),
    queue: createSqsQueue(client, queueUrl),
    isPaused: async () => false,
    log: createLog("receive"),
    counters,
  });
  return async (request) => {
    const response = await app.fetch(request);
    counters.flush();
    return response;
  };
}

/** Reads and parses the body, and sends a message as large as the pipeline's about the person in it; it checks nothing. */
function baseline(client: SQSClient, queueUrl: string): Receive {
  const message = JSON.parse(messageOf(delivery().body));
  const app = new Hono();
  app.post("/webhooks/clavex/:organization", async (c) => {
    const { id, data } = JSON.parse(await c.req.text());
    await client.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: JSON.stringify({ ...message, subject: data.id }),
        MessageGroupId: `${ORGANIZATION.slug}#${data.id}`,
        MessageDeduplicationId: createHash("sha256").update(id).digest("hex"),
      }),
    );
    return c.json({ status: "queued" }, 202);
  });
  return async (request) => app.fetch(request);
}

/** The message that the pipeline sends for a delivery. */
function messageOf(body: string): string {
  const decision = decide(parseDelivery(Buffer.from(body), ORGANIZATION.organizationId), ORGANIZATION);
  if ("reason" in decision) throw new Error(`the delivery is ignored: ${decision.reason}`);
  return JSON.stringify(decision.job);
}

async function measure(receive: Receive, deliveries: Delivery[]): Promise<Round> {
  const cpu = process.cpuUsage();
  const { perSecond, times } = await receiveAll(receive, deliveries, IN_FLIGHT);
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    cpuMs: (user + system) / 1000 / deliveries.length,
  };
}

/** @throws when the queue does not hold this many */
async function requireMessages(count: number): Promise<void> {
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: endpoints.queueUrl,
      AttributeNames: ["ApproximateNumberOfMessages"],
    }),
  );
  const found = Number(Attributes?.ApproximateNumberOfMessages);
  if (found !== count) throw new Error(`the queue holds ${found} messages instead of ${count}`);
}
