import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  clavexProblem,
  credentialsProblem,
  nextcloudProblem,
  slugProblem,
  webhookProblem,
} from "../../functions/setup/checks.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

const PASSWORD = "the-app-password-of-the-provisioner";
const ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";

let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;

beforeEach(async () => {
  clavex = await startSimulatedClavex({ organizations: [{ id: ID, slug: "acme", apiKey: "" }] });
  nextcloud = await startSimulatedNextcloud({
    credentials: [
      { username: "provisioner", password: PASSWORD, backend: "user_oidc" },
      { username: "somebody", password: PASSWORD, admin: false },
    ],
  });
});
afterEach(async () => {
  await clavex.close();
  await nextcloud.close();
});

describe("an answer of setup is tried at once", () => {
  it("Clavex's address: it is one, somebody answers, and that is Clavex itself", async () => {
    expect(await clavexProblem(clavex.url)).toBeUndefined();
    expect(await clavexProblem("id.acme.eu")).toMatch(/^It is not a URL: write one such as/);
    expect(await clavexProblem("http://id.acme.eu")).toMatch(/^It must be https:/);
    expect(await clavexProblem(nextcloud.url)).toBe(`What answers at ${nextcloud.url} is no Clavex (HTTP 404).`);
    expect(await clavexProblem(`${clavex.url}/acme`)).toBe(
      `Clavex answers at ${clavex.url}: leave out what is behind it.`,
    );
    clavex.faults.add({ kind: "status", status: 301, headers: { location: "https://id.acme.eu/" }, times: 1 });
    expect(await clavexProblem(clavex.url)).toMatch(/redirects to https:\/\/id\.acme\.eu\/: give the address behind/);
    clavex.faults.add({ kind: "status", status: 200, body: "<html>a login page</html>", times: 1 });
    expect(await clavexProblem(clavex.url)).toMatch(/is no Clavex \(HTTP 200\)\.$/);
    expect(await clavexProblem(clavex.url.replace("http:", "https:"))).toMatch(/does not speak the protocol/);
    await clavex.down();
    expect(await clavexProblem(clavex.url)).toBe(`${clavex.url}: Clavex cannot be reached (ECONNREFUSED).`);
  });

  it("the slug: Clavex has it, and names itself by the address that was given", async () => {
    expect(await slugProblem(clavex.url, "acme")).toBeUndefined();
    expect(await slugProblem(clavex.url, "Acme")).toBe("A slug has only a-z, 0-9 and -, as in acme-eu.");
    expect(await slugProblem(clavex.url, "nobody")).toBe("Clavex has no organization with the slug nobody.");
    const change = (answer: { status: number; body?: string }) => ({
      ...answer,
      body: answer.body?.replace('"issuer":"http://127.0.0.1', '"issuer":"https://id.acme.eu') ?? "",
    });
    clavex.faults.add({ kind: "changed", change, times: 1 });
    expect(await slugProblem(clavex.url, "acme")).toMatch(
      /^Clavex calls itself https:\/\/id\.acme\.eu.*logins would fail/,
    );
  });

  it("Nextcloud's address: an installed Nextcloud that works answers there", async () => {
    expect(await nextcloudProblem(nextcloud.url)).toBeUndefined();
    expect(await nextcloudProblem(`${nextcloud.url}/index.php/login`)).toBe(
      `It must be the address of Nextcloud alone: write "${nextcloud.url}".`,
    );
    expect(await nextcloudProblem(clavex.url)).toMatch(/not that of an installed Nextcloud/);
    nextcloud.maintenance = true;
    expect(await nextcloudProblem(nextcloud.url)).toMatch(/^Nextcloud is in maintenance mode/);
  });

  it("Nextcloud's credentials, in one login each", async () => {
    expect(await credentialsProblem(nextcloud.url, "provisioner", PASSWORD)).toBeUndefined();
    nextcloud.requests.length = 0;
    expect(await credentialsProblem(nextcloud.url, "provisioner", "wrong")).toEqual({
      problem: "Nextcloud refuses the user name or password.",
      counted: true,
      final: false,
    });
    expect(nextcloud.requests.filter(({ headers }) => headers.authorization !== undefined)).toHaveLength(1);
    expect(await credentialsProblem(nextcloud.url, "somebody", PASSWORD)).toMatchObject({
      problem: expect.stringMatching(/^somebody is no administrator of Nextcloud: occ group:adduser admin somebody/),
      counted: false,
    });
  });

  it("a service account of user_oidc while that app is disabled: the sentence says so, and the login counts", async () => {
    nextcloud.apps.delete("user_oidc");
    expect(await credentialsProblem(nextcloud.url, "provisioner", PASSWORD)).toMatchObject({
      problem: expect.stringMatching(
        /^The app user_oidc is disabled.* occ app:enable user_oidc, or name another account\.$/,
      ),
      counted: true,
    });
  });

  it("the webhook's address: https, with a name and a certificate that hold; nobody has to answer yet", async () => {
    expect(await webhookProblem("http://127.0.0.1:9")).toBeUndefined();
    expect(await webhookProblem("https://127.0.0.1:9/webhooks/clavex")).toBeUndefined();
    expect(await webhookProblem("hooks.acme.eu")).toMatch(/^That is not a URL: .*or none\.$/);
    expect(await webhookProblem("http://hooks.acme.eu")).toMatch(/^Clavex posts to https addresses/);
    expect(await webhookProblem("https://me:hunter2@hooks.acme.eu")).toBe("The address must not hold credentials.");
    expect(await webhookProblem(clavex.url.replace("http:", "https:"))).toMatch(/does not speak the protocol/);
  });
});
