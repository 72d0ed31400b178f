import type { Pool } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AdminApi, createAdminApi } from "../../functions/clavex/admin-api.ts";
import { ClavexUnavailable } from "../../functions/clavex/errors.ts";
import { createGroupMap, type ReadGroupMap } from "../../functions/clavex/group-map.ts";
import { createPool } from "../../functions/http.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import type { Fault } from "../../functions/simulated/server.ts";

let clavex: SimulatedClavex;
let pool: Pool;
let api: AdminApi;
let clock: number;

beforeEach(async () => {
  clock = 1000;
  clavex = await startSimulatedClavex();
  pool = createPool(clavex.url, 4, { connect: 2000, headers: 2000, body: 2000 });
  api = createAdminApi({
    baseUrl: clavex.url,
    organizationId: DEFAULT_ORGANIZATION.id,
    apiKey: async () => DEFAULT_ORGANIZATION.apiKey,
    pool,
  });
});
afterEach(async () => {
  await pool.destroy();
  await clavex.close();
});

const mapOf = (relevant: (name: string) => boolean = () => true): ReadGroupMap =>
  createGroupMap(api, relevant, () => clock);
const addUser = (email: string): string => clavex.addUser("acme", { email }).id;
const addGroup = (name: string, ...members: string[]): string => {
  const { id } = clavex.addGroup("acme", name);
  for (const member of members) clavex.addMember("acme", id, member);
  return id;
};
/** How often the list of groups, and the members of groups, were asked for since the last look. */
const requests = (): { lists: number; members: number } => {
  const paths = clavex.requests.splice(0).map(({ path }) => path);
  const members = paths.filter((path) => path.includes("/members")).length;
  return { lists: paths.length - members, members };
};

describe("the group map", () => {
  it("knows the groups of each person, sorted, and none of a stranger", async () => {
    const [ada, ben] = [addUser("ada@acme.eu"), addUser("ben@acme.eu")];
    addGroup("Sales", ada, ben);
    addGroup("Finance", ada);
    addGroup("finance", ada);
    const { value, readAt } = await mapOf()(-Infinity);
    expect(value.of(ada)).toEqual(["Finance", "Sales", "finance"]);
    expect(value.of(ben)).toEqual(["Sales"]);
    expect(value.of("6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21")).toEqual([]);
    expect(readAt).toBe(1000);
  });

  it("reads the members of relevant groups only, and of none that is empty", async () => {
    const ada = addUser("ada@acme.eu");
    const finance = addGroup("Finance", ada);
    addGroup("Secret", ada);
    addGroup("Empty");
    const { value } = await mapOf((name) => name !== "Secret")(-Infinity);
    expect([...value.names].sort()).toEqual(["Empty", "Finance"]);
    expect(value.of(ada)).toEqual(["Finance"]);
    expect(clavex.requests.filter(({ path }) => path.includes("/members")).map(({ path }) => path)).toEqual([
      `/api/v1/organizations/${DEFAULT_ORGANIZATION.id}/groups/${finance}/members`,
    ]);
  });

  it("holds more groups than fit on a page", async () => {
    const ada = addUser("ada@acme.eu");
    const names = Array.from({ length: 203 }, (_, index) => `Group ${index}`);
    for (const name of names) addGroup(name, ada);
    const { value } = await mapOf()(-Infinity);
    expect(value.of(ada)).toEqual(names.toSorted());
    expect(requests()).toEqual({ lists: 2, members: 203 });
  });

  it("of an organization without groups is empty", async () => {
    const { value } = await mapOf()(-Infinity);
    expect(value.names.size).toBe(0);
    expect(requests()).toEqual({ lists: 1, members: 0 });
  });

  it("is read once for all who ask at the same time, and kept", async () => {
    const ada = addUser("ada@acme.eu");
    addGroup("Finance", ada);
    const read = mapOf();
    const readings = await Promise.all(Array.from({ length: 20 }, () => read(1000)));
    for (const { value } of readings) expect(value.of(ada)).toEqual(["Finance"]);
    clock = 60_000;
    await read(1000);
    expect(requests()).toEqual({ lists: 1, members: 1 });
  });

  it("is read anew for those who need to see a change, and then shows it", async () => {
    const ada = addUser("ada@acme.eu");
    const finance = addGroup("Finance", ada);
    const read = mapOf();
    await read(-Infinity);
    clavex.removeMember("acme", finance, ada);
    clavex.addMember("acme", addGroup("Sales"), ada);
    clock = 2000;
    expect((await read(1000)).value.of(ada)).toEqual(["Finance"]);
    const fresh = await read(1001);
    expect(fresh.value.of(ada)).toEqual(["Sales"]);
    expect(fresh.value.names).toContain("Finance");
    expect(fresh.readAt).toBe(2000);
  });

  it("of before stays as it was for whoever still holds it", async () => {
    const ada = addUser("ada@acme.eu");
    const finance = addGroup("Finance", ada);
    const read = mapOf();
    const before = await read(-Infinity);
    clavex.removeMember("acme", finance, ada);
    clock = 2000;
    await read(2000);
    expect(before.value.of(ada)).toEqual(["Finance"]);
  });
});

describe("a reading of the group map that does not end", () => {
  it("is given up after 90 seconds, however many groups are still to come", async () => {
    let pages = 0;
    const endless: AdminApi = {
      ...api,
      async *groups() {
        for (;;) {
          pages += 1;
          clock += 1_000;
          yield [];
        }
      },
    };
    await expect(
      createGroupMap(
        endless,
        () => true,
        () => clock,
      )(-Infinity),
    ).rejects.toThrow(/takes too long/);
    expect(pages).toBe(91);
  });
});

