import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DeleteMessageCommand, type Message, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { organizationsFromParameters } from "../../functions/config/organization-parameters.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { parameterSecrets } from "../../functions/config/secret-parameters.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { jobSchema } from "../../functions/core/job-schema.ts";
import { type Organization, parseOrganization } from "../../functions/core/organization.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSendingClient, createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver, type ReceiverDependencies } from "../../functions/receive/app.ts";
import type { Fields } from "../../functions/telemetry/log.ts";
import type { Counter } from "../../functions/telemetry/metrics.ts";
import { type Embedded, localSqs, startEmbedded } from "../support/embedded.ts";
import { startParameterStore } from "../support/ssm.ts";

const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const OTHER_ORGANIZATION = "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11";
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const DELIVERY = "a3a0e6b6-6d3b-4a57-9d0c-0f4f0f7f3f11";
const OCCURRED_AT = "2026-07-23T08:15:30.123456789Z";
const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const OTHER_SECRET = "ffeeddccbbaa99887766554433221100".repeat(2);
const API_KEY = "clv_0123456789abcdef";
const KIB = 1024;
const MINUTE = 60_000;

const USER = {
  id: SUBJECT,
  org_id: ORGANIZATION,
  email: "ada@acme.eu",
  first_name: "Ada",
  last_name: "Lovelace",
  avatar_url: "https://acme.eu/ada.png",
  is_active: true,
  is_email_verified: true,
  mfa_required: false,
  required_actions: null,
  metadata: { nextcloud_quota: "10 GB", salary: "100000" },
  created_at: "2026-07-23T10:15:30.1201+02:00",
  updated_at: "2026-07-23T10:15:30.1201+02:00",
};

function organizationOf(slug: string, organizationId: string, apiKey?: string): Organization {
  const scheme = apiKey?.startsWith("ssm:") ? "ssm" : "env";
  const document = {
    slug,
    organizationId,
    clavex: {
      baseUrl: "https://id.acme.eu",
      webhookSecrets: [`${scheme}:${slug}`],
      ...(apiKey === undefined ? {} : { apiKey }),
    },
    nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: `${scheme}:password` },
    identity: { providerId: 1 },
  };
  const { organization, problems } = parseOrganization({ source: "test", text: JSON.stringify(document) }, scheme);
  if (!organization) throw new Error(problems?.join());
  return organization;
}

/** `acme` reads the current state with an API key; `plain` has webhooks only. */
const ACME = organizationOf("acme", ORGANIZATION, "env:key");
const PLAIN = organizationOf("plain", OTHER_ORGANIZATION);
const ENVIRONMENT = { acme: SECRET, plain: OTHER_SECRET, key: API_KEY, password: "app-password" };

interface Line {
  level: string;
  message: string;
  fields: Fields;
}

let embedded: Embedded;
let queue: Queue;
let lines: Line[];
let counted: Counter[];
const opened: (() => unknown)[] = [];

beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  queue = createSqsQueue(embedded.clients.sqs, embedded.endpoints.queueUrl);
});
afterAll(() => embedded.stop());
beforeEach(() => {
  lines = [];
  counted = [];
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  expect(await jobs()).toEqual([]);
});

function receiver(change: Partial<ReceiverDependencies> = {}) {
  const at =
    (level: string) =>
    (message: string, fields: Fields = {}) => {
      lines.push({ level, message, fields });
    };
  return createReceiver({
    organizations: fixedOrganizations([ACME, PLAIN]),
    secrets: environmentSecrets(ENVIRONMENT),
    queue,
    isPaused: async () => false,
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    counters: { count: (counter) => counted.push(counter), measure: () => undefined, flush: () => undefined },
    ...change,
  });
}

const signed = (body: string | Uint8Array<ArrayBuffer>, secret = SECRET): RequestInit => ({
  method: "POST",
  body,
  headers: { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) },
});

function post(body: unknown, { slug = "acme", secret = SECRET, app = receiver() } = {}): Response | Promise<Response> {
  return app.request(`/webhooks/clavex/${slug}`, signed(JSON.stringify(body), secret));
}

const envelope = (event: string, data: unknown): Record<string, unknown> => ({
  id: DELIVERY,
  event,
  occurred_at: OCCURRED_AT,
  data,
});

/** A delivery of exactly this many bytes, about nothing that concerns provisioning. */
function deliveryOf(size: number): string {
  const body = (padding: string) => JSON.stringify(envelope("user.login", { padding }));
  return body("x".repeat(size - body("").length));
}

