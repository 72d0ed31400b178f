import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createConnection, type Socket } from "node:net";
import type { HttpBindings } from "@hono/node-server";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sign } from "../../functions/clavex/signature.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import { openState, type State } from "../../functions/local/state.ts";
import { listen, type Web, type WebOptions } from "../../functions/local/web.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { jsonLog } from "../../functions/telemetry/log.ts";

const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const ORGANIZATION = organizationSchema.parse({
  slug: "acme",
  organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  clavex: { baseUrl: "https://id.acme.example", webhookSecrets: ["env:WEBHOOK"], apiKey: "env:KEY" },
  nextcloud: { baseUrl: "https://nextcloud.acme.example", username: "provisioner", password: "env:PASSWORD" },
  identity: { scheme: "user_oidc", providerId: 1 },
});
const KIB = 1024;
/** Longer than a test may take: what ends, ends for another reason. */
const NEVER = 600_000;

let state: State;
let lines: string[];
let web: Web | undefined;
/** The answers that the receiver has begun to work on. */
let answers: Promise<Response>[];
const sockets: Socket[] = [];

beforeEach(() => {
  state = openState(undefined);
  lines = [];
  answers = [];
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await web?.close();
  web = undefined;
  state.close();
});

interface Change {
  requestTimeout?: number;
  queue?: Pick<State["queue"], "send">;
  /** Sees each request before the receiver does. */
  watch?: (request: Request, incoming: HttpBindings["incoming"]) => Request;
}

async function start({ requestTimeout = NEVER, queue = state.queue, watch = (request) => request }: Change = {}) {
  const receiver = createReceiver({
    organizations: fixedOrganizations([ORGANIZATION]),
    secrets: environmentSecrets({ WEBHOOK: SECRET }),
    queue,
    isPaused: async () => false,
    log: jsonLog("test", (line) => lines.push(line), "info"),
    counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
  });
  const fetch: WebOptions["fetch"] = (request, env) => {
    const answer = Promise.resolve(receiver.fetch(watch(request, (env as HttpBindings).incoming)));
    answers.push(answer);
    return answer;
  };
  web = await listen({ fetch, host: "127.0.0.1", port: 0, requestTimeout });
  return web;
}

/** A connection on which bytes are written, and what came back on it. */
async function connect({ url }: Web) {
  const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
  sockets.push(socket);
  let received = "";
  // Not only a close: whoever writes to a connection that the server has closed gets an error.
  const ended = new Promise<string>((resolve) => {
    socket.on("error", () => undefined).on("close", () => resolve(received));
  });
  socket.setEncoding("latin1").on("data", (text: string) => {
    received += text;
  });
  await once(socket, "connect");
  return {
    socket,
    ended,
    async received(expected: string): Promise<string> {
      while (!received.includes(expected)) {
        if (socket.closed) throw new Error(`closed after ${JSON.stringify(received)}`);
        await Promise.race([once(socket, "data"), ended]);
      }
      return received;
    },
  };
}

