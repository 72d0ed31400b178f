import type { Call, Route } from "./nextcloud-routes.ts";
import type { NextcloudState, Provider } from "./nextcloud-state.ts";
import { OcsError } from "./ocs-answer.ts";

/** The apps that are enabled, with their versions, and the app config apart from user_oidc's providers. */
export interface NextcloudSettings {
  apps: Map<string, string>;
  /** `app/key` -> value. */
  config: Map<string, string>;
  /** Whether Nextcloud gets to Clavex: the real one reads the discovery document before it takes a provider. */
  reachesClavex: boolean;
}

const BOOLEANS = {
  uniqueUid: true,
  providerBasedId: false,
  groupProvisioning: false,
  restrictLoginToGroups: false,
} as const;
const TEXTS = [
  "groupWhitelistRegex",
  "mappingUid",
  "mappingDisplayName",
  "mappingEmail",
  "mappingQuota",
  "mappingGroups",
  "mappingAvatar",
] as const;

/** The first version of user_oidc whose providers can be managed over OCS (docs/facts/nextcloud.md 8). */
const PROVIDER_ROUTES_SINCE = [8, 5];

/** The routes about apps, the app config and, from user_oidc 8.5, its providers. All are for administrators only. */
export function settingsRoutes(settings: NextcloudSettings): Route[] {
  const admin = (method: string, pattern: RegExp, run: Route["run"]): Route => ({
    method,
    pattern,
    needs: "admin",
    // Reading asks for no password confirmation; every write does.
    ...(method === "GET" ? {} : { confirmsPassword: true }),
    run,
  });
  const configPath = /^\/apps\/provisioning_api\/api\/v1\/config\/apps\/([^/]+)\/([^/]+)$/;
  return [
    admin("GET", /^\/cloud\/apps$/, () => ({ apps: [...settings.apps.keys()] })),
    admin("GET", /^\/cloud\/apps\/([^/]+)$/, ({ captured: [app = ""] }) => {
      const version = settings.apps.get(app);
      if (version === undefined) throw new OcsError(998, "The request app was not found");
      return { id: app, name: app, version };
    }),
    admin("GET", /^\/apps\/provisioning_api\/api\/v1\/config\/apps\/([^/]+)$/, ({ state, captured: [app = ""] }) => ({
      data: [...configOf(settings, state, app).keys()],
    })),
    admin("GET", configPath, ({ state, captured: [app = "", key = ""] }) => ({
      data: configOf(settings, state, app).get(key) ?? "",
    })),
    admin("POST", configPath, ({ captured: [app, key], parameters }) => {
      settings.config.set(`${app}/${key}`, String(parameters.get("value")));
      return [];
    }),
    admin("DELETE", configPath, ({ captured: [app, key] }) => {
      settings.config.delete(`${app}/${key}`);
      return [];
    }),
    ...providerRoutes(settings, admin),
  ];
}

/** Whether the app behind a route is enabled, and new enough to have it. */
export function isOffered({ apps }: NextcloudSettings, path: string): boolean {
  const app = /^\/apps\/([^/]+)\//.exec(path)?.[1];
  if (app === undefined) return true;
  if (!apps.has(app)) return false;
  if (!path.startsWith("/apps/user_oidc/api/v1/provider")) return true;
  const [major = 0, minor = 0] = (apps.get("user_oidc") ?? "0").split(".").map(Number);
  const [sinceMajor = 0, sinceMinor = 0] = PROVIDER_ROUTES_SINCE;
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

function providerRoutes(
  settings: NextcloudSettings,
  admin: (method: string, pattern: RegExp, run: Route["run"]) => Route,
): Route[] {
  const all = /^\/apps\/user_oidc\/api\/v1\/provider$/;
  const one = /^\/apps\/user_oidc\/api\/v1\/provider\/(\d+)$/;
  return [
    admin("GET", all, ({ state }) => state.providers.map(shown)),
    admin("POST", all, ({ state, parameters }) => {
      const identifier = String(parameters.get("identifier"));
      if (state.providers.some((each) => each.identifier === identifier)) {
        throw new OcsError(409, "", { message: "Provider with the given identifier already exists" });
      }
      const id = Math.max(0, ...state.providers.map((each) => each.id)) + 1;
      const provider: Provider = { id, identifier, uniqueUid: true, providerBasedId: false };
      change(settings, provider, parameters);
      state.providers.push(provider);
      return shown(provider);
    }),
    admin("PUT", one, (call) => {
      const provider = providerOf(call);
      change(settings, provider, call.parameters);
      return shown(provider);
    }),
    admin("DELETE", one, (call) => {
      call.state.providers.splice(call.state.providers.indexOf(providerOf(call)), 1);
      return [];
    }),
  ];
}

function providerOf({ state, captured }: Call): Provider {
  const provider = state.providers.find(({ id }) => id === Number(captured[0]));
  if (provider === undefined) throw new OcsError(404);
  return provider;
}

/** Nothing is changed where the discovery document cannot be read. */
function change({ reachesClavex }: NextcloudSettings, provider: Provider, parameters: Map<string, unknown>): void {
  const discovery = String(parameters.get("discoveryEndpoint") ?? "");
  if (!reachesClavex || !URL.canParse(discovery))
    throw new OcsError(400, "", { message: "The discovery endpoint is not reachable." });
  for (const field of ["identifier", "clientId", "discoveryEndpoint"] as const) {
    if (parameters.has(field)) provider[field] = String(parameters.get(field));
  }
  provider.scope = String(parameters.get("scope") ?? "openid email profile");
  const secret = parameters.get("clientSecret");
  if (typeof secret === "string" && secret !== "") provider.clientSecret = secret;
  const settings = parameters.get("settings");
  if (typeof settings !== "object" || settings === null) return;
  for (const [name, value] of Object.entries(settings)) {
    if (name in BOOLEANS) provider[name as keyof typeof BOOLEANS] = value === "1" || value === true;
    else if ((TEXTS as readonly string[]).includes(name)) provider[name as (typeof TEXTS)[number]] = String(value);
  }
}

/** A provider as the API shows it: never its secret. */
function shown(provider: Provider): Record<string, unknown> {
  const settings = {
    ...Object.fromEntries(TEXTS.map((name) => [name, provider[name] ?? ""])),
    ...Object.fromEntries(Object.entries(BOOLEANS).map(([name, fallback]) => [name, flag(provider, name, fallback)])),
  };
  const { id, identifier, clientId = "", discoveryEndpoint = null, scope = "openid email profile" } = provider;
  return { id, identifier, clientId, discoveryEndpoint, scope, settings };
}

function flag(provider: Provider, name: string, fallback: boolean): boolean {
  return provider[name as keyof typeof BOOLEANS] ?? fallback;
}

/** An app's config; that of user_oidc holds the settings of its providers, as `provider-ID-NAME`. */
function configOf({ config }: NextcloudSettings, state: NextcloudState, app: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const [path, value] of config) {
    if (path.startsWith(`${app}/`)) values.set(path.slice(app.length + 1), value);
  }
  if (app !== "user_oidc") return values;
  for (const provider of state.providers) {
    for (const [name, fallback] of Object.entries(BOOLEANS)) {
      values.set(`provider-${provider.id}-${name}`, flag(provider, name, fallback) ? "1" : "0");
    }
    for (const name of TEXTS) {
      const value = provider[name];
      if (value !== undefined) values.set(`provider-${provider.id}-${name}`, value);
    }
  }
  return values;
}
