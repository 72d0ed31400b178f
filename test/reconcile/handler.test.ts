import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PurgeQueueCommand, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { accountId } from "../../functions/core/identity.ts";
import { newRecord } from "../../functions/core/record.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { runNode } from "../support/processes.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";

const STAGE = "test";
const FUNCTION = "clavex-nextcloud-test-reconcile";
const PLENTY_MS = 14 * 60_000;
const ORGANIZATIONS = [
  { slug: "acme", id: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", apiKey: "clv_acme" },
  { slug: "empty", id: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", apiKey: "clv_empty" },
  { slug: "unreachable", id: "2b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", apiKey: "clv_unreachable" },
];

/** The function in a container (a process) of its own, with the real AWS SDK on services of this machine. */
describe("the Lambda function behind the schedules", () => {
  let embedded: Embedded;
  let clavex: SimulatedClavex;
  let nextcloud: SimulatedNextcloud;
  let parameters: ParameterStore;
  let lambda: Awaited<ReturnType<typeof startLambdaApi>>;
  let environment: Record<string, string>;

  beforeAll(async () => {
    embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
    clavex = await startSimulatedClavex({ organizations: ORGANIZATIONS });
    nextcloud = await startSimulatedNextcloud();
    parameters = await startParameterStore();
    lambda = await startLambdaApi();
    for (const { slug, id, apiKey } of ORGANIZATIONS) {
      const document = {
        slug,
        organizationId: id,
        clavex: {
          baseUrl: slug === "unreachable" ? "http://127.0.0.1:1" : clavex.url,
          webhookSecrets: ["ssm:primary"],
          apiKey: "ssm:clavex",
        },
        nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "ssm:nextcloud" },
        // Organizations of two Clavex servers may not have one provider.
        identity: { scheme: "user_oidc", providerId: slug === "unreachable" ? 2 : 1 },
      };
      parameters.put(`/clavex-nextcloud/${STAGE}/organizations/${slug}`, JSON.stringify(document));
      parameters.put(`/clavex-nextcloud/${STAGE}/secrets/${slug}/api/clavex`, apiKey, "SecureString");
      parameters.put(`/clavex-nextcloud/${STAGE}/secrets/${slug}/api/nextcloud`, nextcloud.password, "SecureString");
    }
    parameters.put(`/clavex-nextcloud/${STAGE}/organizations/broken`, '{"slug":"broken"}');
    clavex.addUser("acme", { email: "ada@acme.example", first_name: "Ada", last_name: "Lovelace" });
    environment = {
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local",
      AWS_ENDPOINT_URL_SSM: parameters.url,
      AWS_ENDPOINT_URL_SQS: embedded.endpoints.sqs,
      AWS_ENDPOINT_URL_DYNAMODB: embedded.endpoints.dynamodb,
      AWS_ENDPOINT_URL_LAMBDA: lambda.url,
      STAGE,
      QUEUE_URL: embedded.endpoints.queueUrl,
      STARTS_PAUSED: "false",
      TABLE_NAME: embedded.endpoints.tableName,
    };
  });

  afterAll(async () => {
    await Promise.all([lambda.close(), parameters.close(), nextcloud.close(), clavex.close()]);
    await embedded.stop();
  });

  beforeEach(async () => {
    await embedded.clients.sqs.send(new PurgeQueueCommand({ QueueUrl: embedded.endpoints.queueUrl }));
    lambda.invocations.length = 0;
    lambda.refused.clear();
    clavex.requests.length = 0;
  });

  /** Hands the events to one new container, one after the other. */
  async function invoke(events: unknown[], remaining = PLENTY_MS, changed: Record<string, string> = {}) {
    const script = `
      import { handler } from ${JSON.stringify(new URL("../../functions/reconcile/handler.ts", import.meta.url))};
      const [events, remaining] = JSON.parse(process.argv[1]);
      const context = { functionName: ${JSON.stringify(FUNCTION)}, getRemainingTimeInMillis: () => remaining };
      for (const event of events) {
        const outcome = await handler(event, context).then(() => "ok", (error) => error.name + ": " + error.message);
        console.log(JSON.stringify({ outcome }));
      }`;
    const program = runNode(["--input-type=module", "--eval", script, "--", JSON.stringify([events, remaining])], {
      ...environment,
      ...changed,
    });
    expect(await program.ended, program.output()).toBe(0);
    const lines = program
      .output()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line): Record<string, unknown> => JSON.parse(line));
    return {
      outcomes: lines.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome])),
      logged: lines.filter(({ level }) => level !== undefined),
      /** The counters as CloudWatch reads them, one object for each invocation that counted anything. */
      counted: lines.filter(({ _aws }) => _aws !== undefined),
    };
  }

  async function jobs(): Promise<unknown[]> {
    const command = new ReceiveMessageCommand({ QueueUrl: embedded.endpoints.queueUrl, MaxNumberOfMessages: 10 });
    const { Messages = [] } = await embedded.clients.sqs.send(command);
    return Messages.map(({ Body = "" }) => JSON.parse(Body));
  }

  /** What an invocation of one organization is told: its document too, so that it is not read again. */
  const handedOver = (mode: string, organization: string) => ({
    mode,
    organization,
    document: expect.stringContaining(`"slug":"${organization}"`),
  });

  test("a tick invokes it for each organization and kind of run that is due, and reports a broken document", async () => {
    const { outcomes, logged, counted } = await invoke([{ mode: "tick" }]);
    expect(outcomes).toEqual(["ok"]);
    // Organizations are looked at side by side: the order is nobody's business.
    const texts = lambda.invocations.map(({ payload }) => JSON.stringify(payload));
    expect(texts.sort().map((text) => JSON.parse(text))).toEqual(
      ["full", "watch"].flatMap((mode) =>
        ["acme", "empty", "unreachable"].map((organization) => handedOver(mode, organization)),
      ),
    );
    expect(logged).toEqual([
      expect.objectContaining({ level: "ERROR", organization: "broken", code: "organization-invalid" }),
    ]);
    expect(counted).toEqual([expect.objectContaining({ ConfigurationErrors: 1 })]);
    expect([clavex.requests, await jobs()]).toEqual([[], []]);
  });

  test("a tick asks for what its event says: without the watch, only for what has not been run", async () => {
    await invoke([{ mode: "full", organization: "empty" }]);
    lambda.invocations.length = 0;
    await invoke([{ mode: "tick", watchSeconds: 0, lightMinutes: 10, fullHours: 24 }]);
    expect(lambda.invocations.map(({ payload }) => payload)).not.toContainEqual(
      expect.objectContaining({ organization: "empty" }),
    );
    expect(lambda.invocations.map(({ payload }) => payload)).not.toContainEqual(
      expect.objectContaining({ mode: "watch" }),
    );
  });

  test.each([
    "light",
    "full",
  ])("%s for all organizations: one invocation of itself for each, and no work here", async (mode) => {
    const { outcomes, logged } = await invoke([{ mode }]);
    expect(outcomes).toEqual(["ok"]);
    expect(lambda.invocations).toEqual(
      ["acme", "broken", "empty", "unreachable"].map((organization) => ({
        path: `/2015-03-31/functions/${FUNCTION}/invocations`,
        type: "Event",
        payload: handedOver(mode, organization),
      })),
    );
    expect(logged).toEqual([]);
    expect(clavex.requests).toEqual([]);
    expect(await jobs()).toEqual([]);
  });

  test("an invocation that Lambda does not take is logged and counted, and the other organizations get theirs", async () => {
    lambda.refused.add("acme");
    const { outcomes, logged, counted } = await invoke([{ mode: "full" }]);
    expect(outcomes).toEqual(["ok"]);
    expect(lambda.invocations.map(({ payload }) => payload)).toEqual(
      ["broken", "empty", "unreachable"].map((organization) => handedOver("full", organization)),
    );
    expect(logged).toEqual([
      expect.objectContaining({ level: "ERROR", organization: "acme", code: "reconcile-not-invoked" }),
    ]);
    expect(counted).toEqual([expect.objectContaining({ ReconcileFailures: 1 })]);
  });

  test("organizations that cannot be listed are logged and counted", async () => {
    parameters.fault = { code: "ThrottlingException", status: 400 };
    const { outcomes, logged, counted } = await invoke([{ mode: "light" }]);
    parameters.fault = undefined;
    expect(outcomes).toEqual(["ok"]);
    expect(logged).toEqual([expect.objectContaining({ level: "ERROR", code: "parameters-unavailable" })]);
    expect(counted).toEqual([expect.objectContaining({ ReconcileFailures: 1 })]);
  });

  test.each(["light", "full"])("%s for one organization: its differences are jobs in the queue", async (mode) => {
    const { outcomes, logged, counted } = await invoke([{ mode, organization: "acme" }]);
    expect(outcomes).toEqual(["ok"]);
    expect(logged[0]).toMatchObject({ level: "INFO", message: "reconcile", organization: "acme", mode, people: 1 });
    // Whose account another one is nobody can tell while an organization's file cannot be read.
    expect(logged.slice(1).map(({ message }) => message)).toEqual(
      mode === "full" ? ["unknown accounts not looked for"] : [],
    );
    expect(counted).toEqual([]);
    expect(lambda.invocations).toEqual([]);
    // The first run marked the person as waiting; a second one does not send the job again.
    const sent = await jobs();
    if (mode === "light") {
      expect(sent).toEqual([
        {
          version: 2,
          kind: "person",
          configuration: expect.stringMatching(/^[0-9a-f]{64}$/),
          organization: "acme",
          subject: expect.any(String),
          trigger: { kind: "reconcile", reason: "drift", foundAt: expect.any(Number) },
        },
      ]);
    } else expect([sent, logged[0]?.waiting]).toEqual([[], 1]);
  });

  test.each([
    ["no mode", {}],
    ["an unknown mode", { mode: "medium" }],
    ["a misspelt key", { mode: "light", organisation: "acme" }],
    ["an organization that is no text", { mode: "light", organization: 7 }],
    ["the scheduler's own form", { "detail-type": "Scheduled Event", detail: {} }],
    ["a text", "light"],
    ["nothing", null],
  ])("an event with %s is an error, and nothing is done", async (_what, event) => {
    const { outcomes } = await invoke([event]);
    expect(outcomes).toEqual([expect.stringMatching(/^(ZodError|\$ZodError): /)]);
    expect([lambda.invocations, clavex.requests, await jobs()]).toEqual([[], [], []]);
  });

  describe("a failure is logged with what to do and counted, and not thrown, so that it is not repeated at once", () => {
    test.each([
      ["broken", "organization-invalid", "ConfigurationErrors", /Correct the configuration/],
      ["nobody", "organization-unknown", "ConfigurationErrors", /Correct the configuration/],
      ["unreachable", "clavex-unavailable", "ReconcileFailures", undefined],
    ])("organization %s", async (organization, code, counter, fix) => {
      const { outcomes, logged, counted } = await invoke([{ mode: "light", organization }]);
      expect(outcomes).toEqual(["ok"]);
      expect(logged).toEqual([
        expect.objectContaining({
          level: "ERROR",
          message: "reconcile failed",
          organization,
          mode: "light",
          code,
          problem: expect.any(String),
          ...(fix ? { fix: expect.stringMatching(fix) } : {}),
        }),
      ]);
      expect(counted).toEqual([expect.objectContaining({ [counter]: 1 })]);
    });

    test("an API key that is refused", async () => {
      clavex.faults.add({ kind: "status", status: 403, body: '{"error":"Forbidden"}' });
      const { outcomes, logged, counted } = await invoke([{ mode: "full", organization: "acme" }]);
      clavex.faults.clear();
      expect(outcomes).toEqual(["ok"]);
      expect(logged).toEqual([
        expect.objectContaining({ code: "clavex-key-refused", fix: expect.stringMatching(/Create an API key/) }),
      ]);
      expect(counted).toEqual([expect.objectContaining({ ConfigurationErrors: 1 })]);
    });

    test("a run without enough time", async () => {
      const { outcomes, logged, counted } = await invoke([{ mode: "light", organization: "acme" }], 59_000);
      expect(outcomes).toEqual(["ok"]);
      expect(logged).toEqual([expect.objectContaining({ code: "reconcile-over-time", level: "ERROR" })]);
      expect(counted).toEqual([expect.objectContaining({ ReconcileFailures: 1 })]);
      expect(await jobs()).toEqual([]);
    });
  });

  test("people that the brake holds are an alarm: the counter, and a line with the sentence", async () => {
    const ledger = createLedger(dynamoDbTable(embedded.clients.dynamodb, embedded.endpoints.tableName));
    const subject = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
    const identity = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;
    await ledger.subjects.put("empty", { ...newRecord(subject, accountId(identity, subject)), state: "active" });
    const { outcomes, logged, counted } = await invoke([{ mode: "light", organization: "empty" }]);
    expect(outcomes).toEqual(["ok"]);
    expect(logged).toContainEqual(
      expect.objectContaining({
        level: "ERROR",
        message: "deprovisioning held",
        organization: "empty",
        problem: "Clavex shows no people, but the ledger knows 1: nobody is deprovisioned",
      }),
    );
    expect(counted).toEqual([
      expect.objectContaining({
        BrakeHeld: 1,
        _aws: expect.objectContaining({ CloudWatchMetrics: expect.any(Array) }),
      }),
    ]);
    expect(await jobs()).toEqual([]);
  });

  test("a container goes on after a failure, and counts each invocation by itself", async () => {
    const { outcomes, logged, counted } = await invoke([
      { mode: "light", organization: "unreachable" },
      { mode: "sideways" },
      { mode: "light", organization: "unreachable" },
      { mode: "light", organization: "acme" },
    ]);
    expect(outcomes).toEqual(["ok", expect.stringMatching(/ZodError/), "ok", "ok"]);
    expect(counted.map(({ ReconcileFailures }) => ReconcileFailures)).toEqual([1, 1]);
    expect(logged.at(-1)).toMatchObject({ message: "reconcile", organization: "acme" });
  });

  test("a function that was deployed without its settings names each that is missing", async () => {
    const { outcomes } = await invoke([{ mode: "light" }], PLENTY_MS, { QUEUE_URL: "", TABLE_NAME: "" });
    expect(outcomes).toEqual([expect.stringMatching(/QUEUE_URL is not set[\s\S]*TABLE_NAME is not set/)]);
  });
});

/** The part of Lambda's API that the function calls: it takes invocations, but for those that are refused, and does no more. */
async function startLambdaApi() {
  const invocations: { path: string | undefined; type: string | undefined; payload: unknown }[] = [];
  const refused = new Set<string>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const type = request.headers["x-amz-invocation-type"];
    const payload = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    if (refused.has(payload.organization)) {
      response.writeHead(403, { "x-amzn-errortype": "AccessDeniedException" }).end("{}");
      return;
    }
    invocations.push({ path: request.url, type: typeof type === "string" ? type : undefined, payload });
    response.writeHead(202).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    invocations,
    refused,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