const head = (fields: Record<string, string | number>): string => {
  const all = { host: "127.0.0.1", "content-type": "application/json", ...fields };
  const text = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /webhooks/clavex/acme HTTP/1.1\r\n${text.join("")}\r\n`;
};

/** Sends headers and the first byte of a body; resolves when the server has the headers. */
async function halfOpen(server: Web, fields: Record<string, string> = { "x-clavex-signature": sign("x", SECRET) }) {
  const connection = await connect(server);
  connection.socket.write(head({ ...fields, "content-length": 100, expect: "100-continue" }));
  await connection.received("HTTP/1.1 100 Continue\r\n");
  connection.socket.write("{");
  return connection;
}

const delivery = (padding = 0): string =>
  JSON.stringify({
    id: "d-1",
    event: "user.deleted",
    occurred_at: "2026-07-23T08:15:30Z",
    data: {
      id: "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21",
      org_id: ORGANIZATION.organizationId,
      padding: "x".repeat(padding),
    },
  });

const inChunks = (body: string, size: number): string => {
  const chunks: string[] = [];
  for (let start = 0; start < body.length; start += size) {
    const chunk = body.slice(start, start + size);
    chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  }
  return `${chunks.join("")}0\r\n\r\n`;
};

/** Counts the bytes that the server has of bodies and the receiver has not taken yet; `most` there ever were. */
function countQueued() {
  const count = { received: 0, taken: 0, most: 0 };
  const watch: Change["watch"] = (request, incoming) => {
    const { push } = incoming as IncomingMessage;
    Object.assign(incoming, {
      push(chunk: Buffer | null, ...rest: []) {
        count.received += chunk?.length ?? 0;
        count.most = Math.max(count.most, count.received - count.taken);
        return push.call(incoming, chunk, ...rest);
      },
    });
    const reader = (request.body as ReadableStream<Uint8Array>).getReader();
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          count.taken += value.length;
          controller.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
    return new Request(request.url, { method: "POST", headers: request.headers, body, duplex: "half" } as RequestInit);
  };
  return { count, watch };
}

describe("a body over HTTP", () => {
  it("in 1-byte chunks, of 20 clients at once, is queued nowhere on its way into the receiver's buffer", async () => {
    const { count, watch } = countQueued();
    const server = await start({ watch });
    const body = delivery(4 * KIB);
    const sent = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { socket, received } = await connect(server);
        socket.write(head({ "x-clavex-signature": sign(body, SECRET), "transfer-encoding": "chunked" }));
        socket.write(inChunks(body, 1));
        return received('{"status":"queued"}');
      }),
    );
    for (const answer of sent) expect(answer).toMatch(/^HTTP\/1\.1 202 /);
    expect(count).toMatchObject({ received: 20 * body.length, taken: 20 * body.length });
    expect(count.most).toBeLessThan(100);
  });

  it.each([
    ["with its length", (body: string) => head({ "content-length": body.length, "x-clavex-signature": "x" }) + body],
    [
      "in small chunks",
      (body: string) => head({ "transfer-encoding": "chunked", "x-clavex-signature": "x" }) + inChunks(body, 64),
    ],
  ])("of 257 KiB %s is answered 413, and the connection goes on", async (_, request) => {
    const { socket, received } = await connect(await start());
    socket.write(request("x".repeat(257 * KIB)));
    expect(await received("256 KiB")).toMatch(/^HTTP\/1\.1 413 /);
    socket.write("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    expect(await received('{"status":"ok"}')).toContain("HTTP/1.1 200 ");
  });

  it("without an end is answered 413 after 1 MiB, then cut off", async () => {
    const { socket, received, ended } = await connect(await start());
    socket.write(head({ "content-length": 1024 ** 3, "x-clavex-signature": "x" }));
    socket.write(Buffer.alloc(1025 * KIB));
    expect(await received("256 KiB")).toMatch(/^HTTP\/1\.1 413 /);
    await ended;
  });

  it("without a signature is not waited for: 401 comes with the headers", async () => {
    const { socket, received, ended } = await connect(await start());
    socket.write(head({ "content-length": 100 }));
    expect(await received('{"error":"unauthorized"}')).toMatch(/^HTTP\/1\.1 401 /);
    await ended;
  });

  it("that trickles longer than a request may take is answered 408", async () => {
    const server = await start({ requestTimeout: 100 });
    const { ended } = await halfOpen(server);
    expect(await ended).toContain("HTTP/1.1 408 ");
    for (const answer of answers) expect((await answer).status).toBe(400);
  });

  it("that is aborted writes no line, 300 times, with and without a signature", async () => {
    const server = await start();
    for (let round = 0; round < 150; round += 1) {
      for (const fields of [{}, { "x-clavex-signature": sign("x", SECRET) }]) {
        const { socket, ended } = await halfOpen(server, fields);
        socket.destroy();
        await ended;
      }
    }
    const statuses = await Promise.all(answers.map(async (answer) => (await answer).status));
    expect(Object.groupBy(statuses, (status) => status)).toEqual({
      400: Array(150).fill(400),
      401: Array(150).fill(401),
    });
    expect(lines).toEqual([]);
  });
});

describe("a stop of the server", () => {
  it("waits for no client: silent, idle and half-open connections are closed", async () => {
    const server = await start();
    const silent = await connect(server);
    const begun = await connect(server);
    begun.socket.write("POST /webhooks");
    const idle = await connect(server);
    idle.socket.write("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    await idle.received('{"status":"ok"}');
    const open = await halfOpen(server);
    const unsigned = await halfOpen(server, {});
    await server.close();
    await Promise.all([silent, begun, idle, open, unsigned].map(({ ended }) => ended));
    await expect(connect(server)).rejects.toThrow("ECONNREFUSED");
    expect(lines).toEqual([]);
  });

  it("answers deliveries that are being queued, while others are half open", async () => {
    const queueing = Promise.withResolvers<void>();
    const mayQueue = Promise.withResolvers<void>();
    const send: State["queue"]["send"] = async (...job) => {
      queueing.resolve();
      await mayQueue.promise;
      await state.queue.send(...job);
    };
    const server = await start({ queue: { send } });
    const open = await halfOpen(server);
    const body = delivery();
    const headers = { "x-clavex-signature": sign(body, SECRET) };
    const answer = fetch(`${server.url}/webhooks/clavex/acme`, { method: "POST", headers, body });
    await queueing.promise;
    const closed = server.close();
    mayQueue.resolve();
    const response = await answer;
    expect([response.status, await response.json()]).toEqual([202, { status: "queued" }]);
    await Promise.all([closed, open.ended]);
    expect(await state.queue.counts()).toMatchObject({ waiting: 1 });
  });
});
