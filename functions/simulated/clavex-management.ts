import { randomBytes, randomUUID } from "node:crypto";

/** A key of the Admin API; its value is shown once. */
export interface SimulatedApiKey {
  id: string;
  name: string;
  scope: string;
  permissions: string[];
  key: string;
}

export interface SimulatedWebhook {
  id: string;
  url: string;
  events: string[];
  event_filter: string[];
  is_active: boolean;
  secret: string;
}

/** One attempt of a delivery, as the delivery history shows it. */
export interface SimulatedDelivery {
  id: string;
  webhook_id: string;
  delivery_id: string;
  event: string;
  attempt: number;
  status: "pending" | "success" | "failed";
  http_status: number | null;
  attempted_at: string;
}

export interface SimulatedSink {
  id: string;
  name: string;
  sink_type: string;
  is_active: boolean;
  config: Record<string, unknown>;
  filter_actions: string[];
  filter_statuses: string[];
}

/** An OIDC client. Without an algorithm its id tokens are signed PS256, the server's default. */
export interface SimulatedClient {
  client_id: string;
  name: string;
  redirect_uris: string[];
  grant_types: string[];
  response_types: string[];
  scopes: string[];
  is_active: boolean;
  id_token_signed_response_alg?: string;
  secret: string;
}

export interface SimulatedMapper {
  id: string;
  client_id: string;
  name: string;
  mapper_type: string;
  claim_name: string;
  claim_value?: string;
  attribute_name?: string;
  add_to_access_token: boolean;
  add_to_id_token: boolean;
  add_to_userinfo: boolean;
}

/** What administrators set up in an organization, apart from its people. Tests may change it behind the API's back. */
export interface ManagementState {
  apiKeys: SimulatedApiKey[];
  webhooks: SimulatedWebhook[];
  deliveries: SimulatedDelivery[];
  sinks: SimulatedSink[];
  clients: SimulatedClient[];
  mappers: SimulatedMapper[];
}

export function emptyManagement(): ManagementState {
  return { apiKeys: [], webhooks: [], deliveries: [], sinks: [], clients: [], mappers: [] };
}

/** A call of a management route. */
export interface ManagementCall {
  state: ManagementState;
  ids: string[];
  body: Map<string, unknown>;
  query: URLSearchParams;
  /** The secret that new subscriptions get; undefined for a random one. */
  webhookSecret: string | undefined;
}

/** Status and body of an answer; a body of undefined is an empty one. */
export type ManagementAnswer = [status: number, body?: unknown];

export interface ManagementRoute {
  /** Tells these routes from those of the directory. */
  manages: true;
  method: string;
  /** The path after the organization. */
  pattern: RegExp;
  needs: string;
  run: (call: ManagementCall) => ManagementAnswer;
}

const NOT_FOUND: ManagementAnswer = [404];
const MAPPER_TYPES = ["user_property", "user_attribute", "hardcoded", "role_list", "group_membership"];

