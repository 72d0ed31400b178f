import { randomUUID } from "node:crypto";
import {
  ClavexDirectory,
  type ClavexGroup,
  type ClavexUser,
  DirectoryError,
  type NewUser,
  type UserChange,
} from "./clavex-directory.ts";
import {
  emptyManagement,
  type ManagementAnswer,
  type ManagementState,
  managementRoutes,
  registerClient,
} from "./clavex-management.ts";
import {
  type Answer,
  jsonAnswer,
  jsonObject,
  queryOf,
  type RecordedRequest,
  type SimulatedServer,
  startServer,
} from "./server.ts";

export type { ClavexGroup, ClavexUser, NewUser, UserChange } from "./clavex-directory.ts";

export interface ClavexOrganization {
  id: string;
  slug: string;
  /** The value of `X-API-Key` that belongs to this organization. */
  apiKey: string;
  /** What the key may do; the server enforces it. Default: everything. */
  permissions?: Permission[];
}

export type Permission = "users:read" | "users:write" | "groups:read" | "groups:write";

export interface SimulatedClavexOptions {
  /** Default: one organization, `DEFAULT_ORGANIZATION`. */
  organizations?: ClavexOrganization[];
  port?: number;
  now?: () => number;
  /** The zone of the timestamps in minutes east of UTC; default 120, so that they carry an offset. */
  zoneMinutes?: number;
  serviceTime?: (request: RecordedRequest) => number;
  /** An administrator's token, for every organization; default `DEFAULT_ADMIN_TOKEN`. */
  adminToken?: string;
  /** The secret that new webhook subscriptions get; default: a random one each, as the real server does. */
  webhookSecret?: string;
}

/** The body of a webhook request, before it is turned into JSON. */
export interface WebhookDelivery {
  id: string;
  event: string;
  occurred_at: string;
  data: ClavexUser | { id: string; org_id: string };
}

/**
 * A running simulated Clavex: the server, and what tests and the demo do behind the API's back. `organization` is an id
 * or a slug. Unknown users and groups are errors. All that comes back are copies, so an old one makes a stale delivery.
 */
export interface SimulatedClavex extends SimulatedServer {
  readonly organizations: readonly ClavexOrganization[];
  readonly adminToken: string;
  /** Keys, webhooks, sinks, clients and mappers of an organization; may be changed. */
  management(organization: string): ManagementState;
  addUser(organization: string, user: NewUser): ClavexUser;
  user(organization: string, userId: string): ClavexUser | undefined;
  updateUser(organization: string, userId: string, change: UserChange): ClavexUser;
  suspend(organization: string, userId: string): ClavexUser;
  deleteUser(organization: string, userId: string): ClavexUser;
  eraseUser(organization: string, userId: string, form: "erased" | "anonymized"): ClavexUser;
  setAttributes(organization: string, userId: string, attributes: Record<string, unknown>): ClavexUser;
  addGroup(organization: string, name: string, description?: string): ClavexGroup;
  groupByName(organization: string, name: string): ClavexGroup | undefined;
  deleteGroup(organization: string, groupId: string): void;
  addMember(organization: string, groupId: string, userId: string): void;
  removeMember(organization: string, groupId: string, userId: string): void;
  /** The envelope that Clavex would send about this user: the whole user, or ids only for `user.deleted`. */
  delivery(event: string, user: ClavexUser): WebhookDelivery;
}

export const DEFAULT_ORGANIZATION: ClavexOrganization = {
  id: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  slug: "acme",
  apiKey: "clv_simulated_0123456789abcdef",
};

/** Protects nothing: a simulated Clavex holds only made-up people. */
export const DEFAULT_ADMIN_TOKEN = "simulated-admin-token-that-protects-nothing";

const PAGE = { default: 50, most: 200 };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

interface Call {
  directory: ClavexDirectory;
  ids: string[];
  query: URLSearchParams;
  body: Map<string, unknown>;
}

interface Route {
  method: string;
  /** The path after the organization. */
  pattern: RegExp;
  needs: Permission;
  run: (call: Call) => Answer;
}

