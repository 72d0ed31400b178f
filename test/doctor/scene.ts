import { API_KEY_PERMISSIONS, MADE_BY_SETUP, WEBHOOK_EVENTS } from "../../functions/clavex/contract.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import type { Organization } from "../../functions/core/organization.ts";
import type { DoctorOptions } from "../../functions/doctor/context.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { SCOPES } from "../../functions/nextcloud/user-oidc.ts";
import { type ClavexUser, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { jsonAnswer, type SimulatedServer, startServer } from "../../functions/simulated/server.ts";
import { apiKeyOf, environmentOf, organizationOf, WEBHOOK_SECRET } from "../core/organization.ts";
import type { Embedded } from "../support/embedded.ts";
import { createPeople } from "../support/people.ts";

export const SLUG = "acme";
export const ORGANIZATION_ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
export const WEBHOOK_URL = "http://127.0.0.1:8787/webhooks/clavex/acme";
/** An app password of an ordinary administrator. */
export const ORDINARY = { username: "boss", password: "x".repeat(72) };
/** The app password of an account that is no administrator. */
export const CLERK_PASSWORD = "simulated-app-password-of-a-clerk";

/** An organization between both simulated systems, where everything is in order. */
export interface Scene {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  organization: Organization;
  ada: ClavexUser;
  ledger: Ledger;
  /** In place of the running pipeline: it takes every delivery. */
  receiver: SimulatedServer;
  /** What doctor is run with; a test changes it before the run. */
  options: DoctorOptions;
  environment: Record<string, string>;
  close(): Promise<void>;
}

export async function healthyScene(embedded: Embedded): Promise<Scene> {
  const apiKey = apiKeyOf(SLUG);
  const clavex = await startSimulatedClavex({
    organizations: [{ id: ORGANIZATION_ID, slug: SLUG, apiKey, permissions: ["users:read", "groups:read"] }],
  });
  const nextcloud = await startSimulatedNextcloud({
    bruteForce: true,
    skeleton: {},
    credentials: [
      { username: "provisioner", password: "simulated-app-password-0123456789", backend: "user_oidc" },
      { username: "clerk", password: CLERK_PASSWORD, admin: false },
      ORDINARY,
    ],
  });
  const settings = organizationOf({ slug: SLUG, organizationId: ORGANIZATION_ID }, { clavex, nextcloud });
  const organization: Organization = { ...settings, nextcloud: { ...settings.nextcloud, skeleton: "empty" } };
  const { person } = createPeople({ slug: SLUG, clavex, nextcloud, identity: () => organization.identity });
  const ada = person({ email: "ada@acme.example" }, ["Engineering"]);

  const client = {
    client_id: "client-1",
    name: "Nextcloud",
    redirect_uris: [`${nextcloud.url}/apps/user_oidc/code`, `${nextcloud.url}/`],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    scopes: ["openid", "profile", "email"],
    is_active: true,
    id_token_signed_response_alg: "RS256",
    secret: "client-secret",
  };
  const management = clavex.management(SLUG);
  management.clients.push(client);
  const mapper = {
    client_id: "client-1",
    add_to_access_token: true,
    add_to_id_token: true,
    add_to_userinfo: true,
  };
  management.mappers.push(
    { ...mapper, id: "m-1", name: "nc-groups", mapper_type: "group_membership", claim_name: "groups" },
    {
      ...mapper,
      id: "m-2",
      name: "nc-email",
      mapper_type: "user_property",
      attribute_name: "email",
      claim_name: "email",
    },
    {
      ...mapper,
      id: "m-3",
      name: "nc-quota",
      mapper_type: "user_attribute",
      attribute_name: "nextcloud_quota",
      claim_name: "quota",
    },
    {
      ...mapper,
      id: "m-4",
      name: "nc-picture",
      mapper_type: "user_attribute",
      attribute_name: "picture",
      claim_name: "picture",
    },
  );
  management.apiKeys.push({
    id: "key-1",
    name: MADE_BY_SETUP,
    scope: "read-only",
    permissions: [...API_KEY_PERMISSIONS],
    key: apiKey,
  });
  management.webhooks.push({
    id: "hook-1",
    url: WEBHOOK_URL,
    events: [...WEBHOOK_EVENTS],
    event_filter: [],
    is_active: true,
    secret: WEBHOOK_SECRET,
  });
  Object.assign(nextcloud.providers[0] ?? {}, {
    clientId: "client-1",
    discoveryEndpoint: `${clavex.url}/${SLUG}/.well-known/openid-configuration`,
    scope: SCOPES.join(" "),
    mappingAvatar: "picture",
  });

  const environment = environmentOf(nextcloud.password, SLUG);
  const receiver = await startServer({ answer: () => jsonAnswer(202, { status: "ignored" }) });
  const ledger = createLedger(dynamoDbTable(embedded.clients.dynamodb, embedded.endpoints.tableName));
  return {
    clavex,
    nextcloud,
    organization,
    ada,
    ledger,
    environment,
    options: {
      organization,
      others: [],
      secrets: environmentSecrets(environment),
      adminToken: clavex.adminToken,
      webhookUrl: WEBHOOK_URL,
      ownAuthorities: false,
      settleMs: 0,
      pipeline: {
        deliverTo: `${receiver.url}/webhooks/clavex`,
        ledger,
        queue: async () => ({ waiting: 0, delayed: 0, inFlight: 0, oldestAgeMs: undefined }),
        givenUp: async () => 0,
      },
    },
    receiver,
    close: async () => void (await Promise.all([clavex.close(), nextcloud.close(), receiver.close()])),
  };
}
