import { randomBytes } from "node:crypto";
import { type Login, type LoginResult, login } from "./nextcloud-login.ts";
import { type Call, decode, type Route, routes } from "./nextcloud-routes.ts";
import { isOffered, type NextcloudSettings, settingsRoutes } from "./nextcloud-settings.ts";
import {
  type Account,
  type Backend,
  type LoginFlags,
  NextcloudState,
  type Provider,
  quotaOf,
} from "./nextcloud-state.ts";
import {
  entryError,
  InternalServerError,
  internalServerError,
  OcsError,
  type OcsForm,
  ocsAnswer,
  unknownRoute,
  wrongCredentials,
} from "./ocs-answer.ts";
import {
  type Answer,
  jsonAnswer,
  parametersOf,
  queryOf,
  type RecordedRequest,
  type SimulatedServer,
  startServer,
} from "./server.ts";

/** Credentials with which requests may come: an app password of an account, which is made if it is not there. */
export interface Credentials {
  username: string;
  password: string;
  /** Default true: the account is put into the admin group. */
  admin?: boolean;
  /** The account's own password, which works too (and is slow on a real server). Default: none. */
  loginPassword?: string;
}

/** An account as tests look at it. `id` and `backend` are those that look-ups show; `backends` has all rows. */
export interface AccountView {
  id: string;
  backend: Backend;
  backends: Backend[];
  displayName: string;
  email: string | null;
  /** Effective, in bytes, after the server's own rounding. */
  quota: number | "none";
  enabled: boolean;
  language: string;
  manager: string;
  /** Milliseconds, 0 for never. */
  lastLogin: number;
  homeExists: boolean;
  groups: string[];
}

export interface GroupView {
  gid: string;
  displayName: string;
  members: string[];
}

/** An account of the Database backend, as an administrator of Nextcloud would have made it. */
export interface LocalUser {
  id: string;
  /** Without one, the account cannot be used for Basic auth. */
  password?: string;
  displayName?: string;
  email?: string;
  quota?: string;
  language?: string;
  groups?: string[];
  enabled?: boolean;
}

export interface SimulatedNextcloudOptions {
  port?: number;
  /** Default: one admin, `provisioner` with `DEFAULT_APP_PASSWORD`. */
  credentials?: Credentials[];
  /** Default: one provider, id 1, unique user ids. */
  providers?: Provider[];
  flags?: Partial<LoginFlags>;
  /** The enabled apps with their versions. Default: user_oidc 6.4.0; from 8.5.0 it has routes for providers. */
  apps?: Record<string, string>;
  /** Groups and local users that are there from the start. */
  groups?: { gid: string; displayName?: string }[];
  users?: LocalUser[];
  /** The clock of the rate limit, the brute-force protection and last logins. */
  now?: () => number;
  /** Brute-force protection; its delays are not simulated, its refusal is. */
  bruteForce?: boolean;
  /** How long the work of a request takes, in milliseconds. */
  serviceTime?: (request: RecordedRequest) => number;
}

/** A running simulated Nextcloud: the server, its switches, and what tests may look at and set behind the API's back. */
export interface SimulatedNextcloud extends SimulatedServer {
  readonly username: string;
  readonly password: string;
  /** Maintenance mode: while true every call gets 503. */
  maintenance: boolean;
  /** Like some versions of Nextcloud 34: app passwords do not pass password confirmation. */
  refusesAppPasswords: boolean;
  /** The enabled apps with their versions; may be changed. */
  readonly apps: Map<string, string>;
  /** The app config, `app/key` -> value, apart from what belongs to providers. */
  readonly appConfig: Map<string, string>;
  /** user_oidc's providers; may be changed. */
  readonly providers: Provider[];
  /** How many sessions were opened; a client that sends the cookies back opens one. */
  readonly sessionsOpened: number;
  /** Forgets all sessions, as when they expire. */
  expireSessions(): void;
  users(): AccountView[];
  user(id: string): AccountView | undefined;
  groups(): GroupView[];
  group(gid: string): GroupView | undefined;
  addLocalUser(user: LocalUser): AccountView;
  addGroup(gid: string, displayName?: string): void;
  addMember(gid: string, userId: string): void;
  setEnabled(userId: string, enabled: boolean): void;
  simulateLogin(login: Login): LoginResult;
}

export const DEFAULT_APP_PASSWORD = "simulated-app-password-0123456789";

const RATE_LIMIT = { calls: 50, periodMs: 600_000 };
const BRUTE_FORCE = { failures: 10, periodMs: 30 * 60_000 };
const SESSION_COOKIE = "oc9abrdbgcks";
const VERSION = { major: 27, minor: 1, micro: 0, string: "27.1.0", edition: "", extendedSupport: false };