const routes: Route[] = [
  { method: "GET", pattern: /^\/users$/, needs: "users:read", run: listUsers },
  { method: "POST", pattern: /^\/users$/, needs: "users:write", run: createUser },
  { method: "GET", pattern: /^\/users\/([^/]+)$/, needs: "users:read", run: getUser },
  { method: "PATCH", pattern: /^\/users\/([^/]+)$/, needs: "users:write", run: patchUser },
  { method: "DELETE", pattern: /^\/users\/([^/]+)$/, needs: "users:write", run: deleteUser },
  { method: "PUT", pattern: /^\/users\/([^/]+)\/attributes$/, needs: "users:write", run: putAttributes },
  { method: "GET", pattern: /^\/groups$/, needs: "groups:read", run: listGroups },
  { method: "POST", pattern: /^\/groups$/, needs: "groups:write", run: createGroup },
  { method: "DELETE", pattern: /^\/groups\/([^/]+)$/, needs: "groups:write", run: deleteGroup },
  { method: "GET", pattern: /^\/groups\/([^/]+)\/members$/, needs: "groups:read", run: listMembers },
  { method: "POST", pattern: /^\/groups\/([^/]+)\/members$/, needs: "groups:write", run: addMember },
  { method: "DELETE", pattern: /^\/groups\/([^/]+)\/members\/([^/]+)$/, needs: "groups:write", run: removeMember },
];

/**
 * Starts a simulated Clavex: the part of the Admin API that provisioning reads, and enough of its writes to drive it over
 * HTTP. It sends no webhooks itself; `delivery` makes their bodies.
 *
 * @returns the running simulator; the caller has to close it.
 */
export async function startSimulatedClavex(options: SimulatedClavexOptions = {}): Promise<SimulatedClavex> {
  const { organizations = [DEFAULT_ORGANIZATION], now = Date.now, zoneMinutes = 120 } = options;
  const clock = databaseClock(now, zoneMinutes);
  const { adminToken = DEFAULT_ADMIN_TOKEN } = options;
  const directories = new Map(organizations.map(({ id }) => [id, new ClavexDirectory(id, clock)]));
  const managements = new Map(organizations.map(({ id }) => [id, emptyManagement()]));

  function answer(request: RecordedRequest): Answer {
    const { pathname } = new URL(`http://127.0.0.1${request.path}`);
    const [, organizationId = "", path = ""] = /^\/api\/v1\/organizations\/([^/]+)(\/.*)$/.exec(pathname) ?? [];
    if (organizationId === "") return outsideApi(request, pathname);
    const matching = [...routes, ...managementRoutes].filter(({ pattern }) => pattern.test(path));
    if (matching.length === 0) return failure(404);
    const route = matching.find(({ method }) => method === request.method);
    if (route === undefined) return failure(405);
    const actor = actorOf(request, organizationId, { organizations, adminToken, managements });
    if (actor === undefined) return failure(401);
    const directory = directories.get(organizationId);
    const management = managements.get(organizationId);
    if (actor.organizationId !== organizationId || directory === undefined || management === undefined) {
      return failure(403);
    }
    if (actor.permissions?.includes(route.needs) === false) return failure(403);
    const ids = (route.pattern.exec(path)?.slice(1) ?? []).map(decodeURIComponent);
    const call = { ids, query: queryOf(request.path), body: jsonObject(request.body) };
    if ("manages" in route) {
      return managed(route.run({ ...call, state: management, webhookSecret: options.webhookSecret }));
    }
    if (ids.some((id) => !UUID.test(id))) return failure(400);
    try {
      return route.run({ ...call, directory });
    } catch (error) {
      if (error instanceof DirectoryError) return failure(error.status);
      throw error;
    }
  }

  /** What needs no credentials: discovery, keys and dynamic registration of each organization. */
  function outsideApi(request: RecordedRequest, pathname: string): Answer {
    const [, slug = "", path = ""] = /^\/([^/]+)(\/.*)$/.exec(pathname) ?? [];
    const organization = organizations.find((each) => each.slug === slug);
    if (organization === undefined) return failure(404);
    const issuer = `http://${request.headers.host}/${slug}`;
    if (path === "/.well-known/openid-configuration" && request.method === "GET") {
      return jsonAnswer(200, discoveryDocument(issuer));
    }
    if (path === "/.well-known/jwks.json" && request.method === "GET") return jsonAnswer(200, { keys: [SIGNING_KEY] });
    if (path === "/register" && request.method === "POST") {
      return managed(registerClient(managements.get(organization.id) ?? emptyManagement(), jsonObject(request.body)));
    }
    return failure(404);
  }

  const server = await startServer({
    answer,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.serviceTime === undefined ? {} : { serviceTime: options.serviceTime }),
  });

  const of = (organization: string): ClavexDirectory => {
    const id = organizations.find(({ slug }) => slug === organization)?.id ?? organization;
    const directory = directories.get(id);
    if (directory === undefined) throw new Error(`the simulated Clavex has no organization ${organization}`);
    return directory;
  };

  return {
    ...server,
    organizations,
    adminToken,
    management: (organization) => managements.get(of(organization).organizationId) ?? emptyManagement(),
    addUser: (organization, user) => of(organization).addUser(user),
    user: (organization, userId) => of(organization).user(userId),
    updateUser: (organization, userId, change) => of(organization).updateUser(userId, change),
    suspend: (organization, userId) => of(organization).updateUser(userId, { is_active: false }),
    deleteUser: (organization, userId) => of(organization).deleteUser(userId),
    eraseUser: (organization, userId, form) => of(organization).eraseUser(userId, form),
    setAttributes: (organization, userId, attributes) => of(organization).setAttributes(userId, attributes),
    addGroup: (organization, name, description) => of(organization).addGroup(name, description),
    groupByName: (organization, name) => of(organization).groupByName(name),
    deleteGroup: (organization, groupId) => of(organization).deleteGroup(groupId),
    addMember: (organization, groupId, userId) => of(organization).addMember(groupId, userId),
    removeMember: (organization, groupId, userId) => of(organization).removeMember(groupId, userId),
    delivery: (event, user) => ({
      id: randomUUID(),
      event,
      occurred_at: goTime(BigInt(now()) * 1_000_000n + BigInt(Math.floor(Math.random() * 1_000_000)), 0),
      data: event === "user.deleted" ? { id: user.id, org_id: user.org_id } : { ...user },
    }),
  };
}

