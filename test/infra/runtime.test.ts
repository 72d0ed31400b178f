import { hash, randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Message, ReceiveMessageCommand, SendMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { organizationsPath } from "../../functions/config/organization-parameters.ts";
import { secretParameter } from "../../functions/config/secret-parameters.ts";
import { accountId } from "../../functions/core/identity.ts";
import { aboutWhom, type Job } from "../../functions/core/job.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { FunctionName } from "../../infra/bundling.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";
import { allows, functionId, readable, resources, statementsOf } from "./policies.ts";
import { httpEvent, sqsEvent } from "./runtime/events.ts";
import { CREDENTIALS, type Invocation, type Lambda, startLambda } from "./runtime/lambda.ts";
import { type Recorder, startRecorder } from "./runtime/recorder.ts";
import { document, folderWith, type Synthesized, synthesize } from "./synth.ts";

const SLUG = DEFAULT_ORGANIZATION.slug;
const WEBHOOK_SECRET = "a-webhook-secret-that-protects-nothing";
const IDENTITY = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;

let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let embedded: Embedded;
let store: ParameterStore;
let stack: Synthesized;
const started: { lambda: Lambda; recorder: Recorder }[] = [];

beforeAll(async () => {
  [clavex, nextcloud, embedded, store] = await Promise.all([
    startSimulatedClavex(),
    startSimulatedNextcloud(),
    startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 }),
    startParameterStore(),
  ]);
  const acme = document(SLUG, {
    organizationId: DEFAULT_ORGANIZATION.id,
    clavex: { baseUrl: clavex.url, webhookSecrets: ["ssm:primary"], apiKey: "ssm:clavex-api-key" },
    nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "ssm:app-password" },
    identity: IDENTITY,
  });
  stack = synthesize({ organizations: folderWith({ "acme.json": acme }), autostart: "true" }, true);
  // What the deployment would put into SSM, and the secrets that an admin puts there.
  for (const { Type, Properties } of Object.values(resources(stack.template)))
    if (Type === "AWS::SSM::Parameter") store.put(String(Properties.Name), String(Properties.Value));
  const secret = (kind: "webhook" | "api", name: string, value: string) =>
    store.put(secretParameter("test", SLUG, kind, `ssm:${name}`), value, "SecureString");
  secret("webhook", "primary", WEBHOOK_SECRET);
  secret("api", "clavex-api-key", DEFAULT_ORGANIZATION.apiKey);
  secret("api", "app-password", nextcloud.password);
});

afterAll(async () => {
  for (const { lambda, recorder } of started) {
    await lambda.stop();
    await recorder.close();
  }
  await Promise.all([clavex.close(), nextcloud.close(), embedded.stop(), store.close()]);
});

/** The organization's document, as the deployment puts it into SSM. */
function deployedDocument(): string {
  const parameter = Object.values(resources(stack.template)).find(({ Type }) => Type === "AWS::SSM::Parameter");
  return String(parameter?.Properties.Value);
}

/** A deployed function, its calls to AWS recorded. */
interface Deployed {
  invoke(event: unknown): Promise<Invocation>;
  log(): string;
  /** Its calls of AWS so far, each with whether its role allows it. */
  calls(): { call: string; allowed: boolean; signedBy: string }[];
  invoked(): string[];
}

