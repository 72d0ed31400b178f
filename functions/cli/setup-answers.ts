import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Dispatcher } from "undici";
import { type Credentials, logIn } from "../clavex/administrator.ts";
import { ConfigurationError } from "../core/failure.ts";
import { type Organization, parseOrganization } from "../core/organization.ts";
import type { Running } from "../local/running.ts";
import type { Answers } from "../setup/context.ts";
import {
  ADMIN_EMAIL,
  ADMIN_PASSWORD,
  ADMIN_TOKEN,
  completeWebhookUrl,
  demoToken,
  loginOfEnvironment,
  webhookBaseUrlFor,
} from "./doctor-options.ts";
import type { ConnectOptions } from "./options.ts";
import type { OpenPipeline } from "./pipeline.ts";
import { askFor, canAsk, hidden } from "./prompt.ts";
import { CommandError } from "./report.ts";
import { print } from "./terminal.ts";

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
  remove?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** Where secrets are put on one machine; `npm start` reads it. */
export const ENVIRONMENT_FILE = ".env";
/** The environment variable with Nextcloud's app password. */
export const APP_PASSWORD = "NEXTCLOUD_APP_PASSWORD";

/** Whether the options name another organization than the demo's. */
export function isForAnother({ clavexUrl, nextcloudUrl, organizationId, stage }: SetupOptions): boolean {
  return [clavexUrl, nextcloudUrl, organizationId, stage].some((each) => each !== undefined);
}

/** Reads the organization's file, the named one or the only one; undefined when there is none or it is invalid. */
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

/** Whether somebody can log in to Clavex in this run: then nobody has to know the organization's UUID. */
function canLogIn(options: SetupOptions, slug: string): boolean {
  if (process.env[ADMIN_TOKEN]) return false;
  return isAsked(options) || loginOfEnvironment(slug) !== undefined;
}

/** The answers: from the options, else what is configured, else asked for, where there is somebody to ask. */
export async function ask(
  options: SetupOptions,
  known: Organization | undefined,
  pipeline: OpenPipeline,
): Promise<Answers> {
  const missing: string[] = [];
  const answer = async (
    given: string | undefined,
    flag: string,
    question: string,
    suggestion = "",
  ): Promise<string> => {
    if (given !== undefined) return given;
    const reply = isAsked(options) ? await askFor({ message: `${question}:`, suggestion }) : suggestion;
    const value = reply === "" ? suggestion : reply;
    if (value === "") missing.push(flag);
    return value;
  };
  const slug = await answer(
    options.organization ?? known?.slug,
    "--organization",
    "Slug of the organization in Clavex",
  );
  const knownId = options.organizationId ?? known?.organizationId;
  const organizationId =
    knownId ??
    (canLogIn(options, slug) ? "" : await answer(undefined, "--organization-id", "UUID of the organization in Clavex"));
  const clavexUrl = await answer(
    options.clavexUrl ?? known?.clavex.baseUrl,
    "--clavex-url",
    "Address of Clavex, without the slug",
  );
  const nextcloudUrl = await answer(
    options.nextcloudUrl ?? known?.nextcloud.baseUrl,
    "--nextcloud-url",
    "Address of Nextcloud",
  );
  const username = await answer(
    options.username ?? known?.nextcloud.username,
    "--username",
    "Administrator account for the pipeline in Nextcloud",
    "provisioner",
  );
  if (missing.length > 0) throw new CommandError(`setup needs ${missing.join(", ")}`);
  const clavex = clavexUrl.replace(/\/+$/, "");
  const webhookBase = options.webhookUrl ?? (URL.canParse(clavex) ? webhookBaseUrlFor(clavex, pipeline) : undefined);
  return {
    slug,
    organizationId: organizationId.toLowerCase(),
    clavexUrl: clavex,
    nextcloudUrl: nextcloudUrl.replace(/\/+$/, ""),
    username,
    webhookUrl: completeWebhookUrl(webhookBase, slug),
    providerId: options.providerId,
    auditSink: options.auditSink ?? false,
    disableLocalLogin: options.disableLocalLogin ?? false,
  };
}