/** The routes that set an organization up (docs/facts/clavex.md 1, 3, 6). */
export const managementRoutes: ManagementRoute[] = [
  route("GET", /^\/api-keys$/, "api_keys:read", ({ state }) => [200, state.apiKeys.map(withoutKey)]),
  route("POST", /^\/api-keys$/, "api_keys:write", createApiKey),
  route("DELETE", /^\/api-keys\/([^/]+)$/, "api_keys:write", ({ state, ids }) => remove(state.apiKeys, "id", ids[0])),

  route("GET", /^\/webhooks$/, "webhooks:read", ({ state }) => [
    200,
    { items: state.webhooks.map(withoutSecret), has_more: false },
  ]),
  route("POST", /^\/webhooks$/, "webhooks:write", createWebhook),
  route("PATCH", /^\/webhooks\/([^/]+)$/, "webhooks:write", updateWebhook),
  route("DELETE", /^\/webhooks\/([^/]+)$/, "webhooks:write", ({ state, ids }) => remove(state.webhooks, "id", ids[0])),
  route("GET", /^\/webhooks\/([^/]+)\/deliveries$/, "webhooks:read", listDeliveries),

  route("GET", /^\/audit\/sinks$/, "audit:read", ({ state }) => [200, state.sinks.map(redacted)]),
  route("POST", /^\/audit\/sinks$/, "audit:write", createSink),
  route("DELETE", /^\/audit\/sinks\/([^/]+)$/, "audit:write", ({ state, ids }) => remove(state.sinks, "id", ids[0])),

  route("GET", /^\/clients$/, "clients:read", listClients),
  route("PATCH", /^\/clients\/([^/]+)$/, "clients:write", updateClient),
  route("POST", /^\/clients\/([^/]+)\/secret$/, "clients:write", rotateSecret),
  route("DELETE", /^\/clients\/([^/]+)$/, "clients:write", ({ state, ids }) =>
    remove(state.clients, "client_id", ids[0]),
  ),
  route("GET", /^\/clients\/([^/]+)\/mappers$/, "clients:read", ({ state, ids }) =>
    clientOf(state, ids[0]) ? [200, state.mappers.filter(({ client_id: id }) => id === ids[0])] : NOT_FOUND,
  ),
  route("POST", /^\/clients\/([^/]+)\/mappers$/, "clients:write", createMapper),
  route("DELETE", /^\/clients\/([^/]+)\/mappers\/([^/]+)$/, "clients:write", ({ state, ids }) =>
    remove(state.mappers, "id", ids[1]),
  ),
];

function route(
  method: string,
  pattern: RegExp,
  needs: string,
  run: (call: ManagementCall) => ManagementAnswer,
): ManagementRoute {
  return { manages: true, method, pattern, needs, run };
}

function createApiKey({ state, body }: ManagementCall): ManagementAnswer {
  const key = {
    id: randomUUID(),
    name: String(body.get("name")),
    scope: String(body.get("scope") ?? "read-write"),
    permissions: texts(body.get("permissions")),
    key: `clv_${randomBytes(24).toString("hex")}`,
  };
  state.apiKeys.push(key);
  return [201, { key: key.key, meta: withoutKey(key) }];
}

/** A secret that the caller sends is ignored. */
function createWebhook({ state, body, webhookSecret }: ManagementCall): ManagementAnswer {
  const [url, events] = [body.get("url"), texts(body.get("events"))];
  if (typeof url !== "string" || !URL.canParse(url) || events.length === 0) return [400];
  const webhook: SimulatedWebhook = {
    id: randomUUID(),
    url,
    events,
    event_filter: texts(body.get("event_filter")),
    is_active: true,
    secret: webhookSecret ?? randomBytes(32).toString("hex"),
  };
  state.webhooks.push(webhook);
  const { event_filter: _, ...shown } = webhook;
  return [201, shown];
}

function updateWebhook({ state, ids, body }: ManagementCall): ManagementAnswer {
  const webhook = state.webhooks.find(({ id }) => id === ids[0]);
  if (webhook === undefined) return NOT_FOUND;
  if (typeof body.get("url") === "string") webhook.url = String(body.get("url"));
  if (Array.isArray(body.get("events"))) webhook.events = texts(body.get("events"));
  if (typeof body.get("is_active") === "boolean") webhook.is_active = body.get("is_active") === true;
  return [200, withoutSecret(webhook)];
}

/** Newest first; one row for each attempt. */
function listDeliveries({ state, ids, query }: ManagementCall): ManagementAnswer {
  const limit = Number(query.get("limit") ?? 50);
  return [200, state.deliveries.filter(({ webhook_id: id }) => id === ids[0]).slice(0, limit)];
}

function createSink({ state, body }: ManagementCall): ManagementAnswer {
  const [name, type, config] = [body.get("name"), body.get("sink_type"), body.get("config")];
  if (typeof name !== "string" || typeof type !== "string" || typeof config !== "object" || config === null) {
    return [400];
  }
  const sink: SimulatedSink = {
    id: randomUUID(),
    name,
    sink_type: type,
    is_active: true,
    config: { ...config },
    filter_actions: texts(body.get("filter_actions")),
    filter_statuses: texts(body.get("filter_statuses")),
  };
  state.sinks.push(sink);
  return [201, redacted(sink)];
}

function listClients({ state, query }: ManagementCall): ManagementAnswer {
  const [limit, offset] = [Number(query.get("limit") ?? 50), Number(query.get("offset") ?? 0)];
  return [200, { items: state.clients.slice(offset, offset + limit).map(withoutSecret), total: state.clients.length }];
}

