import { randomBytes, randomUUID } from "node:crypto";
import { type Actor, holds, PERMISSIONS } from "./clavex-access.ts";
import { ApiError, afterOf, invalid, limitOf } from "./clavex-answer.ts";

/*
 * What is kept has the fields that matter; what the server shows besides is filled in when it is shown. So tests can put
 * things there behind the API's back, giving only the fields that they are about.
 */

/** When something was made and changed; the start of time where a test does not say. */
interface Dated {
  created_at?: string;
  updated_at?: string;
}

/** A key of the Admin API; its value is shown once. A revoked one stays, inactive. */
export interface SimulatedApiKey extends Dated {
  id: string;
  name: string;
  scope: string;
  permissions: string[];
  key: string;
  is_active?: boolean;
  expires_at?: string;
  created_by?: string;
  last_used_at?: string;
}

export interface SimulatedWebhook extends Dated {
  id: string;
  url: string;
  events: string[];
  event_filter: string[];
  is_active: boolean;
  secret: string;
}

/** One attempt of a delivery, as the delivery history shows it; `payload` is the envelope. */
export interface SimulatedDelivery {
  id: string;
  webhook_id: string;
  delivery_id: string;
  event: string;
  attempt: number;
  status: "success" | "failed";
  http_status?: number;
  error?: string;
  attempted_at: string;
  payload?: unknown;
}

export interface SimulatedSink extends Dated {
  id: string;
  name: string;
  sink_type: string;
  is_active: boolean;
  config: Record<string, unknown>;
  filter_actions: string[];
  filter_statuses: string[];
  success_count?: number;
  failure_count?: number;
}

/** An OIDC client. Without an algorithm its id tokens are signed PS256, the server's default. */
export interface SimulatedClient extends Dated {
  client_id: string;
  name: string;
  redirect_uris: string[];
  grant_types: string[];
  response_types: string[];
  scopes: string[];
  is_active: boolean;
  id_token_signed_response_alg?: string;
  token_endpoint_auth_method?: string;
  allowed_audiences?: string[];
  secret: string;
}

