import * as z from "zod";
import { NextcloudMisrouted, OcsRefusal } from "./errors.ts";
import type { Ocs } from "./ocs.ts";

/** The settings of a user_oidc provider that decide ids and logins. Empty mappings mean the default claim. */
export interface ProviderSettings {
  uniqueUid: boolean;
  providerBasedId: boolean;
  groupProvisioning: boolean;
  /** A login without a group that the whitelist lets through ends with HTTP 403. */
  restrictLoginToGroups: boolean;
  groupWhitelistRegex: string;
  mappingUid: string;
  mappingDisplayName: string;
  mappingEmail: string;
  mappingQuota: string;
  mappingGroups: string;
  mappingAvatar: string;
}

/** A provider of user_oidc. What only its OCS routes (8.5.0 and later) show is undefined where they do not exist. */
export interface OidcProvider {
  id: number;
  identifier: string | undefined;
  clientId: string | undefined;
  discoveryEndpoint: string | undefined;
  scope: string | undefined;
  settings: ProviderSettings;
}

/**
 * What makes or changes a provider; settings that are left out stay as they are, but a scope that is left out becomes
 * `openid email profile`, so it is always sent (docs/facts/nextcloud.md 8).
 */
export interface ProviderChange {
  identifier: string;
  clientId: string;
  clientSecret?: string;
  discoveryEndpoint: string;
  scope: string;
  settings: Partial<ProviderSettings>;
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

const ROUTE = "apps/user_oidc/api/v1/provider";
const mapping = z.string().default("");
const providerSchema = z
  .object({
    id: z.number(),
    identifier: z.string(),
    clientId: z.string(),
    discoveryEndpoint: z.string().nullable(),
    scope: z.string().nullable(),
    settings: z.object({
      uniqueUid: z.boolean(),
      providerBasedId: z.boolean(),
      groupProvisioning: z.boolean(),
      restrictLoginToGroups: z.boolean().default(false),
      groupWhitelistRegex: mapping,
      mappingUid: mapping,
      mappingDisplayName: mapping,
      mappingEmail: mapping,
      mappingQuota: mapping,
      mappingGroups: mapping,
      mappingAvatar: mapping,
    }),
  })
  .transform(
    (provider): OidcProvider => ({
      ...provider,
      discoveryEndpoint: provider.discoveryEndpoint ?? undefined,
      scope: provider.scope ?? undefined,
    }),
  );

/** An unknown route and an unknown object look alike: OCS 404 or 998, or a web page. */
const isMissing = (error: unknown): boolean =>
  error instanceof NextcloudMisrouted ||
  (error instanceof OcsRefusal && (error.status === 404 || error.status === 998));

/** All providers, or undefined where user_oidc has no OCS routes for them (before 8.5.0). */
export async function listProviders(ocs: Ocs): Promise<OidcProvider[] | undefined> {
  let data: unknown;
  try {
    data = await ocs.call("GET", ROUTE);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const parsed = z.array(providerSchema).safeParse(data);
  if (!parsed.success) throw new NextcloudMisrouted("user_oidc's list of providers has an unexpected form");
  return parsed.data;
}

/**
 * A provider's settings as user_oidc keeps them in its app config (`provider-ID-NAME`), for versions without OCS routes;
 * undefined when it has no settings of a provider with this id.
 */
export async function readProviderFromConfig(ocs: Ocs, id: number): Promise<OidcProvider | undefined> {
  const keys = await appConfigKeys(ocs, "user_oidc");
  if (!keys.some((key) => key.startsWith(`provider-${id}-`))) return undefined;
  const value = async (name: string): Promise<string> =>
    keys.includes(`provider-${id}-${name}`) ? readAppConfig(ocs, "user_oidc", `provider-${id}-${name}`) : "";
  const settings: Record<string, string | boolean> = {};
  for (const name of TEXTS) settings[name] = await value(name);
  for (const [name, fallback] of Object.entries(BOOLEANS)) {
    const stored = await value(name);
    settings[name] = stored === "" ? fallback : stored === "1";
  }
  return {
    id,
    identifier: undefined,
    clientId: undefined,
    discoveryEndpoint: undefined,
    scope: undefined,
    settings: settings as unknown as ProviderSettings,
  };
}

/** The ids of the providers that have settings in the app config, for versions without OCS routes. */
export async function configuredProviders(ocs: Ocs): Promise<number[]> {
  const ids = (await appConfigKeys(ocs, "user_oidc")).map((key) => Number(/^provider-(\d+)-/.exec(key)?.[1]));
  return [...new Set(ids.filter((id) => !Number.isNaN(id)))];
}

/** Creates a provider and returns its id. Nextcloud reads the discovery document first, and refuses one it cannot read. */
export async function createProvider(ocs: Ocs, change: ProviderChange): Promise<number> {
  const made = z.object({ id: z.number() }).safeParse(await ocs.call("POST", ROUTE, parameters(change)));
  if (!made.success) throw new NextcloudMisrouted("user_oidc's answer names no provider id");
  return made.data.id;
}

export async function updateProvider(ocs: Ocs, id: number, change: ProviderChange): Promise<void> {
  await ocs.call("PUT", `${ROUTE}/${id}`, parameters(change));
}

/** Removes a provider; one that is gone already is success. */
export async function deleteProvider(ocs: Ocs, id: number): Promise<void> {
  try {
    await ocs.call("DELETE", `${ROUTE}/${id}`);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function parameters({ settings, clientSecret, ...change }: ProviderChange): Record<string, string> {
  const shown = Object.entries(settings).map(([name, value]) => [
    `settings[${name}]`,
    typeof value === "boolean" ? (value ? "1" : "0") : value,
  ]);
  return { ...change, ...(clientSecret === undefined ? {} : { clientSecret }), ...Object.fromEntries(shown) };
}

const CONFIG = "apps/provisioning_api/api/v1/config/apps";

/** The names of all values that an app has in Nextcloud's app config. */
export async function appConfigKeys(ocs: Ocs, app: string): Promise<string[]> {
  const data = z.object({ data: z.array(z.string()) }).safeParse(await ocs.call("GET", `${CONFIG}/${app}`));
  if (!data.success) throw new NextcloudMisrouted("Nextcloud's app config has an unexpected form");
  return data.data.data;
}

/** One value of the app config; empty when it is not set. */
export async function readAppConfig(ocs: Ocs, app: string, key: string): Promise<string> {
  const data = z.object({ data: z.string() }).safeParse(await ocs.call("GET", `${CONFIG}/${app}/${key}`));
  if (!data.success) throw new NextcloudMisrouted("Nextcloud's app config has an unexpected form");
  return data.data.data;
}

export async function writeAppConfig(ocs: Ocs, app: string, key: string, value: string): Promise<void> {
  await ocs.call("POST", `${CONFIG}/${app}/${key}`, { value });
}

export async function deleteAppConfig(ocs: Ocs, app: string, key: string): Promise<void> {
  await ocs.call("DELETE", `${CONFIG}/${app}/${key}`);
}
