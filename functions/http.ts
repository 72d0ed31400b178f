import { Dispatcher, Pool } from "undici";
import type * as z from "zod";
import { printable } from "./core/text.ts";
import { withDeadline } from "./deadline.ts";
import { VERSION } from "./version.ts";

/** How long a request may take, in milliseconds. */
export interface Timeouts {
  connect: number;
  headers: number;
  body: number;
}

/** An answer, read whole. `body` is text. */
export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** An answer that is larger than anything these servers send. */
export class AnswerTooLarge extends Error {
  override name = "AnswerTooLarge";
}

/** A header's value that cannot be sent. */
export class InvalidHeader extends Error {
  override name = "InvalidHeader";
}

const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** The longest that a request may take, however slowly its answer comes: longer than connecting, waiting and reading together. */
export const LONGEST_REQUEST_MS = 110_000;
const LARGEST_ANSWER = 64 * 1024 * 1024;

/**
 * One keep-alive connection pool for an origin. Requests on it never follow a redirect (undici does not), so credentials
 * stay with the origin they were meant for.
 *
 * @param connections how many requests may be under way at once; more wait for a free connection
 */
export function createPool(baseUrl: string, connections: number, timeouts: Timeouts): Pool {
  return new Pool(new URL(baseUrl).origin, {
    connections,
    connect: { timeout: timeouts.connect },
    headersTimeout: timeouts.headers,
    bodyTimeout: timeouts.body,
    keepAliveTimeout: 30_000,
  });
}

/** A pool whose connections can be closed while nobody is expected to need them: a later request opens new ones. */
export class ReopeningPool extends Dispatcher {
  readonly #open: () => Pool;
  #pool: Pool;
  readonly #closing = new Set<Promise<void>>();

  constructor(...pool: Parameters<typeof createPool>) {
    super();
    this.#open = () => createPool(...pool);
    this.#pool = this.#open();
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#pool.dispatch(options, handler);
  }

  /** Closes the connections as soon as the requests under way are over. */
  rest(): void {
    const closing = this.#pool.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    // It connects at its first request.
    this.#pool = this.#open();
  }

