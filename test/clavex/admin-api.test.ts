import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Dispatcher, Pool } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AdminApi, createAdminApi } from "../../functions/clavex/admin-api.ts";
import { ClavexKeyRefused, ClavexMisrouted, ClavexUnavailable } from "../../functions/clavex/errors.ts";
import type { ClavexUser } from "../../functions/clavex/user.ts";
import { createPool } from "../../functions/http.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type Answer, jsonAnswer, type SimulatedServer, startServer } from "../../functions/simulated/server.ts";

const { id: ORGANIZATION, apiKey: KEY } = DEFAULT_ORGANIZATION;
const OTHER = { id: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11", slug: "other", apiKey: "clv_other" };
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const GROUP = "7a1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e22";
const SHORT = { connect: 300, headers: 300, body: 300 };
const USER = {
  id: SUBJECT,
  org_id: ORGANIZATION,
  email: "ada@acme.eu",
  is_active: true,
  metadata: null,
  updated_at: "2026-07-23T10:15:30+02:00",
};
const NOT_FOUND = jsonAnswer(404, { error: "Not Found", message: "Not Found" });

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

function apiOf(baseUrl: string, options: { apiKey?: () => Promise<string>; organizationId?: string } = {}): AdminApi {
  const pool = createPool(baseUrl, 4, SHORT);
  opened.push(() => pool.destroy());
  return createAdminApi({ baseUrl, organizationId: ORGANIZATION, apiKey: async () => KEY, pool, ...options });
}

/** A server that is not Clavex, or one that is out of order. */
async function serve(answer: (path: string) => Answer): Promise<SimulatedServer> {
  const server = await startServer({ answer: (request) => answer(request.path) });
  opened.push(() => server.close());
  return server;
}

async function apiAnswering(answer: (path: string) => Answer): Promise<AdminApi> {
  return apiOf((await serve(answer)).url);
}

async function serveRaw(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function all<T>(pages: AsyncIterable<T[]>): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

const isUserList = (path: string): boolean => /\/users\?/.test(path);

describe("Clavex's directory", () => {
  let clavex: SimulatedClavex;
  let api: AdminApi;
  beforeEach(async () => {
    clavex = await startSimulatedClavex({ organizations: [DEFAULT_ORGANIZATION, OTHER] });
    opened.push(() => clavex.close());
    api = apiOf(clavex.url);
  });

  const addUsers = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => clavex.addUser("acme", { email: `user${index}@acme.eu` }).id);

  it("gives a user, cut to what provisioning needs", async () => {
    const { id } = clavex.addUser("acme", {
      email: "ada@acme.eu",
      first_name: "Ada",
      metadata: { attributes: { nextcloud_quota: "10 GB" }, phone: null },
      updated_at: "2026-07-23T10:15:30.1201+02:00",
    });
    expect(await api.user(id)).toEqual({
      subject: id,
      organizationId: ORGANIZATION,
      email: "ada@acme.eu",
      firstName: "Ada",
      lastName: "",
      active: true,
      erased: false,
      emailVerified: true,
      attributes: { nextcloud_quota: "10 GB" },
      updatedAt: "2026-07-23T08:15:30.120100000Z",
    } satisfies ClavexUser);
  });

  it.each([0, 1, 199, 200, 201, 400, 401])("gives all of %i users, each once, 200 a page", async (count) => {
    const ids = addUsers(count);
    const found = (await all(api.users())).map(({ subject }) => subject);
    expect(found.toSorted()).toEqual(ids.toSorted());
    const paths = clavex.requests.map(({ path }) => path);
    expect(paths).toHaveLength(Math.max(1, Math.ceil(count / 200)));
    for (const path of paths) expect(path).toContain("limit=200");
    for (const path of paths.slice(1)) expect(path).toMatch(/&after=[0-9a-f-]{36}$/);
  });

  it("gives the users that match a search text, whatever its characters", async () => {
    const { id } = clavex.addUser("acme", { email: "ada+a&b@acme.eu", first_name: "Zoë #1" });
    addUsers(205);
    expect((await all(api.users("ADA+A&B@acme.eu"))).map(({ subject }) => subject)).toEqual([id]);
    expect((await all(api.users("zoë #"))).map(({ subject }) => subject)).toEqual([id]);
    expect(await all(api.users("user"))).toHaveLength(205);
    expect(await all(api.users("nobody"))).toEqual([]);
  });

  it("gives all groups over several pages, with their ids, names and numbers of members", async () => {
    const names = Array.from({ length: 201 }, (_, index) => `Group ${index}`);
    for (const name of names) clavex.addGroup("acme", name);
    const { id } = clavex.groupByName("acme", "Group 7") ?? { id: "" };
    const [member = ""] = addUsers(1);
    clavex.addMember("acme", id, member);
    const groups = await all(api.groups());
    expect(groups.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    expect(groups.find(({ name }) => name === "Group 7")).toEqual({ id, name: "Group 7", memberCount: 1 });
  });

  it("gives the members of a group, and only who they are", async () => {
    const ids = addUsers(3);
    const { id } = clavex.addGroup("acme", "Finance");
    for (const member of ids) clavex.addMember("acme", id, member);
    expect((await api.members(id)).toSorted()).toEqual(ids.toSorted());
    expect(await api.members(clavex.addGroup("acme", "Empty").id)).toEqual([]);
  });

  it("gives the members that can be read, and says so, where somebody asks for that; else it fails", async () => {
    const answer = [{ id: SUBJECT }, { id: 5 }, null, { id: "no-uuid" }];
    const api = await apiAnswering(() => jsonAnswer(200, answer));
    let partly = 0;
    const count = (): void => {
      partly += 1;
    };
    expect(await api.members(GROUP, count)).toEqual([SUBJECT]);
    expect(partly).toBe(1);
    await expect(api.members(GROUP)).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it.each([
    [[{ id: 5 }]],
    [[null, null]],
    [[[]]],
  ])("has no members to give of %j, which is no partial answer", async (answer) => {
    const api = await apiAnswering(() => jsonAnswer(200, answer));
    await expect(api.members(GROUP, () => expect.fail("partly"))).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("fails when the last user of a page is deleted before the next page is read, instead of ending early", async () => {
    addUsers(201);
    const walk = api.users();
    const first = await walk.next();
    clavex.deleteUser("acme", first.value?.at(-1)?.subject ?? "");
    await expect(walk.next()).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("is asked with the key as it is at each request, so that a rotated one works at once", async () => {
    const keys = ["clv_old", KEY];
    const rotating = apiOf(clavex.url, { apiKey: async () => keys.shift() ?? "" });
    await expect(all(rotating.users())).rejects.toBeInstanceOf(ClavexKeyRefused);
    expect(await all(rotating.users())).toEqual([]);
  });

  it("does not know a user of another organization", async () => {
    const { id } = clavex.addUser("other", { email: "ada@other.eu" });
    addUsers(1);
    expect(await api.user(id)).toBeUndefined();
  });

  it("refuses the key of another organization, and no such organization", async () => {
    for (const organizationId of [OTHER.id, "2b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c12"]) {
      const foreign = apiOf(clavex.url, { organizationId });
      await expect(foreign.user(SUBJECT)).rejects.toBeInstanceOf(ClavexKeyRefused);
      await expect(all(foreign.users())).rejects.toBeInstanceOf(ClavexKeyRefused);
    }
  });

  it("can live in a folder of its server", async () => {
    const server = await serve(() => jsonAnswer(200, USER));
    expect(await apiOf(`${server.url}/clavex/`).user(SUBJECT)).toMatchObject({ subject: SUBJECT });
    expect(server.requests[0]?.path).toBe(`/clavex/api/v1/organizations/${ORGANIZATION}/users/${SUBJECT}`);
  });
});

describe("paging", () => {
  it("ends with an error on a server that ignores `after`, after one page too many", async () => {
    const server = await serve(() => jsonAnswer(200, { items: [USER], next_cursor: SUBJECT, has_more: true }));
    await expect(all(apiOf(server.url).users())).rejects.toBeInstanceOf(ClavexMisrouted);
    expect(server.requests).toHaveLength(2);
  });

  it("ends with an error on a server whose cursors go round", async () => {
    let page = 0;
    const server = await serve(() => {
      page += 1;
      return jsonAnswer(200, { items: [], next_cursor: ["a", "b", "c"][page % 3], has_more: true });
    });
    await expect(all(apiOf(server.url).groups())).rejects.toBeInstanceOf(ClavexMisrouted);
    expect(server.requests).toHaveLength(4);
  });

  it("encodes a cursor, whatever it is", async () => {
    const pages = [{ items: [], next_cursor: "a&limit=1#ü", has_more: true }, { items: [] }];
    const server = await serve(() => jsonAnswer(200, pages.shift()));
    await all(apiOf(server.url).users());
    expect(server.requests[1]?.path).toMatch(/\?limit=200&after=a%26limit%3D1%23%C3%BC$/);
  });

  it.each([[null], [""], [undefined]])("ends at a cursor that is %j", async (next_cursor) => {
    const api = await apiAnswering(() => jsonAnswer(200, { items: [USER], next_cursor, has_more: false }));
    expect(await all(api.users())).toHaveLength(1);
  });

  // An incomplete list must not look like a complete one: whoever is missing from it would be deprovisioned.
  it("does not take a page for the last one that says there are more but not where", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, { items: [USER], has_more: true }));
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("reads no more than a million items of a list whose cursors never come again", async () => {
    let page = 0;
    const server = await serve(() => {
      page += 1;
      return jsonAnswer(200, { items: [], next_cursor: `c${page}`, has_more: true });
    });
    await expect(all(apiOf(server.url).groups())).rejects.toThrow(/does not end/);
    expect(server.requests).toHaveLength(5_001);
  });

  it("takes a list that is not there (404) for a misconfiguration, not for an empty one", async () => {
    const api = await apiAnswering(() => NOT_FOUND);
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexMisrouted);
    await expect(all(api.groups())).rejects.toBeInstanceOf(ClavexMisrouted);
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("%i is not followed, and the key stays with its origin", async (status) => {
    const elsewhere = await serve(() => jsonAnswer(200, { ...USER, items: [USER] }));
    const server = await serve((path) => ({ status, headers: { location: `${elsewhere.url}${path}` } }));
    const api = apiOf(server.url);
    for (const request of [
      () => api.user(SUBJECT),
      () => all(api.users()),
      () => all(api.groups()),
      () => api.members(GROUP),
    ]) {
      await expect(request()).rejects.toBeInstanceOf(ClavexMisrouted);
    }
    expect(elsewhere.requests).toEqual([]);
    expect(server.requests).toHaveLength(4);
  });

  it("to the same origin is not followed either", async () => {
    const server = await serve(() => ({ status: 302, headers: { location: "/login" } }));
    await expect(apiOf(server.url).user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
    expect(server.requests).toHaveLength(1);
  });
});

describe("an answer that says nothing about a person", () => {
  const faulty = async (answer: Answer) => {
    const api = await apiAnswering(() => answer);
    return [
      () => api.user(SUBJECT),
      () => all(api.users()),
      () => all(api.groups()),
      () => api.members(GROUP),
    ] as (() => Promise<unknown>)[];
  };

  it.each([401, 403])("is %i: a refused key", async (status) => {
    for (const request of await faulty(jsonAnswer(status, { error: "no" }))) {
      const failure = await request().catch((error) => error);
      expect(failure).toBeInstanceOf(ClavexKeyRefused);
      expect(failure).toMatchObject({
        failureClass: "configuration",
        scope: { server: "clavex", harmful: false },
        fix: expect.any(String),
      });
    }
  });

  it.each([429, 500, 502, 503, 504])("is %i: try again", async (status) => {
    for (const request of await faulty({ status, body: "busy" })) {
      const failure = await request().catch((error) => error);
      expect(failure).toBeInstanceOf(ClavexUnavailable);
      const scope = status === 429 ? "subject" : { undecided: "clavex", silent: false };
      expect(failure).toMatchObject({ failureClass: "transient", retryAfterSeconds: undefined, scope });
    }
  });

  it.each([
    ["7", 7],
    ["0", 0],
    ["soon", undefined],
    ["-5", undefined],
  ])("is 429 with Retry-After: %s", async (value, seconds) => {
    const api = await apiAnswering(() => ({ status: 429, headers: { "retry-after": value } }));
    const failure = await api.user(SUBJECT).catch((error) => error);
    expect(failure).toBeInstanceOf(ClavexUnavailable);
    expect(failure.retryAfterSeconds).toBe(seconds);
  });

  it("is 503 with a date in Retry-After", async () => {
    const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
    const api = await apiAnswering(() => ({ status: 503, headers: { "retry-after": inAnHour } }));
    const { retryAfterSeconds } = await api.user(SUBJECT).catch((error) => error);
    expect(retryAfterSeconds).toBeGreaterThan(3000);
    expect(retryAfterSeconds).toBeLessThanOrEqual(3600);
  });

  it.each([204, 206, 400, 405, 410, 418])("is %i: not this organization's Admin API", async (status) => {
    for (const request of await faulty({ status, ...(status === 204 ? {} : { body: "{}" }) })) {
      await expect(request()).rejects.toBeInstanceOf(ClavexMisrouted);
    }
  });

  it("is 200 with a web page: something else answers in Clavex's place", async () => {
    const body = "<!doctype html><title>Log in</title>";
    for (const request of await faulty({ status: 200, headers: { "content-type": "text/html" }, body })) {
      await expect(request()).rejects.toBeInstanceOf(ClavexMisrouted);
    }
  });

  it.each([
    ["nothing", ""],
    ["half of an answer", '{"items":[{"id":'],
  ])("is 200 with %s", async (_, body) => {
    for (const request of await faulty({ status: 200, headers: { "content-type": "application/json" }, body })) {
      await expect(request()).rejects.toBeInstanceOf(ClavexUnavailable);
    }
  });

  it.each([
    ["another form", { hello: "world" }],
    ["a list where there is none", [1]],
    ["null", null],
    ["users without ids", { ...USER, id: undefined, items: [{ id: 5 }] }],
  ])("is 200 with JSON of %s", async (_, value) => {
    const api = await apiAnswering(() => jsonAnswer(200, value));
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexMisrouted);
    await expect(all(api.groups())).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("names the fields that are wrong, not what is in them", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, { ...USER, org_id: 5, is_active: "secret-value" }));
    const { message } = await api.user(SUBJECT).catch((error) => error);
    expect(message).toContain("org_id");
    expect(message).toContain("is_active");
    expect(message).not.toContain("secret-value");
  });

  it("is a body that is cut off", async () => {
    const server = await serve(() => jsonAnswer(200, { items: [USER], filler: "x".repeat(1000) }));
    server.faults.add({ kind: "cut" });
    const api = apiOf(server.url);
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexUnavailable);
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("is a connection that is reset", async () => {
    const server = await serve(() => jsonAnswer(200, USER));
    server.faults.add({ kind: "reset" });
    await expect(apiOf(server.url).user(SUBJECT)).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("is none at all, for as long as the server is down", async () => {
    const server = await serve(() => jsonAnswer(200, USER));
    const api = apiOf(server.url);
    await server.down();
    const failure = await api.user(SUBJECT).catch((error) => error);
    expect(failure).toBeInstanceOf(ClavexUnavailable);
    expect(failure.scope).toEqual({ server: "clavex", harmful: false });
    await server.up();
    expect(await api.user(SUBJECT)).toMatchObject({ subject: SUBJECT });
  });

  it("is one that never begins", async () => {
    const server = await serve(() => jsonAnswer(200, USER));
    server.faults.add({ kind: "hang" });
    await expect(apiOf(server.url).user(SUBJECT)).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("is one that begins and never ends", async () => {
    const url = await serveRaw((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write('{"items":[');
    });
    await expect(all(apiOf(url).users())).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it.each([
    ["CERT_HAS_EXPIRED", "clavex-certificate", "certificate"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "clavex-certificate", "NODE_EXTRA_CA_CERTS"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "clavex-certificate", "clavex.baseUrl"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "clavex-tls", "https"],
    ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "clavex-tls", "TLS versions"],
    ["EPROTO", "clavex-tls", "port"],
    ["ENOTFOUND", "clavex-name", "DNS"],
  ])("is none, and will be none until somebody acts: %s", async (code, failureCode, fix) => {
    const untrusted = { request: () => Promise.reject(Object.assign(new Error("tls"), { code })) };
    const pool = untrusted as Partial<Dispatcher> as Pool;
    const api = createAdminApi({
      baseUrl: "https://id.acme.eu",
      organizationId: ORGANIZATION,
      apiKey: async () => KEY,
      pool,
    });
    const failure = await api.user(SUBJECT).catch((error) => error);
    expect(failure).toMatchObject({
      failureClass: "configuration",
      code: failureCode,
      message: expect.stringContaining(code),
      fix: expect.stringContaining(fix),
      scope: { server: "clavex", harmful: false },
    });
  });
});

describe("a proxy in front of Clavex", () => {
  const page = (status: number): Answer => ({
    status,
    headers: { "content-type": "text/html", server: "cloudflare" },
    body: "<html>no</html>",
  });

  it.each([
    401, 403, 404, 405, 502,
  ])("that answers %i with a web page is named, and our key is not blamed", async (status) => {
    const server = await serve(() => page(status));
    for (const request of [() => apiOf(server.url).user(SUBJECT), () => all(apiOf(server.url).groups())]) {
      const failure = await request().catch((error) => error);
      expect(failure).toMatchObject({ code: "clavex-misrouted", scope: { undecided: "clavex", silent: false } });
      expect(failure.message).toContain(`${server.url}/api/v1/organizations/${ORGANIZATION}/`);
      expect(failure.message).toContain(`HTTP ${status} with a web page, from cloudflare`);
      expect(failure.message).not.toContain(SUBJECT);
      expect(failure.fix).toContain("proxy");
      expect(failure.fix).not.toContain("Mint");
    }
  });

  it.each([
    ["JSON of another form", jsonAnswer(403, { message: "Unauthorized" })],
    ["nothing", { status: 401 }],
    ["nothing", { status: 403 }],
    ["plain text", { status: 401, headers: { "content-type": "text/plain" }, body: "Access denied" }],
    ["XML", { status: 403, headers: { "content-type": "application/xml" }, body: "<Error>AccessDenied</Error>" }],
  ])("is known by %s too", async (_, answer) => {
    const failure = await (await apiAnswering(() => answer)).user(SUBJECT).catch((error) => error);
    expect(failure).toMatchObject({ failureClass: "configuration", code: "clavex-misrouted" });
  });
});

describe("an API key", () => {
  it("is in no message of a failure", async () => {
    for (const answer of [{ status: 401 }, { status: 500 }, { status: 302 }, { status: 200, body: KEY }, NOT_FOUND]) {
      const api = await apiAnswering(() => answer);
      const failure = await api.user(SUBJECT).catch((error) => error);
      expect(JSON.stringify([failure.message, failure.fix, String(failure.cause)])).not.toContain(KEY);
    }
  });

  // A line break at the end comes with every `echo secret | aws ssm put-parameter`.
  it("that cannot be a header is a matter of configuration, and does not block the connections for the others", async () => {
    const server = await serve((path) => jsonAnswer(200, path.includes(SUBJECT) ? USER : { items: [] }));
    const pool = createPool(server.url, 1, SHORT);
    opened.push(() => pool.destroy());
    const common = { baseUrl: server.url, organizationId: ORGANIZATION, pool };
    const broken = createAdminApi({ ...common, apiKey: async () => `${KEY}\n` });
    const failure = await broken.user(SUBJECT).catch((error) => error);
    expect(await createAdminApi({ ...common, apiKey: async () => KEY }).user(SUBJECT)).toMatchObject({
      subject: SUBJECT,
    });
    expect(failure).toMatchObject({ failureClass: "configuration" });
  }, 3_000);
});

describe("a user of somebody else", () => {
  it("is not taken for the one asked for: another organization's", async () => {
    const foreign = { ...USER, org_id: OTHER.id };
    const api = await apiAnswering((path) => jsonAnswer(200, isUserList(path) ? { items: [foreign] } : foreign));
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("is not taken for the one asked for: another user's id", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, { ...USER, id: GROUP }));
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("is one even as a single one on a page of many", async () => {
    const items = [USER, { ...USER, id: GROUP }, { ...USER, org_id: OTHER.id }];
    const api = await apiAnswering(() => jsonAnswer(200, { items }));
    await expect(all(api.users())).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("is not one for the letter case of its ids", async () => {
    const upper = { ...USER, id: SUBJECT.toUpperCase(), org_id: ORGANIZATION.toUpperCase() };
    const api = await apiAnswering(() => jsonAnswer(200, upper));
    expect(await api.user(SUBJECT)).toMatchObject({ subject: SUBJECT, organizationId: ORGANIZATION });
  });
});

describe("a user who is not found (404)", () => {
  /** A server that answers 404 for the user, and something for the list of users. */
  const notFound = (list: Answer, user: Answer = NOT_FOUND): Promise<AdminApi> =>
    apiAnswering((path) => (isUserList(path) ? list : user));
  const working = jsonAnswer(200, { items: [{ ...USER, id: GROUP }], has_more: false });

  it("is gone when Clavex itself says so and the same key still lists this organization's users", async () => {
    const server = await serve((path) => (isUserList(path) ? working : NOT_FOUND));
    expect(await apiOf(server.url).user(SUBJECT)).toBeUndefined();
    expect(server.requests.map(({ headers }) => headers["x-api-key"])).toContain(KEY);
    expect(server.requests.at(-2)?.path).toBe(`/api/v1/organizations/${ORGANIZATION}/users?limit=1`);
  });

  it("is not gone while no users are listed at all: a superadmin's key with a wrong organization id sees that", async () => {
    const api = await notFound(jsonAnswer(200, { items: [], has_more: false }));
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("is gone when the list leaves out whoever stands first, but shows somebody again who was shown before", async () => {
    const other = jsonAnswer(200, { ...USER, id: GROUP });
    let shows = true;
    const api = await apiAnswering((path) => {
      if (isUserList(path)) return jsonAnswer(200, { items: [], has_more: true });
      return path.endsWith(GROUP) && shows ? other : NOT_FOUND;
    });
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
    await api.user(GROUP);
    expect(await api.user(SUBJECT)).toBeUndefined();
    shows = false;
    await expect(api.user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it.each([
    ["a page of a proxy", { status: 404, body: "<h1>404 Not Found</h1>" }],
    ["nothing", { status: 404 }],
    ["plain text", { status: 404, body: "404 page not found" }],
    ["JSON that is not Clavex's error", jsonAnswer(404, { message: "no Route matched with those values" })],
    ["JSON whose error is no text", jsonAnswer(404, { error: { code: 404 } })],
    ["a JSON list", jsonAnswer(404, [{ error: "Not Found" }])],
    ["null", jsonAnswer(404, null)],
  ])("is not gone by %s, and the list is not even asked for", async (_, user) => {
    const server = await serve((path) => (isUserList(path) ? working : user));
    await expect(apiOf(server.url).user(SUBJECT)).rejects.toBeInstanceOf(ClavexMisrouted);
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    ["is not found either", NOT_FOUND, ClavexMisrouted],
    ["is refused (401)", jsonAnswer(401, { error: "Unauthorized" }), ClavexKeyRefused],
    ["is refused (403)", jsonAnswer(403, { error: "Forbidden" }), ClavexKeyRefused],
    ["is refused by something else (401)", { status: 401 }, ClavexMisrouted],
    ["is refused by something else (403)", { status: 403 }, ClavexMisrouted],
    ["fails", { status: 500 }, ClavexUnavailable],
    ["is throttled", { status: 429 }, ClavexUnavailable],
    ["is a redirect", { status: 302, headers: { location: "/login" } }, ClavexMisrouted],
    ["is a login page", { status: 200, body: "<html>" }, ClavexUnavailable],
    ["has another form", jsonAnswer(200, { users: [] }), ClavexMisrouted],
    ["is of another organization", jsonAnswer(200, { items: [{ ...USER, org_id: OTHER.id }] }), ClavexMisrouted],
  ])("is not gone when the list of users %s", async (_, list, expected) => {
    await expect((await notFound(list)).user(SUBJECT)).rejects.toBeInstanceOf(expected);
  });

  it("is not gone when the server dies between the two answers", async () => {
    const server = await serve(() => NOT_FOUND);
    server.faults.add({ kind: "reset", match: ({ path }) => isUserList(path) });
    await expect(apiOf(server.url).user(SUBJECT)).rejects.toBeInstanceOf(ClavexUnavailable);
  });
});

describe("the members of a group", () => {
  it("that is not found (404) are not none: the reading fails", async () => {
    const api = await apiAnswering(() => NOT_FOUND);
    await expect(api.members(GROUP)).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("are none when Clavex says null", async () => {
    expect(await (await apiAnswering(() => jsonAnswer(200, null))).members(GROUP)).toEqual([]);
  });

  it("are only believed as a whole: one that is unreadable fails the reading", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, [{ id: SUBJECT }, { id: "ada" }]));
    await expect(api.members(GROUP)).rejects.toBeInstanceOf(ClavexMisrouted);
  });

  it("come from partial users, whose other fields are nothing to trust", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, [{ id: SUBJECT, metadata: null, updated_at: "0001" }]));
    expect(await api.members(GROUP)).toEqual([SUBJECT]);
  });

  it("are counted as one when the list does not say how many, so that nobody takes the group for empty", async () => {
    const api = await apiAnswering(() => jsonAnswer(200, { items: [{ id: GROUP, name: "Finance" }] }));
    expect(await all(api.groups())).toEqual([{ id: GROUP, name: "Finance", memberCount: 1 }]);
  });
});
