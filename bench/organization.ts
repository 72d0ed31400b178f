import type * as z from "zod";
import { environmentSecrets, type Secrets } from "../functions/config/secrets.ts";
import { type Organization, organizationSchema } from "../functions/core/organization.ts";
import { DEFAULT_ORGANIZATION } from "../functions/simulated/clavex.ts";
import { DEFAULT_APP_PASSWORD } from "../functions/simulated/nextcloud.ts";

export const IDENTITY = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;
export const QUOTA = { text: "5 GB", bytes: 5 * 1024 ** 3 };
/** Protects nothing: what a bench provisions is made up. */
export const WEBHOOK_SECRET = "bench-webhook-secret-that-protects-nothing";

/** The organization of a bench. Nobody is held by the brake: departures are measured too. */
export function benchOrganization(
  servers: { clavex: string; nextcloud: string; username?: string },
  changes: Partial<z.input<typeof organizationSchema>> = {},
): Organization {
  return organizationSchema.parse({
    slug: DEFAULT_ORGANIZATION.slug,
    organizationId: DEFAULT_ORGANIZATION.id,
    clavex: { baseUrl: servers.clavex, webhookSecrets: ["env:WEBHOOK_SECRET"], apiKey: "env:API_KEY" },
    nextcloud: {
      baseUrl: servers.nextcloud,
      username: servers.username ?? "provisioner",
      password: "env:APP_PASSWORD",
    },
    identity: IDENTITY,
    quota: { default: QUOTA.text },
    reconcile: { maxDeprovisions: { count: 10_000, percent: 100 } },
    ...changes,
  });
}

export function benchSecrets(appPassword: string = DEFAULT_APP_PASSWORD): Secrets {
  return environmentSecrets({
    WEBHOOK_SECRET,
    API_KEY: DEFAULT_ORGANIZATION.apiKey,
    APP_PASSWORD: appPassword,
  });
}
