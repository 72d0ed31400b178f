import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ClavexUser, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { notPlayed, scenarios } from "./clavex-scenarios.ts";
import { isReal, played, recordings, run } from "./clavex-target.ts";

/*
 * Holds the simulated Clavex against recordings of a real one. With CLAVEX_URL and CLAVEX_ADMIN_TOKEN (a superadmin's) the
 * scenarios run against that server instead, each in an organization `cnx-test-...` of its own, which is deleted afterwards;
 * those that do not apply to a real server say why.
 */

describe("recordings of a real Clavex", () => {
  for (const scenario of scenarios) {
    const { title, simulatorOnly } = scenario;
    const reason = isReal && simulatorOnly ? ` (not here: ${simulatorOnly})` : "";
    it.skipIf(reason !== "")(`${title}${reason}`, () => run(scenario));
  }

  it("are all played, or are of a request that the pipeline never makes", () => {
    const accounted = [...scenarios.flatMap(played), ...Object.values(notPlayed).flat()];
    expect([...new Set(accounted)].sort()).toEqual([...recordings.keys()].sort());
  });
});

const ACME = { id: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", slug: "acme", apiKey: "clv_acme" };
const OTHER = { id: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11", slug: "other", apiKey: "clv_other" };
const READER = { ...OTHER, id: "2b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c12", slug: "reader", apiKey: "clv_reader" };
const GO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-]\d\d:\d\d)$/;

interface Page {
  items: ClavexUser[];
  next_cursor?: string;
  has_more: boolean;
}

let clavex: SimulatedClavex;

beforeEach(async () => {
  const organizations = [ACME, OTHER, { ...READER, permissions: ["users:read"] }];
  clavex = await startSimulatedClavex({ organizations });
});
afterEach(() => clavex.close());

function request(path: string, init: RequestInit & { key?: string } = {}): Promise<Response> {
  const { key = ACME.apiKey, ...rest } = init;
  return fetch(`${clavex.url}/api/v1/organizations${path}`, {
    ...rest,
    headers: { "content-type": "application/json", ...(key === "" ? {} : { "x-api-key": key }) },
  });
}

