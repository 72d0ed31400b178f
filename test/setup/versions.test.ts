import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLAVEX_TIMEOUTS } from "../../functions/clavex/admin-api.ts";
import { createManagementApi } from "../../functions/clavex/management-api.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { parseOrganization } from "../../functions/core/organization.ts";
import type { Result } from "../../functions/doctor/check.ts";
import { examine } from "../../functions/doctor/doctor.ts";
import { createPool } from "../../functions/http.ts";
import { createOcs } from "../../functions/nextcloud/ocs.ts";
import type { SetupContext } from "../../functions/setup/context.ts";
import { recordFile } from "../../functions/setup/record.ts";
import { applySetup, type Outcome, removeSetup, setupSteps } from "../../functions/setup/setup.ts";
import { environmentStore } from "../../functions/setup/store.ts";
import { startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import {
  type Credentials,
  type SimulatedNextcloud,
  startSimulatedNextcloud,
} from "../../functions/simulated/nextcloud.ts";
import type { NextcloudVersion } from "../../functions/simulated/nextcloud-version.ts";
import { jsonAnswer, startServer } from "../../functions/simulated/server.ts";

/* `setup`, then `doctor`, on every version that is known, with every kind of credentials. */

const ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const APP_PASSWORD = "a".repeat(72);
const LOGIN_PASSWORD = "Correct-horse-battery-9";

const KINDS = {
  "service account": { backend: "user_oidc", password: APP_PASSWORD },
  "login password": { backend: "Database", password: LOGIN_PASSWORD },
  "app password": { backend: "Database", password: APP_PASSWORD },
} as const;
type Kind = keyof typeof KINDS;

let folder: string;
let closers: (() => Promise<unknown>)[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  closers = [];
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  await rm(folder, { recursive: true });
});

async function worldOf(version: NextcloudVersion, kind: Kind) {
  const clavex = await startSimulatedClavex({ organizations: [{ id: ID, slug: "acme", apiKey: "clv_other" }] });
  const receiver = await startServer({ answer: () => jsonAnswer(202, { status: "ignored" }) });
  const { backend } = KINDS[kind];
  const credentials: Credentials[] = [
    { username: "provisioner", password: APP_PASSWORD, loginPassword: LOGIN_PASSWORD, backend },
  ];
  // Before user_oidc 8.5.0 the provider is made with occ, by the line that setup prints.
  const provider = {
    id: 1,
    identifier: "clavex",
    uniqueUid: true,
    providerBasedId: false,
    mappingAvatar: "picture",
    mappingUid: "sub",
  };
  const nextcloud = await startSimulatedNextcloud({
    version,
    credentials,
    providers: version === 27 ? [provider] : [],
  });
  closers.push(clavex.close, receiver.close, nextcloud.close);
  return { clavex, receiver, nextcloud, providerId: version === 27 ? 1 : undefined };
}
type World = Awaited<ReturnType<typeof worldOf>>;

function contextOf({ clavex, receiver, nextcloud, providerId }: World, username: string, password: string) {
  const pools = [createPool(clavex.url, 2, CLAVEX_TIMEOUTS), createPool(nextcloud.url, 2, CLAVEX_TIMEOUTS)] as const;
  closers.push(...pools.map((pool) => () => pool.close()));
  const context: SetupContext = {
    answers: {
      slug: "acme",
      organizationId: ID,
      clavexUrl: clavex.url,
      nextcloudUrl: nextcloud.url,
      username,
      webhookUrl: `${receiver.url}/webhooks/clavex/acme`,
      providerId,
      auditSink: false,
      disableLocalLogin: false,
    },
    management: createManagementApi({
      baseUrl: clavex.url,
      organizationId: ID,
      pool: pools[0],
      token: async () => clavex.adminToken,
    }),
    signingAlgorithms: async () => ["RS256", "PS256"],
    ocs: createOcs({ baseUrl: nextcloud.url, username, password: async () => password, pool: pools[1] }),
    givenAppPassword: password,
    store: environmentStore(join(folder, ".env"), "acme", {}),
    record: recordFile(join(folder, "acme.setup")),
    organizationFile: join(folder, "acme.json"),
    configured: undefined,
    doctor: async () => [],
    passing: {},
  };
  return context;
}

