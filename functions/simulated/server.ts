import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** One request as a simulator received it. `path` has the query; `at` is in milliseconds since 1970. */
export interface RecordedRequest {
  at: number;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** What a simulator answers. */
export interface Answer {
  status: number;
  headers?: Record<string, string | string[]>;
  body?: string;
}

/**
 * A fault of a request:
 * - `status`: this answer instead of the real one;
 * - `hang`: no answer, until the client gives up or the server is closed;
 * - `reset`: the connection is reset;
 * - `cut`: headers and half of the real answer's body, then the connection is destroyed (the work is always done);
 * - `slow`: the real answer, `ms` later;
 * - `changed`: the real answer, with something else in it.
 *
 * `match` says which requests (default: all), `times` how often (default: until cleared). With `after` the real work is
 * done before it goes wrong: the client sees a failure, but the change was made.
 */
export type Fault = { match?: (request: RecordedRequest) => boolean; times?: number; after?: boolean } & (
  | { kind: "status"; status: number; headers?: Record<string, string | string[]>; body?: string }
  | { kind: "hang" }
  | { kind: "reset" }
  | { kind: "cut" }
  | { kind: "slow"; ms: number }
  | { kind: "changed"; change: (answer: Answer, request: RecordedRequest) => Answer }
);

/** Adds faults to a running simulator; the first one that matches a request is used. */
export interface FaultInjector {
  add(fault: Fault): void;
  clear(): void;
}

/** The part that all simulators have in common. */
export interface SimulatedServer {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** Every request received since the start, in order; may be emptied with `requests.length = 0`. */
  readonly requests: RecordedRequest[];
  readonly faults: FaultInjector;
  /** The real work without HTTP: one request in, one answer out; without faults, and not recorded. */
  readonly answer: (request: RecordedRequest) => Answer;
  /** Stops listening and breaks every connection: an outage. The state is kept. */
  down(): Promise<void>;
  /** Listens again on the same port. */
  up(): Promise<void>;
  /** Stops for good: ends idle connections, releases hanging and slow requests. */
  close(): Promise<void>;
}

export interface ServerOptions {
  /** Default: any free port. */
  port?: number;
  /** The real work: one request in, one answer out. */
  answer: (request: RecordedRequest) => Answer;
  /** What the `Date` header of its answers says. */
  now?: () => number;
  /** How long the work of a request takes, in milliseconds, for benchmarks; the default is no time at all. */
  serviceTime?: (request: RecordedRequest) => number;
}

/**
 * Starts a simulator's HTTP server on 127.0.0.1.
 *
 * @returns the running server; the caller has to close it.
 */
export async function startServer({
  port = 0,
  answer,
  now = Date.now,
  serviceTime,
}: ServerOptions): Promise<SimulatedServer> {
  const requests: RecordedRequest[] = [];
  const faults = createFaults();
  const closing = new AbortController();

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // A client that went away or a closing server is normal here; anything else is a fault of the simulator.
      if (closing.signal.aborted || response.destroyed) return;
      response.writeHead(500, { "content-type": "text/plain" }).end(`simulator failed: ${String(error)}`);
    });
  });

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request: RecordedRequest = {
      at: Date.now(),
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      headers: incoming.headers,
      body: await readBody(incoming),
    };
    requests.push(request);
    response.setHeader("date", new Date(now()).toUTCString());
    const fault = faults.take(request);
    const work = async (): Promise<Answer> => {
      const ms = serviceTime?.(request) ?? 0;
      if (ms > 0) await wait(ms);
      return answer(request);
    };
    if (fault === undefined) send(response, await work());
    else if (fault.kind === "changed") send(response, fault.change(await work(), request));
    else await fail(fault, response, work);
  }

  async function fail(
    fault: Exclude<Fault, { kind: "changed" }>,
    response: ServerResponse,
    work: () => Promise<Answer>,
  ): Promise<void> {
    if (fault.kind === "cut") return cut(response, await work());
    if (fault.kind === "slow") {
      const early = fault.after ? await work() : undefined;
      await wait(fault.ms);
      return send(response, early ?? (await work()));
    }
    if (fault.after) await work();
    if (fault.kind === "status") return send(response, fault);
    if (fault.kind === "reset") response.socket?.resetAndDestroy();
  }

  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: closing.signal });

  const listen = (onPort: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(onPort, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });

  const stopListening = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });

  await listen(port);
  const boundPort = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${boundPort}`,
    port: boundPort,
    requests,
    faults,
    answer,
    down: async () => {
      await stopListening();
      // A client in the same process notices its closed connections now, and not in the middle of its next request.
      await sleep(10);
    },
    up: () => listen(boundPort),
    close: () => {
      closing.abort();
      return stopListening();
    },
  };
}

function createFaults(): FaultInjector & { take(request: RecordedRequest): Fault | undefined } {
  const waiting: { fault: Fault; left: number }[] = [];
  return {
    add: (fault) => {
      waiting.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
    },
    clear: () => {
      waiting.length = 0;
    },
    take: (request) => {
      const found = waiting.find(({ fault, left }) => left > 0 && (fault.match?.(request) ?? true));
      if (found !== undefined) found.left -= 1;
      return found?.fault;
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function send(response: ServerResponse, { status, headers = {}, body = "" }: Answer): void {
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
}

function cut(response: ServerResponse, { status, headers = {}, body = "" }: Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, "content-length": Math.max(bytes.length, 2) });
  response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
}

/** A JSON answer. */
export function jsonAnswer(status: number, value: unknown, headers: Record<string, string | string[]> = {}): Answer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}

/** The query of a request path. */
export function queryOf(path: string): URLSearchParams {
  const start = path.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : path.slice(start + 1));
}

/**
 * The parameters of a request as PHP would collect them: the query, then the form or JSON body over it. A form's
 * `name[]=a&name[]=b` becomes an array, `name[field]=a` an object; of a repeated plain name the last one counts.
 */
export function parametersOf(request: RecordedRequest): Map<string, unknown> {
  const parameters = phpForm(queryOf(request.path));
  const type = request.headers["content-type"] ?? "";
  const body = type.includes("application/json")
    ? jsonObject(request.body)
    : type.includes("application/x-www-form-urlencoded")
      ? phpForm(new URLSearchParams(request.body))
      : [];
  for (const [name, value] of body) parameters.set(name, value);
  return parameters;
}

function phpForm(pairs: URLSearchParams): Map<string, unknown> {
  const parameters = new Map<string, unknown>();
  for (const [key, value] of pairs) {
    const [, name, field = ""] = /^(.+)\[([^\]]*)\]$/.exec(key) ?? [];
    if (name === undefined) {
      parameters.set(key, value);
      continue;
    }
    const before = parameters.get(name);
    if (/^\d*$/.test(field)) parameters.set(name, Array.isArray(before) ? [...before, value] : [value]);
    else parameters.set(name, { ...(typeof before === "object" ? before : {}), [field]: value });
  }
  return parameters;
}

/** The fields of a JSON object; nothing for another value or text that is no JSON. */
export function jsonObject(text: string): Map<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return new Map(typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : []);
  } catch {
    return new Map();
  }
}
