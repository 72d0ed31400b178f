import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Dispatcher, Pool } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { createPool, type Timeouts } from "../../functions/http.ts";
import { editAccount, getAccount } from "../../functions/nextcloud/accounts.ts";
import {
  NextcloudForbidden,
  NextcloudMisrouted,
  NextcloudRateLimited,
  NextcloudServerError,
  NextcloudUnauthorized,
  NextcloudUnavailable,
  OcsRefusal,
  UserOidcDisabled,
} from "../../functions/nextcloud/errors.ts";
import { groupExists } from "../../functions/nextcloud/groups.ts";
import { createOcs, type Ocs } from "../../functions/nextcloud/ocs.ts";
import {
  type SimulatedNextcloud,
  type SimulatedNextcloudOptions,
  startSimulatedNextcloud,
} from "../../functions/simulated/nextcloud.ts";
import {
  type Answer,
  jsonAnswer,
  type RecordedRequest,
  type SimulatedServer,
  startServer,
} from "../../functions/simulated/server.ts";

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const SHORT_TIMEOUTS: Timeouts = { connect: 300, headers: 300, body: 300 };
const TIMEOUTS: Timeouts = { connect: 5_000, headers: 5_000, body: 5_000 };

function clientOf(
  baseUrl: string,
  { username = "provisioner", password = "app-password", timeouts = TIMEOUTS, connections = 1 } = {},
): Ocs {
  const pool: Pool = createPool(baseUrl, connections, timeouts);
  closers.push(() => pool.destroy());
  return createOcs({ baseUrl, username, password: async () => password, pool });
}

async function nextcloudWith(
  options: SimulatedNextcloudOptions = {},
  client: { username?: string; password?: string; connections?: number } = {},
): Promise<{ nextcloud: SimulatedNextcloud; ocs: Ocs }> {
  const nextcloud = await startSimulatedNextcloud(options);
  closers.push(nextcloud.close);
  return { nextcloud, ocs: clientOf(nextcloud.url, { password: nextcloud.password, ...client }) };
}

/** A server that gives this answer to everything. */
async function answering(answer: Answer | ((request: RecordedRequest) => Answer)): Promise<SimulatedServer> {
  const server = await startServer({ answer: typeof answer === "function" ? answer : () => answer });
  closers.push(server.close);
  return server;
}

async function callTo(answer: Answer, method: "GET" | "POST" = "GET"): Promise<unknown> {
  const server = await answering(answer);
  return clientOf(server.url).call(method, "cloud/users/ada");
}