async function get<T>(path: string): Promise<T> {
  const response = await request(`/${ACME.id}${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

const addUsers = (count: number): ClavexUser[] =>
  Array.from({ length: count }, (_, index) =>
    clavex.addUser("acme", { email: `user${String((index * 7) % count).padStart(3, "0")}@acme.eu` }),
  );

describe("lists", () => {
  it("walks all users by `after`, sorted by e-mail address, without a cursor at the end", async () => {
    addUsers(120);
    const emails: string[] = [];
    const sizes: number[] = [];
    for (let path = "/users"; path !== ""; ) {
      const page = await get<Page>(path);
      sizes.push(page.items.length);
      emails.push(...page.items.map(({ email }) => email));
      expect(page.has_more).toBe(page.next_cursor !== undefined);
      expect(page.next_cursor ?? page.items.at(-1)?.id).toBe(page.items.at(-1)?.id);
      path = page.next_cursor === undefined ? "" : `/users?after=${page.next_cursor}`;
    }
    expect(sizes).toEqual([50, 50, 20]);
    expect(emails).toEqual(Array.from({ length: 120 }, (_, index) => `user${String(index).padStart(3, "0")}@acme.eu`));
  });

  it("gives at most 200 users a page, and ignores a `cursor` parameter", async () => {
    addUsers(205);
    const page = await get<Page>("/users?limit=1000");
    expect(page.items).toHaveLength(200);
    const again = await get<Page>(`/users?limit=1000&cursor=${page.next_cursor}`);
    expect(again.items[0]?.id).toBe(page.items[0]?.id);
  });

  it("fails with 500 when the user of the cursor has been deleted", async () => {
    addUsers(3);
    const { next_cursor = "" } = await get<Page>("/users?limit=1");
    clavex.deleteUser("acme", next_cursor);
    const response = await request(`/${ACME.id}/users?limit=1&after=${next_cursor}`);
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({ error: "Internal Server Error", message: "Internal Server Error" });
  });

  it("keeps its order while users come, change their address and go", async () => {
    const [first] = addUsers(2);
    clavex.addUser("acme", { email: "aaa@acme.eu" });
    expect((await get<Page>("/users")).items.map(({ email }) => email)).toEqual([
      "aaa@acme.eu",
      "user000@acme.eu",
      "user001@acme.eu",
    ]);
    clavex.updateUser("acme", first?.id ?? "", { email: "zzz@acme.eu" });
    clavex.addUser("acme", { email: "user000@acme.eu" });
    expect((await get<Page>("/users?limit=2")).items.map(({ email }) => email)).toEqual([
      "aaa@acme.eu",
      "user000@acme.eu",
    ]);
    expect((await get<Page>("/users?q=ZZZ")).items.map(({ id }) => id)).toEqual([first?.id]);
  });

  it("lists groups by name with the number of their members", async () => {
    const [user] = addUsers(1);
    for (const name of ["Ops", "Finance", "Sales"]) clavex.addGroup("acme", name);
    clavex.addMember("acme", clavex.groupByName("acme", "Finance")?.id ?? "", user?.id ?? "");
    const first = await get<{ items: unknown[]; next_cursor: string }>("/groups?limit=2");
    expect(first.items).toMatchObject([
      { name: "Finance", member_count: 1, org_id: ACME.id, is_system: false },
      { name: "Ops", member_count: 0 },
    ]);
    const second = await get<Page>(`/groups?limit=2&after=${first.next_cursor}`);
    expect(second).toMatchObject({ items: [{ name: "Sales" }], has_more: false });
  });

  it("shows members as partial users in a plain array", async () => {
    const { id: groupId } = clavex.addGroup("acme", "Finance");
    const user = clavex.addUser("acme", {
      email: "ada@acme.eu",
      first_name: "Ada",
      metadata: { nextcloud_quota: "1 GB" },
    });
    expect(await get<unknown[]>(`/groups/${groupId}/members`)).toEqual([]);
    clavex.addMember("acme", groupId, user.id);
    expect(await get<unknown[]>(`/groups/${groupId}/members`)).toEqual([
      {
        id: user.id,
        org_id: ACME.id,
        email: "ada@acme.eu",
        first_name: "Ada",
        is_active: true,
        is_email_verified: false,
        mfa_required: false,
        required_actions: null,
        metadata: null,
        created_at: user.created_at,
        updated_at: "0001-01-01T00:00:00Z",
      },
    ]);
  });

  it("a membership touches neither the group's nor the user's time, and ends with the user", async () => {
    const group = clavex.addGroup("acme", "Finance");
    const user = clavex.addUser("acme", { email: "ada@acme.eu" });
    clavex.addMember("acme", group.id, user.id);
    expect(clavex.groupByName("acme", "Finance")).toEqual({ ...group, member_count: 1 });
    expect(clavex.user("acme", user.id)).toEqual(user);
    clavex.deleteUser("acme", user.id);
    expect(clavex.groupByName("acme", "Finance")?.member_count).toBe(0);
  });
});

describe("errors", () => {
  it.each([
    ["no key", "", ACME.id, 401, "Unauthorized"],
    ["an unknown key", "clv_wrong", ACME.id, 401, "Unauthorized"],
    ["the key of another organization", OTHER.apiKey, ACME.id, 403, "Forbidden"],
    ["an organization that does not exist", ACME.apiKey, "00000000-0000-0000-0000-000000000000", 403, "Forbidden"],
  ])("refuses %s", async (_, key, organization, status, error) => {
    const response = await request(`/${organization}/users`, { key });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error });
  });

  it("refuses what the key has no permission for", async () => {
    const statusOf = async (path: string, method: string): Promise<number> =>
      (await request(`/${READER.id}${path}`, { key: READER.apiKey, method })).status;
    expect(await statusOf("/users", "GET")).toBe(200);
    expect(await statusOf("/groups", "GET")).toBe(403);
    expect(await statusOf("/users", "POST")).toBe(403);
  });

  it.each([
    ["/users/6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"],
    ["/groups/6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21/members"],
    ["/nothing"],
  ])("answers 404 in JSON for %s", async (path) => {
    const response = await request(`/${ACME.id}${path}`);
    expect(response.status).toBe(404);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ error: "Not Found", message: "Not Found" });
  });

  it("does not show users of another organization", async () => {
    const user = clavex.addUser("other", { email: "ada@other.eu" });
    expect((await request(`/${ACME.id}/users/${user.id}`)).status).toBe(404);
    expect((await get<Page>("/users")).items).toEqual([]);
  });
});

describe("writes", () => {
  const send = (method: string, path: string, body: unknown): Promise<Response> =>
    request(`/${ACME.id}${path}`, { method, body: JSON.stringify(body) });

  it("creates, patches and deletes users; each PATCH moves `updated_at`", async () => {
    const response = await send("POST", "/users", { email: "ada@acme.eu", first_name: "Ada" });
    expect(response.status).toBe(201);
    const user = (await response.json()) as ClavexUser;
    expect(user).toMatchObject({ email: "ada@acme.eu", first_name: "Ada", is_active: true, required_actions: null });
    expect((await send("POST", "/users", { email: "ada@acme.eu" })).status).toBe(409);
    const patched = (await (await send("PATCH", `/users/${user.id}`, { is_active: false })).json()) as ClavexUser;
    expect(patched).toEqual({ ...user, is_active: false, required_actions: [], updated_at: patched.updated_at });
    expect(patched.updated_at > user.updated_at).toBe(true);
    expect((await request(`/${ACME.id}/users/${user.id}`, { method: "DELETE" })).status).toBe(204);
    expect((await request(`/${ACME.id}/users/${user.id}`)).status).toBe(404);
    expect((await request(`/${ACME.id}/users/${user.id}`, { method: "DELETE" })).status).toBe(404);
  });

  it("replaces all metadata by PUT of attributes", async () => {
    const { id } = clavex.addUser("acme", { email: "ada@acme.eu", metadata: { desk: "12" } });
    await send("PUT", `/users/${id}/attributes`, { nextcloud_quota: "10 GB" });
    expect(clavex.user("acme", id)?.metadata).toEqual({ nextcloud_quota: "10 GB", id, org_id: ACME.id });
  });

  it("creates groups and changes their members", async () => {
    const user = clavex.addUser("acme", { email: "ada@acme.eu" });
    const group = (await (await send("POST", "/groups", { name: "Finance" })).json()) as { id: string };
    expect((await send("POST", `/groups/${group.id}/members`, { user_id: user.id })).status).toBe(204);
    expect(clavex.groupByName("acme", "Finance")?.member_count).toBe(1);
    expect((await request(`/${ACME.id}/groups/${group.id}/members/${user.id}`, { method: "DELETE" })).status).toBe(204);
    expect(clavex.groupByName("acme", "Finance")?.member_count).toBe(0);
    expect((await request(`/${ACME.id}/groups/${group.id}`, { method: "DELETE" })).status).toBe(204);
    expect(clavex.groupByName("acme", "Finance")).toBeUndefined();
  });
});

describe("deliveries", () => {
  it("carry the user as it was, with times as Go writes them", () => {
    const user = clavex.addUser("acme", { email: "ada@acme.eu", first_name: "Ada", last_name: "Lovelace" });
    clavex.suspend("acme", user.id);
    const delivery = clavex.delivery("user.updated", user);
    expect(Object.keys(delivery)).toEqual(["id", "event", "occurred_at", "data"]);
    expect(delivery).toMatchObject({ event: "user.updated", data: { ...user, is_active: true, org_id: ACME.id } });
    expect(delivery.occurred_at).toMatch(GO_TIME);
    expect(user.updated_at).toMatch(GO_TIME);
    expect(user.updated_at).toContain("+02:00");
    expect(clavex.delivery("user.updated", user).id).not.toBe(delivery.id);
  });

  it("of a deletion carry the ids only", () => {
    const user = clavex.addUser("acme", { email: "ada@acme.eu" });
    expect(clavex.delivery("user.deleted", user).data).toEqual({ id: user.id, org_id: ACME.id });
  });

  it("can be in UTC too", async () => {
    const utc = await startSimulatedClavex({ zoneMinutes: 0, now: () => Date.UTC(2026, 6, 23, 8, 15, 30, 120) });
    try {
      expect(utc.addUser("acme", { email: "ada@acme.eu" }).updated_at).toBe("2026-07-23T08:15:30.12Z");
      expect(utc.addUser("acme", { email: "bob@acme.eu" }).updated_at).toBe("2026-07-23T08:15:30.120001Z");
    } finally {
      await utc.close();
    }
  });
});

describe("GDPR erasure", () => {
  it.each([
    ["erased", /^erased_[0-9a-f]{16}@gdpr\.invalid$/, "ERASED"],
    ["anonymized", /^anon-[0-9a-f-]{36}@gdpr\.deleted$/, undefined],
  ] as const)("%s keeps the row, inactive and without a name", (form, email, name) => {
    const { id } = clavex.addUser("acme", { email: "ada@acme.eu", first_name: "Ada", last_name: "Lovelace" });
    const user = clavex.eraseUser("acme", id, form);
    expect(user.email).toMatch(email);
    expect(user.is_active).toBe(false);
    expect([user.first_name, user.last_name]).toEqual([name, name]);
    expect(clavex.user("acme", id)).toEqual(user);
  });
});
