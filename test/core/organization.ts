import { randomUUID } from "node:crypto";
import type * as z from "zod";
import { type Organization, organizationSchema } from "../../functions/core/organization.ts";

type OrganizationInput = z.input<typeof organizationSchema>;

/** The identities that the tests' simulated Nextcloud has providers for, and those of the core schemes. */
export const IDENTITIES = {
  /** user_oidc as it comes: account and group ids are hashes. */
  hashed: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
  /** user_oidc with raw ids: the group `eng` is the Nextcloud group `eng`. */
  raw: { scheme: "user_oidc", providerId: 2, uniqueUserIds: false },
  providerBased: {
    scheme: "user_oidc",
    providerId: 3,
    uniqueUserIds: false,
    providerBasedIds: true,
    providerIdentifier: "clavex",
  },
  /** The same with an identifier that has to be encoded in paths. */
  oddlyNamed: {
    scheme: "user_oidc",
    providerId: 4,
    uniqueUserIds: false,
    providerBasedIds: true,
    providerIdentifier: "Größe & Söhne",
  },
  database: { scheme: "database" },
  sociallogin: { scheme: "sociallogin", providerName: "clavex" },
} as const;

/** The parts of an organization's document that a test cares about; the rest is filled in. */
export type Choices = Partial<Pick<OrganizationInput, "scope" | "groups" | "quota" | "deprovision" | "reconcile">> & {
  slug?: string;
  organizationId?: string;
  /** Default: `IDENTITIES.hashed`. */
  identity?: object;
  /** Default true; false makes an organization that lives from webhook snapshots alone. */
  apiKey?: boolean;
};

/** A validated organization. The addresses matter only where something is asked of them. */
export function organizationOf(
  choices: Choices = {},
  servers: { clavex: string; nextcloud: string; username?: string } = {
    clavex: "https://id.acme.example",
    nextcloud: "https://nextcloud.acme.example",
  },
): Organization {
  const {
    slug = "acme",
    organizationId = randomUUID(),
    identity = IDENTITIES.hashed,
    apiKey = true,
    ...rest
  } = choices;
  return organizationSchema.parse({
    slug,
    organizationId,
    identity,
    clavex: {
      baseUrl: servers.clavex,
      webhookSecrets: ["env:WEBHOOK_SECRET"],
      ...(apiKey ? { apiKey: `env:API_KEY_${slug}` } : {}),
    },
    nextcloud: {
      baseUrl: servers.nextcloud,
      username: servers.username ?? "provisioner",
      password: "env:APP_PASSWORD",
    },
    ...rest,
  });
}