/** Starts a function from what `cdk synth` made of it: its files, handler and variables. */
async function deploy(name: FunctionName): Promise<Deployed> {
  const { template, assembly } = stack;
  const { Code, Handler, Environment, FunctionName, Timeout } = resources(template)[functionId(template, name)]
    ?.Properties as {
    Code: { S3Key: string };
    Handler: string;
    Environment: { Variables: Record<string, unknown> };
    FunctionName: string;
    Timeout: number;
  };
  const { endpoints } = embedded;
  const recorder = await startRecorder({ sqs: endpoints.sqs, dynamodb: endpoints.dynamodb, ssm: store.url });
  const through = (queueUrl: string) => queueUrl.replace(/^http:\/\/[^/]+/, recorder.url);
  /** What a reference of the template is here, and the ARN that the policies know it by. */
  const real: [reference: RegExp, value: string][] = [
    [/^<(JobsQueue\w{8})>$/, through(endpoints.queueUrl)],
    [/^<(JobsDeadLetters\w{8})>$/, through(endpoints.deadLetterQueueUrl)],
    [/^<(LedgerTable\w{8})>$/, endpoints.tableName],
  ];
  const arns = new Map<string, string>();
  for (const id of Object.keys(resources(template))) {
    const [, value] = real.find(([reference]) => reference.test(`<${id}>`)) ?? [];
    if (value !== undefined) arns.set(value, `<${id}.Arn>`);
  }
  const variables = Object.entries(Environment.Variables).map(([key, value]) => {
    const text = readable(value);
    return [key, real.find(([reference]) => reference.test(text))?.[1] ?? text];
  });
  const lambda = await startLambda({
    name: FunctionName,
    code: join(assembly, `asset.${Code.S3Key.replace(/\.zip$/, "")}`),
    handler: Handler,
    timeoutSeconds: Timeout,
    environment: {
      ...Object.fromEntries(variables),
      AWS_ENDPOINT_URL_SQS: recorder.url,
      AWS_ENDPOINT_URL_SSM: recorder.url,
      AWS_ENDPOINT_URL_DYNAMODB: recorder.url,
      AWS_ENDPOINT_URL_LAMBDA: recorder.url,
    },
  });
  started.push({ lambda, recorder });
  const arn = (resource: string): string => {
    const [name = ""] = resource.split(" ");
    if (name.startsWith("/")) return `arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter${name}`;
    return arns.get(name) ?? `arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:${name}`;
  };
  return {
    invoke: lambda.invoke,
    log: lambda.log,
    calls: () =>
      recorder.calls.map(({ action, resource, signedBy }) => ({
        call: `${action} ${resource}`,
        signedBy,
        allowed: allows(statementsOf(template, name), action, arn(resource)),
      })),
    invoked: () =>
      recorder.calls.filter(({ action }) => action === "lambda:InvokeFunction").map(({ resource }) => resource),
  };
}

function expectAllowed(deployed: Deployed): void {
  const calls = deployed.calls();
  expect(calls).not.toEqual([]);
  expect(calls.filter(({ allowed }) => !allowed)).toEqual([]);
  // The bundles have a credential provider of their own.
  const own = `${CREDENTIALS.accessKeyId} ${CREDENTIALS.sessionToken}`;
  expect(calls.filter(({ signedBy }) => signedBy !== own)).toEqual([]);
}

/** The metrics that a log holds in embedded metric format, as `namespace/metric` with the values of the dimensions. */
function metricsIn(log: string): string[] {
  return log.split("\n").flatMap((line) => {
    if (!line.includes('"_aws"')) return [];
    const entry = JSON.parse(line);
    return entry._aws.CloudWatchMetrics.flatMap(
      ({
        Namespace,
        Dimensions,
        Metrics,
      }: {
        Namespace: string;
        Dimensions: string[][];
        Metrics: { Name: string }[];
      }) =>
        Metrics.map(({ Name }) => {
          const dimensions = Object.fromEntries(
            (Dimensions[0] ?? []).map((dimension) => [dimension, entry[dimension]]),
          );
          return `${Namespace}/${Name} ${JSON.stringify(dimensions)}`;
        }),
    );
  });
}

/** The same of what the stack's alarms watch. */
function watched(): string[] {
  type Watched = { Namespace: string; MetricName: string; Dimensions: { Name: string; Value: string }[] };
  return Object.values(resources(stack.template)).flatMap(({ Type, Properties }) => {
    if (Type !== "AWS::CloudWatch::Alarm") return [];
    const metrics = (Properties.Metrics as { MetricStat?: { Metric: Watched } }[] | undefined)?.flatMap(
      ({ MetricStat }) => MetricStat?.Metric ?? [],
    ) ?? [Properties as unknown as Watched];
    return metrics
      .filter(({ Namespace }) => Namespace === "ClavexNextcloud")
      .map(({ Namespace, MetricName, Dimensions }) => {
        const dimensions = Object.fromEntries((Dimensions ?? []).map(({ Name, Value }) => [Name, Value]));
        return `${Namespace}/${MetricName} ${JSON.stringify(dimensions)}`;
      });
  });
}

async function send(queueUrl: string, body: string, group: string): Promise<void> {
  await embedded.clients.sqs.send(
    new SendMessageCommand({
      QueueUrl: queueUrl,
      MessageBody: body,
      MessageGroupId: group,
      MessageDeduplicationId: randomUUID(),
    }),
  );
}

async function receive(): Promise<Message[]> {
  const { Messages = [] } = await embedded.clients.sqs.send(
    new ReceiveMessageCommand({
      QueueUrl: embedded.endpoints.queueUrl,
      MaxNumberOfMessages: 10,
      MessageSystemAttributeNames: ["All"],
    }),
  );
  return Messages;
}

