import type { Pool } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLAVEX_TIMEOUTS } from "../../functions/clavex/admin-api.ts";
import { logIn, organizationInToken } from "../../functions/clavex/administrator.ts";
import { createManagementApi } from "../../functions/clavex/management-api.ts";
import { createPool } from "../../functions/http.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";

const PASSWORD = "Correct-horse-battery-9";
const ADMIN = { slug: "acme", email: "admin@acme.example", password: PASSWORD };

let clavex: SimulatedClavex;
let pool: Pool;

beforeEach(async () => {
  clavex = await startSimulatedClavex();
  clavex.addAdministrator("acme", ADMIN);
  pool = createPool(clavex.url, 1, CLAVEX_TIMEOUTS);
});
afterEach(async () => {
  await pool.close();
  await clavex.close();
});

const login = (change: Partial<typeof ADMIN> = {}) => logIn({ pool, baseUrl: clavex.url }, { ...ADMIN, ...change });
const api = (token: string) =>
  createManagementApi({ baseUrl: clavex.url, organizationId: DEFAULT_ORGANIZATION.id, pool, token: async () => token });

/** The next login is answered like this. */
function answerLogin(status: number, body: unknown): void {
  clavex.faults.add({
    kind: "status",
    status,
    body: JSON.stringify(body),
    match: ({ path }) => path.endsWith("/login"),
  });
}

describe("an administrator's login", () => {
  it("gives the token that Clavex shows in a cookie only, and which organization it is for", async () => {
    const { token, organizationId } = await login();
    expect(organizationId).toBe(DEFAULT_ORGANIZATION.id);
    expect(await api(token).webhooks()).toEqual([]);
  });

  it.each([
    ["a wrong password", { password: "wrong" }, /invalid credentials \(HTTP 401\)/],
    ["an unknown address", { email: "nobody@acme.example" }, /invalid credentials \(HTTP 401\)/],
    ["another organization", { slug: "other" }, /invalid credentials \(HTTP 401\)/],
  ])("is refused with Clavex's reason: %s", async (_, change, message) => {
    await expect(login(change)).rejects.toMatchObject({
      code: "clavex-login-refused",
      message: expect.stringMatching(message),
      fix: expect.stringMatching(/role admin/),
    });
  });

  it("is refused to somebody who is no administrator", async () => {
    const response = await fetch(`${clavex.url}/api/v1/organizations/${DEFAULT_ORGANIZATION.id}/users`, {
      method: "POST",
      headers: { "x-api-key": DEFAULT_ORGANIZATION.apiKey, "content-type": "application/json" },
      body: JSON.stringify({ email: "bob@acme.example", password: PASSWORD }),
    });
    expect(response.status).toBe(201);
    await expect(login({ email: "bob@acme.example" })).rejects.toThrow(/admin role required \(HTTP 403\)/);
  });

  it.each([
    ["200 without a cookie", 200, { mfa_required: true, mfa_token: "t" }],
    ["401 with a reason", 401, { error: "Unauthorized", message: "second factor required" }],
    ["403 with a code", 403, { error: "mfa_required", error_description: "TOTP code missing" }],
  ])("says clearly that a second factor is asked for, and what to do: %s", async (_, status, body) => {
    answerLogin(status, body);
    await expect(login()).rejects.toMatchObject({
      code: "clavex-second-factor",
      fix: expect.stringMatching(/browser.*cookie clavex_admin.*CLAVEX_ADMIN_TOKEN/s),
    });
  });

  it("waits where Clavex does not answer for now, and believes no other answer", async () => {
    answerLogin(429, { error: "too_many_requests" });
    await expect(login()).rejects.toMatchObject({ code: "clavex-unavailable" });
    clavex.faults.clear();
    answerLogin(200, {});
    await expect(login()).rejects.toMatchObject({ code: "clavex-misrouted" });
  });
});

describe("a refusal shows Clavex's reason", () => {
  it("of a permission that the token lacks (403)", async () => {
    clavex.addAdministrator("acme", { ...ADMIN, email: "auditor@acme.example", permissions: ["audit:read"] });
    const { token } = await login({ email: "auditor@acme.example" });
    await expect(api(token).webhooks()).rejects.toThrow(
      "Clavex refuses GET /webhooks: insufficient permissions: webhooks:read required (HTTP 403)",
    );
    await expect(api(token).createApiKey("n", ["users:read"])).rejects.toThrow(/security:write required/);
  });

  it("of a permission that the token may not grant (403)", async () => {
    clavex.addAdministrator("acme", { ...ADMIN, email: "security@acme.example", permissions: ["security:write"] });
    const { token } = await login({ email: "security@acme.example" });
    await expect(api(token).createApiKey("n", ["users:read", "groups:read"])).rejects.toThrow(
      /cannot grant permissions you do not hold: users:read, groups:read/,
    );
  });

  it("of what is not valid (400, 409, 422) and of registration (error_description)", async () => {
    const { token } = await login();
    await expect(api(token).createApiKey("n", ["api_keys:read"])).rejects.toThrow(
      "Clavex refuses POST /api-keys: unknown permission token: api_keys:read (HTTP 400)",
    );
    await expect(api(token).createWebhook("nowhere", ["user.created"])).rejects.toThrow(/failed on the 'url' tag/);
    const client = {
      client_name: "Nextcloud",
      redirect_uris: ["https://cloud.example/"],
      grant_types: [],
      response_types: [],
      scope: "openid",
      token_endpoint_auth_method: "client_secret_post",
    };
    await expect(
      api(token).registerClient("acme", { ...client, id_token_signed_response_alg: "EdDSA" }),
    ).rejects.toThrow("id_token_signed_response_alg must be RS256, PS256, or ES256");
    const { clientId } = await api(token).registerClient("acme", { ...client, id_token_signed_response_alg: "RS256" });
    const mapper = { name: "m", mapper_type: "group_membership", claim_name: "groups", add_to_access_token: true };
    const tokens = { add_to_id_token: true, add_to_userinfo: true };
    await api(token).createMapper(clientId, { ...mapper, ...tokens });
    await expect(api(token).createMapper(clientId, { ...mapper, ...tokens })).rejects.toThrow(
      /mapper name already exists/,
    );
  });

  it("has the organization's UUID in its token, if that is one of Clavex's", async () => {
    const payload = Buffer.from(JSON.stringify({ sub: "x", org_id: DEFAULT_ORGANIZATION.id })).toString("base64url");
    expect(organizationInToken(`e30.${payload}.signature`)).toBe(DEFAULT_ORGANIZATION.id);
    for (const other of ["", "clv_0123456789", "a.b.c", (await login()).token])
      expect(organizationInToken(other)).toBeUndefined();
  });
});
