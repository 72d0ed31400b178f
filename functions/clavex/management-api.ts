import type { Dispatcher } from "undici";
import * as z from "zod";
import { type Answer, pathPrefix, readJson, send } from "../http.ts";
import { ClavexFailure, ClavexMisrouted, ClavexUnavailable } from "./errors.ts";
import { reasonOf } from "./refusal.ts";
import { unreachable } from "./unreachable.ts";

/** Clavex refuses the token, or what it may do (401, 403). */
export class ClavexTokenRefused extends ClavexFailure {
  readonly status: number;

  constructor(status: number, what: string, reason: string) {
    super(
      "configuration",
      "clavex-token-refused",
      `Clavex refuses ${what}${reason && `: ${reason}`} (HTTP ${status})`,
      "organization",
      { fix: "Use the token of an administrator of this organization, or an API key that may do this." },
    );
    this.status = status;
  }
}

/** The list shows the beginning of each key, without what all keys begin with. */
export function isPrefixOf(prefix: string, key: string): boolean {
  return prefix !== "" && key.replace(/^clv_/, "").startsWith(prefix.replace(/^clv_/, ""));
}

/** Whether Clavex refused the token or key itself, rather than the request. */
export function isTokenRefused(error: unknown): boolean {
  return error instanceof ClavexTokenRefused;
}

/** Clavex understands the request and refuses its content (400, 404, 409, 422). */
export class ClavexRefusal extends ClavexFailure {
  readonly status: number;

  constructor(status: number, what: string, message: string) {
    super(
      "permanent",
      "clavex-refusal",
      `Clavex refuses ${what}: ${message || "no reason given"} (HTTP ${status})`,
      "organization",
      {
        fix: "Check clavex.baseUrl, slug and organizationId.",
      },
    );
    this.status = status;
  }
}

const text = z.string();
const texts = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);

const apiKeySchema = z.object({
  id: text,
  name: text,
  key_prefix: text,
  permissions: texts,
  is_active: z.boolean(),
});
const webhookSchema = z.object({ id: text, url: text, events: texts, is_active: z.boolean() });
const deliverySchema = z.object({
  event: text,
  status: text,
  http_status: z.number().nullish(),
  attempted_at: text,
});
const sinkSchema = z.object({
  id: text,
  name: text,
  sink_type: text,
  is_active: z.boolean(),
  config: z.record(z.string(), z.unknown()).nullish(),
  filter_actions: texts,
  success_count: z.number().default(0),
  failure_count: z.number().default(0),
});
const clientSchema = z.object({
  client_id: text,
  name: text,
  redirect_uris: texts,
  grant_types: texts,
  response_types: texts,
  scopes: texts,
  is_active: z.boolean(),
  created_at: text,
});
const clientDetailSchema = clientSchema.extend({ id_token_signed_response_alg: text.nullish() });
const mapperSchema = z.object({
  id: text,
  client_id: text,
  name: text,
  mapper_type: text,
  claim_name: text,
  claim_value: text.nullish(),
  attribute_name: text.nullish(),
  add_to_access_token: z.boolean(),
});
const registrationSchema = z.object({ client_id: text, client_secret: text });

/** A key as the list shows it; a revoked one stays there, not active. */
export type ApiKey = z.output<typeof apiKeySchema>;
export type Webhook = z.output<typeof webhookSchema>;
/** One attempt of a delivery; `status` is `success` or `failed`, newest first in the list. */
export type Delivery = z.output<typeof deliverySchema>;
export type AuditSink = z.output<typeof sinkSchema>;
/** An OIDC client as the list shows it: without the algorithm of its id tokens. */
export type ListedClient = z.output<typeof clientSchema>;
/** An OIDC client. An empty `id_token_signed_response_alg` means the server's default, PS256. */
export type OidcClient = z.output<typeof clientDetailSchema>;
/** What puts a claim into a client's tokens; without `add_to_access_token` Clavex skips it everywhere. */
export type Mapper = z.output<typeof mapperSchema>;
export type NewMapper = Omit<Mapper, "id" | "client_id"> & { add_to_id_token: boolean; add_to_userinfo: boolean };
/** What dynamic registration asks for (`POST /{slug}/register`). */
export interface NewClient {
  client_name: string;
  redirect_uris: string[];
  grant_types: string[];
  response_types: string[];
  scope: string;
  token_endpoint_auth_method: string;
  id_token_signed_response_alg: string;
}

