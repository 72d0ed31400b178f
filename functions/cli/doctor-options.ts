import type { Secrets } from "../config/secrets.ts";
import type { Organization } from "../core/organization.ts";
import type { DoctorOptions } from "../doctor/context.ts";
import type { Running } from "../local/running.ts";
import { demo } from "./demo-organization.ts";
import { type OpenPipeline, viewOf } from "./pipeline.ts";
import { CommandError } from "./report.ts";

/** The environment variable with an administrator's token of Clavex; never an argument, which shells remember. */
export const ADMIN_TOKEN = "CLAVEX_ADMIN_TOKEN";

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
  };
}

/** The administrator's token of the environment; the demo's simulated Clavex has a fixed one that protects nothing. */
export async function adminToken(
  organization: Organization,
  running: Running | undefined,
): Promise<string | undefined> {
  if (process.env[ADMIN_TOKEN]) return process.env[ADMIN_TOKEN];
  if (running?.demo?.clavexUrl !== organization.clavex.baseUrl) return undefined;
  return (await demo()).DEMO_ADMIN_TOKEN;
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
