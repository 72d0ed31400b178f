import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newBrake } from "../../functions/core/brake.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import type { Result } from "../../functions/doctor/check.ts";
import type { DoctorContext } from "../../functions/doctor/context.ts";
import { allChecks, examine } from "../../functions/doctor/doctor.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import { QueueUnavailable } from "../../functions/queue/errors.ts";
import type { SimulatedMapper, SimulatedWebhook } from "../../functions/simulated/clavex-management.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { personJob } from "../support/jobs.ts";
import { CLERK_PASSWORD, healthyScene, ORDINARY, ORGANIZATION_ID, type Scene, SLUG } from "./scene.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let embedded: Embedded;
let scene: Scene;

beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
});
afterAll(() => embedded.stop());
beforeEach(async () => {
  scene = await healthyScene(embedded);
});
afterEach(async () => {
  await scene.ledger.deadLetters.drop(SLUG, scene.ada.id);
  // The ledger is all tests' own, and a later server may get this one's port, so its address.
  await scene.ledger.skeletons.put(scene.options.organization.nextcloud.baseUrl, { empty: true, at: Date.now() });
  await scene.close();
});

/** The lines that are neither well nor left out for want of another. */
function complaints(results: Result[]): string[] {
  return results
    .filter(({ status }) => status === "fail" || status === "warn")
    .map(({ id, status }) => `${status} ${id}`);
}

