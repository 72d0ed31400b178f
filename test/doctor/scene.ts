import { API_KEY_PERMISSIONS, MADE_BY_SETUP, WEBHOOK_EVENTS } from "../../functions/clavex/contract.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { type Organization, organizationSchema } from "../../functions/core/organization.ts";
import type { DoctorOptions } from "../../functions/doctor/context.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { SCOPES } from "../../functions/nextcloud/user-oidc.ts";
import type { Embedded } from "../support/embedded.ts";
import { type ClavexUser, type SimulatedClavex, type SimulatedNextcloud, startSystems } from "./systems.ts";

export const SLUG = "acme";
export const ORGANIZATION_ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
export const WEBHOOK_URL = "http://127.0.0.1:8787/webhooks/clavex/acme";
const API_KEY = "clv_test_key_that_protects_nothing";
const WEBHOOK_SECRET = "a-webhook-secret-that-protects-nothing";

/** An organization between both simulated systems, where everything is as it should be. */
export interface Scene {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  organization: Organization;
  ada: ClavexUser;
  ledger: Ledger;
  /** What doctor is run with; a test changes it before the run. */
  options: DoctorOptions;
  environment: Record<string, string>;
  close(): Promise<void>;
}

export async function healthyScene(embedded: Embedded): Promise<Scene> {
  const { clavex, nextcloud, close } = await startSystems({
    id: ORGANIZATION_ID,
    slug: SLUG,
    apiKey: API_KEY,
    permissions: ["users:read", "groups:read"],
  });
  const ada = clavex.addUser(SLUG, { email: "ada@acme.example", first_name: "Ada", last_name: "Lovelace" });
  clavex.addMember(SLUG, clavex.addGroup(SLUG, "Engineering").id, ada.id);

  const client = {
    client_id: "client-1",
    name: "Nextcloud",
    redirect_uris: [`${nextcloud.url}/apps/user_oidc/code`],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    scopes: [...SCOPES],
    is_active: true,
    id_token_signed_response_alg: "RS256",
    secret: "client-secret",
  };
  const tokens = { add_to_access_token: true, add_to_id_token: true, add_to_userinfo: true };
  const management = clavex.management(SLUG);
  management.clients.push(client);
  management.mappers.push(
    {
      id: "m-1",
      client_id: "client-1",
      name: "nc-groups",
      mapper_type: "group_membership",
      claim_name: "groups",
      ...tokens,
    },
    {
      id: "m-2",
      client_id: "client-1",
      name: "nc-email",
      mapper_type: "user_property",
      attribute_name: "email",
      claim_name: "email",
      ...tokens,
    },
    {
      id: "m-3",
      client_id: "client-1",
      name: "nc-quota",
      mapper_type: "user_attribute",
      attribute_name: "nextcloud_quota",
      claim_name: "quota",
      ...tokens,
    },
  );
  management.apiKeys.push({
    id: "key-1",
    name: MADE_BY_SETUP,
    scope: "read-only",
    permissions: [...API_KEY_PERMISSIONS],
    key: API_KEY,
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

  const organization = organizationSchema.parse({
    slug: SLUG,
    organizationId: ORGANIZATION_ID,
    clavex: { baseUrl: clavex.url, webhookSecrets: ["env:WEBHOOK_SECRET"], apiKey: "env:API_KEY" },
    nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:APP_PASSWORD" },
    identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
  });
  const environment: Record<string, string> = { WEBHOOK_SECRET, API_KEY, APP_PASSWORD: nextcloud.password };
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
      pipeline: {
        ledger,
        queue: async () => ({ waiting: 0, delayed: 0, inFlight: 0, oldestAgeMs: undefined }),
        givenUp: async () => 0,
      },
    },
    close,
  };
}