const NOT_KNOWN_YET = "00000000-0000-0000-0000-000000000000";

/**
 * Checks the answers with the organization's schema.
 *
 * @throws {ConfigurationError} with every problem at once
 */
export function validate({ slug, organizationId, clavexUrl, nextcloudUrl, username }: Answers): void {
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

/** Who sets things up in Clavex, and in which organization. */
export interface Administrator {
  /** Undefined: the steps in Clavex are left to a person. */
  token: string | undefined;
  organizationId: string;
}

/**
 * An administrator of Clavex: the demo's token, the environment's, or a login for this run, which also tells the
 * organization's UUID.
 *
 * @throws the errors of a login, and {CommandError} when the UUID is not known, or another than was given
 */
export async function findAdministrator(
  options: SetupOptions,
  answers: Answers,
  demoOrganization: Organization | undefined,
  running: Running | undefined,
  pool: Dispatcher,
): Promise<Administrator> {
  const given = process.env[ADMIN_TOKEN] || (demoOrganization && (await demoToken(demoOrganization, running)));
  const credentials = given ? undefined : await findCredentials(options, answers);
  if (credentials === undefined) {
    const organizationId = await requireOrganizationId(options, answers);
    if (given || !isAsked(options)) return { token: given, organizationId };
    const token = await hidden("Clavex administrator's token (empty: the steps in Clavex are left to you):");
    return { token: token || undefined, organizationId };
  }
  const { token, organizationId: own } = await logIn({ pool, baseUrl: answers.clavexUrl }, credentials);
  // An administrator of another organization, such as a superadmin: their login tells nothing of this one.
  if (credentials.slug !== answers.slug)
    return { token, organizationId: await requireOrganizationId(options, answers) };
  if (answers.organizationId !== "" && answers.organizationId !== own) {
    throw new CommandError(`In Clavex the UUID of ${answers.slug} is ${own}: give that as --organization-id.`);
  }
  return { token, organizationId: own };
}

/** The UUID where no login tells it: given, or asked for now. */
async function requireOrganizationId(options: SetupOptions, { organizationId }: Answers): Promise<string> {
  const asked = async () => (isAsked(options) ? askFor({ message: "UUID of the organization in Clavex:" }) : "");
  const id = (organizationId || (await asked())).toLowerCase();
  if (!UUID.test(id)) throw new CommandError("setup needs --organization-id, the UUID of the organization in Clavex");
  return id;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What an administrator logs in with: from the environment, or asked for. The slug is that of their own organization. */
async function findCredentials(options: SetupOptions, { slug, clavexUrl }: Answers): Promise<Credentials | undefined> {
  const { adminOrganization: own = slug } = options;
  const given = loginOfEnvironment(own);
  if (given) return given;
  if (!isAsked(options)) return undefined;
  print(
    `Setup logs in to ${clavexUrl} as an administrator, for this run only: nothing of it is kept. Leave the e-mail address empty to give a token instead.`,
  );
  const email = process.env[ADMIN_EMAIL] || (await askFor({ message: "Administrator's e-mail address in Clavex:" }));
  if (email === "") return undefined;
  const ownSlug =
    options.adminOrganization ?? (await askFor({ message: "Slug of their organization:", suggestion: own }));
  return {
    slug: ownSlug,
    email,
    password: process.env[ADMIN_PASSWORD] || (await askSecret(options, "Password in Clavex", ADMIN_PASSWORD)),
  };
}

/**
 * Asks for a secret that is not in the environment.
 *
 * @throws {CommandError} when there is nobody to ask, or no answer
 */
export async function askSecret(options: SetupOptions, what: string, variable: string): Promise<string> {
  const value = isAsked(options) ? await hidden(`${what}:`) : "";
  if (value !== "") return value;
  throw new CommandError(`${what} is missing: put it into the environment variable ${variable}`);
}

const isAsked = ({ yes }: SetupOptions): boolean => !yes && canAsk();
