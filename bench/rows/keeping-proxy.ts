import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { SimulatedServer } from "../../functions/simulated/server.ts";

/** A proxy that answers the same GET again from memory. */
export interface KeepingProxy {
  url: string;
  /** How many requests have come since this was asked last. */
  received(): number;
  /** Lets every answer take this long (milliseconds). */
  delay(ms: number): void;
  close(): Promise<void>;
}

interface Answer {
  status: number;
  headers: Record<string, string | string[]>;
  body: Buffer;
}

/**
 * Starts a proxy in front of a simulated server whose answers do not change. That one takes longer to write a page than its
 * client to read it, and would be what is measured.
 */
export async function startKeepingProxy(target: Pick<SimulatedServer, "answer">): Promise<KeepingProxy> {
  const kept = new Map<string, Answer>();
  let [received, ms] = [0, 0];

  function ask(path: string, { headers }: IncomingMessage): Answer {
    const {
      status,
      headers: own = {},
      body = "",
    } = target.answer({ at: Date.now(), method: "GET", path, headers, body: "" });
    return { status, headers: own, body: Buffer.from(body) };
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    received += 1;
    if (ms > 0) await sleep(ms);
    const { url = "/", method } = request;
    if (method !== "GET") throw new Error(`${method} ${url}: only reading is kept`);
    const found = kept.get(url) ?? ask(url, request);
    if (found.status === 200) kept.set(url, found);
    response.writeHead(found.status, { ...found.headers, "content-length": found.body.length }).end(found.body);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received() {
      const count = received;
      received = 0;
      return count;
    },
    delay(answersTake) {
      ms = answersTake;
    },
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
