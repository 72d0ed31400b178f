import { once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { serve } from "@hono/node-server";
import { ConfigurationError } from "../core/failure.ts";
import { isSystemError, systemWords } from "../system-errors.ts";

export interface WebOptions {
  fetch: Parameters<typeof serve>[0]["fetch"];
  host: string;
  /** 0 for any free port. */
  port: number;
  /** The options that choose host and port, for messages. */
  options?: string;
  /** How long a request may take to arrive, headers and body, in milliseconds. */
  requestTimeout?: number;
}

/** A web server that listens. */
export interface Web {
  url: string;
  /** Stops listening, answers what has arrived, and closes every connection, also those amid a request. */
  close(): Promise<void>;
}

/** Clavex gives up after ten seconds; whoever takes longer to send a request is answered 408 and cut off. */
const REQUEST_TIMEOUT_MS = 10_000;

/** What to do about an address that cannot be listened on. */
const FIXES: Readonly<Record<string, string>> = {
  EADDRINUSE: "Another process listens there: stop it, or choose another port with",
  EACCES: "Ports below 1024 are the system's: put a proxy in front, or choose another port with",
};

/**
 * Serves requests over HTTP. A request is handed over as soon as its headers are there; a body that nobody reads is dropped
 * for half a second after the answer, then the connection is closed.
 *
 * @throws {ConfigurationError} when it cannot listen there
 */
export async function listen({
  fetch,
  host,
  port,
  options = "--host and --port",
  requestTimeout = REQUEST_TIMEOUT_MS,
}: WebOptions): Promise<Web> {
  const server = serve({
    fetch,
    hostname: host,
    port,
    serverOptions: {
      headersTimeout: requestTimeout,
      requestTimeout,
      connectionsCheckingInterval: Math.ceil(requestTimeout / 10),
    },
  }) as Server;
  const underWay = new Map<ServerResponse, IncomingMessage>();
  server.on("request", (incoming, outgoing) => {
    underWay.set(outgoing, incoming);
    outgoing.once("close", () => underWay.delete(outgoing));
  });
  try {
    await once(server, "listening");
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new ConfigurationError("cannot-listen", [`cannot listen on ${host} port ${port}: ${systemWords(error)}`], {
      fix: `${FIXES[error.code] ?? "Choose another address with"} ${options}.`,
      cause: error,
    });
  }
  const address = server.address();
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${typeof address === "object" ? address?.port : port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      const arrived = [...underWay].filter(([, incoming]) => incoming.complete);
      await Promise.all(arrived.map(([outgoing]) => new Promise((resolve) => outgoing.once("close", resolve))));
      server.closeAllConnections();
      await closed;
    },
  };
}
