import { Access, type Actor, type Credentials } from "./nextcloud-access.ts";
import { type Login, type LoginResult, login } from "./nextcloud-login.ts";
import { type Call, decode, type Route, routes } from "./nextcloud-routes.ts";
import { Sessions } from "./nextcloud-sessions.ts";
import { isOffered, type NextcloudSettings, settingsRoutes } from "./nextcloud-settings.ts";
import { type LoginFlags, NextcloudState, type Provider } from "./nextcloud-state.ts";
import { type NextcloudVersion, TRAITS, type Traits } from "./nextcloud-version.ts";
import {
  type AccountView,
  accountView,
  addLocalUser,
  existingAccount,
  type GroupView,
  groupView,
  type LocalUser,
} from "./nextcloud-view.ts";
import {
  entryError,
  InternalServerError,
  internalServerError,
  OcsError,
  type OcsForm,
  ocsAnswer,
  tooManyFailures,
  unknownRoute,
  WrongType,
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

export type { Credentials } from "./nextcloud-access.ts";
export type { AccountView, GroupView, LocalUser } from "./nextcloud-view.ts";

export interface SimulatedNextcloudOptions {
  port?: number;
  /** Default: 34. */
  version?: NextcloudVersion;
  /** Default: one admin, `provisioner` with `DEFAULT_APP_PASSWORD`; on 34 it belongs to user_oidc, else core takes no writes. */
  credentials?: Credentials[];
  /** Default: one provider, id 1, unique user ids. */
  providers?: Provider[];
  flags?: Partial<LoginFlags>;
  /** What a new home gets; paths of folders end in a slash. Default: a Readme.md and a folder. */
  skeleton?: Record<string, string>;
  /** The enabled apps with their versions. Default: those of the recorded servers; user_oidc 8.5.0 has routes for providers. */
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
  /** While false no provider is taken: Nextcloud cannot read the discovery document. */
  reachesClavex: boolean;
  /** The enabled apps with their versions; may be changed. */
  readonly apps: Map<string, string>;
  /** The app config, `app/key` -> value, apart from what belongs to providers. */
  readonly appConfig: Map<string, string>;
  /** user_oidc's providers; may be changed. */
  readonly providers: Provider[];
  /** What a new home gets, and an old one again with each POST of user_oidc; empty it with `clear()`. */
  readonly skeleton: Map<string, string>;
  /** How many sessions were opened; a client that sends the cookies back opens one. */
  readonly sessionsOpened: number;
  /** Forgets all sessions, as when they expire. */
  expireSessions(): void;
  /** What `occ user:add-app-password` prints. */
  addAppPassword(userId: string): string;
  users(): AccountView[];
  user(id: string): AccountView | undefined;
  groups(): GroupView[];
  group(gid: string): GroupView | undefined;
  addLocalUser(user: LocalUser): AccountView;
  addGroup(gid: string, displayName?: string): void;
  addMember(gid: string, userId: string): void;
  setEnabled(userId: string, enabled: boolean): void;
  simulateLogin(login: Login): LoginResult;
  /** The files of an account: paths and texts; may be changed, as the person would. */
  files(userId: string): Map<string, string>;
  /** What address book and contacts menu call the person; undefined while they have no card. */
  card(userId: string): string | undefined;
}

/** As small as the one of the recorded servers: 164 bytes. */
const SKELETON = { "Documents/": "", "Readme.md": `# Welcome to Nextcloud!\n${".".repeat(140)}` };

export const DEFAULT_APP_PASSWORD = "simulated-app-password-0123456789";

/**
 * Starts a simulated Nextcloud 27.1 with user_oidc 6.4, or 32.0 or 34.0 with user_oidc 8.10, which reproduces the recorded
 * answers of a real one for the calls that provisioning uses, traps included. The contract suite compares it with the
 * recordings.
 *
 * @returns the running simulator; the caller has to close it.
 */
export async function startSimulatedNextcloud(options: SimulatedNextcloudOptions = {}): Promise<SimulatedNextcloud> {
  const {
    version = 34,
    credentials = [
      { username: "provisioner", password: DEFAULT_APP_PASSWORD, backend: version < 34 ? "Database" : "user_oidc" },
    ],
    providers = [{ id: 1, identifier: "clavex", uniqueUid: true, providerBasedId: false }],
    apps = { ...TRAITS[version].apps },
    flags = {},
    skeleton = SKELETON,
    now = Date.now,
    bruteForce = false,
  } = options;
  const state = new NextcloudState(
    version,
    providers.map((each) => ({ ...each })),
    { autoProvision: true, softAutoProvision: true, disableAccountCreation: false, ...flags },
    new Map(Object.entries(skeleton)),
  );
  const settings: NextcloudSettings = { apps: new Map(Object.entries(apps)), config: new Map(), reachesClavex: true };
  state.isEnabled = (backend) => backend === "Database" || settings.apps.has(backend);
  const access = new Access(state, credentials, { now, bruteForce });
  const sessions = new Sessions();
  const switches: Switches = { maintenance: false };

  const server = await startServer({
    answer: requestHandler({ state, settings, access, sessions, switches, now }),
    now,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.serviceTime === undefined ? {} : { serviceTime: options.serviceTime }),
  });
  for (const { gid, displayName } of options.groups ?? []) state.createGroup(gid, displayName);
  for (const user of options.users ?? []) addLocalUser(state, user);

  return {
    ...server,
    ...behindTheApi(state, now),
    username: credentials[0]?.username ?? "",
    password: credentials[0]?.password ?? "",
    get maintenance() {
      return switches.maintenance;
    },
    set maintenance(on: boolean) {
      switches.maintenance = on;
    },
    get reachesClavex() {
      return settings.reachesClavex;
    },
    set reachesClavex(reaches: boolean) {
      settings.reachesClavex = reaches;
    },
    apps: settings.apps,
    appConfig: settings.config,
    providers: state.providers,
    skeleton: state.skeleton,
    get sessionsOpened() {
      return sessions.opened;
    },
    expireSessions: () => sessions.expire(),
    addAppPassword: (userId) => access.addAppPassword(userId),
  };
}

