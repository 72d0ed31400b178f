import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MachineConfiguration, machineConfiguration } from "../../functions/config/machine.ts";
import { documentOf, environmentOf } from "../core/organization.ts";

let root: string;
let folder: string;
let environmentFile: string;
let configuration: MachineConfiguration;

const ACME = documentOf({ slug: "acme" });
const BETA = documentOf({ slug: "beta", identity: { scheme: "user_oidc", providerId: 2 } });
const SECRETS = environmentOf("p", "acme", "beta", "gamma");
const STAYS = /; the last good version stays in use$/;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  [folder, environmentFile] = [join(root, "organizations"), join(root, ".env")];
  await mkdir(folder);
  await Promise.all([write("acme", ACME), write("beta", BETA), secrets(SECRETS)]);
  configuration = await machineConfiguration({ folder, environmentFile, environment: {} });
});
afterEach(() => rm(root, { recursive: true }));

const path = (slug: string) => join(folder, `${slug}.json`);
const write = (slug: string, document: object | string) =>
  writeFile(path(slug), typeof document === "string" ? document : JSON.stringify(document));
const secrets = (values: Record<string, string>) =>
  writeFile(
    environmentFile,
    Object.entries(values)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
async function replace(file: string, make: (file: string) => Promise<unknown>): Promise<void> {
  await rm(file, { recursive: true });
  await make(file);
}
/** Two looks: a change is taken with the second. */
async function looks(): Promise<boolean[]> {
  return [await configuration.look(), await configuration.look()];
}
const quotaOf = async (slug: string) => (await configuration.organizations.get(slug))?.quota.default;
const changed = (document: typeof ACME) => ({ ...document, quota: { default: "7 GB" } });
const SEVEN = 7 * 1024 ** 3;

describe("what is configured on a machine", () => {
  it("is taken when two looks running have found the same, so that no file is read in half", async () => {
    expect(await looks()).toEqual([false, false]);
    await write("acme", JSON.stringify(ACME).slice(0, 20));
    expect(await configuration.look()).toBe(false);
    await write("acme", changed(ACME));
    expect(await looks()).toEqual([false, true]);
    expect([await quotaOf("acme"), configuration.problems()]).toEqual([SEVEN, []]);
    expect(await looks()).toEqual([false, false]);
  });

  it("loses an organization whose file is removed, and gains one whose file is added", async () => {
    await rm(path("beta"));
    await write("gamma", documentOf({ slug: "gamma", identity: { scheme: "user_oidc", providerId: 3 } }));
    expect(await looks()).toEqual([false, true]);
    expect(await configuration.organizations.slugs()).toEqual(["acme", "gamma"]);
    expect(configuration.problems()).toEqual([]);
  });

  it("keeps a document until the secret that its new version names is there", async () => {
    const { clavex, ...rest } = changed(ACME);
    await write("acme", { ...rest, clavex: { ...clavex, apiKey: "env:NEW_KEY" } });
    await looks();
    expect(configuration.problems()).toEqual([
      expect.stringMatching(
        /acme\.json: clavex\.apiKey: secret env:NEW_KEY cannot be read .* Write NEW_KEY=\.\.\. into .*; the last good version/,
      ),
    ]);
    expect(await quotaOf("acme")).toBeUndefined();
    await secrets({ ...SECRETS, NEW_KEY: "clv" });
    await looks();
    expect([await quotaOf("acme"), configuration.problems()]).toEqual([SEVEN, []]);
  });

  it("keeps both of two documents that cannot stand beside each other any more", async () => {
    await write("acme", changed(ACME));
    await write("beta", { ...BETA, organizationId: ACME.organizationId });
    await looks();
    expect(await configuration.organizations.slugs()).toEqual(["acme", "beta"]);
    expect(await quotaOf("acme")).toBeUndefined();
    for (const problem of configuration.problems()) expect(problem).toMatch(STAYS);
    expect(configuration.problems()).toHaveLength(2);
  });

  it("refuses a new document that is wrong, which has no last good version, and no other", async () => {
    await write("gamma", "{");
    await looks();
    expect(await configuration.organizations.slugs()).toEqual(["acme", "beta", "gamma"]);
    await expect(configuration.organizations.get("gamma")).rejects.toThrow("is not JSON");
    expect(configuration.problems()).toEqual([expect.stringMatching(/gamma\.json: is not JSON/)]);
    expect(configuration.problems()[0]).not.toMatch(STAYS);
  });

  it.each([
    [
      "a folder in place of a document",
      () => replace(path("acme"), mkdir),
      /acme\.json: cannot be read \(it is a folder, EISDIR\)/,
    ],
    [
      "a folder in place of .env",
      () => replace(environmentFile, mkdir),
      /\.env: cannot be read \(it is a folder, EISDIR\)/,
    ],
    [
      "a file in place of the folder",
      () => replace(folder, (file) => writeFile(file, "")),
      /cannot be read \(a part of the path is not a folder, ENOTDIR\)/,
    ],
  ])("is what it was with %s", async (_, change, problem) => {
    await change();
    expect(await looks()).toEqual([false, true]);
    expect(configuration.problems()).toEqual([expect.stringMatching(problem)]);
    expect(configuration.problems()[0]).toMatch(STAYS);
    const acme = await configuration.organizations.get("acme");
    expect(acme && (await configuration.secrets.webhook(acme))).toEqual([SECRETS.WEBHOOK_SECRET]);
  });

  it("keeps .env when it is removed while organizations need it", async () => {
    await rm(environmentFile);
    await looks();
    expect(configuration.problems().length).toBeGreaterThan(0);
    for (const problem of configuration.problems()) expect(problem).toMatch(STAYS);
    const acme = await configuration.organizations.get("acme");
    expect(acme && (await configuration.secrets.webhook(acme))).toEqual([SECRETS.WEBHOOK_SECRET]);
  });

  it("reads a .env with a byte order mark", async () => {
    await writeFile(environmentFile, `\uFEFF${await readFile(environmentFile, "utf8")}`);
    expect(await looks()).toEqual([false, true]);
    expect(configuration.problems()).toEqual([]);
  });

  it("lets the environment of the process win over .env", async () => {
    const other = "another-webhook-secret-that-protects-nothing";
    const environment = { WEBHOOK_SECRET: other };
    const started = await machineConfiguration({ folder, environmentFile, environment });
    const acme = await started.organizations.get("acme");
    expect(acme && (await started.secrets.webhook(acme))).toEqual([other]);
  });
});
