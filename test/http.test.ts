import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { Pool } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { AnswerTooLarge, createPool, isTimeout, networkErrorName, retryAfter, send } from "../functions/http.ts";
import { timersLeft } from "./support/timers.ts";

const MIB = 1024 ** 2;
const GET = { method: "GET", path: "/", headers: {} } as const;
let server: Server;
let pool: Pool;

afterEach(async () => {
  await pool.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function answering(answer: (response: ServerResponse) => void, longestMs?: number) {
  server = createServer((_request, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  pool = createPool(`http://127.0.0.1:${port}`, 1, { connect: 5_000, headers: 5_000, body: 5_000 });
  return send(pool, GET, longestMs);
}

describe("a refusal that repeats its request", () => {
  const password = 'correct "horse" battery';
  const headers = {
    authorization: `Basic ${Buffer.from(`provisioner:${password}`).toString("base64")}`,
    "x-api-key": "clv_0123456789",
    cookie: "nc_session=abcdefghijkl; short=no",
  };

  async function asked(status: number) {
    server = createServer((request, response) => {
      const repeated = JSON.stringify({ ...request.headers, password });
      response.writeHead(status, { server: request.headers.authorization, "set-cookie": "nc_session=abcdefghijkl" });
      response.end(`${repeated} ${password}`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    pool = createPool(`http://127.0.0.1:${port}`, 1, { connect: 5_000, headers: 5_000, body: 5_000 });
    return send(pool, { ...GET, headers });
  }

  it.each([
    302, 400, 401, 403, 404, 422, 500,
  ])("does not give the credentials to whoever shows it: %i", async (status) => {
    const answer = await asked(status);
    const shown = `${answer.body} ${answer.headers.server}`;
    for (const secret of [headers.authorization.slice(6), "clv_0123456789", "abcdefghijkl", "horse"])
      expect(shown).not.toContain(secret);
    expect(answer.body).toContain('"x-api-key":"***"');
    expect(answer.body).toContain("short=no");
    // The session goes on.
    expect([answer.headers["set-cookie"]].flat()).toEqual(["nc_session=abcdefghijkl"]);
  });

  it("is no success: whose answer is left as it is", async () => {
    expect((await asked(200)).body).toContain("clv_0123456789");
  });
});

describe("an answer", () => {
  it("without an end is read to 64 MiB, and its sender is cut off", async () => {
    const chunk = Buffer.alloc(MIB, " ");
    let written = 0;
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const endless = answering((response) => {
      response.on("close", resolve);
      const write = (): void => {
        while (!response.destroyed) {
          written += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", write);
        }
      };
      write();
    });
    await expect(endless).rejects.toBeInstanceOf(AnswerTooLarge);
    await closed;
    expect(written / MIB).toBeGreaterThanOrEqual(64);
    // What the sockets hold comes on top.
    expect(written / MIB).toBeLessThan(96);
  });

  it("that was compressed unasked stays as small as it came", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB));
    const { body } = await answering((response) => {
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb);
    });
    expect(body.length).toBeLessThanOrEqual(bomb.length);
  });

  it("whose headers have no end is refused", async () => {
    const endless = answering((response) => {
      response.writeHead(200, { "x-padding": "x".repeat(MIB) }).end();
    });
    await expect(endless).rejects.toMatchObject({ code: "UND_ERR_HEADERS_OVERFLOW" });
  });

  it.each<[what: string, answer: (response: ServerResponse) => void]>([
    ["that trickles", trickle],
    ["that stops in the middle", (response) => void response.write("{")],
    ["that never begins", () => undefined],
  ])("%s is cut off at the longest time of a request, as a timeout", async (_what, answer) => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const endless = answering((response) => {
      response.on("close", resolve);
      answer(response);
    }, 100);
    const error = await endless.catch((error: unknown) => error);
    expect(networkErrorName(error)).toBe("TimeoutError");
    expect(isTimeout(networkErrorName(error))).toBe(true);
    await closed;
  });
});

/** One byte after the other, without end. */
function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write(" "), 10);
  response.on("close", () => clearInterval(timer));
}

describe("a request that is over", () => {
  const MANY = 50;

  it.each<[how: string, answer: (response: ServerResponse) => void]>([
    ["with an answer", (response) => void response.end("{}")],
    ["without one", (response) => void response.destroy()],
  ])("%s leaves no timer behind", async (_how, answer) => {
    const left = await timersLeft(async () => {
      await answering(answer).catch(() => undefined);
      for (let sent = 1; sent < MANY; sent += 1) await send(pool, GET).catch(() => undefined);
    });
    // The pool and the server have some of their own, but not one for each request.
    expect(left).toBeLessThan(MANY / 2);
  });
});

describe("Retry-After", () => {
  const NOW = Date.UTC(2026, 9, 21, 7, 28);
  it.each([
    ["7", 7],
    ["Wed, 21 Oct 2026 07:29:00 GMT", 60],
    ["Wed, 21 Oct 2026 07:27:00 GMT", undefined],
    ["-1", undefined],
    ["Infinity", undefined],
    ["NaN", undefined],
    ["1e3", undefined],
    ["7.5", undefined],
    ["9".repeat(400), undefined],
    ["soon", undefined],
    ["", undefined],
  ])("of %j is %j seconds", (value, seconds) => {
    expect(retryAfter({ "retry-after": value }, NOW)).toBe(seconds);
  });

  it("that is there twice is none", () => {
    expect(retryAfter({ "retry-after": ["5", "6"] }, NOW)).toBeUndefined();
  });
});