/** Takes all messages out of the queue. */
async function jobs(): Promise<Message[]> {
  const { sqs } = embedded.clients;
  const QueueUrl = embedded.endpoints.queueUrl;
  const messages: Message[] = [];
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames: ["All"] }),
    );
    if (Messages.length === 0) return messages;
    for (const message of Messages) {
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
    }
    messages.push(...Messages);
  }
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** @param timeoutMs after which a send is given up; default as on Lambda */
function queueAt(endpoint: string, timeoutMs?: number): Queue {
  const sqs = createSendingClient(localSqs({ sqs: endpoint }));
  opened.push(() => sqs.destroy());
  return createSqsQueue(sqs, embedded.endpoints.queueUrl, timeoutMs);
}

/** A server that takes requests and answers none. */
async function silentServer(): Promise<{ url: string; requests(): number }> {
  let requests = 0;
  const server = createServer(() => {
    requests += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
}

describe("a delivery that concerns a person", () => {
  it.each([
    "user.created",
    "user.updated",
    "user.deleted",
    "user.suspended",
    "scim.user.provisioned",
  ])("(%s) is answered 202 and queued as a job", async (event) => {
    const response = await post({ ...envelope(event, USER), id: `${DELIVERY} ${event}` });
    expect(response.status).toBe(202);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await response.json()).toEqual({ status: "queued" });
    const [message, ...others] = await jobs();
    expect(others).toEqual([]);
    expect(JSON.parse(message?.Body ?? "")).toMatchObject({ subject: SUBJECT, trigger: { event } });
    expect(counted).toEqual(["DeliveriesQueued"]);
  });

  it("becomes exactly the job of the contract, without the user where there is an API key", async () => {
    await post(envelope("user.updated", USER));
    const [message] = await jobs();
    const job: unknown = JSON.parse(message?.Body ?? "");
    expect(job).toEqual({
      version: 2,
      kind: "person",
      organization: "acme",
      subject: SUBJECT,
      trigger: { kind: "webhook", event: "user.updated", deliveryId: DELIVERY, occurredAt: OCCURRED_AT, about: "user" },
    });
    expect(jobSchema.parse(job)).toEqual(job);
    expect(message?.Attributes).toMatchObject({
      MessageGroupId: `acme#${SUBJECT}`,
      MessageDeduplicationId: createHash("sha256").update(`${DELIVERY}#${SUBJECT}`).digest("hex"),
    });
  });

  it("is queued once, however often Clavex repeats it, in whatever form, under whichever secret", async () => {
    const app = receiver({
      organizations: fixedOrganizations([
        { ...ACME, clavex: { ...ACME.clavex, webhookSecrets: ["env:acme", "env:plain"] } },
      ]),
    });
    const delivery = { ...envelope("user.updated", USER), id: "repeated" };
    const retry = JSON.stringify(
      { data: USER, id: "repeated", event: "user.updated", occurred_at: OCCURRED_AT },
      null,
      1,
    );
    for (const [body, secret] of [
      [JSON.stringify(delivery), SECRET],
      [JSON.stringify(delivery), OTHER_SECRET],
      [retry, SECRET],
      [retry, OTHER_SECRET],
    ] as const) {
      const response = await app.request("/webhooks/clavex/acme", signed(body, secret));
      expect([response.status, await response.json()]).toEqual([202, { status: "queued" }]);
    }
    expect(await jobs()).toHaveLength(1);
  });

  it("is queued for each person it concerns, each in their own order", async () => {
    const other = "5f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e20";
    await post({ ...envelope("user.created", USER), id: "1" });
    await post({ ...envelope("user.created", { ...USER, id: other }), id: "2" });
    await post({ ...envelope("user.updated", USER), id: "3" });
    const sent = (await jobs()).map(({ Body, Attributes }) => ({
      group: Attributes?.MessageGroupId,
      event: JSON.parse(Body ?? "").trigger.event,
    }));
    expect(sent.filter(({ group }) => group === `acme#${other}`)).toHaveLength(1);
    expect(sent.filter(({ group }) => group === `acme#${SUBJECT}`).map(({ event }) => event)).toEqual([
      "user.created",
      "user.updated",
    ]);
  });

  it("of the audit sink is queued too", async () => {
    const response = await post({
      specversion: "1.0",
      id: "audit-1",
      time: OCCURRED_AT,
      orgid: ORGANIZATION,
      data: {
        action: "scim.user.deactivate",
        status: "success",
        resource_id: SUBJECT,
        metadata: { email: USER.email },
      },
    });
    expect([response.status, await response.json()]).toEqual([202, { status: "queued" }]);
    const [message] = await jobs();
    expect(JSON.parse(message?.Body ?? "")).toEqual({
      version: 2,
      kind: "person",
      organization: "acme",
      subject: SUBJECT,
      trigger: {
        kind: "webhook",
        event: "scim.user.deactivate",
        deliveryId: "audit-1",
        occurredAt: OCCURRED_AT,
        about: "user",
      },
    });
  });
});

describe("a delivery that concerns a group", () => {
  const hints: [string, Record<string, unknown>][] = [
    ["group.member.added", envelope("group.member.added", { group_id: SUBJECT, group_name: "Finance" })],
    [
      "group.created",
      {
        specversion: "1.0",
        id: DELIVERY,
        time: OCCURRED_AT,
        orgid: ORGANIZATION,
        data: { action: "group.created", status: "success", resource_type: "group", resource_id: "Finance" },
      },
    ],
  ];

  it.each(hints)("(%s) is queued as one job for all groups, behind those before it", async (event, body) => {
    const response = await post({ ...body, id: event });
    expect([response.status, await response.json()]).toEqual([202, { status: "queued" }]);
    const [message, ...others] = await jobs();
    expect(others).toEqual([]);
    expect(JSON.parse(message?.Body ?? "")).toEqual({
      version: 2,
      kind: "groups",
      organization: "acme",
      trigger: { kind: "webhook", event, deliveryId: event, occurredAt: OCCURRED_AT, about: "membership" },
    });
    expect(message?.Attributes?.MessageGroupId).toBe("acme#groups");
  });

  it.each(hints)("(%s) is ignored without an API key: no groups could be read", async (_, body) => {
    const own = { ...body, ...("orgid" in body ? { orgid: OTHER_ORGANIZATION } : {}) };
    const response = await post(own, { slug: "plain", secret: OTHER_SECRET });
    expect([response.status, await response.json()]).toEqual([
      202,
      { status: "ignored", reason: expect.stringContaining("clavex.apiKey") },
    ]);
  });
});

describe("without an API key", () => {
  const own = { ...USER, org_id: OTHER_ORGANIZATION };
  const send = async (event: string, data: unknown, id = event) => {
    const response = await post({ ...envelope(event, data), id }, { slug: "plain", secret: OTHER_SECRET });
    expect(response.status).toBe(202);
    return { answer: await response.json(), sent: (await jobs()).map(({ Body }) => JSON.parse(Body ?? "")) };
  };

  it("the job carries what provisioning needs of the user, and no more", async () => {
    const { answer, sent } = await send("user.updated", own);
    expect(answer).toEqual({ status: "queued" });
    expect(sent).toEqual([
      {
        version: 2,
        kind: "person",
        organization: "plain",
        subject: SUBJECT,
        trigger: {
          kind: "webhook",
          event: "user.updated",
          deliveryId: "user.updated",
          occurredAt: OCCURRED_AT,
          about: "user",
        },
        snapshot: {
          id: SUBJECT,
          org_id: OTHER_ORGANIZATION,
          email: "ada@acme.eu",
          first_name: "Ada",
          last_name: "Lovelace",
          is_active: true,
          is_email_verified: true,
          updated_at: "2026-07-23T08:15:30.120100000Z",
          metadata: { nextcloud_quota: "10 GB" },
        },
      },
    ]);
  });

  it("a deletion is queued without a user: its event is enough", async () => {
    const { answer, sent } = await send("user.deleted", { id: SUBJECT, org_id: OTHER_ORGANIZATION });
    expect(answer).toEqual({ status: "queued" });
    expect(sent).toEqual([
      {
        version: 2,
        kind: "person",
        organization: "plain",
        subject: SUBJECT,
        trigger: {
          kind: "webhook",
          event: "user.deleted",
          deliveryId: "user.deleted",
          occurredAt: OCCURRED_AT,
          about: "deletion",
        },
      },
    ]);
  });

  it.each([
    ["user.updated", { id: SUBJECT, org_id: OTHER_ORGANIZATION }],
    ["user.suspended", { user_id: SUBJECT, org_id: OTHER_ORGANIZATION }],
    ["role.assigned", { user_id: SUBJECT, role: "admin" }],
    ["group.member.added", { user_id: SUBJECT, group_name: "Finance" }],
  ])("a hint without the user (%s) is ignored with a reason: nobody could look", async (event, data) => {
    const { answer, sent } = await send(event, data);
    expect(answer).toEqual({ status: "ignored", reason: expect.stringContaining("clavex.apiKey") });
    expect(sent).toEqual([]);
  });

  it("a user of another id than the subject is no snapshot of the subject", async () => {
    const { sent } = await send("user.suspended", { ...own, user_id: "5f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e20" });
    for (const job of sent) expect(job.snapshot?.id ?? job.subject).toBe(job.subject);
  });

  // 𠮷 is an ordinary letter of Japanese names, outside the first 65,536 characters.
  it.each([
    "𠮷野",
    "Zoë 🦊",
    "line\nbreak",
    "\u0000",
    "\uffff",
    "\ud800",
  ])("a name of any characters gets through the queue: %j", async (first_name) => {
    const { answer, sent } = await send("user.updated", { ...own, first_name }, `name ${first_name.codePointAt(0)}`);
    expect(answer).toEqual({ status: "queued" });
    expect(sent).toMatchObject([{ snapshot: { first_name } }]);
  });
});

describe("a delivery that does not concern provisioning", () => {
  it.each([
    ["user.login", envelope("user.login", USER), "event user.login does not concern provisioning"],
    [
      "an event of tomorrow",
      envelope("planet.discovered", {}),
      "event planet.discovered does not concern provisioning",
    ],
    ["an event without a user", envelope("role.assigned", null), "event role.assigned names no user"],
  ])("(%s) is answered 202 with a reason, and nothing is queued", async (_, body, reason) => {
    const response = await post(body);
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ status: "ignored", reason });
    expect(counted).toEqual(["DeliveriesIgnored"]);
  });
});

