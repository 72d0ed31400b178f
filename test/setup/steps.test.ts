import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Pool } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLAVEX_TIMEOUTS } from "../../functions/clavex/admin-api.ts";
import { SETUP_PERMISSIONS } from "../../functions/clavex/contract.ts";
import { getDiscovery, parseDiscovery } from "../../functions/clavex/discovery.ts";
import { createManagementApi } from "../../functions/clavex/management-api.ts";
import { parseOrganization } from "../../functions/core/organization.ts";
import { openDatabase } from "../../functions/database.ts";
import { createPool } from "../../functions/http.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { createOcs } from "../../functions/nextcloud/ocs.ts";
import type { Answers, SetupContext } from "../../functions/setup/context.ts";
import { recordFile } from "../../functions/setup/record.ts";
import { applySetup, type Outcome, planSetup, removeSetup, setupSteps } from "../../functions/setup/setup.ts";
import type { Step } from "../../functions/setup/step.ts";
import { environmentStore } from "../../functions/setup/store.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { Provider } from "../../functions/simulated/nextcloud-state.ts";

const ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const WEBHOOK = "https://hooks.acme.example/webhooks/clavex/acme";

let folder: string;
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let pools: Pool[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  clavex = await startSimulatedClavex({ organizations: [{ id: ID, slug: "acme", apiKey: "clv_other" }] });
  nextcloud = await startSimulatedNextcloud({ providers: [] });
  pools = [createPool(clavex.url, 2, CLAVEX_TIMEOUTS), createPool(nextcloud.url, 2, CLAVEX_TIMEOUTS)];
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  await clavex.close();
  await nextcloud.close();
  await rm(folder, { recursive: true });
});

const environmentFile = () => join(folder, ".env");
const organizationFile = () => join(folder, "acme.json");
const management = () => clavex.management("acme");

function context(answers: Partial<Answers> = {}, token = async (): Promise<string> => clavex.adminToken): SetupContext {
  const [clavexPool, nextcloudPool] = pools as [Pool, Pool];
  return {
    answers: {
      slug: "acme",
      organizationId: ID,
      clavexUrl: clavex.url,
      nextcloudUrl: nextcloud.url,
      username: nextcloud.username,
      webhookUrl: WEBHOOK,
      providerId: undefined,
      auditSink: false,
      disableLocalLogin: false,
      ...answers,
    },
    management: createManagementApi({ baseUrl: clavex.url, organizationId: ID, pool: clavexPool, token }),
    signingAlgorithms: async () =>
      parseDiscovery(await getDiscovery(clavexPool, clavex.url, "acme")).id_token_signing_alg_values_supported,
    ocs: createOcs({
      baseUrl: nextcloud.url,
      username: nextcloud.username,
      password: async () => nextcloud.password,
      pool: nextcloudPool,
    }),
    givenAppPassword: nextcloud.password,
    store: environmentStore(environmentFile(), "acme", {}),
    record: recordFile(join(folder, "acme.setup")),
    organizationFile: organizationFile(),
    configured: undefined,
    doctor: async () => [],
    passing: {},
  };
}

const withoutToken = (): SetupContext => ({ ...context(), management: undefined });

async function apply(with_: SetupContext = context()): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  await applySetup(setupSteps(with_), (outcome) => outcomes.set(outcome.title, outcome));
  return outcomes;
}

/** Nothing that `occ` wrote is under way here. */
const plan = (steps: Step[], settle: () => Promise<void> = async () => undefined) => planSetup(steps, settle);

const isDone = async (with_: SetupContext = context()): Promise<boolean> =>
  (await plan(setupSteps(with_))).every(({ inspection }) => inspection.state === "done");

