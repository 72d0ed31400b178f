import { DeleteMessageCommand, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { aboutWhom, messageGroupId } from "../../functions/core/job.ts";
import { parseOrganization } from "../../functions/core/organization.ts";
import { terminalLog } from "../../functions/local/terminal-log.ts";
import { parseJob } from "../../functions/queue/parse-job.ts";
import { createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { fc } from "../support/fast-check.ts";

const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const OCCURRED_AT = "2026-07-23T08:15:30.123456789Z";
const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
/** `acme` has an API key, `plain` puts snapshots of users into its jobs. */
const IDS = { acme: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", plain: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11" };
/** What moves a terminal's cursor, breaks a line or turns its direction. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

const organizations = Object.entries(IDS).map(([slug, organizationId]) => {
  const document = {
    slug,
    organizationId,
    clavex: {
      baseUrl: "https://id.acme.eu",
      webhookSecrets: ["env:SECRET"],
      ...(slug === "acme" ? { apiKey: "env:KEY" } : {}),
    },
    nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "env:PASSWORD" },
    identity: { providerId: 1 },
  };
  const { organization } = parseOrganization({ source: "test", text: JSON.stringify(document) }, "env");
  if (!organization) throw new Error("the organization is not valid");
  return organization;
});

let embedded: Embedded;
let lines: string[];
let app: ReturnType<typeof createReceiver>;
beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  lines = [];
  app = createReceiver({
    organizations: fixedOrganizations(organizations),
    secrets: environmentSecrets({ SECRET }),
    queue: createSqsQueue(embedded.clients.sqs, embedded.endpoints.queueUrl),
    isPaused: async () => false,
    log: terminalLog((line) => lines.push(line), "debug"),
    counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
  });
});
afterAll(() => embedded.stop());

async function post(path: string, body: Uint8Array<ArrayBuffer> | string, signature: string): Promise<Response> {
  return app.request(path, { method: "POST", body, headers: { [SIGNATURE_HEADER]: signature } });
}

/** Checks what holds for every answer, and returns its status. */
async function statusOf(response: Response): Promise<number> {
  expect(response.headers.get("location")).toBeNull();
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toBeTypeOf("object");
  for (const line of lines.splice(0)) expect(line).not.toMatch(UNPRINTABLE);
  return response.status;
}

const slug = fc.constantFrom("acme", "plain");
const text = fc.oneof(fc.string({ unit: "binary", maxLength: 50 }), fc.string({ maxLength: 300 }));
const orElse = (likely: unknown): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant(likely) },
    { weight: 1, arbitrary: text },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
const eventName = fc.constantFrom("user.created", "user.deleted", "user.suspended", "group.member.added", "user.login");
const action = fc.constantFrom("scim.user.update", "scim.user.delete", "group.created", "group.deleted", "user.login");
const user = (organizationId: string) =>
  fc.record(
    {
      id: orElse(SUBJECT),
      user_id: orElse(SUBJECT),
      org_id: orElse(organizationId),
      email: orElse("ada@acme.eu"),
      first_name: text,
      last_name: orElse(null),
      is_active: orElse(true),
      metadata: orElse({ nextcloud_quota: "1 GB" }),
      updated_at: orElse(OCCURRED_AT),
      user: fc.jsonValue(),
    },
    { requiredKeys: ["org_id"] },
  );
const envelope = (organizationId: string) =>
  fc.record(
    {
      id: text,
      event: fc.oneof({ weight: 4, arbitrary: eventName }, text),
      occurred_at: orElse(OCCURRED_AT),
      data: fc.oneof({ weight: 4, arbitrary: user(organizationId) }, fc.jsonValue()),
    },
    { requiredKeys: ["id", "event", "occurred_at"] },
  );
const auditEvent = (organizationId: string) =>
  fc.record({
    specversion: orElse("1.0"),
    id: text,
    time: orElse(OCCURRED_AT),
    orgid: orElse(organizationId),
    data: fc.record({
      action: fc.oneof({ weight: 4, arbitrary: action }, text),
      status: orElse("success"),
      resource_id: orElse(SUBJECT),
    }),
  });

describe("the webhook endpoint", () => {
  it("answers any bytes that are well signed with 202 or 400", async () => {
    await fc.assert(
      fc.asyncProperty(slug, fc.uint8Array({ maxLength: 500 }), async (to, bytes) => {
        const body = Uint8Array.from(bytes);
        const response = await post(`/webhooks/clavex/${to}`, body, sign(body, SECRET));
        expect([202, 400]).toContain(await statusOf(response));
      }),
      { numRuns: 300 },
    );
  });

  it("answers any JSON that is well signed with 202 or 400", async () => {
    await fc.assert(
      fc.asyncProperty(slug, fc.json({ stringUnit: "binary" }), async (to, body) => {
        const response = await post(`/webhooks/clavex/${to}`, body, sign(body, SECRET));
        expect([202, 400]).toContain(await statusOf(response));
      }),
      { numRuns: 300 },
    );
  });

  it("answers whatever nearly is a delivery with 202 or 400, and queues nothing but jobs", async () => {
    const delivery = slug.chain((to) =>
      fc.tuple(fc.constant(to), fc.oneof({ weight: 3, arbitrary: envelope(IDS[to]) }, auditEvent(IDS[to]))),
    );
    await fc.assert(
      fc.asyncProperty(delivery, async ([to, value]) => {
        const body = JSON.stringify(value);
        const response = await post(`/webhooks/clavex/${to}`, body, sign(body, SECRET));
        expect([202, 400]).toContain(await statusOf(response));
      }),
      { numRuns: 1000 },
    );
    const messages = await takeAll();
    expect(messages.length).toBeGreaterThan(50);
    for (const { body, group } of messages) {
      const job = parseJob(body);
      expect(group).toBe(messageGroupId(job));
      expect(["groups", SUBJECT]).toContain(aboutWhom(job));
      expect(["groups", "person"]).toContain(job.kind);
      expect(!("snapshot" in job) || job.organization === "plain").toBe(true);
    }
  });

  it("answers any bytes under any signature but the right one with 401", async () => {
    const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)) });
    const signature = fc.oneof(
      visible.map((value) => value.replaceAll(/[\u007f-\u00a0]/g, "")),
      fc.stringMatching(/^sha256=[0-9a-f]{64}$/),
    );
    await fc.assert(
      fc.asyncProperty(slug, fc.uint8Array({ maxLength: 200 }), signature, async (to, bytes, header) => {
        const response = await post(`/webhooks/clavex/${to}`, Uint8Array.from(bytes), header);
        expect(await statusOf(response)).toBe(401);
      }),
      { numRuns: 300 },
    );
  });

  it("answers any name that is no organization's with 401 or 404, however it is written into the address", async () => {
    const pieces = fc.constantFrom(
      "%",
      "2",
      "e",
      "f",
      "F",
      "0",
      "a",
      ".",
      "/",
      "\\",
      "?",
      "#",
      "\u0000",
      "\n",
      ";",
      "é",
      "acme",
    );
    const segment = fc.oneof(
      text.map((name) => encodeURIComponent(name.toWellFormed())),
      fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join("")),
      text,
    );
    const body = JSON.stringify({ id: "1", event: "user.login", occurred_at: OCCURRED_AT });
    await fc.assert(
      fc.asyncProperty(segment, async (name) => {
        fc.pre(URL.canParse(`http://localhost/webhooks/clavex/${name}`));
        fc.pre(!/\/clavex\/(?:acme|plain)$/.test(new URL(`http://localhost/webhooks/clavex/${name}`).pathname));
        const response = await post(`/webhooks/clavex/${name}`, body, sign(body, SECRET));
        expect([401, 404]).toContain(await statusOf(response));
      }),
      { numRuns: 1000 },
    );
  });

  it("prints what it was sent on one line of the terminal, whatever is in it", async () => {
    const hostile = "\u001b[2J\u001b]0;title\u0007\r\n\u0000\u009b31m\u202e\u2066\u2028";
    const delivery = { id: hostile, event: `user.${hostile}`, occurred_at: OCCURRED_AT };
    const body = JSON.stringify(delivery);
    lines.length = 0;
    await post("/webhooks/clavex/acme", body, sign(body, SECRET));
    await post(`/webhooks/clavex/${encodeURIComponent(hostile)}`, "x".repeat(300 * 1024), "");
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).not.toMatch(UNPRINTABLE);
  });
});

async function takeAll(): Promise<{ body: string; group: string | undefined }[]> {
  const { sqs } = embedded.clients;
  const QueueUrl = embedded.endpoints.queueUrl;
  const taken: { body: string; group: string | undefined }[] = [];
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames: ["MessageGroupId"] }),
    );
    if (Messages.length === 0) return taken;
    for (const { Body = "", Attributes, ReceiptHandle } of Messages) {
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      taken.push({ body: Body, group: Attributes?.MessageGroupId });
    }
  }
}