describe("a malformed delivery with a good signature", () => {
  it.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["no UTF-8", Uint8Array.from([0x7b, 0xff, 0x7d])],
    ["another form", '{"hello":"world"}'],
    ["no user", JSON.stringify(envelope("user.created", {}))],
    ["a user whose id is no UUID", JSON.stringify(envelope("user.created", { ...USER, id: "ada@acme.eu" }))],
    ["another organization", JSON.stringify(envelope("user.created", { ...USER, org_id: OTHER_ORGANIZATION }))],
  ])("is answered 400: %s", async (_, body) => {
    const response = await receiver().request("/webhooks/clavex/acme", signed(body));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: expect.any(String) });
    expect(counted).toEqual(["DeliveriesMalformed"]);
  });

  it("is answered 400 for an audit event of another organization", async () => {
    const body = { specversion: "1.0", id: "1", time: OCCURRED_AT, orgid: OTHER_ORGANIZATION, data: { action: "x" } };
    expect((await post(body)).status).toBe(400);
  });
});

describe("a delivery that nobody has signed for this organization", () => {
  const body = JSON.stringify(envelope("user.created", USER));
  const { [SIGNATURE_HEADER]: _, ...unsigned } = signed(body).headers as Record<string, string>;
  const cases: [string, string, RequestInit][] = [
    ["a wrong signature", "acme", signed(body, "x".repeat(64))],
    ["the secret of another organization", "acme", signed(body, OTHER_SECRET)],
    ["the signature of another body", "acme", { ...signed(`${body} `), body }],
    ["no signature", "acme", { method: "POST", body, headers: unsigned }],
    ["an empty signature", "acme", { method: "POST", body, headers: { ...unsigned, [SIGNATURE_HEADER]: "" } }],
    ["a signature of nonsense", "acme", { method: "POST", body, headers: { ...unsigned, [SIGNATURE_HEADER]: "x" } }],
    ["an unknown organization, well signed", "nobody", signed(body)],
    ["an unknown organization, without a signature", "nobody", { method: "POST", body, headers: unsigned }],
    ["a name that cannot be an organization's", "A%20B", signed(body)],
    ["a name with a line break", "acme%0A", signed(body)],
    ["the name of a prototype", "__proto__", signed(body)],
    ["no body and no signature", "acme", { method: "POST" }],
    ["a malformed body and no signature", "acme", { method: "POST", body: "{" }],
  ];

  it.each(cases)("is answered 401: %s", async (_case, slug, request) => {
    const response = await receiver().request(`/webhooks/clavex/${slug}`, request);
    expect(response.status).toBe(401);
    // What strangers send is counted apart: it must not hold the alarm that says Clavex's signatures are wrong.
    const signature = new Headers(request.headers).get(SIGNATURE_HEADER) ?? "";
    const couldBeClavex = slug === "acme" && /^sha256=[0-9a-f]{64}$/.test(signature);
    expect(counted).toEqual([couldBeClavex ? "SignatureFailures" : "DeliveriesUnsigned"]);
  });

  it("is answered with the same bytes and headers in every case, so that nobody learns which one it was", async () => {
    const app = receiver();
    const answers = new Set<string>();
    for (const [, slug, request] of cases) {
      const response = await app.request(`/webhooks/clavex/${slug}`, request);
      answers.add(JSON.stringify([response.status, [...response.headers], await response.text()]));
    }
    expect([...answers]).toEqual([
      JSON.stringify([401, [["content-type", "application/json"]], '{"error":"unauthorized"}']),
    ]);
  });

  it("leaves no line in the log that it could have written itself", async () => {
    const app = receiver();
    for (const [, slug, request] of cases) await app.request(`/webhooks/clavex/${slug}`, request);
    expect(lines.filter(({ level }) => level !== "debug")).toEqual([]);
  });
});