/** Who asks: the owner of an API key, configured or minted, or an administrator of the organization asked for. */
function actorOf(
  request: RecordedRequest,
  organizationId: string,
  {
    organizations,
    adminToken,
    managements,
  }: { organizations: ClavexOrganization[]; adminToken: string; managements: Map<string, ManagementState> },
): { organizationId: string; permissions?: readonly string[] } | undefined {
  if (request.headers.authorization === `Bearer ${adminToken}`) return { organizationId };
  const key = request.headers["x-api-key"];
  const owner = organizations.find(({ apiKey }) => apiKey === key);
  if (owner) return { organizationId: owner.id, ...(owner.permissions ? { permissions: owner.permissions } : {}) };
  for (const [id, { apiKeys }] of managements) {
    const minted = apiKeys.find((each) => each.key === key);
    if (minted) return { organizationId: id, permissions: minted.permissions };
  }
  return undefined;
}

function listUsers({ directory, query }: Call): Answer {
  const after = query.get("after") ?? undefined;
  if (after !== undefined && !UUID.test(after)) return failure(400);
  return jsonAnswer(200, directory.listUsers(limitOf(query), after, query.get("q") ?? ""));
}

function createUser({ directory, body }: Call): Answer {
  const email = body.get("email");
  if (typeof email !== "string" || !email.includes("@")) return failure(400);
  const names = Object.fromEntries(
    ["first_name", "last_name"].flatMap((field) =>
      typeof body.get(field) === "string" ? [[field, body.get(field)]] : [],
    ),
  );
  return jsonAnswer(201, directory.addUser({ email, ...names }));
}

function getUser({ directory, ids }: Call): Answer {
  const user = directory.user(ids[0] ?? "");
  return user === undefined ? failure(404) : jsonAnswer(200, user);
}

/** The e-mail address cannot be changed by this route. */
function patchUser({ directory, ids, body }: Call): Answer {
  const change: UserChange = {};
  for (const field of ["first_name", "last_name"] as const) {
    const value = body.get(field);
    if (typeof value === "string") change[field] = value;
  }
  for (const field of ["is_active", "mfa_required", "is_email_verified"] as const) {
    const value = body.get(field);
    if (typeof value === "boolean") change[field] = value;
  }
  return jsonAnswer(200, directory.updateUser(ids[0] ?? "", change));
}

