import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Dispatcher } from "undici";
import { CLAVEX_TIMEOUTS } from "../clavex/admin-api.ts";
import { logIn } from "../clavex/administrator.ts";
import { findOrganizationId } from "../clavex/management-api.ts";
import { ConfigurationError } from "../core/failure.ts";
import { isSlug, type Organization, parseOrganization } from "../core/organization.ts";
import { createPool } from "../http.ts";
import { type Answers, type Erased, NO_WEBHOOK } from "../setup/context.ts";
import type { SecretStore } from "../setup/store.ts";
import { ADMIN_TOKEN, completeWebhookUrl, demoToken, loginOfEnvironment, webhookBaseUrlFor } from "./doctor-options.ts";
import type { ConnectOptions } from "./options.ts";
import type { OpenPipeline } from "./pipeline.ts";
import { CommandError } from "./report.ts";

/** The options of `setup`. */
export interface SetupOptions extends ConnectOptions {
  organization?: string;
  organizationId?: string;
  clavexUrl?: string;
  nextcloudUrl?: string;
  username?: string;
  webhookUrl?: string;
  providerId?: number;
  /** The slug of the administrator's own organization, when it is another one. */
  adminOrganization?: string;
  auditSink?: boolean;
  disableLocalLogin?: boolean;
  erased?: Erased;
  remove?: boolean;
  json?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** Where secrets are put on one machine; `npm start` reads it. */
export const ENVIRONMENT_FILE = ".env";
/** The environment variable with Nextcloud's app password. */
export const APP_PASSWORD = "NEXTCLOUD_APP_PASSWORD";
/** What the pipeline's account in Nextcloud is called where nobody says otherwise. */
export const USERNAME = "provisioner";

/** What is known before anybody answers. */
export interface Given {
  options: SetupOptions;
  /** The organization as its file has it, or the demo's. */
  known: Organization | undefined;
  isDemo: boolean;
  pipeline: OpenPipeline;
  storeFor(slug: string): Promise<SecretStore>;
}

/** What setup works with: the answers, and the secrets of this run. */
export interface Asked {
  answers: Answers;
  /** An administrator's token of Clavex. Undefined: the steps there are left to a person. */
  token: string | undefined;
  /** What was given for Nextcloud; undefined where the store has it. */
  appPassword: string | undefined;
}

/** Whether the options name another organization than the demo's. */
export function isForAnother({ clavexUrl, nextcloudUrl, organizationId, stage }: SetupOptions): boolean {
  return [clavexUrl, nextcloudUrl, organizationId, stage].some((each) => each !== undefined);
}

/** Reads the organization's file, the named one or the only one; undefined when it is missing or invalid. */
export async function readConfigured(
  folder: string,
  scheme: "env" | "ssm",
  slug: string | undefined,
): Promise<Organization | undefined> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".json"));
  const name = slug === undefined && names.length === 1 ? names[0] : names.find((each) => each === `${slug}.json`);
  if (name === undefined) return undefined;
  const source = join(folder, name);
  return parseOrganization({ source, text: await readFile(source, "utf8") }, scheme).organization;
}

/**
 * The answers where nobody can be asked: from options, environment and the organization's file.
 *
 * @throws {CommandError} naming everything that is missing, {ConfigurationError} naming everything that is wrong, and the errors
 * of a login
 */
export async function collect(given: Given): Promise<Asked> {
  const { options, known, pipeline } = given;
  const slug = options.organization ?? known?.slug;
  const clavexUrl = options.clavexUrl ?? known?.clavex.baseUrl;
  const nextcloudUrl = options.nextcloudUrl ?? known?.nextcloud.baseUrl;
  const organizationId = options.organizationId ?? known?.organizationId;
  const canLogIn = !process.env[ADMIN_TOKEN] && loginOfEnvironment(slug ?? "") !== undefined;
  const store = slug !== undefined && isSlug(slug) ? await given.storeFor(slug) : undefined;
  const appPassword = process.env[APP_PASSWORD] || undefined;
  const needed: [string, unknown][] = [
    ["--organization", slug],
    ["--organization-id", organizationId ?? (canLogIn || undefined)],
    ["--clavex-url", clavexUrl],
    ["--nextcloud-url", nextcloudUrl],
    [`${APP_PASSWORD} in the environment`, appPassword ?? (await store?.read("appPassword"))],
  ];
  const missing = needed.filter(([, value]) => value === undefined).map(([name]) => name);
  if (missing.length > 0) throw new CommandError(`setup needs ${missing.join(", ")}`);

  const base = clavexUrl?.replace(/\/+$/, "") ?? "";
  const answers: Answers = {
    slug: slug ?? "",
    organizationId: organizationId?.toLowerCase() ?? "",
    clavexUrl: base,
    nextcloudUrl: nextcloudUrl?.replace(/\/+$/, "") ?? "",
    username: options.username ?? known?.nextcloud.username ?? USERNAME,
    webhookUrl: webhookOf(options, known, base, pipeline, slug ?? ""),
    ...switches(options, known),
  };
  validate(answers);
  return { ...(await withAdministrator(given, answers)), appPassword };
}