describe("the size of a body", () => {
  const tooLarge = { error: "the body is larger than 256 KiB" };

  it("may be 256 KiB", async () => {
    const body = deliveryOf(256 * KIB);
    expect(body).toHaveLength(256 * KIB);
    const response = await receiver().request("/webhooks/clavex/acme", signed(body));
    expect([response.status, await response.json()]).toEqual([
      202,
      { status: "ignored", reason: "event user.login does not concern provisioning" },
    ]);
  });

  it("is counted in bytes, not in characters", async () => {
    const body = deliveryOf(255 * KIB).replaceAll("x", "é");
    expect((await receiver().request("/webhooks/clavex/acme", signed(body))).status).toBe(413);
  });

  it.each([256 * KIB + 1, 300 * KIB, 2048 * KIB])("of %i bytes is answered 413, well signed or not", async (size) => {
    const body = deliveryOf(size);
    for (const request of [signed(body), { ...signed("another"), body }]) {
      const response = await receiver().request("/webhooks/clavex/acme", request);
      expect([response.status, await response.json()]).toEqual([413, tooLarge]);
    }
  });

  /** A body in chunks of 16 KiB, and how much of it was taken. */
  const streamed = (
    size: number,
    headers: Record<string, string> = { [SIGNATURE_HEADER]: sign("another", SECRET) },
  ) => {
    const taken = { bytes: 0, cancelled: false };
    const body = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          if (taken.bytes >= size) return controller.close();
          taken.bytes += 16 * KIB;
          controller.enqueue(new Uint8Array(16 * KIB));
        },
        cancel: () => {
          taken.cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    return { taken, request: { method: "POST", body, headers, duplex: "half" } as RequestInit };
  };

  it("of 300 KiB is read to its end, so that its sender gets to see the answer", async () => {
    const { taken, request } = streamed(300 * KIB);
    expect((await receiver().request("/webhooks/clavex/acme", request)).status).toBe(413);
    expect(taken).toEqual({ bytes: 304 * KIB, cancelled: false });
  });

  it("without an end is read no further than 1 MiB", async () => {
    const { taken, request } = streamed(Number.POSITIVE_INFINITY);
    expect((await receiver().request("/webhooks/clavex/acme", request)).status).toBe(413);
    expect(taken).toEqual({ bytes: 1040 * KIB, cancelled: true });
  });

  it("does not matter without a signature: 401 is answered before a byte is read", async () => {
    for (const size of [KIB, 300 * KIB, Number.POSITIVE_INFINITY]) {
      const { taken, request } = streamed(size, {});
      expect((await receiver().request("/webhooks/clavex/acme", request)).status).toBe(401);
      expect(taken.bytes).toBe(0);
    }
  });

  it("leaves no line in the log for those who are not known to be Clavex", async () => {
    const body = deliveryOf(300 * KIB);
    expect((await receiver().request("/webhooks/clavex/made-up", signed(body))).status).toBe(413);
    expect(lines.filter(({ level }) => level !== "debug")).toEqual([]);
  });
});