describe("setup steps", () => {
  it("make everything, and then find it done", async () => {
    await apply();
    expect(await isDone()).toBe(true);
  });

  it("done three times are one client, one key, one subscription and one sink; and without its record too", async () => {
    for (const _ of [1, 2, 3]) await apply(context({ auditSink: true }));
    const counts = () =>
      (["apiKeys", "webhooks", "sinks", "clients"] as const).map((what) => management()[what].length);
    expect(counts()).toEqual([1, 1, 1, 1]);
    expect(nextcloud.providers).toHaveLength(1);
    expect(management().mappers).toHaveLength(4);
    expect(await isDone(context({ auditSink: true }))).toBe(true);
    await rm(join(folder, "acme.setup"));
    await apply(context({ auditSink: true }));
    expect(counts()).toEqual([1, 1, 1, 1]);
  });

  it("find the newest client that user_oidc can read, whatever the names", async () => {
    const redirect_uris = [`${nextcloud.url}/apps/user_oidc/code`, `${nextcloud.url}/`];
    const common = { redirect_uris, secret: "s", is_active: true, grant_types: [], response_types: [], scopes: [] };
    management().clients.push(
      {
        ...common,
        client_id: "new-rs",
        name: "A",
        id_token_signed_response_alg: "RS256",
        created_at: "2026-03-01T00:00:00Z",
      },
      { ...common, client_id: "newest", name: "B", created_at: "2026-04-01T00:00:00+02:00" },
      {
        ...common,
        client_id: "old-rs",
        name: "C",
        id_token_signed_response_alg: "RS256",
        created_at: "2026-02-01T00:00:00Z",
      },
    );
    await apply();
    expect(management().clients).toHaveLength(3);
    expect(nextcloud.providers).toMatchObject([{ clientId: "new-rs" }]);
  });

  it("register another client where one asks for ES256, which Clavex cannot sign", async () => {
    await apply();
    const [client] = management().clients;
    if (client) client.id_token_signed_response_alg = "ES256";
    const planned = await plan(setupSteps(context()));
    expect(planned.find(({ step }) => step.title === "Clavex: OIDC client")?.inspection).toMatchObject({
      what: expect.stringMatching(/ES256/),
    });
    await apply();
    expect(nextcloud.providers[0]?.clientId).toBe(management().clients[1]?.client_id);
    expect(await isDone()).toBe(true);
  });

  it("stop before anything is changed when the login may not do all of it", async () => {
    const key = (permissions: string[]) => {
      management().apiKeys.push({ id: "k", name: "for setup", scope: "", permissions, key: "clv_for_setup_0123" });
      return context({}, async () => "clv_for_setup_0123");
    };
    const lacking = key(SETUP_PERMISSIONS.filter((each) => each !== "groups:read"));
    await expect(plan(setupSteps(lacking))).rejects.toMatchObject({
      code: "clavex-permissions-missing",
      message: expect.stringMatching(/groups:read$/),
    });
    management().apiKeys.length = 0;
    await apply(key([...SETUP_PERMISSIONS]));
    expect(await isDone()).toBe(true);
  });

  it("replace an API key that was revoked", async () => {
    await apply();
    const [old] = management().apiKeys;
    if (old) old.is_active = false;
    expect(await isDone()).toBe(false);
    await apply();
    expect(management().apiKeys.map(({ is_active }) => is_active)).toEqual([false, true]);
    expect(await readFile(environmentFile(), "utf8")).toContain(management().apiKeys[1]?.key);
  });

  it("replace a sink for another address, one whose secret is not known here, and one that signs with an old secret", async () => {
    const sink = context({ auditSink: true });
    const theirs = { id: "theirs", name: "clavex-nextcloud", sink_type: "webhook", is_active: true };
    const others = { filter_actions: [], filter_statuses: [] };
    management().sinks.push({ ...theirs, ...others, config: { url: "https://other-stage.example/hook", secret: "s" } });
    await apply(sink);
    expect(management().sinks.map(({ config }) => config.url)).toEqual(["https://other-stage.example/hook", WEBHOOK]);

    // The subscription's secret is lost, so it gets a new one: the sink follows, also when it is not asked for again.
    await rm(environmentFile());
    await apply();
    const secret = management().webhooks[0]?.secret;
    expect(management().sinks.map(({ config }) => config.secret)).toEqual(["s", secret]);

    await rm(join(folder, "acme.setup"));
    await apply(sink);
    expect(management().sinks).toHaveLength(2);
    await apply(context({ webhookUrl: "https://new.example/webhooks/clavex/acme" }));
    expect(management().webhooks.map(({ url }) => url)).toContain("https://new.example/webhooks/clavex/acme");
    expect(management().sinks.map(({ config }) => config.url)).toEqual([
      "https://other-stage.example/hook",
      "https://new.example/webhooks/clavex/acme",
    ]);
  });

  it("move their subscription to a new address, with its secret", async () => {
    await apply();
    const secret = management().webhooks[0]?.secret;
    const url = "https://new.example/webhooks/clavex/acme";
    await apply(context({ webhookUrl: url }));
    expect(management().webhooks).toMatchObject([{ url, secret }]);
    expect(await isDone(context({ webhookUrl: url }))).toBe(true);
  });

  it("make a mapper anew that is there without effect", async () => {
    await apply();
    for (const mapper of management().mappers) mapper.add_to_access_token = false;
    await apply();
    expect(management().mappers.map((each) => each.add_to_access_token)).toEqual([true, true, true, true]);
  });

  it("add the address after logging out to a client that lacks it", async () => {
    await apply();
    const [client] = management().clients;
    if (client) client.redirect_uris = [`${nextcloud.url}/index.php/apps/user_oidc/code`];
    await apply();
    expect(client?.redirect_uris).toEqual([`${nextcloud.url}/index.php/apps/user_oidc/code`, `${nextcloud.url}/`]);
  });

  it("replace a subscription whose secret nobody knows any more", async () => {
    await apply();
    await rm(environmentFile());
    const [old] = management().webhooks;
    await apply();
    expect(management().webhooks).toHaveLength(1);
    expect(management().webhooks[0]?.id).not.toBe(old?.id);
    expect(await readFile(environmentFile(), "utf8")).toContain(management().webhooks[0]?.secret);
  });

  it("repair a subscription that was switched off or lacks events, and keep its own", async () => {
    await apply();
    const [webhook] = management().webhooks;
    Object.assign(webhook ?? {}, { is_active: false, events: ["user.created", "user.login"] });
    await apply();
    expect(management().webhooks[0]).toMatchObject({
      id: webhook?.id,
      is_active: true,
      events: ["user.created", "user.login", "user.updated", "user.deleted"],
    });
  });

  it("register a new client where the old one's id tokens cannot be read, and point the provider at it", async () => {
    const uri = `${nextcloud.url}/apps/user_oidc/code`;
    const old = { client_id: "old", name: "Nextcloud", redirect_uris: [uri], secret: "s", is_active: true };
    management().clients.push({ ...old, grant_types: [], response_types: [], scopes: [] });
    const outcomes = await apply();
    expect(outcomes.get("Clavex: OIDC client")?.lines.join()).toMatch(/old client old is left/);
    const made = management().clients[1];
    expect(made?.id_token_signed_response_alg).toBe("RS256");
    expect(nextcloud.providers[0]).toMatchObject({ clientId: made?.client_id, clientSecret: made?.secret });
    expect(await isDone()).toBe(true);
  });

  it("add the redirect URI to a client that lacks it", async () => {
    await apply();
    const [client] = management().clients;
    if (client) client.redirect_uris = ["https://old.example/apps/user_oidc/code"];
    await apply();
    expect(management().clients).toHaveLength(1);
    expect(client?.redirect_uris).toContain(`${nextcloud.url}/apps/user_oidc/code`);
  });

  it("never change a setting of an existing provider that decides ids", async () => {
    const discoveryEndpoint = `${clavex.url}/acme/.well-known/openid-configuration`;
    nextcloud.providers.push({ id: 4, identifier: "sso", uniqueUid: false, providerBasedId: true, discoveryEndpoint });
    await apply();
    expect(nextcloud.providers).toMatchObject([
      { id: 4, uniqueUid: false, providerBasedId: true, mappingAvatar: "picture" },
    ]);
    expect(JSON.parse(await readFile(organizationFile(), "utf8")).identity).toEqual({
      scheme: "user_oidc",
      providerId: 4,
      uniqueUserIds: false,
      providerBasedIds: true,
      providerIdentifier: "sso",
    });
    expect(await isDone()).toBe(true);
  });

  it("give the line for occ where user_oidc has no API for providers, without the secret in it", async () => {
    nextcloud.apps.set("user_oidc", "6.4.0");
    const first = await apply();
    const lines = first.get("Nextcloud: login provider")?.lines.join("\n") ?? "";
    const [client] = management().clients;
    expect(lines).toMatch(/occ user_oidc:provider clavex --clientid=/);
    for (const option of ["--mapping-display-name=name", "--mapping-avatar=picture", "--group-provisioning=0"]) {
      expect(lines).toContain(option);
    }
    expect(lines).not.toMatch(/--mapping-displayname|--pkce/);
    expect(client?.secret).toBeTruthy();
    expect(lines).not.toContain(client?.secret);
    expect(await readFile(environmentFile(), "utf8")).toContain(`ACME_OIDC_CLIENT_SECRET=${client?.secret}`);
    expect(first.get("Organization file")).toMatchObject({ state: "by hand" });

    // Again: nothing is rotated; with the id it goes on.
    const secret = client?.secret;
    await apply();
    expect(management().clients[0]?.secret).toBe(secret);
    await apply(context({ providerId: 2 }));
    expect(JSON.parse(await readFile(organizationFile(), "utf8")).identity).toMatchObject({ providerId: 2 });
    expect(await isDone(context({ providerId: 2 }))).toBe(true);
  });

  it("never replace the client's secret for a provider that may work, and say in the plan where they have to", async () => {
    nextcloud.apps.set("user_oidc", "6.4.0");
    await apply();
    const secret = management().clients[0]?.secret;
    const provider = async (with_ = context()) =>
      (await plan(setupSteps(with_))).find(({ step }) => step.title === "Nextcloud: login provider")?.inspection;
    // The person made the provider and removed the secret, as setup says, but gives no id.
    nextcloud.providers.push({ id: 1, identifier: "clavex", uniqueUid: true, providerBasedId: false });
    nextcloud.appConfig.set("user_oidc/provider-1-uniqueUid", "1");
    await rm(environmentFile());
    expect(await provider()).toMatchObject({
      state: "by hand",
      lines: expect.arrayContaining([expect.stringMatching(/--provider-id 1/)]),
    });
    await apply();
    expect(management().clients[0]?.secret).toBe(secret);
    await apply(context({ providerId: 1 }));
    const text = await readFile(organizationFile(), "utf8");
    const configured = parseOrganization({ source: "acme.json", text }, "env").organization;
    expect(await provider({ ...context(), configured })).toMatchObject({ state: "done", what: "1, as configured" });
    expect(management().clients[0]?.secret).toBe(secret);

    // Nothing in Nextcloud can use the client: it is replaced, and the plan says so.
    nextcloud.providers.length = 0;
    nextcloud.appConfig.clear();
    expect(await provider()).toMatchObject({ what: expect.stringMatching(/a new secret for the client/) });
    nextcloud.apps.set("user_oidc", "8.10.1");
    expect(await provider()).toMatchObject({ what: expect.stringMatching(/a new secret for the client/) });
    await apply();
    expect(management().clients[0]?.secret).not.toBe(secret);
    expect(nextcloud.providers[0]?.clientSecret).toBe(management().clients[0]?.secret);
  });

  it("replace a client's secret last: not while Nextcloud refuses the provider", async () => {
    await apply();
    nextcloud.providers.length = 0;
    const secret = management().clients[0]?.secret;
    const isProvider = ({ path }: { path: string }) => path.includes("/api/v1/provider");
    const refusal = {
      ocs: { meta: { status: "failure", statuscode: 400, message: "no discovery document" }, data: [] },
    };
    nextcloud.faults.add({
      kind: "status",
      status: 400,
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify(refusal),
      match: (request) => request.method === "POST" && isProvider(request),
    });
    expect((await apply()).get("Nextcloud: login provider")).toMatchObject({
      state: "by hand",
      lines: expect.arrayContaining([expect.stringMatching(/no discovery document/)]),
    });
    expect(management().clients[0]?.secret).toBe(secret);
    nextcloud.faults.clear();
    await apply();
    expect(management().clients[0]?.secret).not.toBe(secret);
    expect(nextcloud.providers).toMatchObject([{ clientSecret: management().clients[0]?.secret }]);
  });

  it.each([
    "disable",
    "anonymise",
  ] as const)("write down what was decided for people who are erased: %s", async (erased) => {
    await apply(context({ erased }));
    const text = await readFile(organizationFile(), "utf8");
    const { organization } = parseOrganization({ source: "acme.json", text }, "env");
    expect(organization?.deprovision.erased).toBe(erased);
  });

  it("leave the default for people who are erased where nobody was asked", async () => {
    await apply();
    expect(JSON.parse(await readFile(organizationFile(), "utf8"))).not.toHaveProperty("deprovision");
  });

  it("look again at what occ changed a moment ago, before they say that it is not so", async () => {
    await apply();
    const [provider] = nextcloud.providers as [Provider];
    provider.mappingAvatar = "";
    const settle = async () => {
      provider.mappingAvatar = "picture";
    };
    expect((await plan(setupSteps(context()), settle)).filter(({ inspection }) => inspection.state !== "done")).toEqual(
      [],
    );
    provider.mappingAvatar = "";
    expect((await plan(setupSteps(context()))).filter(({ inspection }) => inspection.state !== "done")).toMatchObject([
      { inspection: { state: "to do", what: "set avatar mapping of 1 (clavex)" } },
    ]);
  });

  it("wait for nothing where all is done", async () => {
    await apply();
    let waited = 0;
    await plan(setupSteps(context()), async () => {
      waited += 1;
    });
    expect(waited).toBe(0);
  });

  it("see user_oidc that was enabled a moment ago", async () => {
    const version = nextcloud.apps.get("user_oidc") ?? "";
    nextcloud.apps.delete("user_oidc");
    const administrator = { username: "admin", password: "admin-password" };
    nextcloud.addLocalUser({ id: administrator.username, password: administrator.password });
    nextcloud.addMember("admin", administrator.username);
    const [, pool] = pools as [Pool, Pool];
    const ocs = createOcs({ baseUrl: nextcloud.url, username: "admin", password: async () => "admin-password", pool });
    const with_ = { ...context({ username: "admin" }), ocs };
    const settle = async () => void nextcloud.apps.set("user_oidc", version);
    const found = (await plan(setupSteps(with_), settle)).find(
      ({ step }) => step.title === "Nextcloud: login provider",
    );
    expect(found?.inspection.state).toBe("to do");
  });

  it("say why Nextcloud refuses a provider, and go on when it gets to Clavex", async () => {
    nextcloud.reachesClavex = false;
    const first = await apply();
    expect(first.get("Nextcloud: login provider")).toMatchObject({
      state: "by hand",
      lines: [
        expect.stringContaining("The discovery endpoint is not reachable"),
        expect.stringContaining(`curl ${clavex.url}/acme/.well-known/openid-configuration`),
        expect.stringContaining("allow_local_remote_servers"),
        "Then run setup again.",
      ],
    });
    expect(first.get("Organization file")).toMatchObject({ state: "by hand" });
    nextcloud.reachesClavex = true;
    await apply();
    expect(await isDone()).toBe(true);
  });

  describe("with what the pipeline has seen of the skeleton", () => {
    const ledger = () => createLedger(sqliteTable(openDatabase(undefined))).skeletons;
    const skeletonOf = async (with_: SetupContext) =>
      (await plan(setupSteps(with_))).find(({ step }) => step.title === "Nextcloud: skeleton")?.inspection;

    it.each([true, false])("write down what they measure (empty: %s)", async (empty) => {
      if (empty) nextcloud.skeleton.clear();
      const skeletons = ledger();
      await apply({ ...context(), skeletons });
      expect(await skeletons.get(nextcloud.url)).toMatchObject({ empty });
    });

    it("measure again where an account was seen to have files although it was empty", async () => {
      nextcloud.skeleton.clear();
      const skeletons = ledger();
      await apply({ ...context(), skeletons });
      await skeletons.put(nextcloud.url, { empty: false, at: 0 });
      expect(await skeletonOf({ ...context(), skeletons })).toMatchObject({ state: "to do" });
      await apply({ ...context(), skeletons });
      expect(await skeletons.get(nextcloud.url)).toMatchObject({ empty: true });
      expect(await skeletonOf({ ...context(), skeletons })).toEqual({ state: "done", what: "empty" });
    });
  });

  it("say what to do by hand where there is no token, no user_oidc or no administrator", async () => {
    const without = await apply(withoutToken());
    expect(without.get("Clavex: API key")?.lines.join()).toMatch(/users:read and groups:read/);
    expect(management().apiKeys).toEqual([]);
    // An account of user_oidc could not log in without the app.
    nextcloud.addLocalUser({ id: "boss", password: "Correct-horse-battery-9", groups: ["admin"] });
    Object.assign(nextcloud, { username: "boss", password: "Correct-horse-battery-9" });
    nextcloud.apps.delete("user_oidc");
    const [provider] = (await plan(setupSteps(context()))).filter(({ step }) => step.title.includes("provider"));
    expect(provider?.inspection).toMatchObject({
      state: "by hand",
      lines: expect.arrayContaining([expect.stringMatching(/occ app:enable user_oidc/)]),
    });
  });

  it("never overwrite an organization's file; they say what differs in it", async () => {
    await apply();
    const document = JSON.parse(await readFile(organizationFile(), "utf8"));
    const own = JSON.stringify({ ...document, identity: { providerId: 9 }, quota: { default: "5 GB" } });
    await writeFile(organizationFile(), own);
    const outcomes = await apply();
    expect(outcomes.get("Organization file")).toMatchObject({
      state: "by hand",
      lines: expect.arrayContaining([expect.stringMatching(/providerId is not 1/)]),
    });
    expect(await readFile(organizationFile(), "utf8")).toBe(own);
    await writeFile(organizationFile(), "{}");
    expect((await apply()).get("Organization file")?.lines.join()).toMatch(/slug/);
  });

  it("removal leaves alone what was there before", async () => {
    const webhook = {
      id: "other",
      url: "https://other.example",
      events: ["user.created"],
      event_filter: [],
      is_active: true,
      secret: "s",
    };
    management().webhooks.push(webhook);
    await apply();
    const removed: string[] = [];
    await removeSetup(setupSteps(context()), (title) => removed.push(title));
    expect(removed[0]).toBe("Organization file");
    expect(management()).toEqual({
      apiKeys: [expect.objectContaining({ name: "clavex-nextcloud", is_active: false })],
      webhooks: [webhook],
      deliveries: [],
      sinks: [],
      clients: [],
      mappers: [],
      roles: [],
    });
    expect(nextcloud.providers).toEqual([]);
    expect(await readFile(environmentFile(), "utf8")).toBe("");
    await expect(stat(join(folder, "acme.setup"))).rejects.toThrow(/ENOENT/);
  });

  it("removal gives a client that was there before its redirect URIs and mappers back", async () => {
    const theirs = {
      client_id: "theirs",
      name: "Nextcloud",
      redirect_uris: [`${nextcloud.url}/apps/user_oidc/code`],
      id_token_signed_response_alg: "RS256",
      ...{ grant_types: [], response_types: [], scopes: [], is_active: true, secret: "s" },
    };
    management().clients.push({ ...theirs });
    await apply();
    expect(management().clients[0]?.redirect_uris).toContain(`${nextcloud.url}/`);
    await removeSetup(setupSteps(context()), () => undefined);
    expect(management().clients).toMatchObject([{ client_id: "theirs", redirect_uris: theirs.redirect_uris }]);
    expect(management().mappers).toEqual([]);
    await expect(stat(join(folder, "acme.setup"))).rejects.toThrow(/ENOENT/);
  });

  it("removal knows what earlier versions wrote down", async () => {
    await apply(context({ auditSink: true }));
    const { record } = context();
    await record.write({ apiKey: true, sink: "clavex-nextcloud", mappersOf: undefined });
    await removeSetup(setupSteps(context()), () => undefined);
    expect(management()).toMatchObject({ apiKeys: [{ is_active: false }], sinks: [], clients: [], mappers: [] });
  });

  it("removal without a token stops before anything in Clavex, and says what is needed", async () => {
    await apply();
    await expect(removeSetup(setupSteps(withoutToken()), () => undefined)).rejects.toMatchObject({
      code: "clavex-token-missing",
      fix: expect.stringMatching(/CLAVEX_ADMIN_TOKEN/),
    });
  });
});