/** The answers that nobody is asked for. */
export function switches(
  { providerId, auditSink = false, disableLocalLogin = false, erased }: SetupOptions,
  known: Organization | undefined,
): Pick<Answers, "providerId" | "providerName" | "auditSink" | "disableLocalLogin" | "erased"> {
  const providerName = known?.identity.scheme === "sociallogin" ? known.identity.providerName : undefined;
  return { providerId, providerName, auditSink, disableLocalLogin, erased };
}

/** Where Clavex posts to, as far as it is known without asking. */
export function webhookOf(
  { webhookUrl }: SetupOptions,
  known: Organization | undefined,
  clavexUrl: string,
  pipeline: OpenPipeline,
  slug: string,
): string | undefined {
  if (webhookUrl === NO_WEBHOOK) return NO_WEBHOOK;
  if (webhookUrl === undefined && known?.clavex.webhookSecrets.length === 0) return NO_WEBHOOK;
  const base = webhookUrl ?? (URL.canParse(clavexUrl) ? webhookBaseUrlFor(clavexUrl, pipeline) : undefined);
  return completeWebhookUrl(base, slug);
}

const NOT_KNOWN_YET = "00000000-0000-0000-0000-000000000000";

/**
 * Checks the answers with the organization's schema.
 *
 * @throws {ConfigurationError} with every problem at once
 */
function validate({ slug, organizationId, clavexUrl, nextcloudUrl, username }: Answers): void {
  const document = {
    slug,
    organizationId: organizationId || NOT_KNOWN_YET,
    clavex: { baseUrl: clavexUrl, webhookSecrets: ["env:NAME"] },
    nextcloud: { baseUrl: nextcloudUrl, username, password: "env:NAME" },
    identity: { scheme: "user_oidc", providerId: 1 },
  };
  const { problems } = parseOrganization({ source: "setup", text: JSON.stringify(document) }, "env");
  if (problems) throw new ConfigurationError("setup-answers", problems, { fix: "Run setup again with other answers." });
}

/** Adds an administrator's token: the demo's, the environment's, or that of a login, which also tells the organization's UUID. */
async function withAdministrator(
  { options, known, isDemo, pipeline }: Given,
  answers: Answers,
): Promise<Pick<Asked, "answers" | "token">> {
  const token =
    process.env[ADMIN_TOKEN] || (isDemo && known && (await demoToken(known, pipeline.running))) || undefined;
  const credentials = token ? undefined : loginOfEnvironment(options.adminOrganization ?? answers.slug);
  if (credentials === undefined) return { token, answers: requireOrganizationId(answers, answers.organizationId) };
  const { clavexUrl: baseUrl, slug } = answers;
  return withClavex(baseUrl, async (pool) => {
    const login = await logIn({ pool, baseUrl }, credentials);
    const organizationId =
      credentials.slug === slug
        ? sameOrganization(answers, login.organizationId)
        : answers.organizationId || (await findOrganizationId({ pool, baseUrl, token: async () => login.token }, slug));
    return { token: login.token, answers: requireOrganizationId(answers, organizationId) };
  });
}

/**
 * The UUID that a login tells.
 *
 * @throws {CommandError} when another was given
 */
export function sameOrganization(
  { slug, organizationId }: Pick<Answers, "slug" | "organizationId">,
  own: string,
): string {
  if (organizationId === "" || organizationId === own) return own;
  throw new CommandError(`In Clavex the UUID of ${slug} is ${own}: give that as --organization-id.`);
}

function requireOrganizationId(answers: Answers, organizationId: string | undefined): Answers {
  if (organizationId !== undefined && isUuid(organizationId)) return { ...answers, organizationId };
  throw new CommandError("setup needs --organization-id, the UUID of the organization in Clavex");
}

/** Whether a text is a UUID in small letters. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/** Works with a few connections to Clavex, which are closed again. */
export async function withClavex<T>(baseUrl: string, work: (pool: Dispatcher) => Promise<T>): Promise<T> {
  const pool = createPool(baseUrl, 1, CLAVEX_TIMEOUTS);
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}