describe("a reading of the group map that fails", () => {
  it("at the list is not kept: the next one is made anew", async () => {
    const ada = addUser("ada@acme.eu");
    for (const name of ["A", "B", "C", "D", "E", "F"]) addGroup(name, ada);
    const read = mapOf();
    clavex.faults.add({ kind: "status", status: 500, match: ({ path }) => /\/groups\?/.test(path) });
    for (const result of await Promise.allSettled([read(-Infinity), read(-Infinity)])) {
      expect(result).toEqual({ status: "rejected", reason: expect.any(ClavexUnavailable) });
    }
    clavex.faults.clear();
    expect((await read(-Infinity)).value.of(ada)).toEqual(["A", "B", "C", "D", "E", "F"]);
  });

  it("leaves the map of before to those for whom it is fresh enough", async () => {
    const ada = addUser("ada@acme.eu");
    addGroup("Finance", ada);
    const read = mapOf();
    await read(-Infinity);
    clock = 2000;
    clavex.faults.add({ kind: "status", status: 503 });
    await expect(read(2000)).rejects.toBeInstanceOf(ClavexUnavailable);
    expect((await read(1000)).value.of(ada)).toEqual(["Finance"]);
  });

  it("asks a server that is in trouble for no more groups", async () => {
    const ada = addUser("ada@acme.eu");
    for (let index = 0; index < 40; index += 1) addGroup(`Group ${index}`, ada);
    const read = mapOf();
    clavex.faults.add({ kind: "status", status: 429, times: 1, match: ({ path }) => path.endsWith("/members") });
    await expect(read(-Infinity)).rejects.toBeInstanceOf(ClavexUnavailable);
    await read(-Infinity);
    // 40 of the second reading, and the few that were under way when the first one failed.
    expect(requests().members).toBeLessThan(50);
  });

  it("at a group's members once is repeated", async () => {
    const ada = addUser("ada@acme.eu");
    for (const name of ["A", "B", "C"]) addGroup(name, ada);
    clavex.faults.add({ kind: "status", status: 500, times: 2, match: ({ path }) => path.endsWith("/members") });
    const { value } = await mapOf()(-Infinity);
    expect(value.of(ada)).toEqual(["A", "B", "C"]);
    expect(value.unread.size).toBe(0);
    expect(requests()).toEqual({ lists: 1, members: 5 });
  });

  it.each<[string, Fault]>([
    ["HTTP 500", { kind: "status", status: 500, body: '{"error":"Internal Server Error"}' }],
    ["HTTP 404", { kind: "status", status: 404, body: '{"error":"Not Found"}' }],
    ["a proxy's page", { kind: "status", status: 403, body: "<html></html>" }],
    ["a redirect", { kind: "status", status: 302, headers: { location: "/login" } }],
    ["an object", { kind: "status", status: 200, body: '{"items":7}' }],
    ["members without ids", { kind: "status", status: 200, body: '[{"id":7}]' }],
    ["no JSON", { kind: "status", status: 200, body: "[" }],
    ["a reset connection", { kind: "reset" }],
    ["half an answer", { kind: "cut" }],
  ])("at one group for ever (%s) makes that group unknown, and no other", async (_, fault) => {
    const ada = addUser("ada@acme.eu");
    addGroup("A", ada);
    const odd = addGroup("Odd", ada);
    addGroup("Z", ada);
    clavex.faults.add({ ...fault, match: ({ path }) => path.includes(`/groups/${odd}/members`) });
    const { value } = await mapOf()(-Infinity);
    expect(value.of(ada)).toEqual(["A", "Z"]);
    expect([...value.unread]).toEqual(["Odd"]);
    expect(value.names).toContain("Odd");
  });

  it("at one group that hangs makes that group unknown, and no other", async () => {
    const ada = addUser("ada@acme.eu");
    addGroup("A", ada);
    const odd = addGroup("Odd", ada);
    const impatient = createPool(clavex.url, 4, { connect: 300, headers: 300, body: 300 });
    const { id: organizationId, apiKey } = DEFAULT_ORGANIZATION;
    const hasty = createAdminApi({
      baseUrl: clavex.url,
      organizationId,
      apiKey: async () => apiKey,
      pool: impatient,
    });
    clavex.faults.add({ kind: "hang", match: ({ path }) => path.includes(`/groups/${odd}/members`) });
    const { value } = await createGroupMap(hasty, () => true)(-Infinity);
    await impatient.destroy();
    expect(value.of(ada)).toEqual(["A"]);
    expect([...value.unread]).toEqual(["Odd"]);
  });

  it("at every group is the server's", async () => {
    const ada = addUser("ada@acme.eu");
    for (let index = 0; index < 40; index += 1) addGroup(`Group ${index}`, ada);
    clavex.faults.add({ kind: "status", status: 500, match: ({ path }) => path.endsWith("/members") });
    await expect(mapOf()(-Infinity)).rejects.toBeInstanceOf(ClavexUnavailable);
    expect(requests().members).toBeLessThan(20);
  });

  it("at both groups of two is the server's", async () => {
    const ada = addUser("ada@acme.eu");
    for (const name of ["A", "B"]) addGroup(name, ada);
    clavex.faults.add({ kind: "status", status: 500, match: ({ path }) => path.endsWith("/members") });
    await expect(mapOf()(-Infinity)).rejects.toBeInstanceOf(ClavexUnavailable);
  });

  it("because a group vanished meanwhile takes nobody out of a group", async () => {
    const ada = addUser("ada@acme.eu");
    addGroup("Finance", ada);
    clavex.faults.add({
      kind: "status",
      status: 404,
      body: '{"error":"Not Found","message":"Not Found"}',
      match: ({ path }) => path.endsWith("/members"),
    });
    expect([...(await mapOf()(-Infinity)).value.unread]).toEqual(["Finance"]);
  });
});