describe("a body that does not come", () => {
  /** A well signed request whose body stays open until it is ended. */
  const open = () => {
    const body = new TransformStream<Uint8Array, Uint8Array>();
    const delivery = deliveryOf(KIB);
    const writer = body.writable.getWriter();
    return {
      request: { ...signed(delivery), body: body.readable, duplex: "half" } as RequestInit,
      finish: async () => {
        await writer.write(Buffer.from(delivery));
        await writer.close();
      },
      abort: () => writer.abort(new Error("aborted by ada@acme.eu")),
    };
  };

  it("to its end is no error of ours: nothing but a line for debugging is written", async () => {
    const { request, abort } = open();
    const response = receiver().request("/webhooks/clavex/acme", request);
    await abort();
    expect((await response).status).toBe(400);
    expect(lines).toEqual([{ level: "debug", message: "body not read", fields: { reason: "interrupted" } }]);
    expect(counted).toEqual([]);
  });

  it("keeps one of 64 places; the next delivery is answered 503 with Retry-After until one is free", async () => {
    const app = receiver();
    const waiting = Array.from({ length: 64 }, open);
    const answers = waiting.map(({ request }) => app.request("/webhooks/clavex/acme", request));
    const refused = await post(envelope("user.login", USER), { app });
    expect([refused.status, Number(refused.headers.get("retry-after")) > 0]).toEqual([503, true]);
    expect(lines).toEqual([{ level: "debug", message: "body not read", fields: { reason: "busy" } }]);
    await waiting[0]?.finish();
    expect((await answers[0])?.status).toBe(202);
    expect((await post(envelope("user.login", USER), { app })).status).toBe(202);
    for (const { abort } of waiting.slice(1)) await abort();
    for (const answer of answers.slice(1)) expect((await answer).status).toBe(400);
    expect((await post(envelope("user.login", USER), { app })).status).toBe(202);
  });
});

