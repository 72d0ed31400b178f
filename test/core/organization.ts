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
  /** Default: `default`. */
  skeleton?: "default" | "empty";
  /** Default true; false makes an organization that lives from webhook snapshots alone. */
  apiKey?: boolean;
};

/** The secret of every organization's webhook. */
export const WEBHOOK_SECRET = "a-webhook-secret-that-protects-nothing";

export const apiKeyOf = (slug: string): string => `clv_test_key_of_${slug}_that_protects_nothing`;

/** What the references in the documents of these organizations stand for, with the app password of their Nextcloud. */
export const environmentOf = (appPassword: string, ...slugs: string[]): Record<string, string> => ({
  WEBHOOK_SECRET,
  APP_PASSWORD: appPassword,
  ...Object.fromEntries(slugs.map((slug) => [`API_KEY_${slug}`, apiKeyOf(slug)])),
});

interface Servers {
  clavex: { url: string };
  nextcloud: { url: string; username: string };
}

const NOWHERE: Servers = {
  clavex: { url: "https://id.acme.example" },
  nextcloud: { url: "https://nextcloud.acme.example", username: "provisioner" },
};

/** An organization's document. The servers matter only where something is asked of them. */
export function documentOf(choices: Choices = {}, { clavex, nextcloud }: Servers = NOWHERE) {
  const {
    slug = "acme",
    organizationId = randomUUID(),
    identity = IDENTITIES.hashed,
    skeleton = "default",
    apiKey = true,
    ...rest
  } = choices;
  return {
    slug,
    organizationId,
    identity,
    clavex: {
      baseUrl: clavex.url,
      webhookSecrets: ["env:WEBHOOK_SECRET"],
      ...(apiKey ? { apiKey: `env:API_KEY_${slug}` } : {}),
    },
    nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:APP_PASSWORD", skeleton },
    ...rest,
  };
}

/** A validated organization. */
export const organizationOf = (choices?: Choices, servers?: Servers): Organization =>
  organizationSchema.parse(documentOf(choices, servers));
