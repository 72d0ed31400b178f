import { randomUUID } from "node:crypto";
import { type Actor, AdministratorSessions, holds } from "./clavex-access.ts";
import { ApiError, requireUuids } from "./clavex-answer.ts";
import { type ManagementAnswer, managementRoutes } from "./clavex-management.ts";
import { discoveryDocument, registerClient, SIGNING_KEY, tokenAnswer } from "./clavex-oidc.ts";
import { peopleRoutes } from "./clavex-people.ts";
import { accountOf, type ClavexOrganization, shownOrganization, type Tenant, tenantOf } from "./clavex-tenant.ts";
import { type Answer, jsonAnswer, jsonObject, queryOf, type RecordedRequest } from "./server.ts";

export interface ClavexApiOptions {
  organizations: readonly ClavexOrganization[];
  adminToken: string;
  /** The database's clock, as texts. */
  clock: () => string;
  now: () => number;
  webhookSecret: string | undefined;
}

const SUPERADMIN: Actor = {
  organizationId: undefined,
  permissions: undefined,
  userId: "ed11c2e1-b34e-4c6e-8a6b-b7f8f2f62ec6",
};

/** Clavex's HTTP interface: who asks, for which organization, and whether they may (docs/facts/clavex.md 5). */
export class ClavexApi {
  readonly tenants: Map<string, Tenant>;
  readonly #options: ClavexApiOptions;
  readonly #sessions = new AdministratorSessions();

  constructor(options: ClavexApiOptions) {
    this.#options = options;
    this.tenants = new Map(options.organizations.map((each) => [each.id, tenantOf(each, options.clock)]));
    this.#sessions.add(options.adminToken, SUPERADMIN);
  }

  /** An organization by id or slug. */
  tenant(organization: string): Tenant {
    const found = this.tenants.get(organization) ?? this.#bySlug(organization);
    if (found === undefined) throw new Error(`the simulated Clavex has no organization ${organization}`);
    return found;
  }