function line(results: Result[], id: string): Result {
  const found = results.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no check ${id}`);
  return found;
}

const webhook = (): SimulatedWebhook => must(scene.clavex.management(SLUG).webhooks[0]);
const client = () => must(scene.clavex.management(SLUG).clients[0]);
const provider = () => must(scene.nextcloud.providers[0]);
const mapper = (name: string): SimulatedMapper =>
  must(scene.clavex.management(SLUG).mappers.find((each) => each.name === name));

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the scene lacks it");
  return value;
}

function reconfigure(change: Record<string, unknown>): void {
  const { organization } = scene.options;
  scene.options.organization = organizationSchema.parse({
    slug: SLUG,
    organizationId: ORGANIZATION_ID,
    clavex: organization.clavex,
    nextcloud: organization.nextcloud,
    identity: organization.identity,
    ...change,
  });
}

/** Overwrites what Clavex's discovery document says. */
async function discovery(change: Record<string, unknown>): Promise<void> {
  const path = `/${SLUG}/.well-known/openid-configuration`;
  const document = (await (await fetch(scene.clavex.url + path)).json()) as Record<string, unknown>;
  const body = JSON.stringify({ ...document, ...change });
  scene.clavex.faults.add({ kind: "status", status: 200, body, match: (request) => request.path === path });
}

const hourAgo = () => new Date(Date.now() - 3_600_000).toUTCString();

describe("doctor", () => {
  it("finds nothing where everything is in order", async () => {
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([]);
    expect(results.map(({ id }) => id)).toEqual(allChecks.map(({ id }) => id));
    expect(results.filter(({ status }) => status === "skipped").map(({ id }) => id)).toEqual([
      "nextcloud.config-flags",
    ]);
  });

  it("only reads: nothing but GET, and the one write that has no effect", async () => {
    await examine(scene.options);
    const writes = [...scene.nextcloud.requests, ...scene.clavex.requests].filter(({ method }) => method !== "GET");
    expect(writes.map(({ method, path }) => `${method} ${path.replace(/\?.*/, "")}`)).toEqual([
      "PUT /ocs/v2.php/cloud/users/provisioner/enable",
    ]);
    expect(scene.nextcloud.users().map(({ id, enabled }) => [id, enabled])).toEqual([
      ["provisioner", true],
      ["clerk", true],
      ["boss", true],
    ]);
  });

  it("with --write-checks leaves Nextcloud as it was, and writes down what it measured", async () => {
    scene.options.writeChecks = true;
    const before = scene.nextcloud.users();
    expect(complaints(await examine(scene.options))).toEqual([]);
    expect(scene.nextcloud.users()).toEqual(before);
    expect(await scene.ledger.skeletons.get(scene.organization.nextcloud.baseUrl)).toMatchObject({ empty: true });
  });

  it("prints no secret", async () => {
    const text = JSON.stringify(await examine(scene.options));
    for (const secret of [...Object.values(scene.environment), scene.clavex.adminToken])
      expect(text).not.toContain(secret);
  });

  it("points at a section that exists, for every check", async () => {
    for (const { docs } of allChecks) {
      const [page = "", anchor] = docs.split("#");
      const text = await readFile(join(ROOT, page), "utf8");
      const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
        heading
          .toLowerCase()
          .replaceAll(" ", "-")
          .replaceAll(/[^\w-]/g, ""),
      );
      if (anchor !== undefined) expect(anchors, docs).toContain(anchor);
    }
  });
});

/** Breaks exactly one thing; the line that must complain, how, and what its fix must say. */
interface Broken {
  id: string;
  status: "fail" | "warn";
  what: string;
  break: () => unknown;
  cause?: RegExp;
  fix: RegExp;
}

const broken: Broken[] = [
  {
    id: "nextcloud.reachable",
    status: "fail",
    what: "Nextcloud is down",
    break: () => scene.nextcloud.down(),
    fix: /again later/,
  },
  {
    id: "nextcloud.reachable",
    status: "fail",
    what: "the address redirects",
    break: () =>
      scene.nextcloud.faults.add({
        kind: "status",
        status: 301,
        headers: { location: "https://cloud.acme.example/" },
        match: ({ path }) => path === "/status.php",
      }),
    fix: /address it redirects to/,
  },
  {
    id: "nextcloud.reachable",
    status: "fail",
    what: "something else answers there",
    break: () =>
      scene.nextcloud.faults.add({
        kind: "status",
        status: 200,
        body: "<h1>It works!</h1>",
        match: ({ path }) => path === "/status.php",
      }),
    fix: /nextcloud\.baseUrl/,
  },
  {
    id: "nextcloud.maintenance",
    status: "fail",
    what: "maintenance mode is on",
    break: () => {
      scene.nextcloud.maintenance = true;
    },
    fix: /occ maintenance:mode --off/,
  },
  {
    id: "nextcloud.version",
    status: "warn",
    what: "Nextcloud is too old",
    break: () =>
      scene.nextcloud.faults.add({
        kind: "status",
        status: 200,
        body: JSON.stringify({ installed: true, maintenance: false, needsDbUpgrade: false, versionstring: "26.0.1" }),
        match: ({ path }) => path === "/status.php",
      }),
    fix: /rehearse/,
  },
  {
    id: "nextcloud.clock",
    status: "fail",
    what: "Nextcloud's clock is wrong",
    break: () =>
      scene.nextcloud.faults.add({
        kind: "status",
        status: 200,
        headers: { date: hourAgo() },
        body: JSON.stringify({ installed: true, maintenance: false, needsDbUpgrade: false, versionstring: "30.0.1" }),
        match: ({ path }) => path === "/status.php",
      }),
    fix: /set-ntp/,
  },
  {
    id: "nextcloud.brute-force",
    status: "fail",
    what: "too many logins failed",
    break: () => failedLogins(12),
    fix: /occ security:bruteforce:reset/,
  },
  {
    id: "nextcloud.app-password",
    status: "fail",
    what: "the app password was revoked",
    break: () => {
      scene.environment.APP_PASSWORD = "revoked";
    },
    fix: /new app password/,
  },
  {
    id: "nextcloud.admin",
    status: "fail",
    what: "the account is no administrator",
    break: () => {
      reconfigure({ nextcloud: { ...scene.options.organization.nextcloud, username: "clerk" } });
      scene.environment.APP_PASSWORD = CLERK_PASSWORD;
    },
    fix: /occ group:adduser admin clerk/,
  },
  {
    id: "nextcloud.credentials",
    status: "fail",
    what: "34 refuses an ordinary administrator's app password for writes",
    break: () => {
      reconfigure({ nextcloud: { ...scene.options.organization.nextcloud, username: ORDINARY.username } });
      scene.environment.APP_PASSWORD = ORDINARY.password;
    },
    fix: /clavex-nextcloud setup.*service account/,
  },
  {
    id: "nextcloud.skeleton",
    status: "warn",
    what: "the skeleton goes to new accounts",
    break: () => reconfigure({ nextcloud: { ...scene.options.organization.nextcloud, skeleton: "default" } }),
    fix: /occ config:system:set skeletondirectory --value=''/,
  },
  {
    id: "nextcloud.skeleton",
    status: "fail",
    what: "the skeleton is said to be empty and is not",
    break: () => {
      scene.options.writeChecks = true;
      scene.nextcloud.skeleton.set("Readme.md", "Welcome");
    },
    fix: /skeletondirectory --value=''/,
  },
  {
    id: "nextcloud.skeleton",
    status: "fail",
    what: "the pipeline has seen files in a new account",
    break: () => {
      scene.options.pipeline.ledger = {
        ...scene.ledger,
        skeletons: { ...scene.ledger.skeletons, get: async () => ({ empty: false, at: Date.now() }) },
      };
    },
    fix: /doctor --write-checks/,
  },
  {
    id: "nextcloud.login-groups",
    status: "warn",
    what: "nobody without a group may log in",
    break: () => {
      provider().restrictLoginToGroups = true;
    },
    fix: /provider-1-restrictLoginToGroups --value=0/,
  },
  {
    id: "nextcloud.enrichment",
    status: "warn",
    what: "somebody has an attribute quota that is not the pipeline's",
    break: () => scene.clavex.setAttributes(SLUG, scene.ada.id, { quota: "5 GiB" }),
    fix: /send_userinfo_claims=false/,
  },
  {
    id: "nextcloud.sharing",
    status: "warn",
    what: "the share dialog lists nobody",
    break: () => scene.nextcloud.appConfig.set("core/shareapi_allow_share_dialog_user_enumeration", "no"),
    fix: /enumeration --value=yes/,
  },
  {
    id: "nextcloud.sharing",
    status: "warn",
    what: "the share dialog lists one's own groups only",
    break: () => scene.nextcloud.appConfig.set("core/shareapi_restrict_user_enumeration_to_group", "yes"),
    fix: /to_group --value=no/,
  },
  {
    id: "nextcloud.local-accounts",
    status: "fail",
    what: "an account has the bare subject, in which the login lands instead",
    break: () => scene.nextcloud.addLocalUser({ id: scene.ada.id }),
    fix: /occ user:delete/,
  },
  {
    id: "people.existing",
    status: "warn",
    what: "somebody without an account of ours has a local one with their e-mail address",
    break: () => scene.nextcloud.addLocalUser({ id: "old-account", email: scene.ada.email.toUpperCase() }),
    fix: /occ files:transfer-ownership/,
  },
  {
    id: "people.existing",
    status: "warn",
    what: "somebody with an account of ours has a local one with their e-mail address, too",
    break: () => {
      scene.nextcloud.addLocalUser({ id: "old-account", email: scene.ada.email });
      scene.nextcloud.simulateLogin({ providerId: 1, sub: scene.ada.id, claims: { email: scene.ada.email } });
    },
    fix: /occ user:disable OLD/,
  },
  {
    id: "nextcloud.rate-limit",
    status: "warn",
    what: "core accounts are changed by the limited call",
    break: () => reconfigure({ identity: { scheme: "database" } }),
    fix: /identity\.scheme user_oidc/,
  },
  {
    id: "nextcloud.app-password",
    status: "fail",
    what: "user_oidc is disabled, and the service account with it",
    break: () => scene.nextcloud.apps.delete("user_oidc"),
    fix: /occ app:enable user_oidc/,
  },
  {
    id: "nextcloud.login-app",
    status: "warn",
    what: "user_oidc is old",
    break: () => scene.nextcloud.apps.set("user_oidc", "1.3.3"),
    fix: /occ app:update user_oidc/,
  },
  {
    id: "nextcloud.provider",
    status: "fail",
    what: "there is no such provider",
    break: () => {
      provider().id = 7;
    },
    fix: /identity\.providerId/,
  },
  {
    id: "nextcloud.identity",
    status: "fail",
    what: "unique user ids are off in Nextcloud",
    break: () => {
      provider().uniqueUid = false;
    },
    fix: /Change identity/,
  },
  {
    id: "nextcloud.identity",
    status: "fail",
    what: "the provider has another identifier than the ids",
    break: () => {
      Object.assign(provider(), { uniqueUid: false, providerBasedId: true, identifier: "renamed" });
      reconfigure({
        identity: { providerId: 1, uniqueUserIds: false, providerBasedIds: true, providerIdentifier: "clavex" },
      });
    },
    fix: /Change identity/,
  },
  {
    id: "nextcloud.uid-mapping",
    status: "fail",
    what: "the uid claim was changed",
    break: () => {
      provider().mappingUid = "email";
    },
    fix: /--mapping-uid=sub/,
  },
  {
    id: "nextcloud.group-provisioning",
    status: "warn",
    what: "group provisioning is on",
    break: () => {
      provider().groupProvisioning = true;
    },
    fix: /--group-provisioning=0/,
  },
  {
    id: "nextcloud.group-provisioning",
    status: "fail",
    what: "group provisioning is on, and the organization has rules that it does not know",
    break: () => {
      provider().groupProvisioning = true;
      reconfigure({ groups: { always: ["everybody"] } });
    },
    fix: /--group-provisioning=0/,
  },
  {
    id: "nextcloud.avatar",
    status: "warn",
    what: "no avatar is mapped",
    break: () => {
      provider().mappingAvatar = "";
    },
    fix: /--mapping-avatar=picture/,
  },
  {
    id: "nextcloud.local-accounts",
    status: "fail",
    what: "a local account has a person's id",
    break: () => {
      provider().uniqueUid = false;
      reconfigure({ identity: { providerId: 1, uniqueUserIds: false } });
      scene.nextcloud.addLocalUser({ id: scene.ada.id });
    },
    fix: /occ user:delete/,
  },
  {
    id: "nextcloud.group-names",
    status: "fail",
    what: "another organization on the same Nextcloud has a group of the same id",
    break: () => {
      scene.options.others = [{ ...scene.options.organization, slug: "other" }];
    },
    fix: /groups\.prefix/,
  },
  {
    id: "clavex.reachable",
    status: "fail",
    what: "Clavex is down",
    break: () => scene.clavex.down(),
    fix: /again later/,
  },
  {
    id: "clavex.reachable",
    status: "fail",
    what: "the address redirects",
    break: () =>
      scene.clavex.faults.add({ kind: "status", status: 308, headers: { location: "https://id.acme.example/" } }),
    fix: /address it redirects to/,
  },
  {
    id: "clavex.clock",
    status: "fail",
    what: "Clavex's clock is wrong",
    break: async () => {
      const path = `/${SLUG}/.well-known/openid-configuration`;
      const body = await (await fetch(scene.clavex.url + path)).text();
      scene.clavex.faults.add({
        kind: "status",
        status: 200,
        headers: { date: hourAgo() },
        body,
        match: (request) => request.path === path,
      });
    },
    fix: /set-ntp/,
  },
  {
    id: "clavex.api-key",
    status: "fail",
    what: "the API key was revoked",
    break: () => {
      scene.environment.API_KEY_acme = "clv_revoked";
    },
    fix: /users:read and groups:read/,
  },
  {
    id: "clavex.api-key-permissions",
    status: "warn",
    what: "the API key may write",
    break: () => must(scene.clavex.management(SLUG).apiKeys[0]).permissions.push("users:write"),
    fix: /users:read and groups:read only/,
  },
  {
    id: "clavex.admin-token",
    status: "fail",
    what: "the administrator's token is not valid",
    break: () => {
      scene.options.adminToken = "expired";
    },
    fix: /token of an administrator/,
  },
  {
    id: "clavex.webhook",
    status: "fail",
    what: "there is no subscription",
    break: () => {
      scene.clavex.management(SLUG).webhooks.length = 0;
    },
    fix: /clavex-nextcloud setup/,
  },
  {
    id: "clavex.webhook",
    status: "fail",
    what: "the subscription has another address",
    break: () => {
      webhook().url = "https://elsewhere.example/webhooks/clavex/acme";
    },
    fix: /--webhook-url/,
  },
  {
    id: "clavex.webhook-active",
    status: "fail",
    what: "the subscription is switched off",
    break: () => {
      webhook().is_active = false;
    },
    fix: /setup again/,
  },
  {
    id: "clavex.webhook-events",
    status: "fail",
    what: "an event is missing",
    break: () => {
      webhook().events = ["user.created", "user.*"];
    },
    fix: /Add the events/,
  },
  {
    id: "clavex.deliveries",
    status: "fail",
    what: "the last delivery was refused",
    break: () => delivery("failed", 401),
    fix: /clavex\.webhookSecrets/,
  },
  {
    id: "clavex.deliveries",
    status: "fail",
    what: "nobody answered the last delivery",
    break: () => delivery("failed"),
    fix: /pipeline running/,
  },
  {
    id: "clavex.audit-sink",
    status: "warn",
    what: "the audit sink is switched off",
    break: () =>
      scene.clavex.management(SLUG).sinks.push({
        id: "sink-1",
        name: "clavex-nextcloud",
        sink_type: "webhook",
        is_active: false,
        config: { url: webhook().url },
        filter_actions: [],
        filter_statuses: [],
      }),
    fix: /Switch it on/,
  },
  {
    id: "clavex.audit-sink",
    status: "warn",
    what: "the audit sink signs with another secret",
    break: () =>
      scene.clavex.management(SLUG).sinks.push({
        id: "sink-1",
        name: "clavex-nextcloud",
        sink_type: "webhook",
        is_active: true,
        config: { url: webhook().url },
        filter_actions: [],
        filter_statuses: [],
        success_count: 0,
        failure_count: 3,
      }),
    fix: /setup --audit-sink/,
  },
  {
    id: "clavex.other-subscriptions",
    status: "warn",
    what: "an older subscription hangs",
    break: () => {
      scene.clavex.management(SLUG).webhooks.unshift({
        ...webhook(),
        id: "hook-0",
        url: "https://crm.example/hook?token=secret",
      });
      delivery("failed", undefined, "hook-0");
    },
    fix: /delete them/,
  },
  {
    id: "oidc.discovery",
    status: "fail",
    what: "Clavex has another slug",
    break: () =>
      scene.clavex.faults.add({
        kind: "status",
        status: 404,
        body: "{}",
        match: ({ path }) => path.includes(".well-known"),
      }),
    fix: /slug/,
  },
  {
    id: "oidc.discovery",
    status: "fail",
    what: "the discovery document lacks what user_oidc needs",
    break: () => discovery({ jwks_uri: undefined }),
    fix: /clavex\.baseUrl/,
  },
  {
    id: "oidc.issuer",
    status: "fail",
    what: "Clavex calls itself otherwise",
    break: () => discovery({ issuer: "https://other.example/acme" }),
    fix: /base URL/,
  },
  {
    id: "oidc.keys",
    status: "fail",
    what: "the key set is empty",
    break: () =>
      scene.clavex.faults.add({
        kind: "status",
        status: 200,
        body: '{"keys":[]}',
        match: ({ path }) => path.includes("jwks"),
      }),
    fix: /signing key/,
  },
  {
    id: "oidc.provider-settings",
    status: "fail",
    what: "the provider points at another Clavex",
    break: () => {
      provider().discoveryEndpoint = "https://old.example/acme/.well-known/openid-configuration";
    },
    fix: /--discoveryuri=/,
  },
  {
    id: "oidc.provider-settings",
    status: "fail",
    what: "the provider does not ask for the e-mail address",
    break: () => {
      provider().scope = "openid profile";
    },
    fix: /--scope=/,
  },
  {
    id: "oidc.client",
    status: "fail",
    what: "the provider's client does not exist",
    break: () => {
      provider().clientId = "deleted";
    },
    fix: /clavex-nextcloud setup/,
  },
  {
    id: "oidc.client",
    status: "fail",
    what: "the client is switched off",
    break: () => {
      client().is_active = false;
    },
    fix: /Switch it on/,
  },
  {
    id: "oidc.signing-algorithm",
    status: "fail",
    what: "the client has no wish, so Clavex signs PS256",
    break: () => {
      delete client().id_token_signed_response_alg;
    },
    fix: /dynamic registration/,
  },
  {
    id: "oidc.signing-algorithm",
    status: "fail",
    what: "the client asks for ES256, which Clavex cannot sign",
    break: () => {
      client().id_token_signed_response_alg = "ES256";
    },
    fix: /dynamic registration/,
  },
  {
    id: "oidc.signing",
    status: "fail",
    what: "Clavex can sign nothing that user_oidc reads",
    break: () => discovery({ id_token_signing_alg_values_supported: ["PS256"] }),
    fix: /signing key/,
  },
  {
    id: "oidc.redirect-uri",
    status: "fail",
    what: "the redirect URI is another",
    break: () => {
      client().redirect_uris = ["https://old.example/apps/user_oidc/code", `${scene.nextcloud.url}/`];
    },
    fix: /apps\/user_oidc\/code/,
  },
  {
    id: "oidc.logout-uri",
    status: "warn",
    what: "the address after logging out is not among the redirect URIs",
    break: () => client().redirect_uris.pop(),
    fix: /with the slash/,
  },
  {
    id: "oidc.grant-types",
    status: "fail",
    what: "the authorization code flow is not allowed",
    break: () => {
      client().grant_types = ["client_credentials"];
    },
    fix: /client in Clavex/,
  },
  {
    id: "oidc.scopes",
    status: "fail",
    what: "a scope is missing",
    break: () => {
      client().scopes = ["openid", "profile"];
    },
    fix: /setup/,
  },
  {
    id: "oidc.claims",
    status: "warn",
    what: "no e-mail address is in the id token",
    break: () => {
      mapper("nc-email").add_to_access_token = false;
    },
    fix: /enrich_login_id_token_with_userinfo/,
  },
  {
    id: "oidc.picture-claim",
    status: "warn",
    what: "no mapper brings the picture",
    break: () => {
      mapper("nc-picture").add_to_access_token = false;
    },
    fix: /user_attribute picture/,
  },
  {
    id: "oidc.quota-claim",
    status: "fail",
    what: "the quota claim is filled with something else",
    break: () => {
      mapper("nc-quota").attribute_name = "desk";
    },
    fix: /nextcloud_quota/,
  },
  {
    id: "oidc.quota-values",
    status: "fail",
    what: "somebody's quota cannot be read",
    break: () => scene.clavex.setAttributes(SLUG, scene.ada.id, { nextcloud_quota: "5 GiB" }),
    cause: /another size, as 5 GiB is 5 bytes \(27: HTTP 500\), for [-\da-f]+$/,
    fix: /10 GB/,
  },
  {
    id: "oidc.quota-values",
    status: "fail",
    what: "somebody's quota is no size at all",
    break: () => scene.clavex.setAttributes(SLUG, scene.ada.id, { nextcloud_quota: "much" }),
    cause: /Where it is a claim: every login ends with HTTP 500 for [-\da-f]+$/,
    fix: /10 GB/,
  },
  {
    id: "pipeline.webhook-secrets",
    status: "warn",
    what: "one of two secrets is missing",
    break: () => scene.options.organization.clavex.webhookSecrets.push("env:MISSING"),
    fix: /rotation/,
  },
  {
    id: "pipeline.webhook-secrets",
    status: "fail",
    what: "there is no secret",
    break: () => {
      delete scene.environment.WEBHOOK_SECRET;
    },
    fix: /WEBHOOK_SECRET/,
  },
  {
    id: "pipeline.effect",
    status: "warn",
    what: "a group is to be adopted where ids are hashed",
    break: () => scene.options.organization.groups.adopt.push("Sales"),
    fix: /Take it out/,
  },
  {
    id: "pipeline.running",
    status: "warn",
    what: "the pipeline does not run",
    break: () => {
      scene.options.pipeline.stopped = { cause: "it does not run", fix: "npm start" };
    },
    fix: /npm start/,
  },
  {
    id: "pipeline.delivery",
    status: "fail",
    what: "the running pipeline knows another secret",
    break: () => scene.receiver.faults.add({ kind: "status", status: 401 }),
    fix: /same \.env/,
  },
  {
    id: "pipeline.delivery",
    status: "fail",
    what: "the running pipeline cannot queue",
    break: () => scene.receiver.faults.add({ kind: "status", status: 503 }),
    fix: /Its log says why/,
  },
  {
    id: "pipeline.delivery",
    status: "fail",
    what: "the address leads somewhere else",
    break: () => scene.receiver.faults.add({ kind: "status", status: 301, headers: { location: "/" } }),
    fix: /past every proxy/,
  },
  {
    id: "pipeline.delivery",
    status: "fail",
    what: "nobody listens",
    break: () => scene.receiver.down(),
    fix: /Is the pipeline running/,
  },
  {
    id: "pipeline.brake",
    status: "fail",
    what: "the brake holds somebody",
    break: () => {
      scene.options.pipeline.ledger = {
        ...scene.ledger,
        brakes: { ...scene.ledger.brakes, get: async () => HELD },
      };
    },
    fix: /--allow-deprovisions/,
  },
  {
    id: "pipeline.dead-letters",
    status: "fail",
    what: "a job was refused for good",
    break: () =>
      scene.ledger.deadLetters.park({
        organization: SLUG,
        subject: scene.ada.id,
        job: personJob(SLUG, scene.ada.id),
        reason: "account-conflict",
        message: "a local account has this id",
        attempts: 1,
        lastAt: Date.now(),
      }),
    fix: /dead-letters list/,
  },
  {
    id: "pipeline.dead-letters",
    status: "fail",
    what: "messages were given up",
    break: () => {
      scene.options.pipeline.givenUp = async () => 3;
    },
    fix: /dead-letters list/,
  },
];

const HELD = {
  state: { ...newBrake(), held: true },
  revision: 1,
};

function failedLogins(count: number): Promise<unknown> {
  const headers = { authorization: `Basic ${Buffer.from("provisioner:wrong").toString("base64")}` };
  const url = `${scene.nextcloud.url}/ocs/v2.php/cloud/user`;
  return Promise.all(Array.from({ length: count }, () => fetch(url, { headers })));
}

function delivery(status: "failed", http?: number, webhookId = webhook().id): void {
  scene.clavex.management(SLUG).deliveries.push({
    id: "row-1",
    webhook_id: webhookId,
    delivery_id: "d-1",
    event: "user.created",
    attempt: 1,
    status,
    ...(http === undefined ? {} : { http_status: http }),
    attempted_at: new Date().toISOString(),
  });
}

describe("doctor finds exactly what is broken", () => {
  it.each(broken)("$id: $what", async ({ id, status, break: breakIt, cause, fix }) => {
    await breakIt();
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([`${status} ${id}`]);
    expect(line(results, id).fix).toMatch(fix);
    if (cause) expect(line(results, id).cause).toMatch(cause);
    expect(line(results, id).cause).not.toBe("");
  });

  it("has such a test for every check that can complain", () => {
    const covered = new Set(broken.map(({ id }) => id));
    const below = ["nextcloud.config-flags", "clavex.webhook-address", "oidc.authority", "oidc.groups-claim"];
    const pipeline = ["pipeline.queue", "pipeline.ledger"];
    // test/doctor/people.test.ts
    const people = ["people.own-account", "people.verified"];
    const elsewhere = [...below, ...pipeline, ...people];
    const missing = allChecks.filter(({ id }) => !covered.has(id) && !elsewhere.includes(id));
    expect(missing.map(({ id }) => id)).toEqual([]);
  });

  it("oidc.groups-claim: group provisioning is on and no mapper brings the groups", async () => {
    provider().groupProvisioning = true;
    mapper("nc-groups").add_to_access_token = false;
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual(["warn nextcloud.group-provisioning", "fail oidc.groups-claim"]);
    expect(line(results, "oidc.groups-claim").fix).toMatch(/mappers/);
  });

  it.each([
    [
      "pipeline.queue",
      () => Object.assign(scene.options.pipeline, { queue: () => Promise.reject(new QueueUnavailable("SQS")) }),
    ],
    [
      "pipeline.ledger",
      () => {
        const of = () => Promise.reject(new LedgerUnavailable("DynamoDB"));
        scene.options.pipeline.ledger = { ...scene.ledger, runs: { ...scene.ledger.runs, of } };
      },
    ],
  ])("%s: it does not answer", async (id, breakIt) => {
    breakIt();
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([`fail ${id}`]);
    expect(line(results, id).fix).not.toBe("");
  });

  it("clavex.webhook-address: a Clavex on the internet cannot post to a private address", async () => {
    const { organization } = scene;
    const check = must(allChecks.find(({ id }) => id === "clavex.webhook-address"));
    const at = (webhookUrl: string | undefined) =>
      check.run({
        ...scene.options,
        organization: { ...organization, clavex: { ...organization.clavex, baseUrl: "https://id.acme.eu" } },
        management: undefined,
        webhookUrl,
      } as unknown as DoctorContext);
    for (const host of [
      "10.1.2.3",
      "192.168.0.7",
      "172.20.1.1",
      "127.0.0.1",
      "[::1]",
      "[fd00::1]",
      "localhost",
      "nas.local",
    ]) {
      const found = await at(`https://${host}/webhooks/clavex/acme`);
      expect([host, found.status]).toEqual([host, "fail"]);
      expect(found.fix).toMatch(/public name/);
    }
    expect(await at("http://hooks.acme.eu/webhooks/clavex/acme")).toMatchObject({
      status: "fail",
      fix: expect.stringMatching(/TLS/),
    });
    expect((await at("https://hooks.acme.eu/webhooks/clavex/acme")).status).toBe("ok");
    expect(await at(undefined)).toMatchObject({ status: "skipped", fix: expect.stringMatching(/--webhook-url/) });
  });

  it("oidc.authority: an authority of one's own may be unknown to Nextcloud", async () => {
    const { organization } = scene;
    const check = must(allChecks.find(({ id }) => id === "oidc.authority"));
    const at = (baseUrl: string, ownAuthorities: boolean) =>
      check.run({
        organization: { ...organization, clavex: { ...organization.clavex, baseUrl } },
        ownAuthorities,
      } as unknown as DoctorContext);
    expect((await at("https://id.acme.lan", false)).status).toBe("ok");
    expect(await at("https://id.acme.lan", true)).toMatchObject({
      status: "warn",
      fix: expect.stringMatching(/occ security:certificates:import/),
    });
  });
});