async function setUp(context: SetupContext): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  await applySetup(setupSteps(context), (outcome) => outcomes.set(outcome.title, outcome));
  return outcomes;
}

async function doctor({ clavex, receiver }: World, changes: { username?: string; password?: string } = {}) {
  const { organization } = parseOrganization(
    { source: "acme", text: await readFile(join(folder, "acme.json"), "utf8") },
    "env",
  );
  const { username, password } = changes;
  const environment = { ...parseEnv(await readFile(join(folder, ".env"), "utf8")) };
  if (password !== undefined) environment.ACME_NEXTCLOUD_APP_PASSWORD = password;
  if (organization === undefined) throw new Error("setup wrote no organization");
  return examine({
    organization: {
      ...organization,
      nextcloud: { ...organization.nextcloud, ...(username === undefined ? {} : { username }) },
    },
    others: [],
    secrets: environmentSecrets(environment),
    adminToken: clavex.adminToken,
    webhookUrl: `${receiver.url}/webhooks/clavex/acme`,
    ownAuthorities: false,
    settleMs: 0,
    pipeline: {},
  });
}

const failures = (results: Result[]): string[] =>
  results.flatMap(({ id, status, cause }) => (status === "fail" ? [`${id}: ${cause}`] : []));
const found = (results: Result[], id: string) => results.find((each) => each.id === id);
const text = (outcomes: Map<string, Outcome>) => [...outcomes.values()].flatMap(({ lines }) => lines).join("\n");