  #bySlug(slug: string): Tenant | undefined {
    return [...this.tenants.values()].find(({ organization }) => organization.slug === slug);
  }

  /** One request in, one answer out. */
  answer(request: RecordedRequest): Answer {
    try {
      const { pathname } = new URL(`http://127.0.0.1${request.path}`);
      return pathname.startsWith("/api/v1/")
        ? this.#api(request, pathname.slice("/api/v1".length))
        : this.#open(request, pathname);
    } catch (error) {
      if (error instanceof ApiError) return error.answer;
      throw error;
    }
  }

  #api(request: RecordedRequest, pathname: string): Answer {
    if (pathname === "/auth/login" && request.method === "POST") return this.#login(bodyOf(request));
    const [, organizationId = "", path = ""] = /^\/organizations\/([^/]+)(\/.*)$/.exec(pathname) ?? [];
    if (organizationId === "") return this.#superadminApi(request, pathname);
    const route = [...peopleRoutes, ...managementRoutes].find(
      ({ method, pattern }) => method === request.method && pattern.test(path),
    );
    if (route === undefined) throw new ApiError(404);
    const actor = this.#actorOf(request);
    if (actor.organizationId !== undefined && actor.organizationId !== organizationId) {
      throw new ApiError(403, "access to this organization is not allowed");
    }
    if (!holds(actor, route.needs)) throw new ApiError(403, `insufficient permissions: ${route.needs} required`);
    const tenant =
      this.tenants.get(organizationId) ?? tenantOf({ id: organizationId, slug: "", apiKey: "" }, this.#options.clock);
    const ids = (route.pattern.exec(path)?.slice(1) ?? []).map(decodeURIComponent);
    const call = { ids, query: queryOf(request.path), body: bodyOf(request) };
    if (!("manages" in route)) {
      requireUuids(ids);
      return route.run({ ...call, tenant, directory: tenant.directory });
    }
    return managed(
      route.run({
        ...call,
        actor,
        organizationId,
        state: tenant.management,
        now: this.#options.clock,
        webhookSecret: this.#options.webhookSecret,
        assignRole: (role, userId) => accountOf(tenant, userId).roles.add(role),
      }),
    );
  }

  /** Who asks: an administrator, or the owner of an API key, configured or minted. */
  #actorOf(request: RecordedRequest): Actor {
    const administrator = this.#sessions.actorOf(request);
    if (administrator !== undefined) return administrator;
    const key = request.headers["x-api-key"];
    if (typeof key === "string" && this.#sessions.isSuperadminKey(key)) return SUPERADMIN;
    for (const { organization, management } of this.tenants.values()) {
      const { id, apiKey, permissions } = organization;
      if (apiKey !== "" && apiKey === key) return { organizationId: id, permissions };
      const minted = management.apiKeys.find((each) => each.key === key);
      if (minted && minted.is_active !== false && !isOver(minted.expires_at, this.#options.now())) {
        minted.last_used_at = this.#options.clock();
        return { organizationId: id, permissions: minted.permissions };
      }
    }
    throw new ApiError(401);
  }

  /** An administrator's login; its token is in the cookie only. */
  #login(body: Map<string, unknown>): Answer {
    const tenant = this.#bySlug(String(body.get("org_slug")));
    const user = tenant?.directory.userByEmail(String(body.get("email")));
    const account = user && tenant?.accounts.get(user.id);
    if (!tenant || !user?.is_active || account?.password === undefined || account.password !== body.get("password")) {
      throw new ApiError(401, "invalid credentials");
    }
    const isSuperadmin = account.roles.has("super_admin");
    if (!isSuperadmin && !account.roles.has("admin")) throw new ApiError(403, "admin role required");
    const { id, slug } = tenant.organization;
    const permissions = isSuperadmin ? undefined : account.permissions;
    const { cookie, expiresIn } = this.#sessions.open({
      organizationId: isSuperadmin ? undefined : id,
      permissions,
      userId: user.id,
    });
    const shown = { org_id: id, org_slug: slug, is_super_admin: isSuperadmin, permissions: permissions ?? null };
    return jsonAnswer(200, { expires_in: expiresIn, ...shown }, { "set-cookie": cookie });
  }

  /** What only superadmins may do: the organizations themselves, and keys for all of them. */
  #superadminApi(request: RecordedRequest, pathname: string): Answer {
    const [, id = ""] = /^\/organizations\/([^/]+)$/.exec(pathname) ?? [];
    const call = `${request.method} ${id === "" ? pathname : "/organizations/{id}"}`;
    const known = ["GET /organizations", "POST /organizations", "DELETE /organizations/{id}"];
    if (![...known, "POST /superadmin/api-keys"].includes(call)) throw new ApiError(404);
    if (this.#actorOf(request).organizationId !== undefined) throw new ApiError(403, "superadmin access required");
    switch (call) {
      case "GET /organizations":
        return jsonAnswer(200, [...this.tenants.values()].map(shownOrganization));
      case "POST /organizations":
        return this.#createOrganization(bodyOf(request));
      case "DELETE /organizations/{id}":
        if (!this.tenants.delete(id)) throw new ApiError(404);
        return { status: 204 };
      default:
        return jsonAnswer(201, { key: this.#sessions.superadminKey() });
    }
  }

  #createOrganization(body: Map<string, unknown>): Answer {
    const slug = String(body.get("slug"));
    if (this.#bySlug(slug) !== undefined) {
      throw new ApiError(409, "organization slug already taken");
    }
    const name = String(body.get("name"));
    const made = tenantOf({ id: randomUUID(), slug, apiKey: "", name }, this.#options.clock);
    this.tenants.set(made.organization.id, made);
    return jsonAnswer(201, shownOrganization(made));
  }

  /** What needs no credentials: discovery, keys, dynamic registration and the token endpoint of each organization. */
  #open(request: RecordedRequest, pathname: string): Answer {
    const [, slug = "", path = ""] = /^\/([^/]+)(\/.*)$/.exec(pathname) ?? [];
    const tenant = this.#bySlug(slug);
    if (tenant === undefined) throw new ApiError(404, "organization not found");
    const issuer = `http://${request.headers.host}/${slug}`;
    switch (`${request.method} ${path}`) {
      case "GET /.well-known/openid-configuration":
        return jsonAnswer(200, discoveryDocument(issuer));
      case "GET /.well-known/jwks.json":
        return jsonAnswer(200, { keys: [SIGNING_KEY] });
      case "POST /register":
        return registerClient(tenant.management, bodyOf(request), this.#options.clock());
      case "POST /token":
        return tokenAnswer(tenant.management, new URLSearchParams(request.body));
      default:
        throw new ApiError(404);
    }
  }
}

function isOver(expires: string | undefined, now: number): boolean {
  return expires !== undefined && Date.parse(expires) <= now;
}

/** The fields of a JSON body; a body that is no JSON is refused. */
function bodyOf({ body }: RecordedRequest): Map<string, unknown> {
  try {
    if (body !== "") JSON.parse(body);
  } catch {
    throw new ApiError(400, "code=400, message=unexpected EOF, internal=unexpected EOF");
  }
  return jsonObject(body);
}

function managed([status, body]: ManagementAnswer): Answer {
  return body === undefined ? { status } : jsonAnswer(status, body);
}