const jobOf = ({ Body = "" }: Message): Job => JSON.parse(Body);
const manualJob = (subject: string): Job => ({
  version: 2,
  kind: "person",
  organization: SLUG,
  subject,
  trigger: { kind: "manual" },
});

function person(): { id: string; org_id: string } {
  const id = randomUUID();
  return clavex.addUser(SLUG, { id, email: `${id}@acme.example`, first_name: "Ada", last_name: "Lovelace" });
}

function delivery(user: { id: string; org_id: string }) {
  const body = JSON.stringify({
    id: randomUUID(),
    event: "user.updated",
    occurred_at: new Date().toISOString(),
    data: clavex.user(SLUG, user.id),
  });
  return { body, headers: { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, WEBHOOK_SECRET) } };
}

const path = `/webhooks/clavex/${SLUG}`;

describe("the bundled receiver, in a Node process of its own", () => {
  let receiver: Deployed;
  beforeAll(async () => {
    receiver = await deploy("receive");
  });

  it.each([
    ["plain", false],
    ["in base64", true],
  ])("queues a job for a signed delivery whose body comes %s", async (_how, base64) => {
    const user = person();
    const { value } = await receiver.invoke(httpEvent({ path, base64, ...delivery(user) }));
    expect(value).toMatchObject({ statusCode: 202, body: '{"status":"queued"}' });
    const queued = await receive();
    expect(queued.map(jobOf)).toMatchObject([{ version: 2, kind: "person", organization: SLUG, subject: user.id }]);
  });

  it("refuses a wrong signature, and counts it where the alarm looks", async () => {
    const { body } = delivery(person());
    const headers = { [SIGNATURE_HEADER]: sign(body, "another-secret-of-thirty-two-characters") };
    const { value } = await receiver.invoke(httpEvent({ path, headers, body }));
    expect(value).toMatchObject({ statusCode: 401 });
    const [metric = "nothing"] = metricsIn(receiver.log()).filter((each) => each.includes("SignatureFailures"));
    expect(watched()).toContain(metric);
  });

  it("answers the health check, and refuses other methods", async () => {
    expect((await receiver.invoke(httpEvent({ method: "GET", path: "/healthz" }))).value).toMatchObject({
      statusCode: 200,
    });
    expect((await receiver.invoke(httpEvent({ method: "GET", path }))).value).toMatchObject({ statusCode: 405 });
  });

  it("calls only what its role allows, with the credentials of that role", () => {
    expectAllowed(receiver);
  });

  it("writes no secret, signature or e-mail address to its log", () => {
    expect(receiver.log()).not.toMatch(/sha256=|@acme\.example/);
    expect(receiver.log()).not.toContain(WEBHOOK_SECRET);
  });
});

describe("the bundled worker, in a Node process of its own", () => {
  let worker: Deployed;
  beforeAll(async () => {
    worker = await deploy("provision");
  });

  it("makes the account of each job of a batch, and gives back only the message that it cannot read", async () => {
    const people = [person(), person()];
    for (const { id } of people) {
      const job = manualJob(id);
      await send(embedded.endpoints.queueUrl, JSON.stringify(job), `${SLUG}#${id}`);
    }
    await send(embedded.endpoints.queueUrl, "not a job", "unreadable");
    const messages = await receive();
    const unreadable = messages.find(({ Body }) => Body === "not a job");
    const { value } = await worker.invoke(sqsEvent(messages));
    expect(value).toEqual({ batchItemFailures: [{ itemIdentifier: unreadable?.MessageId }] });
    for (const { id } of people) {
      expect(nextcloud.user(accountId(IDENTITY, id))).toMatchObject({ displayName: "Ada Lovelace", enabled: true });
    }
  });

  it("counts configuration errors where the alarm looks", () => {
    const [metric = "nothing"] = metricsIn(worker.log()).filter((each) => each.includes("ConfigurationErrors"));
    expect(watched()).toContain(metric);
  });

  it("calls only what its role allows, with the credentials of that role", () => {
    expectAllowed(worker);
  });
});