describe("setup, then doctor", () => {
  const works: [NextcloudVersion, Kind][] = [
    [27, "service account"],
    [27, "login password"],
    [27, "app password"],
    [32, "service account"],
    [32, "login password"],
    [32, "app password"],
    [34, "service account"],
    [34, "login password"],
  ];

  it.each(works)("find nothing wrong on %d with the kind: %s", async (version, kind) => {
    const world = await worldOf(version, kind);
    const outcomes = await setUp(contextOf(world, "provisioner", KINDS[kind].password));
    expect(outcomes.get("Nextcloud: credentials")?.state).toBe("done");
    const results = await doctor(world);
    expect(failures(results)).toEqual([]);
    expect(found(results, "nextcloud.credentials")).toMatchObject({
      status: "ok",
      cause: expect.stringContaining(kind),
    });
    expect(found(results, "nextcloud.version")?.cause).toMatch(new RegExp(`^${version}\\.`));
    expect(world.nextcloud.users().map(({ id }) => id)).toEqual(["provisioner"]);
  });

  it("stop on 34 with an administrator's app password, make a service account, and go on with it", async () => {
    const world = await worldOf(34, "app password");
    const stopped = await setUp(contextOf(world, "provisioner", APP_PASSWORD));
    expect([...stopped.keys()]).toEqual(["Nextcloud: credentials"]);
    const [, id = ""] = /occ group:adduser admin (\S+)/.exec(text(stopped)) ?? [];
    expect(text(stopped)).toContain(`occ user:add-app-password ${id}`);
    expect(world.nextcloud.user(id)).toMatchObject({ backend: "user_oidc", groups: [] });

    // Again, before the lines were pasted: the same account and the same lines.
    expect(text(await setUp(contextOf(world, "provisioner", APP_PASSWORD)))).toBe(text(stopped));
    expect(world.nextcloud.users()).toHaveLength(2);

    world.nextcloud.addMember("admin", id);
    const password = world.nextcloud.addAppPassword(id);
    const outcomes = await setUp(contextOf(world, id, password));
    expect([...outcomes.values()].filter(({ state }) => state === "by hand").map(({ title }) => title)).toEqual([
      "Nextcloud: skeleton",
    ]);
    expect(failures(await doctor(world))).toEqual([]);

    const ordinary = await doctor(world, { username: "provisioner", password: APP_PASSWORD });
    expect(failures(ordinary)).toEqual([
      expect.stringMatching(/^nextcloud\.credentials: core takes no writes with an administrator's app password/),
    ]);
    expect(found(ordinary, "nextcloud.credentials")?.fix).toMatch(/clavex-nextcloud setup.*service account/);

    const removed: string[] = [];
    await removeSetup(setupSteps(contextOf(world, id, password)), (_title, what) => removed.push(what));
    expect(removed.join()).toContain(`occ user:delete ${id}`);
  });

  it.each([[27], [32], [34]] as const)("measure the skeleton on %d and write it down", async (version) => {
    for (const [skeleton, files] of [
      ["default", { "Readme.md": "Welcome" }],
      ["empty", {}],
    ] as const) {
      const world = await worldOf(version, "service account");
      world.nextcloud.skeleton.clear();
      for (const [path, content] of Object.entries(files)) world.nextcloud.skeleton.set(path, content);
      const outcomes = await setUp(contextOf(world, "provisioner", APP_PASSWORD));
      const lines = outcomes.get("Nextcloud: skeleton")?.lines.join("\n") ?? "";
      expect(lines.includes("occ config:system:set skeletondirectory --value=''")).toBe(skeleton === "default");
      const written = JSON.parse(await readFile(join(folder, "acme.json"), "utf8")) as { nextcloud: unknown };
      expect(written.nextcloud).toMatchObject({ skeleton });
      for (const name of ["acme.json", "acme.setup", ".env"]) await rm(join(folder, name));
    }
  });
});

describe("what is wrong with the credentials is said once, with what to do", () => {
  const wrong: [string, (nextcloud: SimulatedNextcloud) => { username?: string; password?: string }, RegExp][] = [
    ["a wrong password", () => ({ password: "wrong" }), /^nextcloud\.app-password: .*HTTP 401/],
    [
      "no administrator",
      (nextcloud) => {
        nextcloud.addLocalUser({ id: "clerk" });
        return { username: "clerk", password: nextcloud.addAppPassword("clerk") };
      },
      /^nextcloud\.admin: clerk is not in the group admin/,
    ],
  ];

  it.each(
    [27, 32, 34].flatMap((version) => wrong.map((each) => [version, ...each] as const)),
  )("on %d: %s", async (version, _what, change, expected) => {
    const world = await worldOf(version as NextcloudVersion, "service account");
    await setUp(contextOf(world, "provisioner", APP_PASSWORD));
    const results = await doctor(world, change(world.nextcloud));
    expect(failures(results)).toEqual([expect.stringMatching(expected)]);
    expect(results.find(({ status }) => status === "fail")?.fix).not.toBe("");
  });
});

it("what somebody mended with occ a moment ago is looked at again before doctor complains", async () => {
  const world = await worldOf(34, "service account");
  await setUp(contextOf(world, "provisioner", APP_PASSWORD));
  const [provider] = world.nextcloud.providers;
  if (provider === undefined) throw new Error("setup made no provider");
  const answer = await fetch(`${world.nextcloud.url}/ocs/v2.php/apps/user_oidc/api/v1/provider?format=json`, {
    headers: { authorization: `Basic ${btoa(`provisioner:${APP_PASSWORD}`)}`, "ocs-apirequest": "true" },
  });
  const stale = (await answer.text()).replace('"groupProvisioning":false', '"groupProvisioning":true');
  world.nextcloud.faults.add({
    kind: "status",
    status: 200,
    headers: { "content-type": "application/json" },
    body: stale,
    times: 1,
    match: ({ path }) => path.includes("/provider?"),
  });
  expect(found(await doctor(world), "nextcloud.group-provisioning")?.status).toBe("ok");
  provider.groupProvisioning = true;
  expect(found(await doctor(world), "nextcloud.group-provisioning")?.status).toBe("warn");
});