interface Actor {
  id: string;
  isAdmin: boolean;
  kind: "app password" | "login password" | "bearer";
}

/**
 * Starts a simulated Nextcloud 27.1 with user_oidc 6.4, which reproduces the recorded answers of a real one for the calls
 * that provisioning uses, traps included. The contract suite holds it against the recordings.
 *
 * @returns the running simulator; the caller has to close it.
 */
export async function startSimulatedNextcloud(options: SimulatedNextcloudOptions = {}): Promise<SimulatedNextcloud> {
  const credentials = [...(options.credentials ?? [{ username: "provisioner", password: DEFAULT_APP_PASSWORD }])];
  const {
    providers = [{ id: 1, identifier: "clavex", uniqueUid: true, providerBasedId: false }],
    apps = { provisioning_api: "1.17.0", user_oidc: "6.4.0" },
    flags = {},
    now = Date.now,
    bruteForce = false,
  } = options;
  const state = new NextcloudState(
    providers.map((each) => ({ ...each })),
    {
      autoProvision: true,
      softAutoProvision: true,
      disableAccountCreation: false,
      ...flags,
    },
  );
  const settings: NextcloudSettings = { apps: new Map(Object.entries(apps)), config: new Map() };
  const allRoutes = [...routes, ...settingsRoutes(settings)];
  const sessions = new Set<string>();
  const failedLogins: number[] = [];
  const limitedCalls = new Map<string, number[]>();
  let maintenance = false;
  let refusesAppPasswords = false;
  let sessionsOpened = 0;

  for (const { username, admin = true, loginPassword = "" } of credentials) {
    state.addRow(username, "Database", { displayName: username, password: loginPassword }).homeExists = true;
    if (admin) state.addMember(username, "admin");
  }

  function answer(request: RecordedRequest): Answer {
    const path = pathOf(request.path);
    const found = path.startsWith("/ocs/") ? ocs(request, path) : outsideOcs(path);
    return withSession(request, found);
  }

  function outsideOcs(path: string): Answer {
    if (path !== "/status.php") return { status: 404, headers: { "content-type": "text/html; charset=UTF-8" } };
    const { string, edition, extendedSupport } = VERSION;
    return jsonAnswer(200, {
      installed: true,
      maintenance,
      needsDbUpgrade: false,
      version: `${string}.7`,
      versionstring: string,
      edition,
      productname: "Nextcloud",
      extendedSupport,
    });
  }

  function ocs(request: RecordedRequest, path: string): Answer {
    const form = formOf(request, path);
    if (maintenance) {
      return entryError(form, 503, 503, "Service unavailable", { "x-nextcloud-maintenance-mode": "1" });
    }
    const actor = request.headers.authorization === undefined ? undefined : authenticate(request.headers.authorization);
    if (actor === "blocked") return internalServerError(form);
    if (actor === "wrong") return wrongCredentials(form);
    try {
      return dispatch(request, form, path.replace(/^\/ocs\/v[12]\.php/, ""), actor);
    } catch (error) {
      if (error instanceof OcsError)
        return ocsAnswer(form, { code: error.code, message: error.message, data: error.data });
      if (error instanceof InternalServerError) return internalServerError(form);
      throw error;
    }
  }

  /** The checks in the order of the real server: route, login, admin, password confirmation, OCS header, rate limit. */
  function dispatch(request: RecordedRequest, form: OcsForm, path: string, actor: Actor | undefined): Answer {
    if (path === "/cloud/capabilities" && request.method === "GET") {
      return ok(form, capabilities(actor, bruteForceDelay()));
    }
    if (path === "/core/getapppassword" && request.method === "GET") return ok(form, appPassword(actor));
    const matching = allRoutes.filter(({ pattern }) => pattern.test(path));
    if (!isOffered(settings, path)) return unknownRoute(form);
    const route = matching.find(({ method }) => method === request.method);
    if (matching.length === 0) return unknownRoute(form);
    if (route === undefined) return { status: 405, headers: { "content-type": "text/xml; charset=UTF-8" } };
    const loggedIn = permit(route, actor);
    if (request.headers["ocs-apirequest"] === undefined) return csrfCheckFailed;
    if (route.rateLimited && !withinRateLimit(loggedIn.id)) {
      return { status: 429, headers: { "content-type": "text/html; charset=UTF-8" } };
    }
    const captured = route.pattern.exec(path)?.slice(1) ?? [];
    const call: Call = { state, actor: loggedIn, captured, parameters: parametersOf(request) };
    return ok(form, route.run(call));
  }

  function permit(route: Route, actor: Actor | undefined): Actor {
    if (actor === undefined) throw new OcsError(997, "Current user is not logged in");
    if (!actor.isAdmin && route.needs === "admin") throw new OcsError(403, "Logged in user must be an admin");
    if (!actor.isAdmin && route.needs === "subadmin") {
      throw new OcsError(403, "Logged in user must be at least a sub admin");
    }
    const confirms = actor.kind !== "bearer" && !(refusesAppPasswords && actor.kind === "app password");
    if (route.confirmsPassword && !confirms) throw new OcsError(403, "Password confirmation is required");
    return actor;
  }

  function withinRateLimit(userId: string): boolean {
    const recent = (limitedCalls.get(userId) ?? []).filter((at) => at > now() - RATE_LIMIT.periodMs);
    limitedCalls.set(userId, recent);
    if (recent.length >= RATE_LIMIT.calls) return false;
    recent.push(now());
    return true;
  }

  /** 100 ms, doubled with each failure, up to 25 s (facts, section 4). */
  function bruteForceDelay(): number {
    const failures = bruteForce ? recentFailures() : 0;
    return failures === 0 ? 0 : Math.min(25_000, 100 * 2 ** failures);
  }

  function recentFailures(): number {
    return failedLogins.filter((at) => at > now() - BRUTE_FORCE.periodMs).length;
  }

  function authenticate(header: string): Actor | "wrong" | "blocked" {
    if (bruteForce && recentFailures() > BRUTE_FORCE.failures) return "blocked";
    const actor = actorOf(header);
    if (actor !== undefined) return actor;
    failedLogins.push(now());
    return "wrong";
  }

  function actorOf(header: string): Actor | undefined {
    const [scheme = "", value = ""] = header.split(" ");
    const bearer = scheme.toLowerCase() === "bearer";
    const [username = "", ...rest] = Buffer.from(value, "base64").toString("utf8").split(":");
    const password = rest.join(":");
    const known = bearer
      ? credentials.find((candidate) => candidate.password === value)
      : credentials.find((candidate) => candidate.username === username && candidate.password === password);
    const account = state.account(known?.username ?? username);
    const row = account?.rows.get("Database");
    if (account === undefined || row === undefined || !account.enabled) return undefined;
    if (known === undefined && (bearer || row.password === "" || row.password !== password)) return undefined;
    const kind = bearer ? "bearer" : known === undefined ? "login password" : "app password";
    if (kind === "login password") {
      account.homeExists = true;
      account.lastLogin = Math.floor(now() / 1000) * 1000;
    }
    return { id: row.id, isAdmin: account.groups.has("admin"), kind };
  }

  /** Opens a session unless the request brings a live one; the cookies are those of the recordings, deleting ones too. */
  function withSession(request: RecordedRequest, found: Answer): Answer {
    const cookie = new RegExp(`(?:^|;\\s*)${SESSION_COOKIE}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1];
    const headers = { "cache-control": "no-cache, no-store, must-revalidate", ...found.headers };
    if (cookie !== undefined && sessions.has(cookie)) return { ...found, headers };
    const id = randomBytes(13).toString("hex");
    sessions.add(id);
    sessionsOpened += 1;
    const loggedIn = request.headers.authorization !== undefined && !maintenance;
    return { ...found, headers: { ...headers, "set-cookie": cookies(id, loggedIn) } };
  }

  function appPassword(actor: Actor | undefined): unknown {
    if (actor === undefined) throw new OcsError(997, "Current user is not logged in");
    if (actor.kind !== "login password") {
      throw new OcsError(403, "You cannot request an new apppassword with an apppassword");
    }
    const password = randomBytes(36).toString("hex");
    credentials.push({ username: actor.id, password });
    return { apppassword: password };
  }

  const server = await startServer({
    answer,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.serviceTime === undefined ? {} : { serviceTime: options.serviceTime }),
  });

  const view = (account: Account): AccountView => {
    const shown = state.shown(account);
    return {
      id: shown?.row.id ?? "",
      backend: shown?.backend ?? "Database",
      backends: [...account.rows.keys()].sort(),
      displayName: state.displayNameOf(account),
      email: account.email,
      quota: quotaOf(account),
      enabled: account.enabled,
      language: account.language,
      manager: account.manager,
      lastLogin: account.lastLogin,
      homeExists: account.homeExists,
      groups: [...account.groups].sort(),
    };
  };
  const addLocalUser = (user: LocalUser): AccountView => {
    const {
      id,
      password = "",
      displayName = id,
      email = "",
      quota = "",
      language = "en",
      groups = [],
      enabled = true,
    } = user;
    const account = state.addRow(id, "Database", { displayName, password });
    state.setEmail(account, email);
    if (quota !== "") state.edit(account, "quota", quota);
    state.setLanguage(account, language);
    for (const gid of groups) state.addMember(id, gid);
    account.enabled = enabled;
    return view(account);
  };
  const existing = (id: string): Account => {
    const account = state.account(id);
    if (account === undefined) throw new Error(`the simulated Nextcloud has no user ${id}`);
    return account;
  };
  const groupView = (gid: string): GroupView | undefined => {
    const group = state.group(gid);
    return group && { gid, displayName: group.displayName, members: state.memberIds(group) };
  };

  for (const { gid, displayName } of options.groups ?? []) state.createGroup(gid, displayName);
  for (const user of options.users ?? []) addLocalUser(user);

  return {
    ...server,
    username: credentials[0]?.username ?? "",
    password: credentials[0]?.password ?? "",
    get maintenance() {
      return maintenance;
    },
    set maintenance(on: boolean) {
      maintenance = on;
    },
    get refusesAppPasswords() {
      return refusesAppPasswords;
    },
    set refusesAppPasswords(on: boolean) {
      refusesAppPasswords = on;
    },
    apps: settings.apps,
    appConfig: settings.config,
    providers: state.providers,
    get sessionsOpened() {
      return sessionsOpened;
    },
    expireSessions: () => sessions.clear(),
    users: () => [...state.accounts()].map(view),
    user: (id) => {
      const account = state.account(id);
      return account && view(account);
    },
    groups: () => state.searchGroups({ search: "", offset: 0 }).flatMap(({ gid }) => groupView(gid) ?? []),
    group: groupView,
    addLocalUser,
    addGroup: (gid, displayName) => state.createGroup(gid, displayName),
    addMember: (gid, userId) => {
      existing(userId);
      if (state.group(gid) === undefined) throw new Error(`the simulated Nextcloud has no group ${gid}`);
      state.addMember(userId, gid);
    },
    setEnabled: (userId, enabled) => {
      existing(userId).enabled = enabled;
    },
    simulateLogin: (attempt) => login(state, attempt, now()),
  };
}

const csrfCheckFailed = jsonAnswer(
  412,
  { message: "CSRF check failed" },
  { "content-type": "application/json; charset=utf-8" },
);

const ok = (form: OcsForm, data: unknown): Answer => ocsAnswer(form, { code: 100, message: "OK", data });

/** The path decoded once, as the real router sees it; `.` and `..` segments are resolved before. */
function pathOf(rawPath: string): string {
  return decode(new URL(`http://127.0.0.1${rawPath}`).pathname);
}

function formOf(request: RecordedRequest, path: string): OcsForm {
  const formatJson = queryOf(request.path).get("format") === "json";
  const acceptsJson = formatJson || (request.headers.accept ?? "").includes("application/json");
  return { version: path.startsWith("/ocs/v1.php") ? 1 : 2, formatJson, acceptsJson };
}

/** Anonymous callers see less; user_oidc shows up in neither. */
function capabilities(actor: Actor | undefined, delay: number): unknown {
  const open = { bruteforce: { delay, "allow-listed": false }, theming: { name: "Nextcloud" } };
  const closed = {
    core: { pollinterval: 60, "webdav-root": "remote.php/webdav" },
    provisioning_api: {
      version: "1.17.0",
      AccountPropertyScopesVersion: 2,
      AccountPropertyScopesFederatedEnabled: true,
      AccountPropertyScopesPublishedEnabled: true,
    },
  };
  return { version: VERSION, capabilities: actor === undefined ? open : { ...open, ...closed } };
}

function cookies(sessionId: string, loggedIn: boolean): string[] {
  const never = "expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
  const deleting = ["", " path=/;"].flatMap((path) =>
    ["nc_username", "nc_token", "nc_session_id"].map((name) => `${name}=deleted; ${never};${path} HttpOnly`),
  );
  return [
    `oc_sessionPassphrase=${randomBytes(24).toString("hex")}; path=/; HttpOnly; SameSite=Lax`,
    "nc_sameSiteCookielax=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=lax",
    "nc_sameSiteCookiestrict=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=strict",
    ...(loggedIn ? deleting : []),
    `${SESSION_COOKIE}=${sessionId}; path=/; HttpOnly; SameSite=Lax`,
  ];
}
