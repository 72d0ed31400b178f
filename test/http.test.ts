import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import type { Pool } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { AnswerTooLarge, createPool, retryAfter, send } from "../functions/http.ts";

const MIB = 1024 ** 2;
let server: Server;
let pool: Pool;

afterEach(async () => {
  await pool.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function answering(answer: (response: ServerResponse) => void) {
  server = createServer((_request, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  pool = createPool(`http://127.0.0.1:${port}`, 1, { connect: 5_000, headers: 5_000, body: 5_000 });
  return send(pool, { method: "GET", path: "/", headers: {} });
}

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