export interface SimulatedMapper extends Dated {
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

export interface SimulatedRole {
  id: string;
  name: string;
}

/** What administrators set up in an organization, apart from its people. Tests may change it behind the API's back. */
export interface ManagementState {
  apiKeys: SimulatedApiKey[];
  webhooks: SimulatedWebhook[];
  deliveries: SimulatedDelivery[];
  sinks: SimulatedSink[];
  clients: SimulatedClient[];
  mappers: SimulatedMapper[];
  roles: SimulatedRole[];
}

export function emptyManagement(): ManagementState {
  return { apiKeys: [], webhooks: [], deliveries: [], sinks: [], clients: [], mappers: [], roles: [] };
}

/** A call of a management route. */
export interface ManagementCall {
  organizationId: string;
  state: ManagementState;
  actor: Actor;
  ids: string[];
  body: Map<string, unknown>;
  query: URLSearchParams;
  now: () => string;
  /** The secret that new subscriptions get; undefined for a random one. */
  webhookSecret: string | undefined;
  /** Gives a user a role, for logging in as an administrator. */
  assignRole: (role: string, userId: string) => void;
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

const MAPPER_TYPES = ["user_property", "user_attribute", "hardcoded", "role_list", "group_membership"];
const NEVER = "0001-01-01T00:00:00Z";

/** The routes that set an organization up (docs/facts/clavex.md 1, 3, 5, 8). */
export const managementRoutes: ManagementRoute[] = [
  route("GET", /^\/my-admin-permissions$/, "", ({ actor }) => [200, actor.permissions ?? PERMISSIONS]),

  route("GET", /^\/api-keys$/, "security:read", (call) => [200, newestFirst(call.state.apiKeys).map(shownKey(call))]),
  route("POST", /^\/api-keys$/, "security:write", createApiKey),
  route("DELETE", /^\/api-keys\/([^/]+)$/, "security:write", revokeApiKey),

  route("GET", /^\/webhooks$/, "webhooks:read", listWebhooks),
  route("POST", /^\/webhooks$/, "webhooks:write", createWebhook),
  route("PATCH", /^\/webhooks\/([^/]+)$/, "webhooks:write", updateWebhook),
  route("DELETE", /^\/webhooks\/([^/]+)$/, "webhooks:write", ({ state, ids }) => remove(state.webhooks, "id", ids[0])),
  route("GET", /^\/webhooks\/([^/]+)\/deliveries$/, "webhooks:read", listDeliveries),

  // Go writes an empty list that was never filled as null.
  route("GET", /^\/audit\/sinks$/, "audit:read", (call) => [
    200,
    call.state.sinks.length === 0 ? null : call.state.sinks.map(shownSink(call)),
  ]),
  route("POST", /^\/audit\/sinks$/, "audit:write", createSink),
  route("DELETE", /^\/audit\/sinks\/([^/]+)$/, "audit:write", deleteSink),

  route("GET", /^\/clients$/, "clients:read", listClients),
  route("POST", /^\/clients$/, "clients:write", createClient),
  route("GET", /^\/clients\/([^/]+)$/, "clients:read", (call) => [200, shownClient(call, clientOf(call))]),
  route("PATCH", /^\/clients\/([^/]+)$/, "clients:write", updateClient),
  route("POST", /^\/clients\/([^/]+)\/secret$/, "clients:write", rotateSecret),
  route("DELETE", /^\/clients\/([^/]+)$/, "clients:write", ({ state, ids }) =>
    remove(state.clients, "client_id", ids[0]),
  ),
  route("GET", /^\/clients\/([^/]+)\/mappers$/, "clients:read", listMappers),
  route("POST", /^\/clients\/([^/]+)\/mappers$/, "clients:write", createMapper),
  route("DELETE", /^\/clients\/([^/]+)\/mappers\/([^/]+)$/, "clients:write", ({ state, ids }) =>
    remove(state.mappers, "id", ids[1]),
  ),

  route("POST", /^\/roles$/, "roles:write", createRole),
  route("PUT", /^\/roles\/([^/]+)\/users\/([^/]+)$/, "roles:write", assignRole),
];

function route(
  method: string,
  pattern: RegExp,
  needs: string,
  run: (call: ManagementCall) => ManagementAnswer,
): ManagementRoute {
  return { manages: true, method, pattern, needs, run };
}

/** Nobody can grant what they do not hold. `scope` is kept and not enforced. */
function createApiKey(call: ManagementCall): ManagementAnswer {
  const { state, body, actor } = call;
  const permissions = texts(body.get("permissions"));
  if (permissions.length === 0) {
    throw new ApiError(400, "permissions must be a non-empty array; unrestricted keys are superadmin-only");
  }
  const unknown = permissions.find((permission) => !PERMISSIONS.includes(permission));
  if (unknown !== undefined) throw new ApiError(400, `code=400, message=unknown permission token: ${unknown}`);
  const missing = permissions.filter((permission) => !holds(actor, permission));
  if (missing.length > 0) {
    throw new ApiError(403, `cannot grant permissions you do not hold: ${missing.join(", ")}`);
  }
  const expires = body.get("expires_at");
  const key: SimulatedApiKey = {
    id: randomUUID(),
    name: String(body.get("name")),
    scope: String(body.get("scope") ?? "read-write"),
    permissions,
    key: `clv_${randomBytes(24).toString("hex")}`,
    is_active: true,
    created_at: call.now(),
    ...(typeof expires === "string" ? { expires_at: expires } : {}),
    ...(actor.userId === undefined ? {} : { created_by: actor.userId }),
  };
  state.apiKeys.push(key);
  return [201, { key: key.key, meta: shownKey(call)(key) }];
}

function revokeApiKey({ state, ids }: ManagementCall): ManagementAnswer {
  const key = found(state.apiKeys, "id", ids[0]);
  key.is_active = false;
  return [204];
}

/** Newest first, in pages by `after`. */
function listWebhooks(call: ManagementCall): ManagementAnswer {
  const { state, query } = call;
  const [limit, after] = [limitOf(query), afterOf(query)];
  const all = newestFirst(state.webhooks);
  const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  const items = all.slice(start, start + limit);
  const more = all.length > start + limit;
  const next = more ? { next_cursor: items.at(-1)?.id } : {};
  return [200, { items: items.map((each) => shownWebhook(call, each)), ...next, has_more: more }];
}

/** A secret that the caller sends is ignored, and so are wildcards and unknown events: they never fire. */
function createWebhook({ state, body, webhookSecret, now }: ManagementCall): ManagementAnswer {
  const [url, events] = [body.get("url"), texts(body.get("events"))];
  if (typeof url !== "string" || !URL.canParse(url)) throw invalid("createWebhookRequest", "URL", "url");
  if (events.length === 0) throw invalid("createWebhookRequest", "Events", "min");
  const at = now();
  const webhook: SimulatedWebhook = {
    id: randomUUID(),
    url,
    events,
    event_filter: texts(body.get("event_filter")),
    is_active: true,
    secret: webhookSecret ?? randomBytes(32).toString("hex"),
    created_at: at,
    updated_at: at,
  };
  state.webhooks.push(webhook);
  return [201, { id: webhook.id, url, events, secret: webhook.secret, is_active: true }];
}

function updateWebhook(call: ManagementCall): ManagementAnswer {
  const { state, ids, body, now } = call;
  const webhook = found(state.webhooks, "id", ids[0]);
  if (typeof body.get("url") === "string") webhook.url = String(body.get("url"));
  if (Array.isArray(body.get("events"))) webhook.events = texts(body.get("events"));
  if (typeof body.get("is_active") === "boolean") webhook.is_active = body.get("is_active") === true;
  webhook.updated_at = now();
  return [200, shownWebhook(call, webhook)];
}

/** Newest first; one row for each attempt. A webhook that does not exist has none. */
function listDeliveries({ state, ids, query, organizationId }: ManagementCall): ManagementAnswer {
  const rows = state.deliveries.filter(({ webhook_id: id }) => id === ids[0]).slice(0, limitOf(query));
  return [
    200,
    rows.map(({ payload, ...row }) => ({
      ...row,
      org_id: organizationId,
      payload: Buffer.from(JSON.stringify(payload ?? {})).toString("base64"),
      duration_ms: 2,
    })),
  ];
}

function createSink(call: ManagementCall): ManagementAnswer {
  const { state, body, now } = call;
  const [name, type, config] = [body.get("name"), body.get("sink_type"), body.get("config")];
  if (typeof name !== "string" || typeof type !== "string" || typeof config !== "object") {
    throw new ApiError(400, "name, sink_type, and config are required");
  }
  const at = now();
  const sink: SimulatedSink = {
    id: randomUUID(),
    name,
    sink_type: type,
    is_active: true,
    config: { ...config },
    filter_actions: texts(body.get("filter_actions")),
    filter_statuses: texts(body.get("filter_statuses")),
    created_at: at,
    updated_at: at,
  };
  state.sinks.push(sink);
  return [201, shownSink(call)(sink)];
}

/** Answers 200 with an empty body, also where there was no such sink. */
function deleteSink({ state, ids }: ManagementCall): ManagementAnswer {
  state.sinks = state.sinks.filter(({ id }) => id !== ids[0]);
  return [200];
}

/** Sorted by name. The algorithm is not in the list: only the client by itself shows it. */
function listClients(call: ManagementCall): ManagementAnswer {
  const { state, query } = call;
  const [limit, offset] = [limitOf(query), Number(query.get("offset") ?? 0)];
  const all = byName(state.clients);
  const items = all.slice(offset, offset + limit).map((client) => {
    const { id_token_signed_response_alg: _, ...shown } = shownClient(call, client);
    return { ...shown, enabled_login_providers: [] };
  });
  const total = all.length === 0 ? {} : { total: all.length };
  return [200, { items, ...total, has_more: all.length > offset + limit }];
}

/** The algorithm and the scopes of the request are ignored. */
function createClient(call: ManagementCall): ManagementAnswer {
  const { state, body, now } = call;
  const redirects = texts(body.get("redirect_uris"));
  if (redirects.length === 0) throw invalid("createClientRequest", "RedirectURIs", "required");
  const client: SimulatedClient = {
    ...newClient(String(body.get("name") ?? ""), redirects, now()),
    token_endpoint_auth_method: "client_secret_basic",
  };
  state.clients.push(client);
  return [201, { client: shownClient(call, client), client_secret: client.secret }];
}

/** The signing algorithm cannot be changed here: only registration sets it. */
function updateClient(call: ManagementCall): ManagementAnswer {
  const { body, now } = call;
  const client = clientOf(call);
  for (const field of ["redirect_uris", "grant_types", "response_types"] as const) {
    if (Array.isArray(body.get(field))) client[field] = texts(body.get(field));
  }
  if (typeof body.get("is_active") === "boolean") client.is_active = body.get("is_active") === true;
  client.updated_at = now();
  return [200, shownClient(call, client)];
}

function rotateSecret(call: ManagementCall): ManagementAnswer {
  const client = clientOf(call);
  client.secret = randomBytes(24).toString("hex");
  return [200, { client_secret: client.secret }];
}

function listMappers(call: ManagementCall): ManagementAnswer {
  const { client_id: id } = clientOf(call);
  const mappers = call.state.mappers.filter((each) => each.client_id === id);
  return [200, byName(mappers).map((mapper) => shownMapper(call, mapper))];
}

function createMapper(call: ManagementCall): ManagementAnswer {
  const { state, body, now } = call;
  const { client_id: client } = clientOf(call);
  const [name, type, claim] = [body.get("name"), body.get("mapper_type"), body.get("claim_name")];
  if (typeof name !== "string") throw invalid("createMapperRequest", "Name", "required");
  if (!MAPPER_TYPES.includes(String(type))) throw invalid("createMapperRequest", "MapperType", "oneof");
  if (typeof claim !== "string") throw invalid("createMapperRequest", "ClaimName", "required");
  if (state.mappers.some((mapper) => mapper.client_id === client && mapper.name === name)) {
    throw new ApiError(409, "mapper name already exists for this client");
  }
  const optional = Object.fromEntries(
    ["claim_value", "attribute_name"].flatMap((field) =>
      typeof body.get(field) === "string" ? [[field, body.get(field)]] : [],
    ),
  );
  const mapper: SimulatedMapper = {
    id: randomUUID(),
    client_id: client,
    name,
    mapper_type: String(type),
    claim_name: claim,
    ...optional,
    add_to_access_token: body.get("add_to_access_token") === true,
    add_to_id_token: body.get("add_to_id_token") === true,
    add_to_userinfo: body.get("add_to_userinfo") === true,
    created_at: now(),
  };
  state.mappers.push(mapper);
  return [201, shownMapper(call, mapper)];
}

function createRole({ state, body }: ManagementCall): ManagementAnswer {
  const role = { id: randomUUID(), name: String(body.get("name")) };
  if (state.roles.some(({ name }) => name === role.name)) throw new ApiError(409, "role already exists");
  state.roles.push(role);
  return [201, role];
}

function assignRole(call: ManagementCall): ManagementAnswer {
  const [roleId, userId = ""] = call.ids;
  call.assignRole(found(call.state.roles, "id", roleId).name, userId);
  return [204];
}

/** A client with a secret of its own; every client has the same scopes. */
export function newClient(name: string, redirects: string[], at: string): SimulatedClient {
  return {
    client_id: randomBytes(18).toString("base64url"),
    name,
    redirect_uris: redirects,
    grant_types: ["authorization_code"],
    response_types: ["code"],
    scopes: ["openid", "profile", "email"],
    is_active: true,
    secret: randomBytes(24).toString("hex"),
    created_at: at,
    updated_at: at,
  };
}

function clientOf({ state, ids }: ManagementCall): SimulatedClient {
  return found(state.clients, "client_id", ids[0]);
}

function found<K extends string, T extends Record<K, unknown>>(list: T[], key: K, id: string | undefined): T {
  const one = list.find((each) => each[key] === id);
  if (one === undefined) throw new ApiError(404);
  return one;
}

function remove<K extends string, T extends Record<K, unknown>>(
  list: T[],
  key: K,
  id: string | undefined,
): ManagementAnswer {
  list.splice(list.indexOf(found(list, key, id)), 1);
  return [204];
}

function newestFirst<T>(list: readonly T[]): T[] {
  return list.toReversed();
}

function byName<T extends { name: string }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

type Shown = Record<string, unknown>;

function shownKey({ organizationId }: ManagementCall): (key: SimulatedApiKey) => Shown {
  return ({ key, created_at = NEVER, is_active = true, ...shown }) => ({
    ...shown,
    key_prefix: key.replace("clv_", "").slice(0, 8),
    org_id: organizationId,
    is_active,
    created_at,
  });
}

function shownWebhook({ organizationId }: ManagementCall, { secret: _, ...webhook }: SimulatedWebhook): Shown {
  return { created_at: NEVER, updated_at: NEVER, org_id: organizationId, ...webhook };
}

function shownSink({ organizationId }: ManagementCall): (sink: SimulatedSink) => Shown {
  return (sink) => ({
    success_count: 0,
    failure_count: 0,
    created_at: NEVER,
    updated_at: NEVER,
    org_id: organizationId,
    ...sink,
    config: { ...sink.config, secret: "***" },
  });
}

function shownClient({ organizationId }: ManagementCall, { secret: _, ...client }: SimulatedClient): Shown {
  const registered = client.id_token_signed_response_alg !== undefined;
  return {
    post_logout_redirect_uris: [],
    allowed_audiences: null,
    token_endpoint_auth_method: "client_secret_post",
    mfa_required: false,
    keycloak_compat: false,
    metadata: {},
    request_object_signing_alg: registered ? "" : "none",
    enabled_login_providers: null,
    created_at: NEVER,
    updated_at: NEVER,
    org_id: organizationId,
    ...client,
  };
}

function shownMapper({ organizationId }: ManagementCall, { updated_at: _, ...mapper }: SimulatedMapper): Shown {
  return { created_at: NEVER, org_id: organizationId, ...mapper };
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : [];
}
