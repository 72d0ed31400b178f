import { ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import type { APIGatewayProxyEventV2 } from "aws-lambda";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { sign } from "../../functions/clavex/signature.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";

/* The Lambda handler as it is deployed, given events of an API Gateway HTTP API; only the AWS endpoints are on this machine. */

const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const BODY = JSON.stringify({
  id: "a3a0e6b6-6d3b-4a57-9d0c-0f4f0f7f3f11",
  event: "user.updated",
  occurred_at: "2026-07-23T08:15:30Z",
  data: { id: SUBJECT, org_id: ORGANIZATION, first_name: "Zoë" },
});

interface Result {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
}

let embedded: Embedded;
let store: ParameterStore;
let invoke: (event: Record<string, unknown>) => Promise<Result>;

beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  store = await startParameterStore();
  store.put(
    "/clavex-nextcloud/prod/organizations/acme",
    JSON.stringify({
      slug: "acme",
      organizationId: ORGANIZATION,
      clavex: { baseUrl: "https://id.acme.eu", webhookSecrets: ["ssm:primary"], apiKey: "ssm:key" },
      nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "ssm:password" },
      identity: { providerId: 1 },
    }),
  );
  store.put("/clavex-nextcloud/prod/secrets/acme/webhook/primary", SECRET, "SecureString");
  for (const [name, value] of Object.entries({
    STAGE: "prod",
    QUEUE_URL: embedded.endpoints.queueUrl.replace(/^http:\/\/[^/]+/, embedded.endpoints.sqs),
    TABLE_NAME: embedded.endpoints.tableName,
    STARTS_PAUSED: "false",
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local",
    AWS_ENDPOINT_URL_SSM: store.url,
    AWS_ENDPOINT_URL_SQS: embedded.endpoints.sqs,
    AWS_ENDPOINT_URL_DYNAMODB: embedded.endpoints.dynamodb,
    LOG_LEVEL: "error",
    POWERTOOLS_METRICS_DISABLED: "true",
  })) {
    vi.stubEnv(name, value);
  }
  const { handler } = await import("../../functions/receive/handler.ts");
  invoke = async (event) => (await handler(event as unknown as APIGatewayProxyEventV2)) as Result;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await store.close();
  await embedded.stop();
});

function event(path: string, body: string, { method = "POST", base64 = false, secret = SECRET } = {}) {
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: path,
    rawQueryString: "",
    headers: {
      host: "abc.execute-api.eu-central-1.amazonaws.com",
      "content-type": "application/json",
      "x-clavex-signature": sign(body, secret),
    },
    requestContext: {
      domainName: "abc.execute-api.eu-central-1.amazonaws.com",
      http: { method, path, protocol: "HTTP/1.1", sourceIp: "192.0.2.1", userAgent: "Go-http-client/2.0" },
      requestId: "1",
      stage: "$default",
      timeEpoch: 0,
    },
    ...(method === "GET" ? {} : { body: base64 ? Buffer.from(body).toString("base64") : body }),
    isBase64Encoded: base64,
  };
}

describe("the receiver on Lambda", () => {
  it.each([false, true])("verifies the raw bytes and queues the job (base64: %s)", async (base64) => {
    const result = await invoke(event("/webhooks/clavex/acme", BODY, { base64 }));
    expect(result).toMatchObject({ statusCode: 202, body: '{"status":"queued"}' });
  });

  it("has put one job into the queue for the same delivery", async () => {
    const { Messages = [] } = await embedded.clients.sqs.send(
      new ReceiveMessageCommand({ QueueUrl: embedded.endpoints.queueUrl, MaxNumberOfMessages: 10 }),
    );
    expect(Messages.map(({ Body = "" }) => JSON.parse(Body))).toMatchObject([
      { organization: "acme", subject: SUBJECT },
    ]);
  });

  it("answers 401 for a wrong secret and for an unknown organization, alike", async () => {
    const wrong = await invoke(event("/webhooks/clavex/acme", BODY, { secret: "x".repeat(64) }));
    const unknown = await invoke(event("/webhooks/clavex/nobody", BODY));
    expect(wrong).toMatchObject({ statusCode: 401 });
    expect(unknown).toEqual(wrong);
  });

  it("answers 404 and 405, and 200 for its health", async () => {
    expect((await invoke(event("/webhooks/clavex/acme/", BODY))).statusCode).toBe(404);
    expect((await invoke(event("/webhooks/clavex/acme", "", { method: "GET" }))).statusCode).toBe(405);
    expect((await invoke(event("/healthz", "", { method: "GET" }))).statusCode).toBe(200);
  });

  it("answers 413 for a body over 256 KiB", async () => {
    expect((await invoke(event("/webhooks/clavex/acme", "x".repeat(300 * 1024)))).statusCode).toBe(413);
  });

  it("has an answer to every request that API Gateway can hand over, and writes no line about a stranger's", async () => {
    const written: string[] = [];
    const write = (text: unknown) => written.push(String(text)) > 0;
    const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write").mockImplementation(write));
    const logged = vi.spyOn(console, "error").mockImplementation(write);
    const sent = async (method: string, path: string, change: Record<string, unknown> = {}): Promise<number> =>
      (await invoke({ ...event(path, BODY, { method }), body: BODY, ...change })).statusCode;
    const hook = "/webhooks/clavex/acme";
    try {
      expect(await sent("GET", "/healthz")).toBe(200);
      expect(await sent("HEAD", "/healthz")).toBe(200);
      expect(await sent("POST", "/healthz")).toBe(405);
      for (const method of ["GET", "HEAD", "TRACE", "CONNECT", "TRACK", "DELETE", "PATCH", "OPTIONS"])
        expect([method, await sent(method, hook)]).toEqual([method, 405]);
      const signature = sign(BODY, SECRET);
      for (const [headers, status] of [
        [{}, 401],
        [{ "X-Clavex-Signature": signature }, 202],
        [{ "x-clavex-signature": signature, "a b": "x", "x-nul": "a\u0000b", "x-face": "\u{1f600}" }, 202],
        [{ "x-clavex-signature": `${signature}, ${signature}` }, 401],
        [{ "x-clavex-signature": "sha256=\u{1f600}\u0000" }, 401],
      ] as const)
        expect([headers, await sent("POST", hook, { headers })]).toEqual([headers, status]);
      for (const path of ["/webhooks/clavex/%", "/webhooks/clavex/%00%FF", "/webhooks/clavex/..%2Facme"])
        expect([path, await sent("POST", path)]).toEqual([path, 401]);
      expect(await sent("POST", "//id.acme.eu/webhooks/clavex/acme")).toBe(404);
      expect(written).toEqual([]);
    } finally {
      for (const spy of [...spies, logged]) spy.mockRestore();
    }
  });

  // Clavex gives up after ten seconds: an answer of ours tells it when to come again.
  it("answers 503 in time when SSM does not answer at all", async () => {
    vi.resetModules();
    const { handler } = await import("../../functions/receive/handler.ts");
    store.fault = "hang";
    try {
      const result = await handler(event("/webhooks/clavex/acme", BODY) as unknown as APIGatewayProxyEventV2);
      expect(result).toMatchObject({ statusCode: 503, headers: { "retry-after": expect.any(String) } });
    } finally {
      store.fault = undefined;
    }
  }, 8_500);
});