describe("a delivery that cannot be queued", () => {
  const expectTryAgain = async (response: Response): Promise<void> => {
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await response.json()).toEqual({ error: "try again later" });
  };

  it("is answered 503 with Retry-After when nobody listens where the queue is", async () => {
    const app = receiver({ queue: queueAt(`http://127.0.0.1:${await closedPort()}`) });
    await expectTryAgain(await post(envelope("user.created", USER), { app }));
    expect(counted).toEqual(["QueueFailures"]);
    expect(lines.find(({ level }) => level === "error")?.fields).toMatchObject({ code: "queue-unavailable" });
  }, 8_000);

  it("is answered 503 in time for Clavex when the queue does not answer at all", async () => {
    const silent = await silentServer();
    const app = receiver({ queue: queueAt(silent.url) });
    await expectTryAgain(await post(envelope("user.created", USER), { app }));
    expect(silent.requests()).toBe(2);
  }, 8_000);

  it("is given up by the queue when its time is over, whatever the client still tries", async () => {
    const app = receiver({ queue: queueAt((await silentServer()).url, 50) });
    await expectTryAgain(await post(envelope("user.created", USER), { app }));
  });

  it("is queued when Clavex tries again", async () => {
    const app = receiver({ queue: queueAt(`http://127.0.0.1:${await closedPort()}`) });
    const delivery = { ...envelope("user.created", USER), id: "tried again" };
    await expectTryAgain(await post(delivery, { app }));
    expect((await post(delivery)).status).toBe(202);
    expect(await jobs()).toHaveLength(1);
  }, 8_000);

  it("is answered 503 when no secret can be read, and the log says what to do", async () => {
    const app = receiver({ secrets: environmentSecrets({}) });
    await expectTryAgain(await post(envelope("user.created", USER), { app }));
    expect(counted).toEqual(["ConfigurationErrors"]);
    expect(lines.find(({ level }) => level === "error")?.fields).toMatchObject({
      organization: "acme",
      code: "secret-unreadable",
      fix: expect.any(String),
    });
  });

  it("is answered 503 when something unforeseen happens, and says nothing of it", async () => {
    const organizations = { ...fixedOrganizations([]), get: () => Promise.reject(new Error("of ada@acme.eu")) };
    const response = await post(envelope("user.created", USER), { app: receiver({ organizations }) });
    await expectTryAgain(response);
    expect(lines).toMatchObject([
      { level: "error", message: "receiver failed", fields: { code: "unexpected", problem: "Error" } },
    ]);
    expect(lines[0]?.fields.stack).toContainEqual(expect.stringMatching(/^at .*app\.test\.ts:\d+:\d+/));
    // The text of an error that no module knows may contain anything.
    expect(JSON.stringify(lines)).not.toContain("ada@acme.eu");
  });

  it("is not even tried for an event that does not concern provisioning", async () => {
    const app = receiver({ queue: queueAt(`http://127.0.0.1:${await closedPort()}`) });
    expect((await post(envelope("user.login", USER), { app })).status).toBe(202);
  });
});

