import { CLAVEX_TIMEOUTS } from "../clavex/admin-api.ts";
import { type Credentials, logIn } from "../clavex/administrator.ts";
import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { ConfigurationError } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { DoctorOptions } from "../doctor/context.ts";
import { createPool } from "../http.ts";
import type { Running } from "../local/running.ts";
import { demo } from "./demo-organization.ts";
import { type OpenPipeline, viewOf } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { now } from "./terminal.ts";

/** The environment variable with an administrator's token of Clavex; never an argument, which shells remember. */
export const ADMIN_TOKEN = "CLAVEX_ADMIN_TOKEN";
/** The environment variables with what an administrator logs in with, in place of a token. */
export const ADMIN_EMAIL = "CLAVEX_ADMIN_EMAIL";
export const ADMIN_PASSWORD = "CLAVEX_ADMIN_PASSWORD";

/** What doctor is run with for one organization, from this machine's environment and the pipeline that was found. */
export async function doctorOptions(
  organization: Organization,
  others: Organization[],
  secrets: Secrets,
  pipeline: OpenPipeline,
  webhookUrl: string | undefined,
): Promise<DoctorOptions> {
  return {
    organization,
    others,
    secrets,
    adminToken: await adminToken(organization, pipeline.running),
    webhookUrl: completeWebhookUrl(
      webhookUrl ?? webhookBaseUrlFor(organization.clavex.baseUrl, pipeline),
      organization.slug,
    ),
    ownAuthorities: (process.env.NODE_EXTRA_CA_CERTS ?? "") !== "",
    pipeline: viewOf(pipeline),
    now,
  };
}

/** The other organizations; what is wrong with one of them is reported when its turn comes. */
export async function usableOrganizations(organizations: Organizations, except: string): Promise<Organization[]> {
  const others = (await organizations.slugs()).filter((slug) => slug !== except);
  const read = others.map((slug) =>
    organizations.get(slug).catch((error: unknown) => {
      if (error instanceof ConfigurationError) return undefined;
      throw error;
    }),
  );
  return (await Promise.all(read)).flatMap((organization) => organization ?? []);
}

/**
 * An administrator's token: of the environment, or of a login with what is there; the demo's simulated Clavex has a fixed
 * one that protects nothing.
 *
 * @throws the errors of a login
 */
async function adminToken(organization: Organization, running: Running | undefined): Promise<string | undefined> {
  const token = process.env[ADMIN_TOKEN] || (await demoToken(organization, running));
  const credentials = loginOfEnvironment(organization.slug);
  if (token || credentials === undefined) return token;
  const { baseUrl } = organization.clavex;
  const pool = createPool(baseUrl, 1, CLAVEX_TIMEOUTS);
  try {
    return (await logIn({ pool, baseUrl }, credentials)).token;
  } finally {
    await pool.close();
  }
}

/** The token of the demo's simulated Clavex, where this organization is the demo's. */
export async function demoToken({ clavex }: Organization, running: Running | undefined): Promise<string | undefined> {
  return running?.demo?.clavexUrl === clavex.baseUrl ? (await demo()).DEMO_ADMIN_TOKEN : undefined;
}

/** What an administrator of an organization logs in to Clavex with, where the environment has both. */
export function loginOfEnvironment(slug: string): Credentials | undefined {
  const [email, password] = [process.env[ADMIN_EMAIL], process.env[ADMIN_PASSWORD]];
  return email && password ? { slug, email, password } : undefined;
}

/** Where the Clavex at this address posts to, without the slug. To a local pipeline only a Clavex on this machine can. */
export function webhookBaseUrlFor(
  clavexUrl: string,
  { running, webhookBaseUrl }: Pick<OpenPipeline, "running" | "webhookBaseUrl">,
): string | undefined {
  return running && !isLoopback(clavexUrl) ? undefined : webhookBaseUrl;
}

function isLoopback(baseUrl: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(baseUrl).hostname);
}

/** An organization's webhook URL, from it or from what comes before the slug in it. */
export function completeWebhookUrl(url: string | undefined, slug: string): string | undefined {
  if (url === undefined) return undefined;
  if (!URL.canParse(url)) throw new CommandError(`--webhook-url: ${url} is not a URL`);
  const { origin, pathname } = new URL(url);
  const path = pathname.replace(/\/+$/, "");
  const route = "/webhooks/clavex";
  if (path.endsWith(`${route}/${slug}`)) return `${origin}${path}`;
  return path.endsWith(route) ? `${origin}${path}/${slug}` : `${origin}${path}${route}/${slug}`;
}