describe("doctor is careful", () => {
  const skippedIds = (results: Result[]) => results.filter(({ status }) => status === "skipped").map(({ id }) => id);

  it("fails to log in once, and leaves everything out that would try again", async () => {
    scene.environment.APP_PASSWORD = "revoked";
    const results = await examine(scene.options);
    const refused = scene.nextcloud.requests.filter(({ headers }) => headers.authorization !== undefined);
    expect(refused).toHaveLength(1);
    expect(line(results, "nextcloud.provider")).toMatchObject({ status: "skipped" });
    expect(skippedIds(results)).toContain("nextcloud.local-accounts");
  });

  it("does not log in at all while brute-force protection refuses good requests", async () => {
    await failedLogins(12);
    scene.nextcloud.requests.length = 0;
    await examine(scene.options);
    expect(scene.nextcloud.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });

  it("says without an administrator's token what it cannot see, and tries what else the key may read", async () => {
    scene.options.adminToken = undefined;
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([]);
    expect(line(results, "clavex.admin-token")).toMatchObject({
      status: "skipped",
      fix: expect.stringMatching(/CLAVEX_ADMIN_TOKEN/),
    });
    expect(skippedIds(results)).toContain("oidc.client");

    const mighty = scene.clavex.management(SLUG).apiKeys;
    mighty.push({
      id: "key-2",
      name: "other",
      scope: "",
      permissions: ["users:read", "groups:read", "clients:read"],
      key: "clv_2",
    });
    scene.environment.API_KEY_acme = "clv_2";
    expect(complaints(await examine(scene.options))).toEqual(["warn clavex.api-key-permissions"]);
  });

  it("reads the provider from the app config where user_oidc has no routes for it", async () => {
    scene.nextcloud.apps.set("user_oidc", "6.4.0");
    expect(complaints(await examine(scene.options))).toEqual([]);
    provider().uniqueUid = false;
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual(["fail nextcloud.identity"]);
    expect(line(results, "oidc.provider-settings")).toMatchObject({
      status: "skipped",
      fix: expect.stringMatching(/occ user_oidc:provider/),
    });
  });

  it("takes the newest client that user_oidc can read where the provider does not tell its own", async () => {
    scene.nextcloud.apps.set("user_oidc", "6.4.0");
    const { clients } = scene.clavex.management(SLUG);
    const later = "2026-06-01T00:00:00Z";
    clients.push({ ...client(), client_id: "newer", id_token_signed_response_alg: "ES256", created_at: later });
    expect(line(await examine(scene.options), "oidc.client").cause).toBe("client-1");
    must(clients[0]).id_token_signed_response_alg = "PS256";
    const results = await examine(scene.options);
    expect(line(results, "oidc.client").cause).toBe("newer");
    expect(line(results, "oidc.signing-algorithm").cause).toMatch(/asks for id tokens signed ES256/);
  });

  it("judges the key in use, whatever else has its name or was revoked", async () => {
    const { apiKeys } = scene.clavex.management(SLUG);
    const named = { ...must(apiKeys[0]), permissions: ["users:write", "clients:write"] };
    apiKeys.push(
      { ...named, id: "key-3", key: "clv_revoked_before", is_active: false },
      { ...named, id: "key-4", key: "clv_of_another_stage" },
    );
    expect(complaints(await examine(scene.options))).toEqual([]);
    must(apiKeys[0]).permissions.push("audit:read");
    expect(complaints(await examine(scene.options))).toEqual(["warn clavex.api-key-permissions"]);
  });

  it("names an older subscription without what may be a secret in its address, and no younger one", async () => {
    const { webhooks, deliveries } = scene.clavex.management(SLUG);
    const ours = webhook();
    webhooks.unshift({ ...ours, id: "hook-0", url: "https://crm.example/hook?token=secret" });
    webhooks.push({ ...ours, id: "hook-2", url: "https://later.example/hook" });
    const row = { delivery_id: "d", event: "user.created", attempt: 3, attempted_at: new Date().toISOString() };
    deliveries.push({ ...row, id: "r-2", webhook_id: "hook-2", status: "failed" });
    deliveries.push({ ...row, id: "r-0", webhook_id: "hook-0", status: "success" });
    deliveries.push({ ...row, id: "r-1", webhook_id: "hook-0", status: "failed", http_status: 503 });
    expect(complaints(await examine(scene.options))).toEqual([]);
    deliveries.splice(1, 1);
    const { cause } = line(await examine(scene.options), "clavex.other-subscriptions");
    expect(cause).toMatch(/https:\/\/crm\.example\/hook \(HTTP 503\)$/);
    expect(cause).not.toMatch(/secret|later/);
  });

  it("says how to look where the provider cannot be seen at all", async () => {
    scene.nextcloud.apps.set("user_oidc", "6.4.0");
    provider().id = 9;
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([]);
    expect(line(results, "nextcloud.provider")).toMatchObject({
      status: "skipped",
      fix: expect.stringMatching(/occ user_oidc:provider/),
    });
    expect(line(results, "nextcloud.config-flags")).toMatchObject({
      status: "skipped",
      fix: expect.stringMatching(/occ config:system:get user_oidc/),
    });
  });

  it("checks sociallogin, where that is the login app", async () => {
    reconfigure({ identity: { scheme: "sociallogin", providerName: "clavex" } });
    const without = await examine(scene.options);
    expect(complaints(without)).toEqual(["warn nextcloud.rate-limit", "fail nextcloud.login-app"]);
    expect(line(without, "nextcloud.login-app").fix).toMatch(/occ app:install sociallogin/);
    scene.nextcloud.apps.set("sociallogin", "5.6.6");
    expect(complaints(await examine(scene.options))).toEqual(["warn nextcloud.rate-limit"]);
  });

  it("examines an organization without an API key", async () => {
    const { apiKey: _, ...clavex } = scene.options.organization.clavex;
    reconfigure({ clavex });
    const results = await examine(scene.options);
    expect(complaints(results)).toEqual([]);
    expect(line(results, "clavex.api-key")).toMatchObject({
      status: "skipped",
      fix: expect.stringMatching(/users:read and groups:read/),
    });
  });
});

describe("an address that leads nowhere one can trust", () => {
  /** An https server with a certificate that nobody signed; the embedded table brings one. */
  async function untrusted(): Promise<{ url: string; close(): Promise<void> }> {
    const file = (name: string) => readFile(join(ROOT, "node_modules/dynalite/ssl", name));
    const [key, cert] = await Promise.all([file("server-key.pem"), file("server-crt.pem")]);
    const server = createServer({ key, cert }, (_request, response) => response.end("{}"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const close = () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
  }

  it.each(["nextcloud", "clavex"] as const)("is told, with how to add an own authority: %s", async (which) => {
    const server = await untrusted();
    try {
      const { organization } = scene.options;
      scene.options.organization = { ...organization, [which]: { ...organization[which], baseUrl: server.url } };
      const found = line(await examine(scene.options), `${which}.reachable`);
      expect(found).toMatchObject({ status: "fail", cause: expect.stringMatching(/certificate/) });
      expect(found.fix).toMatch(/NODE_EXTRA_CA_CERTS/);
    } finally {
      await server.close();
    }
  });

  it.each(["nextcloud", "clavex"] as const)("is told when there is no such name: %s", async (which) => {
    const { organization } = scene.options;
    scene.options.organization = {
      ...organization,
      [which]: { ...organization[which], baseUrl: "https://nowhere.invalid" },
    };
    const found = line(await examine(scene.options), `${which}.reachable`);
    expect(found).toMatchObject({ status: "fail", cause: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) });
  });
});