/** What tests look at and set without asking the API. */
function behindTheApi(state: NextcloudState, now: () => number) {
  return {
    users: () => [...state.accounts()].map((account) => accountView(state, account)),
    user: (id: string) => {
      const account = state.account(id);
      return account && accountView(state, account);
    },
    groups: () => state.searchGroups({ search: "", offset: 0 }).flatMap(({ gid }) => groupView(state, gid) ?? []),
    group: (gid: string) => groupView(state, gid),
    addLocalUser: (user: LocalUser) => addLocalUser(state, user),
    addGroup: (gid: string, displayName?: string) => state.createGroup(gid, displayName),
    addMember: (gid: string, userId: string) => {
      existingAccount(state, userId);
      if (state.group(gid) === undefined) throw new Error(`the simulated Nextcloud has no group ${gid}`);
      state.addMember(userId, gid);
    },
    setEnabled: (userId: string, enabled: boolean) => {
      existingAccount(state, userId).enabled = enabled;
    },
    simulateLogin: (attempt: Login) => login(state, attempt, now()),
    files: (userId: string) => existingAccount(state, userId).files,
    card: (userId: string) => existingAccount(state, userId).card,
  };
}

/** What tests switch on and off. */
interface Switches {
  maintenance: boolean;
}

interface Parts {
  state: NextcloudState;
  settings: NextcloudSettings;
  access: Access;
  sessions: Sessions;
  switches: Switches;
  now: () => number;
}