describe("addresses and methods", () => {
  it("answer /healthz with 200, to anyone", async () => {
    const response = await receiver().request("/healthz");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  it.each([
    "GET",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "HEAD",
  ])("answer %s of a webhook's address with 405", async (method) => {
    const response = await receiver().request("/webhooks/clavex/acme", { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });

  it("answer POST of /healthz with 405", async () => {
    const response = await receiver().request("/healthz", { method: "POST" });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET"]);
  });

  const elsewhere = [
    "/",
    "/webhooks",
    "/webhooks/clavex",
    "/webhooks/clavex/",
    "/webhooks/clavex/acme/",
    "/webhooks/clavex//acme",
    "//webhooks/clavex/acme",
    "/webhooks/clavex/acme/users",
    "/Webhooks/Clavex/acme",
    "/webhooks/clavex/acme/../other",
    "/webhooks/other/acme",
    "/healthz/",
    "/favicon.ico",
    "/webhooks/clavex/acme;x=1/y",
  ];
  it.each(
    elsewhere.filter((path) => !path.includes("..") && !path.includes("%2e")),
  )("answer POST of %s with 404", async (path) => {
    const response = await receiver().request(path, signed(JSON.stringify(envelope("user.created", USER))));
    expect([response.status, await response.json()]).toEqual([404, { error: "not found" }]);
  });

  // Clavex follows redirects and turns them into an empty GET, and counts its 200 as delivered.
  it.each(elsewhere)("never answer %s with a redirect, nor with a success", async (path) => {
    for (const method of ["POST", "GET", "HEAD"]) {
      const init = method === "POST" ? signed(JSON.stringify(envelope("user.created", USER))) : { method };
      const response = await receiver().request(path, init);
      expect(response.headers.get("location")).toBeNull();
      expect(response.status).toBeGreaterThanOrEqual(400);
    }
  });

  it("take a query for nothing", async () => {
    const body = JSON.stringify(envelope("user.login", USER));
    expect((await receiver().request("/webhooks/clavex/acme?organization=plain", signed(body))).status).toBe(202);
  });
});

it("a pause that has ended is not kept, although the clock that dated it was ahead and is set back", async () => {
  let [now, paused] = [Date.UTC(2026, 6, 23) + 40 * 24 * 60 * MINUTE, true];
  const app = receiver({ isPaused: async () => paused, now: () => now });
  const delivery = { ...envelope("user.updated", USER), id: "after a pause" };
  const statusOf = async () => ((await (await post(delivery, { app })).json()) as { status: string }).status;
  expect(await statusOf()).toBe("ignored");
  [now, paused] = [Date.UTC(2026, 6, 23), false];
  expect(await statusOf()).toBe("queued");
  expect(await jobs()).toHaveLength(1);
});

describe("a rotated secret", () => {
  const acme = organizationOf("acme", ORGANIZATION, "ssm:key");
  const NAME = "/clavex-nextcloud/prod/secrets/acme/webhook/acme";
  const body = JSON.stringify(envelope("user.login", USER));

  async function setup() {
    const store = await startParameterStore();
    opened.push(() => store.close());
    store.put(NAME, SECRET, "SecureString");
    const clock = { now: 1_000_000 };
    const now = () => clock.now;
    const app = receiver({
      organizations: fixedOrganizations([acme]),
      secrets: parameterSecrets(store.client, "prod", now),
      now,
    });
    const statusOf = async (secret: string): Promise<number> =>
      (await app.request("/webhooks/clavex/acme", signed(body, secret))).status;
    expect(await statusOf(SECRET)).toBe(202);
    return { store, clock, statusOf, app };
  }

  it("works with the first delivery that it signs; the old one no longer does", async () => {
    const { store, clock, statusOf } = await setup();
    store.put(NAME, OTHER_SECRET, "SecureString");
    clock.now += 1000;
    expect(await statusOf(OTHER_SECRET)).toBe(202);
    expect(await statusOf(SECRET)).toBe(401);
    expect(store.calls).toHaveLength(2);
  });

  it("is looked for once a minute at most, however many signatures are wrong", async () => {
    const { store, clock, statusOf } = await setup();
    for (let second = 0; second < 120; second += 1) {
      clock.now += 1000;
      expect(await statusOf("x".repeat(64))).toBe(401);
    }
    expect(store.calls.length).toBeLessThanOrEqual(1 + 2);
  });

  it("is found a minute later when forged deliveries had used up the look", async () => {
    const { store, clock, statusOf } = await setup();
    clock.now += 1000;
    expect(await statusOf("x".repeat(64))).toBe(401);
    store.put(NAME, OTHER_SECRET, "SecureString");
    clock.now += 1000;
    expect(await statusOf(OTHER_SECRET)).toBe(401);
    clock.now += MINUTE;
    expect(await statusOf(OTHER_SECRET)).toBe(202);
  });

  it("is not looked for when there is no signature at all", async () => {
    const { store, clock, app } = await setup();
    clock.now += 10 * MINUTE;
    expect((await app.request("/webhooks/clavex/acme", { method: "POST", body })).status).toBe(401);
    expect(store.calls).toHaveLength(1);
  });

  it("of one organization is looked for while another's signatures are wrong", async () => {
    const { store, clock } = await setup();
    const other = organizationOf("other", OTHER_ORGANIZATION, "ssm:key");
    store.put(NAME.replace("acme/webhook/acme", "other/webhook/other"), OTHER_SECRET, "SecureString");
    const now = () => clock.now;
    const app = receiver({
      organizations: fixedOrganizations([acme, other]),
      secrets: parameterSecrets(store.client, "prod", now),
      now,
    });
    const statusOf = async (slug: string, secret: string): Promise<number> =>
      (await app.request(`/webhooks/clavex/${slug}`, signed(body, secret))).status;
    expect(await statusOf("other", OTHER_SECRET)).toBe(400);
    clock.now += 1000;
    expect(await statusOf("other", "x".repeat(64))).toBe(401);
    store.put(NAME, OTHER_SECRET, "SecureString");
    expect(await statusOf("acme", OTHER_SECRET)).toBe(202);
  });

  it("outlives an outage of SSM: deliveries are taken with what was read last", async () => {
    const { store, clock, statusOf } = await setup();
    store.fault = { code: "InternalServerError", status: 500 };
    clock.now += 10 * MINUTE;
    expect(await statusOf(SECRET)).toBe(202);
    expect(await statusOf(OTHER_SECRET)).toBe(401);
  });
});

describe("a deployed receiver", () => {
  it("takes a new organization within a minute, and refuses one that is wrong with 503", async () => {
    const store = await startParameterStore();
    opened.push(() => store.close());
    const clock = { now: 1_000_000 };
    const now = () => clock.now;
    const app = receiver({
      organizations: organizationsFromParameters(store.client, "prod", now),
      secrets: parameterSecrets(store.client, "prod", now),
      now,
    });
    const statusOf = async (slug: string): Promise<number> =>
      (await app.request(`/webhooks/clavex/${slug}`, signed(JSON.stringify(envelope("user.login", null))))).status;
    expect(await statusOf("acme")).toBe(401);
    const document = {
      slug: "acme",
      organizationId: ORGANIZATION,
      clavex: { baseUrl: "https://id.acme.eu", webhookSecrets: ["ssm:acme"] },
      nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "ssm:password" },
      identity: { providerId: 1 },
    };
    store.put("/clavex-nextcloud/prod/organizations/acme", JSON.stringify(document));
    store.put("/clavex-nextcloud/prod/organizations/wrong", "{");
    store.put("/clavex-nextcloud/prod/secrets/acme/webhook/acme", SECRET, "SecureString");
    clock.now += MINUTE + 1;
    expect(await statusOf("acme")).toBe(202);
    expect(await statusOf("wrong")).toBe(503);
    expect(await statusOf("acme")).toBe(202);
  });
});

describe("the log", () => {
  it("has one line for each delivery, with what is needed to find it again", async () => {
    await post({ ...envelope("user.updated", USER), id: "logged" });
    expect(await jobs()).toHaveLength(1);
    expect(lines).toEqual([
      {
        level: "info",
        message: "delivery",
        fields: {
          organization: "acme",
          deliveryId: "logged",
          event: "user.updated",
          subject: USER.id,
          status: "queued",
          milliseconds: expect.any(Number),
        },
      },
    ]);
  });

  it("holds no secret, no e-mail address and no name of a person, whatever comes in", async () => {
    const app = receiver();
    const failing = receiver({ queue: queueAt(`http://127.0.0.1:${await closedPort()}`) });
    const own = { ...USER, org_id: OTHER_ORGANIZATION };
    for (const [index, body] of [
      envelope("user.created", USER),
      envelope("user.created", { ...USER, id: USER.email }),
      envelope("user.created", { ...USER, org_id: USER.email }),
      envelope("user.login", USER),
      { ...envelope("user.created", USER), occurred_at: USER.email },
      { ...envelope("user.created", USER), data: [USER] },
      { [USER.email]: USER.email },
      [USER],
    ].entries()) {
      await post(Array.isArray(body) ? body : { id: `log ${index}`, ...body }, { app });
      await post(body, { app, secret: OTHER_SECRET });
    }
    await app.request("/webhooks/clavex/acme", signed(`{"${USER.email}": `));
    await post({ ...envelope("user.created", own), id: "log" }, { app, slug: "plain", secret: OTHER_SECRET });
    await post(envelope("user.created", own), { app: failing, slug: "plain", secret: OTHER_SECRET });
    await jobs();
    expect(lines.length).toBeGreaterThan(8);
    const text = JSON.stringify(lines);
    for (const private_ of [SECRET, OTHER_SECRET, API_KEY, "app-password", "@", "Lovelace", "100000"]) {
      expect(text).not.toContain(private_);
    }
  });
});