/** What can be set up in Clavex for one organization. Every method throws the errors of this module. */
export interface ManagementApi {
  /** What the token or key itself may do; undefined where this Clavex does not tell. */
  permissions(): Promise<string[] | undefined>;
  apiKeys(): Promise<ApiKey[]>;
  /** Mints a key; it is shown only in this answer. */
  createApiKey(name: string, permissions: string[]): Promise<{ id: string; key: string }>;
  /** Revokes a key. It stays in the list, not active. */
  deleteApiKey(id: string): Promise<void>;
  /** All subscriptions, newest first. */
  webhooks(): Promise<Webhook[]>;
  /** Subscribes; the secret is the server's and shown only in this answer. */
  createWebhook(url: string, events: string[]): Promise<{ id: string; secret: string }>;
  updateWebhook(id: string, change: { url?: string; events?: string[]; is_active?: boolean }): Promise<void>;
  deleteWebhook(id: string): Promise<void>;
  deliveries(webhookId: string, limit: number): Promise<Delivery[]>;
  sinks(): Promise<AuditSink[]>;
  /** Creates an audit sink of type webhook and returns its id. */
  createSink(sink: { name: string; url: string; secret: string; actions: string[] }): Promise<string>;
  deleteSink(id: string): Promise<void>;
  /** All clients, sorted by name. */
  clients(): Promise<ListedClient[]>;
  /** One client with the algorithm of its id tokens, which the list hides; undefined when it does not exist. */
  client(clientId: string): Promise<OidcClient | undefined>;
  /** Registers a client dynamically: the only way to choose how its id tokens are signed. */
  registerClient(slug: string, client: NewClient): Promise<{ clientId: string; clientSecret: string }>;
  updateClient(clientId: string, change: { redirect_uris?: string[] }): Promise<void>;
  /** Gives the client a new secret; the old one stops working. */
  rotateClientSecret(clientId: string): Promise<string>;
  deleteClient(clientId: string): Promise<void>;
  mappers(clientId: string): Promise<Mapper[]>;
  createMapper(clientId: string, mapper: NewMapper): Promise<void>;
  deleteMapper(clientId: string, id: string): Promise<void>;
}

export interface ManagementApiOptions {
  baseUrl: string;
  organizationId: string;
  /** An administrator's token, or an API key (`clv_...`). */
  token: () => Promise<string>;
  pool: Dispatcher;
}

const PAGE = 200;

/** Makes one request and reads its answer. `path` begins at Clavex's own root. */
type Call = <T>(method: Dispatcher.HttpMethod, path: string, schema: z.ZodType<T>, body?: unknown) => Promise<T>;