describe("the bundled reconciliation, in a Node process of its own", () => {
  let reconcile: Deployed;
  beforeAll(async () => {
    reconcile = await deploy("reconcile");
  });

  /** What it starts itself with: the organization's document goes along. */
  const run = (mode: string) =>
    `clavex-nextcloud-test-reconcile ${JSON.stringify({ mode, organization: SLUG, document: deployedDocument() })}`;

  it("starts itself once per organization", async () => {
    expect((await reconcile.invoke({ mode: "light" })).error).toBeUndefined();
    expect(reconcile.invoked()).toEqual([run("light")]);
  });

  it("starts itself at a tick for each kind of run that is due", async () => {
    const before = reconcile.invoked().length;
    expect(
      (await reconcile.invoke({ mode: "tick", watchSeconds: 60, lightMinutes: 10, fullHours: 24 })).error,
    ).toBeUndefined();
    expect(reconcile.invoked().slice(before).sort()).toEqual(["full", "watch"].map(run));
  });

  it("counts its ticks where the alarm looks", () => {
    const [tick = "nothing"] = metricsIn(reconcile.log()).filter((each) => each.includes("Ticks"));
    expect(watched()).toContain(tick);
  });

  it("remembers the groups when it watches them, and then has nothing due but a full run", async () => {
    const before = reconcile.invoked().length;
    expect((await reconcile.invoke({ mode: "watch", organization: SLUG })).error).toBeUndefined();
    expect((await reconcile.invoke({ mode: "tick" })).error).toBeUndefined();
    expect(reconcile.invoked().slice(before)).toEqual([run("full")]);
  });

  it("queues a job for everybody who is not as they should be", async () => {
    const { id } = person();
    expect((await reconcile.invoke({ mode: "full", organization: SLUG })).error).toBeUndefined();
    const subjects: string[] = [];
    for (let batch = await receive(); batch.length > 0; batch = await receive())
      subjects.push(...batch.filter(({ Body }) => Body !== "not a job").map((message) => aboutWhom(jobOf(message))));
    expect(subjects).toContain(id);
  });

  it("reads no organization when one was handed over, and its jobs say which document that was", async () => {
    const fresh = await deploy("reconcile");
    const { id } = person();
    store.calls.length = 0;
    const document = deployedDocument();
    expect((await fresh.invoke({ mode: "light", organization: SLUG, document })).error).toBeUndefined();
    expect(store.calls.filter((call) => call.includes("organizations"))).toEqual([]);
    const jobs = (await receive()).filter(({ Body }) => Body !== "not a job").map(jobOf);
    expect(jobs.find((job) => aboutWhom(job) === id)?.configuration).toBe(hash("sha256", document));
  });

  it("shows TypeScript lines when it crashes", async () => {
    const { error } = await reconcile.invoke({ mode: "thorough" });
    expect(error?.stackTrace.join("\n")).toMatch(/^ {4}at .*\(functions\/reconcile\/handler\.ts:\d+:\d+\)$/m);
    expect(error?.stackTrace[0]).toContain(String(error?.errorType));
  });

  it("calls only what its role allows, with the credentials of that role", () => {
    expectAllowed(reconcile);
  });
});

describe("the bundled replay, in a Node process of its own", () => {
  let replay: Deployed;
  beforeAll(async () => {
    replay = await deploy("replay");
  });

  it("sends a dead letter back to the job queue", async () => {
    const { id } = person();
    await send(embedded.endpoints.deadLetterQueueUrl, JSON.stringify(manualJob(id)), `${SLUG}#${id}`);
    expect((await replay.invoke({ dryRun: true })).value).toMatchObject({ done: 1 });
    // The dry run gives the message back after a second.
    await expect
      .poll(async () => ((await replay.invoke({ filter: { user: id } })).value as { done: number }).done, {
        timeout: 10_000,
        interval: 500,
      })
      .toBe(1);
    expect((await receive()).map(jobOf)).toMatchObject([{ subject: id, trigger: { kind: "replay" } }]);
  });

  it("calls only what its role allows, with the credentials of that role", () => {
    expectAllowed(replay);
  });
});

describe("a deployed function", () => {
  it("is its modules with their source maps, and needs nothing else", () => {
    const folders = readdirSync(stack.assembly).filter((name) => name.startsWith("asset."));
    expect(folders).toHaveLength(4);
    for (const folder of folders) {
      const files = readdirSync(join(stack.assembly, folder));
      expect(files).toEqual(expect.arrayContaining(["index.mjs", "index.mjs.map"]));
      expect(files.filter((file) => !/\.mjs(?:\.map)?$/.test(file))).toEqual([]);
    }
  });

  it("reads its organizations where the stack has put them", () => {
    expect(store.calls).toContain(`GetParametersByPath ${organizationsPath("test")}`);
  });
});