/** Answers requests as the real server does. */
function requestHandler({
  state,
  settings,
  access,
  sessions,
  switches,
  now,
}: Parts): (request: RecordedRequest) => Answer {
  const allRoutes = [...routes, ...settingsRoutes(settings)];
  const { traits } = state;

  function answer(request: RecordedRequest): Answer {
    const path = pathOf(request.path);
    const { authorization } = request.headers;
    const actor =
      authorization === undefined || switches.maintenance || !path.startsWith("/ocs/")
        ? undefined
        : access.authenticate(authorization, sessions.of(request));
    const found = path.startsWith("/ocs/") ? ocs(request, path, actor) : outsideOcs(path, traits, switches.maintenance);
    return sessions.answer(request, found, {
      sent: authorization !== undefined && !switches.maintenance,
      ...(typeof actor === "object" ? { loggedIn: { id: actor.id, kind: actor.kind, at: now() } } : {}),
    });
  }

  function ocs(request: RecordedRequest, path: string, actor: Actor | "wrong" | "blocked" | undefined): Answer {
    const form = formOf(request, path, traits);
    if (switches.maintenance) {
      return entryError(form, 503, 503, "Service unavailable", { "x-nextcloud-maintenance-mode": "1" });
    }
    if (actor === "blocked") return tooManyFailures(form);
    if (actor === "wrong") return wrongCredentials(form);
    try {
      return dispatch(request, form, path.replace(/^\/ocs\/v[12]\.php/, ""), actor);
    } catch (error) {
      if (error instanceof OcsError)
        return ocsAnswer(form, { code: error.code, message: error.message, data: error.data });
      if (error instanceof WrongType && traits.wrongType === 400) return emptyPage(400);
      if (error instanceof InternalServerError) return internalServerError(form);
      throw error;
    }
  }

  /** The checks in the order of the real server: route, login, admin, password confirmation, OCS header, rate limit. */
  function dispatch(request: RecordedRequest, form: OcsForm, path: string, actor: Actor | undefined): Answer {
    if (path === "/cloud/capabilities" && request.method === "GET") {
      return ok(form, capabilities(actor, traits, access.bruteForceDelay()));
    }
    if (path === "/core/getapppassword" && request.method === "GET") return ok(form, access.createAppPassword(actor));
    const matching = allRoutes.filter(({ pattern, since = 27 }) => pattern.test(path) && state.version >= since);
    if (!isOffered(settings, path)) return unknownRoute(form);
    const route = matching.find(({ method }) => method === request.method);
    if (matching.length === 0) return unknownRoute(form);
    if (route === undefined)
      return { status: 405, headers: { "content-type": traits.jsonErrors ? JSON_TYPE : XML_TYPE } };
    const loggedIn = permit(route, actor);
    if (request.headers["ocs-apirequest"] === undefined) return csrfCheckFailed;
    if (route.rateLimited && !access.withinRateLimit(loggedIn.id, route.method)) {
      return emptyPage(429);
    }
    const captured = route.pattern.exec(path)?.slice(1) ?? [];
    const call: Call = { state, actor: loggedIn, captured, parameters: parametersOf(request) };
    return ok(form, route.run(call));
  }

  return answer;
}

const JSON_TYPE = "application/json; charset=utf-8";
const XML_TYPE = "text/xml; charset=UTF-8";

const emptyPage = (status: number): Answer => ({ status, headers: { "content-type": "text/html; charset=UTF-8" } });

function outsideOcs(path: string, traits: Traits, maintenance: boolean): Answer {
  if (path !== "/status.php") return emptyPage(404);
  const { string, edition, extendedSupport } = versionOf(traits);
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

/** The account that may use the route. */
function permit(route: Route, actor: Actor | undefined): Actor {
  if (actor === undefined) throw new OcsError(997, "Current user is not logged in");
  if (!actor.isAdmin && route.needs === "admin") throw new OcsError(403, "Logged in user must be an admin");
  if (!actor.isAdmin && route.needs === "subadmin") {
    throw new OcsError(403, "Logged in user must be at least a sub admin");
  }
  if (route.confirmsPassword && !actor.confirmed) throw new OcsError(403, "Password confirmation is required");
  return actor;
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

function formOf(request: RecordedRequest, path: string, { jsonErrors }: Traits): OcsForm {
  const formatJson = queryOf(request.path).get("format") === "json";
  const acceptsJson = formatJson || (request.headers.accept ?? "").includes("application/json");
  return { version: path.startsWith("/ocs/v1.php") ? 1 : 2, formatJson, acceptsJson, jsonErrors };
}

function versionOf({ release }: Traits) {
  const [major, minor, micro] = release.split(".").map(Number);
  return { major, minor, micro, string: release, edition: "", extendedSupport: false };
}

/** Anonymous callers see less; user_oidc shows up in neither. */
function capabilities(actor: Actor | undefined, traits: Traits, delay: number): unknown {
  const bruteforce = { delay, "allow-listed": false };
  const open = traits.jsonErrors ? { bruteforce } : { bruteforce, theming: { name: "Nextcloud" } };
  const closed = {
    core: { pollinterval: 60, "webdav-root": "remote.php/webdav" },
    provisioning_api: {
      version: traits.apps.provisioning_api,
      AccountPropertyScopesVersion: 2,
      AccountPropertyScopesFederatedEnabled: true,
      AccountPropertyScopesPublishedEnabled: !traits.newFields,
    },
  };
  return { version: versionOf(traits), capabilities: actor === undefined ? open : { ...open, ...closed } };
}