/** The signing algorithm cannot be changed here, as in the real server: only registration sets it. */
function updateClient({ state, ids, body }: ManagementCall): ManagementAnswer {
  const client = clientOf(state, ids[0]);
  if (client === undefined) return NOT_FOUND;
  for (const field of ["redirect_uris", "grant_types", "response_types"] as const) {
    if (Array.isArray(body.get(field))) client[field] = texts(body.get(field));
  }
  if (typeof body.get("is_active") === "boolean") client.is_active = body.get("is_active") === true;
  return [200, withoutSecret(client)];
}

function rotateSecret({ state, ids }: ManagementCall): ManagementAnswer {
  const client = clientOf(state, ids[0]);
  if (client === undefined) return NOT_FOUND;
  client.secret = randomBytes(24).toString("hex");
  return [200, { client_secret: client.secret }];
}

function createMapper({ state, ids, body }: ManagementCall): ManagementAnswer {
  if (clientOf(state, ids[0]) === undefined) return NOT_FOUND;
  const [name, type, claim] = [body.get("name"), body.get("mapper_type"), body.get("claim_name")];
  if (typeof name !== "string" || typeof claim !== "string" || !MAPPER_TYPES.includes(String(type))) return [400];
  if (state.mappers.some((mapper) => mapper.client_id === ids[0] && mapper.name === name)) return [409];
  const optional = Object.fromEntries(
    ["claim_value", "attribute_name"].flatMap((field) =>
      typeof body.get(field) === "string" ? [[field, body.get(field)]] : [],
    ),
  );
  const mapper: SimulatedMapper = {
    id: randomUUID(),
    client_id: ids[0] ?? "",
    name,
    mapper_type: String(type),
    claim_name: claim,
    ...optional,
    add_to_access_token: body.get("add_to_access_token") === true,
    add_to_id_token: body.get("add_to_id_token") === true,
    add_to_userinfo: body.get("add_to_userinfo") === true,
  };
  state.mappers.push(mapper);
  return [201, mapper];
}

/** Dynamic registration (RFC 7591): open to everybody, and the only way to choose the signing algorithm. */
export function registerClient(state: ManagementState, body: Map<string, unknown>): ManagementAnswer {
  const redirects = texts(body.get("redirect_uris"));
  if (redirects.length === 0) return [400, { error: "invalid_redirect_uri", message: "redirect_uris is required" }];
  const algorithm = body.get("id_token_signed_response_alg");
  const client: SimulatedClient = {
    client_id: randomUUID(),
    name: String(body.get("client_name") ?? ""),
    redirect_uris: redirects,
    grant_types: texts(body.get("grant_types") ?? ["authorization_code"]),
    response_types: texts(body.get("response_types") ?? ["code"]),
    scopes: String(body.get("scope") ?? "openid").split(" "),
    is_active: true,
    ...(typeof algorithm === "string" ? { id_token_signed_response_alg: algorithm } : {}),
    secret: randomBytes(24).toString("hex"),
  };
  state.clients.push(client);
  const { client_id: id, secret, scopes, name, is_active: _, ...rest } = client;
  return [201, { ...rest, client_id: id, client_secret: secret, client_name: name, scope: scopes.join(" ") }];
}

function clientOf(state: ManagementState, id: string | undefined): SimulatedClient | undefined {
  return state.clients.find(({ client_id: each }) => each === id);
}

function remove<K extends string>(list: Record<K, unknown>[], key: K, id: string | undefined): ManagementAnswer {
  const at = list.findIndex((each) => each[key] === id);
  if (at < 0) return NOT_FOUND;
  list.splice(at, 1);
  return [204];
}

function withoutKey({ key: _, ...shown }: SimulatedApiKey): Omit<SimulatedApiKey, "key"> {
  return shown;
}

function withoutSecret<T extends { secret: string }>({ secret: _, ...shown }: T): Omit<T, "secret"> {
  return shown;
}

function redacted(sink: SimulatedSink): SimulatedSink {
  return { ...sink, config: { ...sink.config, secret: "***" } };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
}