function deleteUser({ directory, ids }: Call): Answer {
  directory.deleteUser(ids[0] ?? "");
  return { status: 204 };
}

function putAttributes({ directory, ids, body }: Call): Answer {
  return jsonAnswer(200, directory.setAttributes(ids[0] ?? "", Object.fromEntries(body)));
}

function listGroups({ directory, query }: Call): Answer {
  const after = query.get("after") ?? undefined;
  if (after !== undefined && !UUID.test(after)) return failure(400);
  return jsonAnswer(200, directory.listGroups(limitOf(query), after));
}

function createGroup({ directory, body }: Call): Answer {
  const [name, description] = [body.get("name"), body.get("description")];
  if (typeof name !== "string" || name === "") return failure(400);
  return jsonAnswer(201, directory.addGroup(name, typeof description === "string" ? description : undefined));
}

function deleteGroup({ directory, ids }: Call): Answer {
  directory.deleteGroup(ids[0] ?? "");
  return { status: 204 };
}

function listMembers({ directory, ids }: Call): Answer {
  return jsonAnswer(200, directory.members(ids[0] ?? ""));
}

function addMember({ directory, ids, body }: Call): Answer {
  directory.addMember(ids[0] ?? "", String(body.get("user_id")));
  return { status: 204 };
}

function removeMember({ directory, ids }: Call): Answer {
  directory.removeMember(ids[0] ?? "", ids[1] ?? "");
  return { status: 204 };
}

/** A management route's answer; statuses from 400 with the error body that all of Clavex has. */
function managed([status, body]: ManagementAnswer): Answer {
  if (status >= 400 && body === undefined) return failure(status);
  return body === undefined ? { status } : jsonAnswer(status, body);
}

/** The fields of the real document that clients and Nextcloud look at; PS256 is the default of id tokens. */
function discoveryDocument(issuer: string): Record<string, unknown> {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    registration_endpoint: `${issuer}/register`,
    end_session_endpoint: `${issuer}/logout`,
    response_types_supported: ["code"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["PS256", "RS256", "ES256"],
    scopes_supported: ["openid", "profile", "email", "groups", "offline_access"],
    code_challenge_methods_supported: ["S256"],
  };
}

/** A public key in the form of a key set; nothing is signed with it here. */
const SIGNING_KEY = {
  kty: "RSA",
  use: "sig",
  kid: "simulated-1",
  n: "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri",
  e: "AQAB",
};

function limitOf(query: URLSearchParams): number {
  const limit = Number.parseInt(query.get("limit") ?? "", 10);
  return limit > 0 ? Math.min(limit, PAGE.most) : PAGE.default;
}

const ERRORS: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  500: "Internal Server Error",
};

function failure(status: number): Answer {
  const error = ERRORS[status] ?? "Error";
  return jsonAnswer(status, { error, message: error });
}

/** The database's clock: microseconds, never the same twice, in the zone of the server. */
function databaseClock(now: () => number, zoneMinutes: number): () => string {
  let last = 0n;
  return () => {
    const microseconds = BigInt(now()) * 1000n;
    last = microseconds > last ? microseconds : last + 1n;
    return goTime(last * 1000n, zoneMinutes);
  };
}

/** A time as Go writes it (RFC 3339 with nanoseconds): no fraction zeros at the end, `Z` for UTC, else the offset. */
function goTime(nanoseconds: bigint, zoneMinutes: number): string {
  const milliseconds = Number(nanoseconds / 1_000_000n) + zoneMinutes * 60_000;
  const seconds = new Date(milliseconds).toISOString().slice(0, 19);
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  const hours = String(Math.trunc(Math.abs(zoneMinutes) / 60)).padStart(2, "0");
  const minutes = String(Math.abs(zoneMinutes) % 60).padStart(2, "0");
  const zone = zoneMinutes === 0 ? "Z" : `${zoneMinutes < 0 ? "-" : "+"}${hours}:${minutes}`;
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}${zone}`;
}
