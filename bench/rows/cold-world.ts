import { randomUUID } from "node:crypto";
import { PurgeQueueCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { organizationsPath } from "../../functions/config/organization-parameters.ts";
import { secretParameter } from "../../functions/config/secret-parameters.ts";
import { accountId } from "../../functions/core/identity.ts";
import { type Job, messageGroupId } from "../../functions/core/job.ts";
import {
  type ClavexUser,
  DEFAULT_ORGANIZATION,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { FunctionName } from "../../infra/bundling.ts";
import { httpEvent, sqsEvent } from "../../test/infra/runtime/events.ts";
import { CREDENTIALS } from "../../test/infra/runtime/lambda.ts";
import { type Recorder, startRecorder } from "../../test/infra/runtime/recorder.ts";
import { type Embedded, startEmbedded } from "../../test/support/embedded.ts";
import { personJob, webhookTrigger } from "../../test/support/jobs.ts";
import { type ParameterStore, startParameterStore } from "../../test/support/ssm.ts";
import { IDENTITY, WEBHOOK_SECRET } from "../organization.ts";

const STAGE = "bench";
const { slug, id: organizationId, apiKey } = DEFAULT_ORGANIZATION;

/** What a first invocation gets, and how its answer is recognised as a success. */
export interface Invocation {
  event: unknown;
  /** All environment variables of its process. */
  environment: Record<string, string>;
  /** @throws when the invocation did not do its work */
  check: (answer: unknown) => void;
}

/** All that the functions need around them: embedded queue and table, simulated Clavex and Nextcloud, parameters. */
export interface World {
  /** Makes the event for a first invocation; for the SQS client alone the input of a SendMessage. */
  invocation(of: FunctionName | "client"): Promise<Invocation>;
  close(): Promise<void>;
}

interface Parts {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  embedded: Embedded;
  store: ParameterStore;
  lambda: Recorder;
}

/** Starts all of it in this process, with one organization whose documents and secrets are parameters. */
export async function startWorld(): Promise<World> {
  await using opened = new AsyncDisposableStack();
  const clavex = opened.adopt(await startSimulatedClavex(), (each) => each.close());
  const nextcloud = opened.adopt(await startSimulatedNextcloud(), (each) => each.close());
  const embedding = startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  const embedded = opened.adopt(await embedding, (each) => each.stop());
  const store = opened.adopt(await startParameterStore(), (each) => each.close());
  const { sqs, dynamodb } = embedded.endpoints;
  const lambda = opened.adopt(await startRecorder({ sqs, dynamodb, ssm: store.url }), (each) => each.close());

  const parts: Parts = { clavex, nextcloud, embedded, store, lambda };
  putParameters(parts);
  const make = invocationsIn(parts);
  const bare = lambdaEnvironment(parts);
  const environment = { ...bare, ...stackEnvironment(parts) };
  const kept = opened.move();
  return {
    invocation: async (of) => ({ ...(await make[of]()), environment: of === "client" ? bare : environment }),
    close: () => kept.disposeAsync(),
  };
}

function putParameters({ clavex, nextcloud, store }: Parts): void {
  const document = {
    slug,
    organizationId,
    clavex: { baseUrl: clavex.url, webhookSecrets: ["ssm:primary"], apiKey: "ssm:clavex-api-key" },
    nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "ssm:app-password" },
    identity: IDENTITY,
  };
  store.put(`${organizationsPath(STAGE)}${slug}`, JSON.stringify(document));
  const secret = (kind: "webhook" | "api", name: string, value: string): void =>
    store.put(secretParameter(STAGE, slug, kind, `ssm:${name}`), value, "SecureString");
  secret("webhook", "primary", WEBHOOK_SECRET);
  secret("api", "clavex-api-key", apiKey);
  secret("api", "app-password", nextcloud.password);
}

/** What Lambda gives every process. Each service has an endpoint of its own here. */
function lambdaEnvironment({ embedded: { endpoints }, store, lambda }: Parts): Record<string, string> {
  return {
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_SESSION_TOKEN: CREDENTIALS.sessionToken,
    AWS_ENDPOINT_URL_SQS: endpoints.sqs,
    AWS_ENDPOINT_URL_DYNAMODB: endpoints.dynamodb,
    AWS_ENDPOINT_URL_SSM: store.url,
    AWS_ENDPOINT_URL_LAMBDA: lambda.url,
  };
}

/** What the stack adds for the functions. */
function stackEnvironment({ embedded: { endpoints } }: Parts): Record<string, string> {
  return {
    STAGE,
    QUEUE_URL: reachable(endpoints.queueUrl, endpoints.sqs),
    DEAD_LETTER_QUEUE_URL: reachable(endpoints.deadLetterQueueUrl, endpoints.sqs),
    TABLE_NAME: endpoints.tableName,
    STARTS_PAUSED: "false",
    AWS_LAMBDA_FUNCTION_NAME: `clavex-nextcloud-${STAGE}-reconcile`,
  };
}

/** The SDK takes a queue's URL for its address, and the name of the embedded one's host is not known everywhere. */
function reachable(queueUrl: string, address: string): string {
  return queueUrl.replace(/^http:\/\/[^/]+/, address);
}

type Made = Omit<Invocation, "environment">;

function invocationsIn(parts: Parts): Record<FunctionName | "client", () => Made | Promise<Made>> {
  const { clavex, nextcloud, embedded, lambda } = parts;
  const { endpoints, clients } = embedded;

  return {
    client: () => ({
      event: messageOf(endpoints.queueUrl, jobFor(hire(clavex))),
      check: requireFields({ sent: true }),
    }),

    receive() {
      const body = JSON.stringify(clavex.delivery("user.updated", hire(clavex)));
      const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, WEBHOOK_SECRET) };
      const event = httpEvent({ path: `/webhooks/clavex/${slug}`, body, headers });
      return { event, check: requireFields({ statusCode: 202, body: '{"status":"queued"}' }) };
    },

    provision() {
      const user = hire(clavex);
      const Attributes = { SentTimestamp: String(Date.now()), ApproximateReceiveCount: "1", MessageGroupId: user.id };
      const message = {
        MessageId: randomUUID(),
        ReceiptHandle: "none",
        Body: JSON.stringify(jobFor(user)),
        Attributes,
      };
      return {
        event: sqsEvent([message]),
        check(answer) {
          requireFields({ batchItemFailures: [] })(answer);
          if (!nextcloud.user(accountId(IDENTITY, user.id))) throw new Error("the account was not made");
        },
      };
    },

    reconcile() {
      const before = lambda.calls.length;
      return {
        event: { mode: "light" },
        check() {
          const [call] = lambda.calls.slice(before);
          if (call?.action !== "lambda:InvokeFunction")
            throw new Error("it did not invoke itself for the organization");
        },
      };
    },

    // With two dead letters, of which one is wanted, the run does not wait for more.
    async replay() {
      const { deadLetterQueueUrl } = endpoints;
      await clients.sqs.send(new PurgeQueueCommand({ QueueUrl: deadLetterQueueUrl }));
      for (const user of [hire(clavex), hire(clavex)])
        await clients.sqs.send(new SendMessageCommand(messageOf(deadLetterQueueUrl, jobFor(user))));
      return {
        event: { filter: { limit: 1 }, dryRun: true },
        check: requireFields({ done: 1, stayed: [], stopped: false }),
      };
    },
  };
}

function hire(clavex: SimulatedClavex): ClavexUser {
  const id = randomUUID();
  return clavex.addUser(slug, { id, email: `${id}@acme.example`, first_name: "Ada", last_name: "Lovelace" });
}

function jobFor(user: ClavexUser): Job {
  return personJob(slug, user.id, webhookTrigger());
}

function messageOf(QueueUrl: string, job: Job) {
  return {
    QueueUrl,
    MessageBody: JSON.stringify(job),
    MessageGroupId: messageGroupId(job),
    MessageDeduplicationId: randomUUID(),
  };
}

/** A check that these fields of an answer have the expected values. */
function requireFields(expected: Record<string, unknown>): (answer: unknown) => void {
  return (answer) => {
    const given = new Map(Object.entries(answer ?? {}));
    for (const [name, value] of Object.entries(expected)) {
      if (JSON.stringify(given.get(name)) !== JSON.stringify(value))
        throw new Error(`its answer is ${JSON.stringify(answer)} instead of ${JSON.stringify(expected)}`);
    }
  };
}