  /** Resolves when the requests under way are over and all connections are closed; later requests are refused. */
  override async close(): Promise<void> {
    await Promise.all([...this.#closing, this.#pool.close()]);
  }
}

/**
 * Sends one request and reads the whole answer. One that is no success does not repeat the request's credentials.
 *
 * @param longestMs after which the request is given up, however slowly its answer comes
 * @throws undici's and Node's network errors, a TimeoutError after `longestMs`, AnswerTooLarge and InvalidHeader
 */
export async function send(
  pool: Dispatcher,
  request: {
    method: Dispatcher.HttpMethod;
    path: string;
    headers: Record<string, string>;
    body?: string;
    /** How long to wait for the answer's beginning, in milliseconds, if not as long as the pool does. */
    headersTimeout?: number;
  },
  longestMs = LONGEST_REQUEST_MS,
): Promise<Answer> {
  // undici would refuse it too, but loses a connection of the pool with each such request.
  for (const [name, value] of Object.entries(request.headers))
    if (!HEADER_VALUE.test(value)) throw new InvalidHeader(name);
  // Firewalls in front of web servers ask for a User-Agent.
  const headers = { "user-agent": `clavex-nextcloud/${VERSION}`, ...request.headers };
  const options = { ...request, headers, body: request.body ?? null };
  // The pool's limits are for the first byte and for the time between two of them: a trickling answer needs one of its own.
  const answer = await withDeadline(longestMs, async (signal) =>
    readWhole(await pool.request({ ...options, signal }), request.method),
  );
  return answer.status < 300 ? answer : withoutCredentials(answer, request.headers);
}

/** Shorter texts are part of any page. */
const SHORTEST_CREDENTIALS = 8;

/** A refusal is shown and logged; some servers and proxies repeat the request in it. */
function withoutCredentials({ status, headers, body }: Answer, sent: Record<string, string>): Answer {
  const { authorization = "", "x-api-key": apiKey = "", cookie = "" } = sent;
  const token = authorization.replace(/^\w+ /, "");
  const password = Buffer.from(token, "base64")
    .toString("utf8")
    .replace(/^[^:]*:/, "");
  const cookies = cookie.split("; ").map((pair) => pair.slice(pair.indexOf("=") + 1));
  const secrets = [token, apiKey, password, JSON.stringify(password).slice(1, -1), ...cookies].filter(
    ({ length }) => length >= SHORTEST_CREDENTIALS,
  );
  const masked = (text: string): string => secrets.reduce((rest, secret) => rest.replaceAll(secret, "***"), text);
  // Never shown, and a session's cookie may be set again.
  const { "set-cookie": setCookie, ...shown } = headers;
  const entries = Object.entries(shown).map(([name, value]) => [
    name,
    typeof value === "string" ? masked(value) : value?.map(masked),
  ]);
  return { status, headers: { ...Object.fromEntries(entries), "set-cookie": setCookie }, body: masked(body) };
}

async function readWhole({ statusCode, headers, body }: Dispatcher.ResponseData, method: string): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += (chunk as Buffer).length;
    if (size > LARGEST_ANSWER) {
      body.destroy();
      throw new AnswerTooLarge(`answer to ${method} is larger than ${LARGEST_ANSWER} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return { status: statusCode, headers, body: Buffer.concat(chunks).toString("utf8") };
}

/** The path of a base URL, without a slash at its end: what goes before every path of a server that lives in a folder. */
export function pathPrefix(baseUrl: string): string {
  return new URL(baseUrl).pathname.replace(/\/+$/, "");
}

/** Who gave an answer that is not the server's own, and what it is: one sentence without anything of its body. */
export function answeredBy(url: string, { status, headers, body }: Answer): string {
  const type = String(headers["content-type"] ?? "").split(";")[0] || "no content type";
  const form = body === "" ? "an empty body" : /html/i.test(type) ? "a web page" : `something else (${type})`;
  const by = [headers.server, headers.via].flat().filter(Boolean).join(", ");
  return printable(`${url} answers HTTP ${status} with ${form}${by === "" ? "" : `, from ${by}`}`).slice(0, 300);
}

/** `Retry-After` in seconds, from either of its two forms; undefined when absent or unreadable. */
export function retryAfter(headers: Answer["headers"], now: number = Date.now()): number | undefined {
  const value = headers["retry-after"];
  if (typeof value !== "string") return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - now) / 1000);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

/** A short name for a network error, for messages: its code, never its text (which can hold addresses). */
export function networkErrorName(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return code ?? (error.cause instanceof Error ? networkErrorName(error.cause) : error.name);
}

/** Why no connection is possible until somebody changes something. */
export interface ConnectionFault {
  /** The end of the failure's code. */
  kind: "certificate" | "tls" | "name";
  /** What is wrong, after the server's name. */
  problem: string;
  /** @param setting the setting that holds the server's address */
  fix(setting: string): string;
}

const trustIt = (setting: string): string =>
  `Renew the certificate, make ${setting} the name that it is for, or add your own authority with NODE_EXTRA_CA_CERTS.`;

const CONNECTION_FAULTS: [pattern: RegExp, fault: ConnectionFault][] = [
  [
    // As likely as an old certificate is a machine that was started with a wrong date.
    /^(?:CERT|CRL)_(?:HAS_EXPIRED|NOT_YET_VALID)$/,
    {
      kind: "certificate",
      problem: "has a certificate that is not valid now, by this machine's clock",
      fix: (setting) =>
        `${trustIt(setting)} If it is not old, set this machine's clock right (timedatectl set-ntp true).`,
    },
  ],
  [
    // An alert is what the server says of us: that is not its own certificate.
    /^(?!.*_ALERT_).*(?:CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME|CRL_|^HOSTNAME_MISMATCH$|^INVALID_(?:CA|PURPOSE)$|^PATH_LENGTH_EXCEEDED$)/,
    {
      kind: "certificate",
      problem: "has a certificate that is not trusted",
      fix: trustIt,
    },
  ],
  [
    // Something that speaks no TLS, or other versions of it; and TLS where plain HTTP was expected.
    /^ERR_(?:SSL|TLS|OSSL)_(?!HANDSHAKE_TIMEOUT)|^EPROTO$|^HPE_INVALID_CONSTANT$/,
    {
      kind: "tls",
      problem: "does not speak the protocol that its address names",
      fix: (setting) =>
        `Check scheme and port of ${setting} (is it https there?), and the TLS versions of the server and of any proxy in front of it.`,
    },
  ],
  [
    /^(?:ENOTFOUND|EAI_NONAME|EAI_NODATA)$/,
    {
      kind: "name",
      problem: "has a name that nobody knows",
      fix: (setting) => `Correct the name in ${setting}, or its entry in DNS.`,
    },
  ],
];

/** What lasts behind a network error's name; undefined for what may pass by itself. */
export function connectionFault(name: string): ConnectionFault | undefined {
  return CONNECTION_FAULTS.find(([pattern]) => pattern.test(name))?.[1];
}

const TIMEOUTS = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "TimeoutError"]);

/** Whether a network error's name says that the server took the request and let us wait. */
export function isTimeout(name: string): boolean {
  return TIMEOUTS.has(name);
}

const CONNECT_ERRORS = new Set([
  "ECONNREFUSED",
  "EAI_AGAIN",
  "EAI_FAIL",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "EPERM",
  "ERR_TLS_HANDSHAKE_TIMEOUT",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Whether a network error's name says that the server could not be connected to at all. */
export function isConnectError(name: string): boolean {
  return CONNECT_ERRORS.has(name);
}

/** What a text holds: the value, or why it has none. `where` names the places that have another form, without values. */
export type ReadJson<T> = { value: T } | { problem: "not JSON" } | { problem: "unexpected form"; where: string };

/** Reads JSON of a known form. */
export function readJson<T>(text: string, schema: z.ZodType<T>): ReadJson<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { problem: "not JSON" };
  }
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data };
  const where = result.error.issues.map(({ path }) => path.map(String).join(".") || "answer").join(", ");
  return { problem: "unexpected form", where };
}
