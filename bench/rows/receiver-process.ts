import { createHash, randomUUID } from "node:crypto";
import { GetQueueAttributesCommand, PurgeQueueCommand, SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { Hono } from "hono";
import { parseDelivery } from "../../functions/clavex/events.ts";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver, decide } from "../../functions/receive/app.ts";
import { createLog } from "../../functions/telemetry/log.ts";
import { createCounters } from "../../functions/telemetry/metrics.ts";
import { type Endpoints, localClients } from "../../test/support/embedded.ts";
import { benchOrganization, benchSecrets, WEBHOOK_SECRET } from "../organization.ts";
import { quantile } from "../report.ts";

/**
 * Measures the receiver and its baseline by turns and tells the parent. A process of its own, because the log and the metrics
 * go to stdout as they do on Lambda. The one argument is the endpoints of the queue.
 */
const ROUNDS = 16;
const WARM_UP_ROUNDS = 3;
const DELIVERIES = 1_000;
const IN_FLIGHT = 8;

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

interface Delivery {
  body: string;
  signature: string;
}

type Receive = (request: Request) => Promise<Response>;

const ORGANIZATION = benchOrganization({ clavex: "https://id.acme.example", nextcloud: "https://cloud.acme.example" });
const ADDRESS = `https://hooks.acme.example/webhooks/clavex/${ORGANIZATION.slug}`;

const endpoints = JSON.parse(process.argv[2] ?? "") as Endpoints;
const { sqs, destroy } = localClients(endpoints);
process.once("disconnect", () => process.exit());
const measured = await measureByTurns({
  pipeline: pipeline(sqs, endpoints.queueUrl),
  baseline: baseline(sqs, endpoints.queueUrl),
});
destroy();
process.send?.(measured, () => process.disconnect());

async function measureByTurns(receivers: Record<keyof Measured, Receive>): Promise<Measured> {
  const rounds: Measured = { pipeline: [], baseline: [] };
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round += 1) {
    for (const name of ["pipeline", "baseline"] as const) {
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

/** Reads the body and sends a message as large as the pipeline's. */
function baseline(client: SQSClient, queueUrl: string): Receive {
  const MessageBody = messageOf(delivery().body);
  const app = new Hono();
  app.post("/webhooks/clavex/:organization", async (c) => {
    await c.req.text();
    await client.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody,
        MessageGroupId: `${ORGANIZATION.slug}#${randomUUID()}`,
        MessageDeduplicationId: createHash("sha256").update(randomUUID()).digest("hex"),
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
  const times: number[] = [];
  const next = deliveries.values();
  const sender = async (): Promise<void> => {
    for (const { body, signature } of next) {
      const started = performance.now();
      // Clavex sends the length too; a Request made here would not have it.
      const headers = {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        [SIGNATURE_HEADER]: signature,
      };
      const response = await receive(new Request(ADDRESS, { method: "POST", body, headers }));
      const answer = await response.text();
      times.push(performance.now() - started);
      if (response.status !== 202 || answer !== '{"status":"queued"}')
        throw new Error(`a delivery was answered with ${response.status} ${answer}`);
    }
  };
  const cpu = process.cpuUsage();
  const started = performance.now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender));
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: deliveries.length / seconds,
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

/** A signed delivery about somebody new, as large as a real one. */
function delivery(): Delivery {
  const now = new Date().toISOString();
  const body = JSON.stringify({
    id: randomUUID(),
    event: "user.updated",
    occurred_at: now,
    data: {
      id: randomUUID(),
      org_id: ORGANIZATION.organizationId,
      email: "ada.lovelace@acme.example",
      first_name: "Ada",
      last_name: "Lovelace",
      avatar_url: "https://acme.example/people/ada.png",
      is_active: true,
      is_email_verified: true,
      mfa_required: false,
      required_actions: null,
      metadata: { nextcloud_quota: "10 GB", department: "Analytical Engines", cost_center: "4711", locale: "en-GB" },
      created_at: now,
      updated_at: now,
    },
  });
  return { body, signature: sign(body, WEBHOOK_SECRET) };
}