async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    (value) => new Error(`there was no error but ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (error instanceof Failure) return error;
  throw error;
}

const ok = (data: unknown): Answer => jsonAnswer(200, { ocs: { meta: { statuscode: 200, message: "OK" }, data } });
const refusal = (status: number, statuscode: number, message = ""): Answer =>
  jsonAnswer(status, { ocs: { meta: { status: "failure", statuscode, message }, data: [] } });
const xml = (status: number, statuscode: number, message: string): Answer => ({
  status,
  headers: { "content-type": "text/xml; charset=UTF-8" },
  body: `<?xml version="1.0"?>\n<ocs>\n <meta>\n  <status>failure</status>\n  <statuscode>${statuscode}</statuscode>\n  <message>${message}</message>\n </meta>\n <data/>\n</ocs>\n`,
});
const html = (status: number): Answer => ({
  status,
  headers: { "content-type": "text/html; charset=UTF-8" },
  body: "<!DOCTYPE html><html><head><title>Login</title></head></html>",
});

describe("a request", () => {
  it("asks for JSON in both ways, names itself an OCS request and brings the credentials", async () => {
    const server = await answering(ok({ id: "ada" }));
    expect(await clientOf(server.url).call("GET", "cloud/users/ada")).toEqual({ id: "ada" });
    expect(server.requests).toMatchObject([
      {
        method: "GET",
        path: "/ocs/v2.php/cloud/users/ada?format=json",
        headers: {
          "ocs-apirequest": "true",
          accept: "application/json",
          authorization: `Basic ${btoa("provisioner:app-password")}`,
        },
      },
    ]);
  });

  it("sends parameters as a form of texts, in the query for GET and DELETE, and leaves out what is undefined", async () => {
    const server = await answering(ok([]));
    const ocs = clientOf(server.url);
    const parameters = { groupid: "a&b=c d+ü", missing: undefined, empty: "", groups: ["x", "y z"] };
    const encoded = "groupid=a%26b%3Dc+d%2B%C3%BC&empty=&groups%5B%5D=x&groups%5B%5D=y+z";
    for (const method of ["GET", "DELETE", "POST", "PUT"] as const) await ocs.call(method, "cloud/users", parameters);
    expect(server.requests.map(({ path, body, headers }) => [path, body, headers["content-type"]])).toEqual([
      [`/ocs/v2.php/cloud/users?format=json&${encoded}`, "", undefined],
      [`/ocs/v2.php/cloud/users?format=json&${encoded}`, "", undefined],
      ["/ocs/v2.php/cloud/users?format=json", encoded, "application/x-www-form-urlencoded"],
      ["/ocs/v2.php/cloud/users?format=json", encoded, "application/x-www-form-urlencoded"],
    ]);
  });

  it.each([
    ["/cloud", "/cloud/ocs/v2.php/cloud/users/ada?format=json"],
    ["/a/b/", "/a/b/ocs/v2.php/cloud/users/ada?format=json"],
    ["/", "/ocs/v2.php/cloud/users/ada?format=json"],
  ])("goes below the path of a base URL that ends with %s", async (path, wanted) => {
    const server = await answering(ok([]));
    await clientOf(`${server.url}${path}`).call("GET", "cloud/users/ada");
    expect(server.requests.map((request) => request.path)).toEqual([wanted]);
  });

  it("asks for the password every time, so that a new one is used at once", async () => {
    const { nextcloud } = await nextcloudWith();
    let password = "old";
    const pool = createPool(nextcloud.url, 1, TIMEOUTS);
    closers.push(() => pool.destroy());
    const ocs = createOcs({ baseUrl: nextcloud.url, username: "provisioner", password: async () => password, pool });
    await expect(ocs.call("GET", "cloud/groups")).rejects.toThrow(NextcloudUnauthorized);
    password = nextcloud.password;
    await expect(ocs.call("GET", "cloud/groups")).resolves.toEqual({ groups: ["admin"] });
  });

  describe("while the app user_oidc is disabled", () => {
    const logins = ({ requests }: SimulatedNextcloud) =>
      requests.filter(({ headers }) => headers.authorization !== undefined).length;

    it.each([
      27, 32, 34,
    ] as const)("tries one login of a service account on %d, and goes on when the app is back", async (version) => {
      const { nextcloud, ocs } = await nextcloudWith({
        version,
        credentials: [{ username: "provisioner", password: "secret", backend: "user_oidc" }],
      });
      const installed = nextcloud.apps.get("user_oidc") ?? "";
      nextcloud.apps.delete("user_oidc");
      for (let attempt = 0; attempt < 3; attempt += 1) {
        await expect(ocs.call("GET", "cloud/groups")).rejects.toMatchObject({
          code: "nextcloud-user-oidc-disabled",
          scope: { server: "nextcloud", harmful: false },
          fix: expect.stringContaining("occ app:enable user_oidc"),
        });
      }
      expect(logins(nextcloud)).toBe(1);
      nextcloud.apps.set("user_oidc", installed);
      await expect(ocs.call("GET", "cloud/groups")).resolves.toEqual({ groups: ["admin"] });
      nextcloud.apps.delete("user_oidc");
      await expect(ocs.call("GET", "cloud/groups")).rejects.toThrow(UserOidcDisabled);
    });

    it("still tells a wrong password when the app is back, or where no service account can be meant", async () => {
      const { nextcloud } = await nextcloudWith();
      const pool = createPool(nextcloud.url, 1, TIMEOUTS);
      closers.push(() => pool.destroy());
      const options = { baseUrl: nextcloud.url, username: "provisioner", password: async () => "wrong", pool };
      const installed = nextcloud.apps.get("user_oidc") ?? "";
      nextcloud.apps.delete("user_oidc");
      const ocs = createOcs(options);
      await expect(ocs.call("GET", "cloud/groups")).rejects.toThrow(UserOidcDisabled);
      await expect(createOcs({ ...options, mayBeServiceAccount: false }).call("GET", "cloud/groups")).rejects.toThrow(
        NextcloudUnauthorized,
      );
      nextcloud.apps.set("user_oidc", installed);
      await expect(ocs.call("GET", "cloud/groups")).rejects.toThrow(NextcloudUnauthorized);
    });
  });
});

describe("an id in a path", () => {
  it.each([
    ["c++"],
    ["a%2Fb"],
    ["100%"],
    ["eng/backend"],
    ["x/users"],
    ["My Team"],
    [" lead "],
    ["Größe ü€"],
    ["team 🚀"],
    ["a?b#c&d=e"],
    ["org:team\\x"],
    ["o'\"x"],
    ["..."],
  ])("of the group %j reaches that group", async (gid) => {
    const { nextcloud, ocs } = await nextcloudWith();
    expect(await groupExists(ocs, gid)).toBe(false);
    nextcloud.addGroup(gid);
    expect(await groupExists(ocs, gid)).toBe(true);
  });

  it.each([
    ["6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"],
    ["with space 2"],
    ["mail.user@example.org"],
    ["a_b.c@d-e'f 2"],
    ["My Provider-6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"],
    ["zürich-6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"],
    ["50%-6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"],
  ])("of the account %j reaches that account", async (id) => {
    const { nextcloud, ocs } = await nextcloudWith();
    expect(await getAccount(ocs, id)).toBeUndefined();
    nextcloud.addLocalUser({ id });
    expect(await getAccount(ocs, id)).toMatchObject({ id });
  });
});

describe("the session", () => {
  it("is opened once and serves every later request", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    for (let request = 0; request < 5; request += 1) await ocs.call("GET", "cloud/groups");
    expect(nextcloud.sessionsOpened).toBe(1);
    const [first, ...later] = nextcloud.requests.map(({ headers }) => headers.cookie);
    expect(first).toBeUndefined();
    for (const cookie of later) expect(cookie).toMatch(/(^|; )oc9abrdbgcks=[0-9a-f]+(;|$)/);
  });

  it("serves requests that run at the same time", async () => {
    const { nextcloud, ocs } = await nextcloudWith({}, { connections: 4 });
    await ocs.call("GET", "cloud/groups");
    await Promise.all(Array.from({ length: 8 }, () => ocs.call("GET", "cloud/groups")));
    expect(nextcloud.sessionsOpened).toBe(1);
  });

  it("is replaced when it has expired, without a failed request", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    await ocs.call("GET", "cloud/groups");
    nextcloud.expireSessions();
    await ocs.call("GET", "cloud/groups");
    await ocs.call("GET", "cloud/groups");
    expect(nextcloud.sessionsOpened).toBe(2);
  });

  it("sends back every cookie beside the Basic credentials, and none that the server deletes", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    await ocs.call("GET", "cloud/groups");
    await ocs.call("GET", "cloud/groups");
    const { cookie = "", authorization } = nextcloud.requests[1]?.headers ?? {};
    expect(authorization).toMatch(/^Basic /);
    const names = cookie.split("; ").map((pair) => pair.split("=")[0]);
    expect(names.sort()).toEqual([
      "nc_sameSiteCookielax",
      "nc_sameSiteCookiestrict",
      "oc9abrdbgcks",
      "oc_sessionPassphrase",
    ]);
  });

  it.each([
    ["Max-Age=0", "kept=gone; Max-Age=0"],
    ["a date that is past", "kept=gone; Expires=Thu, 01 Jan 1970 00:00:01 GMT"],
  ])("drops a cookie that a later answer lets expire by %s", async (_, setCookie) => {
    const setCookies = [["kept=1; path=/", "other=2; path=/"], [setCookie], []];
    const server = await answering(() => {
      const headers = { "set-cookie": setCookies.shift() ?? [] };
      return { ...ok([]), headers };
    });
    const ocs = clientOf(server.url);
    for (let request = 0; request < 3; request += 1) await ocs.call("GET", "cloud/groups");
    expect(server.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, "kept=1; other=2", "other=2"]);
  });

  it("takes the newest value of a cookie, from refusals too", async () => {
    const answers = [
      { ...ok([]), headers: { "set-cookie": ["session=1"] } },
      { ...refusal(404, 404), headers: { "set-cookie": ["session=2"] } },
      ok([]),
    ];
    const server = await answering(() => answers.shift() ?? ok([]));
    const ocs = clientOf(server.url);
    await ocs.call("GET", "cloud/groups");
    await failureOf(ocs.call("GET", "cloud/groups"));
    await ocs.call("GET", "cloud/groups");
    expect(server.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, "session=1", "session=2"]);
  });
});

describe("an answer that says no", () => {
  it("is a refusal with its code and sentence", async () => {
    const { ocs } = await nextcloudWith();
    const error = await failureOf(ocs.call("POST", "cloud/groups", { groupid: "admin" }));
    expect(error).toBeInstanceOf(OcsRefusal);
    expect(error).toMatchObject({ failureClass: "permanent", status: 102 });
    expect(error.message).toContain("group exists");
  });

  it.each([
    [400, 101],
    [400, 102],
    [400, 103],
    [400, 104],
    [400, 107],
    [404, 404],
    [404, 998],
  ])("with HTTP %d and OCS %d is a refusal", async (status, code) => {
    expect(await failureOf(callTo(refusal(status, code)))).toMatchObject({
      failureClass: "permanent",
      status: code,
    });
  });

  it("is a refusal with HTTP 200 too, as from version 1 of the API", async () => {
    expect(await failureOf(callTo(refusal(200, 102)))).toMatchObject({ status: 102 });
  });

  it("tells neither the ids of people nor e-mail addresses that the server repeats", async () => {
    const error = await failureOf(callTo(refusal(400, 102, "ada@acme.example is used by grace@acme.example"), "POST"));
    expect(error).toMatchObject({ status: 102 });
    expect(error.message).not.toContain("@acme.example");
    expect(error.message).not.toContain("users/ada");
  });
});

describe("wrong credentials", () => {
  it("are the configuration's fault, of the whole server, though the answer is XML", async () => {
    const { ocs } = await nextcloudWith({}, { password: "wrong" });
    const error = await failureOf(ocs.call("GET", "cloud/groups"));
    expect(error).toBeInstanceOf(NextcloudUnauthorized);
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-unauthorized" });
    expect(error.fix).toContain("nextcloud.password");
  });

  it.each([
    ["JSON", refusal(401, 997, "Current user is not logged in")],
    ["XML", xml(401, 997, "Unauthorised")],
    ["HTTP 200 and code 997", refusal(200, 997)],
    ["a code that is a text", jsonAnswer(401, { ocs: { meta: { statuscode: "997" }, data: [] } })],
  ])("are known from %s", async (_, answer) => {
    expect(await failureOf(callTo(answer))).toBeInstanceOf(NextcloudUnauthorized);
  });

  it("are never in the message", async () => {
    const { ocs } = await nextcloudWith({}, { password: "wrong-and-secret" });
    const error = await failureOf(ocs.call("GET", "cloud/groups"));
    expect(`${error.message} ${error.fix}`).not.toContain("wrong-and-secret");
  });
});

describe("what is not allowed", () => {
  it("to an account that is no administrator is the configuration's fault", async () => {
    const { ocs } = await nextcloudWith(
      {
        credentials: [{ username: "provisioner", password: "app-password", admin: false }],
      },
      { password: "app-password" },
    );
    const error = await failureOf(ocs.call("POST", "cloud/groups", { groupid: "eng" }));
    expect(error).toBeInstanceOf(NextcloudForbidden);
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-forbidden" });
    expect(error.fix).toContain("admin group");
  });

  it.each([
    ["JSON", refusal(403, 403, "Password confirmation is required")],
    ["XML", xml(403, 403, "Password confirmation is required")],
  ])("to an app password where a password has to be confirmed is named so, from %s", async (_, answer) => {
    const error = await failureOf(callTo(answer, "POST"));
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-password-confirmation" });
    expect(error.fix).toContain("app passwords");
  });

  it("is the configuration's fault without an OCS body too, as from a firewall in front, but not the account's", async () => {
    const error = await failureOf(callTo(html(403)));
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-misrouted" });
    expect(error.fix).not.toContain("admin");
  });
});

describe("too many requests", () => {
  it("are known from the empty answer to the 51st PUT in ten minutes", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    nextcloud.addLocalUser({ id: "ada" });
    for (let edit = 0; edit < 50; edit += 1) await editAccount(ocs, "ada", "email", "ada@acme.example");
    const error = await failureOf(ocs.call("PUT", "cloud/users/ada", { key: "email", value: "ada@acme.example" }));
    expect(error).toBeInstanceOf(NextcloudRateLimited);
    expect(error).toMatchObject({ failureClass: "transient", retryAfterSeconds: undefined });
    expect(await editAccount(ocs, "ada", "email", "ada@acme.example")).toBe("limited");
    expect(nextcloud.requests.at(-1)?.method).toBe("PUT");
  });

  it.each([
    ["120", 120],
    ["0", 0],
    ["soon", undefined],
    ["-5", undefined],
  ])("with Retry-After %s ask for a wait of %j seconds", async (value, seconds) => {
    const error = await failureOf(callTo({ status: 429, headers: { "retry-after": value } }));
    expect(error).toMatchObject({ failureClass: "transient", retryAfterSeconds: seconds });
  });

  it("with a date in Retry-After ask for the time until then", async () => {
    const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
    const error = await failureOf(callTo({ status: 429, headers: { "retry-after": inAnHour } }));
    expect(error.retryAfterSeconds).toBeGreaterThan(3_000);
    expect(error.retryAfterSeconds).toBeLessThanOrEqual(3_600);
  });
});

describe("a server in trouble", () => {
  it("in maintenance is waited for, as a whole", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    nextcloud.maintenance = true;
    const error = await failureOf(ocs.call("GET", "cloud/groups"));
    expect(error).toBeInstanceOf(NextcloudUnavailable);
    expect(error).toMatchObject({ failureClass: "transient" });
    expect(error.message).toContain("maintenance");
  });

  it("in maintenance is known from the header, in XML too, and its Retry-After is kept", async () => {
    const headers = { "x-nextcloud-maintenance-mode": "1", "retry-after": "300", "content-type": "text/xml" };
    const error = await failureOf(callTo({ ...xml(503, 503, "Service unavailable"), headers }));
    expect(error.message).toContain("maintenance");
    expect(error.retryAfterSeconds).toBe(300);
  });

  it.each([
    [27, { failureClass: "transient", code: "nextcloud-server-error" }],
    [32, { failureClass: "configuration", code: "nextcloud-blocked" }],
    [34, { failureClass: "configuration", code: "nextcloud-blocked" }],
  ] as const)("that blocks our address after too many wrong passwords is waited for, on %d", async (version, failure) => {
    const { nextcloud, ocs } = await nextcloudWith({ version, bruteForce: true });
    const wrong = clientOf(nextcloud.url, { password: "wrong" });
    for (let attempt = 0; attempt < 11; attempt += 1) await failureOf(wrong.call("GET", "cloud/groups"));
    expect(await failureOf(ocs.call("GET", "cloud/groups"))).toMatchObject(failure);
  });

  it.each([
    ["JSON", refusal(500, 500, "Internal Server Error")],
    ["XML", xml(500, 500, "Internal Server Error")],
    ["XML of version 1's code", xml(500, 996, "Internal Server Error")],
    ["an empty body", { status: 500 }],
    ["a web page", html(500)],
  ])("that answers 500 with %s is waited for", async (_, answer) => {
    const error = await failureOf(callTo(answer));
    expect(error).toBeInstanceOf(NextcloudServerError);
    expect(error.failureClass).toBe("transient");
  });

  it.each([[502], [503], [504], [507], [520]])("behind a proxy that answers %d is waited for", async (status) => {
    const error = await failureOf(
      callTo({ ...html(status), headers: { "retry-after": "60", "content-type": "text/html" } }),
    );
    expect(error).toMatchObject({ failureClass: "transient", retryAfterSeconds: 60 });
  });

  it("that is down is waited for, as a whole", async () => {
    const { nextcloud, ocs } = await nextcloudWith();
    await nextcloud.down();
    const error = await failureOf(ocs.call("GET", "cloud/groups"));
    expect(error).toBeInstanceOf(NextcloudUnavailable);
    expect(error.message).toContain("ECONNREFUSED");
  });

  it.each([
    ["EAI_AGAIN", "transient", "nextcloud-unavailable", undefined],
    ["EAI_FAIL", "transient", "nextcloud-unavailable", undefined],
    ["EHOSTDOWN", "transient", "nextcloud-unavailable", undefined],
    ["ERR_TLS_HANDSHAKE_TIMEOUT", "transient", "nextcloud-unavailable", undefined],
    ["UND_ERR_CONNECT_TIMEOUT", "transient", "nextcloud-unavailable", undefined],
    ["ENOTFOUND", "configuration", "nextcloud-name", "DNS"],
    ["CERT_HAS_EXPIRED", "configuration", "nextcloud-certificate", "Renew"],
    ["CERT_HAS_EXPIRED", "configuration", "nextcloud-certificate", "this machine's clock"],
    ["CERT_NOT_YET_VALID", "configuration", "nextcloud-certificate", "Renew"],
    ["CERT_NOT_YET_VALID", "configuration", "nextcloud-certificate", "this machine's clock"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "configuration", "nextcloud-certificate", "NODE_EXTRA_CA_CERTS"],
    ["HOSTNAME_MISMATCH", "configuration", "nextcloud-certificate", "nextcloud.baseUrl"],
    ["INVALID_CA", "configuration", "nextcloud-certificate", "Renew"],
    ["PATH_LENGTH_EXCEEDED", "configuration", "nextcloud-certificate", "Renew"],
    ["CRL_HAS_EXPIRED", "configuration", "nextcloud-certificate", "Renew"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "configuration", "nextcloud-tls", "proxy"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "configuration", "nextcloud-certificate", "NODE_EXTRA_CA_CERTS"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "configuration", "nextcloud-certificate", "nextcloud.baseUrl"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "configuration", "nextcloud-tls", "https"],
    ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "configuration", "nextcloud-tls", "TLS versions"],
    ["HPE_INVALID_CONSTANT", "configuration", "nextcloud-tls", "port"],
  ])("to which no connection comes about is waited for as a whole: %s", async (code, failureClass, failureCode, fix) => {
    const request = () => Promise.reject(Object.assign(new Error("no connection"), { code }));
    const ocs = createOcs({
      baseUrl: "https://nextcloud.acme.example",
      username: "provisioner",
      password: async () => "app-password",
      pool: { request } as Partial<Dispatcher> as Dispatcher,
    });
    const error = await failureOf(ocs.call("GET", "cloud/groups"));
    expect(error).toMatchObject({ failureClass, code: failureCode, scope: { server: "nextcloud", harmful: false } });
    expect(error.message).toContain(code);
    if (fix === undefined) expect(error.fix).toBeUndefined();
    else expect(error.fix).toContain(fix);
  });

  it("that speaks no TLS at an https address says what to check", async () => {
    const { nextcloud } = await nextcloudWith();
    const error = await failureOf(clientOf(nextcloud.url.replace("http:", "https:")).call("GET", "cloud/groups"));
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-tls" });
    expect(error.fix).toContain("nextcloud.baseUrl");
  });

  it.each(["reset", "cut"] as const)("whose connection is %s is waited for", async (kind) => {
    const { nextcloud, ocs } = await nextcloudWith();
    nextcloud.faults.add({ kind, times: 1 });
    expect(await failureOf(ocs.call("GET", "cloud/groups"))).toBeInstanceOf(NextcloudUnavailable);
    await expect(ocs.call("GET", "cloud/groups")).resolves.toEqual({ groups: ["admin"] });
  });

  it("that never answers is given up", async () => {
    const server = await answering(ok([]));
    server.faults.add({ kind: "hang", times: 1 });
    const ocs = clientOf(server.url, { timeouts: SHORT_TIMEOUTS });
    expect(await failureOf(ocs.call("GET", "cloud/groups"))).toBeInstanceOf(NextcloudUnavailable);
    await expect(ocs.call("GET", "cloud/groups")).resolves.toEqual([]);
  });

  it("that stops in the middle of its answer is given up", async () => {
    const url = await rawServer((response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"ocs":{"meta":{"statuscode":200');
    });
    const error = await failureOf(clientOf(url, { timeouts: SHORT_TIMEOUTS }).call("GET", "cloud/groups"));
    expect(error).toBeInstanceOf(NextcloudUnavailable);
  });

  it.each([
    ["JSON", { status: 200, headers: { "content-type": "application/json" }, body: '{"ocs":{"meta":{"statusco' }],
    ["nothing", { status: 200 }],
    ["JSON that is not OCS", jsonAnswer(200, { ocs: {} })],
    ["JSON null", jsonAnswer(200, null)],
  ])("whose answer is cut to %s without a word is waited for", async (_, answer) => {
    expect(await failureOf(callTo(answer))).toMatchObject({ failureClass: "transient", code: "nextcloud-unavailable" });
  });
});

describe("a proxy in front of Nextcloud", () => {
  const page = (status: number): Answer => ({
    status,
    headers: { "content-type": "text/html", server: "nginx/1.27", via: "1.1 waf" },
    body: "<html>no</html>",
  });

  it.each([
    401, 403, 404, 410, 500, 502, 503,
  ])("that answers %d with a web page is named, with its address", async (status) => {
    const server = await answering(page(status));
    for (const method of ["GET", "POST"] as const) {
      const error = await failureOf(clientOf(server.url).call(method, "cloud/users/ada"));
      expect(error).toMatchObject({
        code: "nextcloud-misrouted",
        failureClass: status >= 500 ? "transient" : "configuration",
        scope: { undecided: "nextcloud", silent: false },
      });
      const by = `HTTP ${status} with a web page, from nginx/1.27, 1.1 waf`;
      expect(error.message).toBe(`${server.url}/ocs/v2.php/cloud/users answers ${by}`);
      expect(error.fix).toContain("proxy");
      expect(error.fix).not.toContain("admin");
    }
  });

  it.each([
    ["JSON of another form", jsonAnswer(403, { message: "Forbidden" })],
    ["JSON of another form", jsonAnswer(401, { error: "login_required" })],
    ["plain text", { status: 401, headers: { "content-type": "text/plain" }, body: "Authorization required" }],
    ["XML of another form", { ...xml(403, 403, ""), body: "<Error><Code>AccessDenied</Code></Error>" }],
    ["an empty body", { status: 403 }],
    ["an empty body", { status: 401 }],
    ["an empty body that asks for a login", { status: 401, headers: { "www-authenticate": 'Basic realm="intranet"' } }],
  ])("is known by %s too", async (_, answer) => {
    expect(await failureOf(callTo(answer))).toMatchObject({ code: "nextcloud-misrouted" });
  });

  it("is told apart from Nextcloud 34, which sends empty pages of its own", async () => {
    const empty = (status: number): Answer => ({ status, headers: { "content-type": "text/html; charset=UTF-8" } });
    expect(await failureOf(callTo(empty(400), "POST"))).toMatchObject({ code: "nextcloud-ocs-400", scope: "subject" });
    expect(await failureOf(callTo(empty(429), "POST"))).toBeInstanceOf(NextcloudRateLimited);
  });

  it("can put no control characters into a log by its headers", async () => {
    const server = await answering({ ...page(403), headers: { "content-type": "text/html", server: "a\u009b31mb" } });
    expect((await failureOf(clientOf(server.url).call("GET", "cloud/users"))).message).toMatch(/from a.? 31mb$/);
  });
});

describe("what is not a Nextcloud", () => {
  it.each([
    ["a web page with HTTP 200", html(200)],
    ["a web page with HTTP 404", html(404)],
    ["HTTP 412, where a proxy dropped our header", jsonAnswer(412, { message: "CSRF check failed" })],
    ["HTTP 405 with an empty body", { status: 405 }],
    ["HTTP 400 of a proxy", { status: 400, body: "Bad Request" }],
  ])("is the configuration's fault: %s", async (_, answer) => {
    const error = await failureOf(callTo(answer));
    expect(error).toBeInstanceOf(NextcloudMisrouted);
    expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-misrouted" });
    expect(error.fix).toContain("nextcloud.baseUrl");
  });

  it("is what the real server says of a request whose OCS header was dropped", async () => {
    const { nextcloud } = await nextcloudWith();
    const response = await fetch(`${nextcloud.url}/ocs/v2.php/cloud/groups?format=json`, {
      headers: { authorization: `Basic ${btoa(`${nextcloud.username}:${nextcloud.password}`)}` },
    });
    const answer = { status: response.status, body: await response.text() };
    expect(answer.status).toBe(412);
    expect(await failureOf(callTo(answer))).toBeInstanceOf(NextcloudMisrouted);
  });

  it.each([
    301, 302, 303, 307, 308,
  ])("is a redirect (%d): it is not followed, and the credentials go nowhere else", async (status) => {
    const elsewhere = await answering(ok({ id: "ada" }));
    for (const location of [`${elsewhere.url}/ocs/v2.php/cloud/users/ada`, "/somewhere/else"]) {
      const server = await answering({ status, headers: { location } });
      for (const method of ["GET", "POST"] as const) {
        const error = await failureOf(clientOf(server.url).call(method, "cloud/users/ada"));
        expect(error).toMatchObject({ failureClass: "configuration", code: "nextcloud-misrouted" });
        expect(error.message).toContain(`${status}`);
      }
      expect(server.requests).toHaveLength(2);
    }
    expect(elsewhere.requests).toEqual([]);
  });
});

/** A server that keeps its answers open until the end of the test. */
async function rawServer(answer: (response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer((_, response) => answer(response));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  closers.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