function createCall({ baseUrl, organizationId, token, pool }: ManagementApiOptions): { call: Call; org: Call } {
  const prefix = pathPrefix(baseUrl);
  const root = `/api/v1/organizations/${organizationId}`;
  const call: Call = async (method, path, schema, body) => {
    const what = `${method} ${path.replace(root, "").replace(/\?.*/, "")}`;
    const secret = await token();
    const headers: Record<string, string> = {
      accept: "application/json",
      ...(secret.startsWith("clv_") ? { "x-api-key": secret } : { authorization: `Bearer ${secret}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await send(pool, { method, path: `${prefix}${path}`, headers, ...content }).catch((error) => {
      throw unreachable(error);
    });
    return read(answer, schema, what);
  };
  return { call, org: (method, path, schema, body) => call(method, `${root}${path}`, schema, body) };
}

/** A client for the parts of the Admin API that set things up (docs/facts/clavex.md 1, 3, 6). */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  const { call, org } = createCall(options);
  return {
    permissions: () => undefinedIfMissing(org("GET", "/my-admin-permissions", list(text))),
    apiKeys: () => org("GET", "/api-keys", list(apiKeySchema)),
    async createApiKey(name, permissions) {
      // Clavex enforces `permissions` only; `scope` is what its console shows.
      const body = { name, scope: "read-only", permissions };
      const made = z.object({ key: text, meta: z.object({ id: text }) });
      const { key, meta } = await org("POST", "/api-keys", made, body);
      return { id: meta.id, key };
    },
    deleteApiKey: (id) => org("DELETE", `/api-keys/${segment(id)}`, nothing),
    async webhooks() {
      const found: Webhook[] = [];
      const page = z.object({ items: z.array(webhookSchema), next_cursor: text.nullish() });
      const seen = new Set<string>();
      for (let after: string | undefined; ; ) {
        const query = after === undefined ? "" : `&after=${segment(after)}`;
        const { items, next_cursor: next } = await org("GET", `/webhooks?limit=${PAGE}${query}`, page);
        found.push(...items);
        if (!next || seen.has(next)) return found;
        seen.add(next);
        after = next;
      }
    },
    createWebhook: (url, events) =>
      org("POST", "/webhooks", z.object({ id: text, secret: text }), { url, events, event_filter: [] }),
    updateWebhook: (id, change) => org("PATCH", `/webhooks/${segment(id)}`, nothing, change),
    deleteWebhook: (id) => org("DELETE", `/webhooks/${segment(id)}`, nothing),
    deliveries: (id, limit) => org("GET", `/webhooks/${segment(id)}/deliveries?limit=${limit}`, list(deliverySchema)),
    sinks: () => org("GET", "/audit/sinks", list(sinkSchema)),
    async createSink({ name, url, secret, actions }) {
      const sink = {
        name,
        sink_type: "webhook",
        config: { url, secret, headers: {} },
        filter_actions: actions,
        filter_statuses: ["success"],
      };
      return (await org("POST", "/audit/sinks", z.object({ id: text }), sink)).id;
    },
    deleteSink: (id) => org("DELETE", `/audit/sinks/${segment(id)}`, nothing),
    async clients() {
      const found: ListedClient[] = [];
      const page = z.union([
        list(clientSchema),
        z.object({ items: list(clientSchema) }).transform((each) => each.items),
      ]);
      for (let offset = 0; ; offset += PAGE) {
        const items = await org("GET", `/clients?limit=${PAGE}&offset=${offset}`, page);
        found.push(...items);
        if (items.length < PAGE) return found;
      }
    },
    client: (id) => undefinedIfMissing(org("GET", `/clients/${segment(id)}`, clientDetailSchema)),
    async registerClient(slug, client) {
      const made = await call("POST", `/${segment(slug)}/register`, registrationSchema, client);
      return { clientId: made.client_id, clientSecret: made.client_secret };
    },
    updateClient: (id, change) => org("PATCH", `/clients/${segment(id)}`, nothing, change),
    async rotateClientSecret(id) {
      return (await org("POST", `/clients/${segment(id)}/secret`, z.object({ client_secret: text }))).client_secret;
    },
    deleteClient: (id) => org("DELETE", `/clients/${segment(id)}`, nothing),
    mappers: (id) => org("GET", `/clients/${segment(id)}/mappers`, list(mapperSchema)),
    createMapper: (id, mapper) => org("POST", `/clients/${segment(id)}/mappers`, nothing, mapper),
    deleteMapper: (client, id) => org("DELETE", `/clients/${segment(client)}/mappers/${segment(id)}`, nothing),
  };
}

/**
 * Looks an organization's UUID up by its slug, which only superadmins can: they list all organizations (docs/facts/clavex.md 6).
 *
 * @returns undefined where this token does not see an organization of that slug
 * @throws {ClavexTokenRefused} when the token itself is refused
 */
export async function findOrganizationId(
  options: Omit<ManagementApiOptions, "organizationId">,
  slug: string,
): Promise<string | undefined> {
  const { call } = createCall({ ...options, organizationId: "" });
  const seen = z.object({ id: text, slug: text });
  const all = await call("GET", "/api/v1/organizations", list(seen)).catch((error: unknown) => {
    const { status } = error instanceof ClavexTokenRefused || error instanceof ClavexRefusal ? error : {};
    if (status === 403 || status === 404) return [];
    throw error;
  });
  return all.find((each) => each.slug === slug)?.id;
}

/** The result, or undefined where Clavex does not have what was asked for. */
async function undefinedIfMissing<T>(result: Promise<T>): Promise<T | undefined> {
  return result.catch((error: unknown) => {
    if (error instanceof ClavexRefusal && error.status === 404) return undefined;
    throw error;
  });
}

const segment = encodeURIComponent;
const nothing = z.unknown().transform(() => undefined);
/** Go writes an empty list as `null`. */
const list = <T>(item: z.ZodType<T>) =>
  z
    .array(item)
    .nullable()
    .transform((items) => items ?? []);

function read<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
  const { status } = answer;
  if (status === 401 || status === 403) throw new ClavexTokenRefused(status, what, reasonOf(answer));
  if (status === 429 || status >= 500)
    throw new ClavexUnavailable(`Clavex answers HTTP ${status} to ${what}`, "subject");
  if (status >= 300 && status < 400) {
    throw new ClavexMisrouted(`Clavex answers HTTP ${status} to ${what}, a redirect that is not followed`);
  }
  if (status >= 400) throw new ClavexRefusal(status, what, reasonOf(answer));
  const result = readJson(answer.body === "" ? "null" : answer.body, schema);
  if ("value" in result) return result.value;
  throw new ClavexMisrouted(
    result.problem === "not JSON"
      ? `Clavex's answer to ${what} is not JSON (HTTP ${status})`
      : `Clavex's answer to ${what} has an unexpected form (${result.where})`,
  );
}
