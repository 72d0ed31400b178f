import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sign } from "../../functions/clavex/signature.ts";
import { accountId } from "../../functions/core/identity.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const TOKEN = "the-administrators-token";
const APP_PASSWORD = "the-app-password-of-the-provisioner";

let folder: string;
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let port: number;
const running: ChildProcess[] = [];

beforeEach(async () => {
  administrator = { CLAVEX_ADMIN_TOKEN: TOKEN };
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  clavex = await startSimulatedClavex({
    organizations: [{ id: ID, slug: "acme", apiKey: "clv_of_somebody_else" }],
    adminToken: TOKEN,
  });
  nextcloud = await startSimulatedNextcloud({
    credentials: [{ username: "provisioner", password: APP_PASSWORD, backend: "user_oidc" }],
    providers: [],
    skeleton: {},
  });
  port = await freePort();
});

afterEach(async () => {
  for (const child of running.splice(0)) {
    child.kill("SIGKILL");
    await once(child, "close").catch(() => undefined);
  }
  await clavex.close();
  await nextcloud.close();
  await rm(folder, { recursive: true });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function start(file: string, args: string[], environment: Record<string, string>) {
  const child = spawn(process.execPath, [join(ROOT, file), ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return { child, output: () => output };
}

/** What runs setup in Clavex: a token, or what an administrator logs in with. */
let administrator: Record<string, string>;

/** Runs a command in the folder, where it finds and makes `.env`, `organizations/` and `.local/`. */
async function cli(...args: string[]): Promise<{ code: number; output: string }> {
  const environment = { ...administrator, NEXTCLOUD_APP_PASSWORD: APP_PASSWORD };
  const { child, output } = start("functions/cli/main.ts", args, environment);
  const [code] = await once(child, "close");
  return { code, output: output() };
}

const setup = (...args: string[]) =>
  cli(
    "setup",
    "--yes",
    ...["--organization", "acme", "--organization-id", ID],
    ...["--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
    ...["--webhook-url", `http://127.0.0.1:${port}`],
    ...args,
  );

async function startPipeline(): Promise<() => string> {
  const { child, output } = start("functions/cli/main.ts", ["start", "--port", String(port), "--admin-port", "0"], {});
  running.push(child);
  await until(() => output().includes("listening on"));
  return output;
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 50) {
    if (waited > 20_000) throw new Error("it did not happen");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const secrets = async (): Promise<Record<string, string | undefined>> =>
  parseEnv(await readFile(join(folder, ".env"), "utf8"));
const organizationFile = () => join(folder, "organizations/local/acme.json");
/** All that setup can change, to see whether it did. A revoked key stays in Clavex's list, and is nothing any more. */
const world = async () =>
  JSON.stringify([
    {
      ...clavex.management("acme"),
      apiKeys: clavex
        .management("acme")
        .apiKeys.filter((key) => key.is_active)
        .map(({ id }) => id),
    },
    nextcloud.providers,
    [...nextcloud.appConfig],
    await readFile(join(folder, ".env"), "utf8").catch(() => ""),
    await readFile(organizationFile(), "utf8").catch(() => ""),
  ]);

describe("clavex-nextcloud setup", () => {
  test("from nothing: setup, npm start, doctor is green, a delivery is provisioned; again it changes nothing", async () => {
    const first = await setup("--audit-sink");
    expect(first).toMatchObject({ code: 0 });
    expect(first.output).toMatch(/done +Clavex: webhook subscription/);

    const kept = await secrets();
    expect(Object.keys(kept).sort()).toEqual([
      "ACME_CLAVEX_API_KEY",
      "ACME_NEXTCLOUD_APP_PASSWORD",
      "ACME_WEBHOOK_SECRET",
    ]);
    expect((await stat(join(folder, ".env"))).mode & 0o777).toBe(0o600);
    const management = clavex.management("acme");
    expect(management.apiKeys).toMatchObject([{ permissions: ["users:read", "groups:read"] }]);
    expect(management.clients).toMatchObject([{ id_token_signed_response_alg: "RS256" }]);
    expect(management.sinks).toMatchObject([{ sink_type: "webhook", config: { secret: kept.ACME_WEBHOOK_SECRET } }]);
    expect(nextcloud.providers).toMatchObject([
      { identifier: "clavex", clientSecret: management.clients[0]?.secret, uniqueUid: true, mappingAvatar: "picture" },
    ]);

    const log = await startPipeline();
    const doctor = await cli("doctor", "--webhook-url", `http://127.0.0.1:${port}`);
    expect(doctor.output).toMatch(/ 0 failed, 0 warnings/);
    expect(doctor.code).toBe(0);

    const ada = clavex.addUser("acme", { email: "ada@acme.example", first_name: "Ada", last_name: "Lovelace" });
    const body = JSON.stringify(clavex.delivery("user.created", ada));
    const headers = { "x-clavex-signature": sign(body, management.webhooks[0]?.secret ?? "") };
    const url = management.webhooks[0]?.url ?? "";
    expect((await fetch(url, { method: "POST", headers, body })).status).toBe(202);
    await until(() => log().includes('"result":"applied"'));
    const identity = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;
    expect(nextcloud.user(accountId(identity, ada.id))?.displayName).toBe("Ada Lovelace");

    const before = await world();
    const second = await setup("--audit-sink");
    expect(second.output).toContain("There is nothing to do.");
    expect(await world()).toBe(before);

    const output = [first, second, doctor].map((each) => each.output).join("");
    const hidden = [TOKEN, APP_PASSWORD, ...Object.values(kept), management.clients[0]?.secret];
    for (const secret of hidden) expect(output).not.toContain(secret);
  });

  test("while the pipeline runs, the organization works without a restart", async () => {
    const document = {
      slug: "beta",
      organizationId: "7c1d2e3f-4a5b-4c6d-8e7f-9a0b1c2d3e4f",
      clavex: { baseUrl: "http://127.0.0.1:9", webhookSecrets: ["env:BETA_SECRET"] },
      nextcloud: { baseUrl: "http://127.0.0.1:9", username: "p", password: "env:BETA_PASSWORD" },
      identity: { providerId: 9 },
    };
    await mkdir(join(folder, "organizations/local"), { recursive: true });
    await writeFile(join(folder, "organizations/local/beta.json"), JSON.stringify(document));
    await writeFile(join(folder, ".env"), `BETA_SECRET=${"b".repeat(64)}\nBETA_PASSWORD=p\n`);
    const log = await startPipeline();
    expect((await setup()).code).toBe(0);
    await until(() => log().includes("webhook of acme: "));
    const ada = clavex.addUser("acme", { email: "ada@acme.example", first_name: "Ada", last_name: "Lovelace" });
    const body = JSON.stringify(clavex.delivery("user.created", ada));
    const headers = { "x-clavex-signature": sign(body, (await secrets()).ACME_WEBHOOK_SECRET ?? "") };
    const url = `http://127.0.0.1:${port}/webhooks/clavex/acme`;
    expect((await fetch(url, { method: "POST", headers, body })).status).toBe(202);
    await until(() => log().includes('"result":"applied"'));
  });

  test("--remove takes back what it made, and nothing else", async () => {
    await writeFile(join(folder, ".env"), "OTHER=stays\n");
    const before = await world();
    await setup("--audit-sink");
    expect(await world()).not.toBe(before);
    const { code, output } = await setup("--remove");
    expect({ code, output }).toMatchObject({
      code: 0,
      output: expect.stringMatching(/removed +Nextcloud: login provider/),
    });
    // In words, not by the names of the record's entries.
    expect(output).toMatch(/^ {2}created +Clavex: webhook subscription$/m);
    expect(output).not.toMatch(/apiKey|organizationFile|undefined/);
    expect(await world()).toBe(before);
    expect((await setup("--remove")).output).toContain("Setup has created nothing for acme.");
  });

  test("--dry-run only looks, and without --yes nothing is done where nobody can be asked", async () => {
    const before = await world();
    const { output } = await setup("--dry-run");
    expect(output).toMatch(/to do +Organization file/);
    const { organization, dryRun, found, done } = JSON.parse((await setup("--dry-run", "--json")).output);
    expect({ organization, dryRun, done }).toEqual({ organization: "acme", dryRun: true, done: [] });
    expect(found).toContainEqual(expect.objectContaining({ state: "to do", title: "Organization file" }));
    expect(await world()).toBe(before);
    const asked = await cli(
      "setup",
      ...["--organization", "acme", "--organization-id", ID, "--username", "provisioner"],
      ...["--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
    );
    expect(asked).toMatchObject({ code: 1, output: expect.stringContaining("--yes") });
    expect(await world()).toBe(before);
  });

  test("setup and doctor log in to Clavex themselves, and say what is wrong with a login", async () => {
    const password = "Correct-horse-battery-9";
    clavex.addAdministrator("acme", { email: "admin@acme.example", password });
    administrator = { CLAVEX_ADMIN_EMAIL: "admin@acme.example", CLAVEX_ADMIN_PASSWORD: "wrong" };
    expect(await setup()).toMatchObject({ code: 1, output: expect.stringMatching(/refuses the login: invalid cred/) });
    administrator.CLAVEX_ADMIN_PASSWORD = password;
    const other = await setup("--organization-id", "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11");
    expect(other).toMatchObject({ code: 1, output: expect.stringContaining(`UUID of acme is ${ID}`) });
    // Nobody has to know the organization's UUID: the login tells it.
    const done = await cli(
      ...["setup", "--yes", "--organization", "acme", "--webhook-url", `http://127.0.0.1:${port}`],
      ...["--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
    );
    expect(done).toMatchObject({ code: 0, output: expect.stringMatching(/done +Clavex: API key/) });
    expect(JSON.parse(await readFile(organizationFile(), "utf8"))).toMatchObject({ organizationId: ID });
    const doctor = await cli("doctor", "--all");
    expect(doctor.output).toMatch(/ok +Clavex has the OIDC client for Nextcloud/);
    expect(done.output + doctor.output).not.toContain(password);
    expect(await readFile(join(folder, ".env"), "utf8")).not.toContain(password);
    expect((await setup("--remove")).code).toBe(0);
  });

  test("local login is switched off only when doctor finds nothing wrong", async () => {
    await setup();
    const client = clavex.management("acme").clients[0];
    if (client) client.grant_types = [];
    const refused = await setup("--disable-local-login");
    expect(refused.output).toMatch(/Local login stays on, because doctor found: oidc\.grant-types/);
    expect(nextcloud.appConfig.size).toBe(0);
    if (client) client.grant_types = ["authorization_code"];
    await setup("--disable-local-login");
    expect(nextcloud.appConfig.get("user_oidc/allow_multiple_user_backends")).toBe("0");
    await setup("--remove");
    expect(nextcloud.appConfig.size).toBe(0);
  });

  test("what is missing and what is wrong is told in sentences", async () => {
    expect(await cli("setup", "--yes")).toMatchObject({
      code: 1,
      output: expect.stringMatching(/setup needs --organization, --organization-id, --clavex-url, --nextcloud-url/),
    });
    const unattended = start("functions/cli/main.ts", ["setup"], {});
    expect(await once(unattended.child, "close")).toEqual([1, null]);
    expect(unattended.output().trim()).toBe(
      "setup needs --organization, --organization-id, --clavex-url, --nextcloud-url, NEXTCLOUD_APP_PASSWORD in the environment",
    );
    const wrong = await setup("--clavex-url", "http://id.acme.example");
    expect(wrong).toMatchObject({ code: 1, output: expect.stringMatching(/clavex\.baseUrl: must be https/) });
    expect(await setup("--username", "nobody")).toMatchObject({
      code: 1,
      output: expect.stringMatching(/refuses the user name or app password/),
    });
    const failed = nextcloud.requests.filter(({ headers }) => headers.authorization !== undefined);
    expect(failed).toHaveLength(1);
  });
});