describe("the environment file", () => {
  it("keeps what else is in it, and is for its owner only from then on", async () => {
    await writeFile(environmentFile(), "FIRST=1\nACME_WEBHOOK_SECRET=old\n# a comment\n");
    await chmod(environmentFile(), 0o644);
    const store = environmentStore(environmentFile(), "acme", {});
    await store.write("webhook", "new");
    expect(await readFile(environmentFile(), "utf8")).toBe("FIRST=1\n# a comment\nACME_WEBHOOK_SECRET=new\n");
    expect((await stat(environmentFile())).mode & 0o777).toBe(0o600);
    expect(await store.read("webhook")).toBe("new");
    await store.remove("webhook");
    expect(await readFile(environmentFile(), "utf8")).toBe("FIRST=1\n# a comment\n");
  });

  it("is replaced as a whole: a reader sees the old or the new one, a link stays, and nothing is left beside it", async () => {
    const real = join(dirname(environmentFile()), "real.env");
    await writeFile(real, "FIRST=1\n");
    await symlink(real, environmentFile());
    const before = (await stat(real)).ino;
    await environmentStore(environmentFile(), "acme", {}).write("webhook", "new");
    expect(await readFile(real, "utf8")).toBe("FIRST=1\nACME_WEBHOOK_SECRET=new\n");
    const { ino, mode } = await stat(real);
    expect([ino === before, mode & 0o777]).toEqual([false, 0o600]);
    expect((await lstat(environmentFile())).isSymbolicLink()).toBe(true);
    const beside = (await readdir(dirname(real))).filter((name) => name.includes("env"));
    expect(beside.sort()).toEqual([basename(environmentFile()), "real.env"].sort());
  });

  it("reads back every secret as it was given", async () => {
    const store = environmentStore(environmentFile(), "acme", {});
    for (const secret of ["a#b", " spaces ", "it's", 'say "it\'s"', "x=y+z/0=="]) {
      await store.write("appPassword", secret);
      expect(await store.read("appPassword")).toBe(secret);
    }
    await expect(store.write("appPassword", "'\"`")).rejects.toMatchObject({ code: "secret-not-kept" });
  });

  it("is passed over where a variable is set, as npm start does", async () => {
    await writeFile(environmentFile(), "MY_ORG_WEBHOOK_SECRET=file\n");
    const set = environmentStore(environmentFile(), "my-org", { MY_ORG_WEBHOOK_SECRET: "environment" });
    expect(await set.read("webhook")).toBe("environment");
    expect(set.reference("webhook")).toBe("env:MY_ORG_WEBHOOK_SECRET");
  });
});
