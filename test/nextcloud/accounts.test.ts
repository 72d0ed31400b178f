import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Profile } from "../../functions/core/account.ts";
import { parseQuota } from "../../functions/core/quota.ts";
import { createPool } from "../../functions/http.ts";
import {
  createCoreAccount,
  editAccount,
  type ForeignListener,
  findAccounts,
  getAccount,
  joinGroup,
  leaveGroup,
  listAccounts,
  removeFreshAccount,
  type Sought,
  type Survey,
  setAccountEnabled,
  surveyAccounts,
  upsertOidcAccount,
} from "../../functions/nextcloud/accounts.ts";
import {
  NextcloudForbidden,
  NextcloudMisrouted,
  NextcloudServerError,
  NextcloudUnavailable,
  OcsRefusal,
} from "../../functions/nextcloud/errors.ts";
import { createGroup, groupExists } from "../../functions/nextcloud/groups.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "../../functions/nextcloud/ocs.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { answers, refusal, short } from "../support/requests.ts";

const GB = 1024 ** 3;
const PROFILE: Profile = { displayName: "Ada Lovelace", email: "Ada@Acme.example", quota: 5 * GB };
const MINIMAL = "60a86a4244ce7af6ab89af4be1abc0a7293f58cc8ebf3debb334f87d67abf8ac";

let nextcloud: SimulatedNextcloud;
let ocs: Ocs;
let closers: (() => Promise<unknown>)[];

beforeEach(async () => {
  nextcloud = await startSimulatedNextcloud({
    credentials: [
      { username: "provisioner", password: "admins-app-password", backend: "user_oidc" },
      { username: "nobody", password: "nobodys-app-password", admin: false },
    ],
  });
  closers = [nextcloud.close];
  ocs = as("provisioner", "admins-app-password");
});
afterEach(async () => {
  for (const close of closers.reverse()) await close();
});

function as(username: string, password: string): Ocs {
  const pool = createPool(nextcloud.url, 4, NEXTCLOUD_TIMEOUTS);
  closers.push(() => pool.close());
  return createOcs({ baseUrl: nextcloud.url, username, password: async () => password, pool });
}

const requests = (): string[] => nextcloud.requests.map((request) => short(request).name);
const lastParameters = (): Record<string, unknown> | undefined => {
  const last = nextcloud.requests.at(-1);
  return last && short(last).parameters;
};
const posts =
  (path: string) =>
  (request: RecordedRequest): boolean =>
    request.method === "POST" && request.path.includes(path);

describe("looking at an account", () => {
  it("shows what provisioning compares", async () => {
    nextcloud.addLocalUser({
      id: "ada",
      displayName: "Ada",
      email: "Ada@Acme.example",
      quota: "2 GB",
      groups: ["admin"],
      enabled: false,
    });
    expect(await getAccount(ocs, "ada")).toEqual({
      id: "ada",
      enabled: false,
      backend: "Database",
      displayName: "Ada",
      email: "ada@acme.example",
      quota: 2 * GB,
      hasLoggedIn: false,
      used: 0,
      groups: ["admin"],
      showsAllGroups: true,
    });
  });

  it.each([
    ["never", 0, false],
    ["once", 1_700_000_000_000, true],
    ["who knows when, in a form of its own", "0", true],
    ["without a word", undefined, true],
  ])("says whether somebody has logged in: %s", async (_when, lastLogin, expected) => {
    const data = { id: "ada", enabled: true, backend: "user_oidc", lastLogin, quota: { quota: "none", used: 5 } };
    const body = JSON.stringify({ ocs: { meta: { statuscode: 200 }, data } });
    nextcloud.faults.add({ kind: "status", status: 200, headers: { "content-type": "application/json" }, body });
    expect(await getAccount(ocs, "ada")).toMatchObject({ hasLoggedIn: expected, used: 5 });
  });

  it("shows no e-mail address as an empty text, and unlimited quota before and after the home exists", async () => {
    nextcloud.addLocalUser({ id: "ada", password: "Correct-horse-battery-9" });
    expect(await getAccount(ocs, "ada")).toMatchObject({ email: "", quota: "none" });
    await as("ada", "Correct-horse-battery-9").call("GET", "cloud/user");
    expect(nextcloud.user("ada")?.homeExists).toBe(true);
    expect(await getAccount(ocs, "ada")).toMatchObject({ quota: "none" });
  });

  it("finds nothing for an id that nobody has", async () => {
    expect(await getAccount(ocs, "ada")).toBeUndefined();
  });

  it("finds the account of another letter case, and says how it is written", async () => {
    nextcloud.addLocalUser({ id: "Ada" });
    expect(await getAccount(ocs, "ada")).toMatchObject({ id: "Ada" });
  });

  it("without being an administrator is forbidden, and not the same as no account", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    await expect(getAccount(as("nobody", "nobodys-app-password"), "ada")).rejects.toThrow(NextcloudForbidden);
    await expect(getAccount(as("nobody", "nobodys-app-password"), "missing")).rejects.toThrow(NextcloudForbidden);
  });

  it("on a server without this part of the API is misrouted, and not the same as no account", async () => {
    const answer = await fetch(`${nextcloud.url}/ocs/v2.php/no/such/route?format=json`);
    nextcloud.faults.add({
      kind: "status",
      status: answer.status,
      headers: { "content-type": answer.headers.get("content-type") ?? "" },
      body: await answer.text(),
    });
    expect(answer.status).toBe(404);
    await expect(getAccount(ocs, "ada")).rejects.toThrow(NextcloudMisrouted);
  });

  it.each([
    ["quota", []],
    ["quota", null],
    ["quota", 5],
    ["quota", { quota: {} }],
    ["displayname", ["Ada"]],
    ["email", { address: "ada@acme.example" }],
    ["email", 5],
    ["language", []],
  ])("whose %s is %j is shown as far as it can be read", async (field, value) => {
    const data = {
      id: "ada",
      enabled: true,
      backend: "user_oidc",
      displayname: "Ada",
      email: null,
      groups: ["eng", 42],
    };
    const body = JSON.stringify({ ocs: { meta: { statuscode: 200 }, data: { ...data, [field]: value } } });
    nextcloud.faults.add({ kind: "status", status: 200, headers: { "content-type": "application/json" }, body });
    const known = { id: "ada", enabled: true, backend: "user_oidc", quota: undefined, groups: ["eng", "42"] };
    expect(await getAccount(ocs, "ada")).toMatchObject(known);
  });

  it.each([
    ["{}", {}, [], true],
    ["an object, as PHP writes a list with gaps", { 1: "eng", 3: 2023 }, ["eng", "2023"], true],
    ["a list with what is no id", [null, "eng", ["x"], { y: 1 }], ["eng"], false],
    ["null", null, [], false],
    ["left out", undefined, [], false],
  ])("shows its groups where they are %s, and whether those are all", async (_, groups, shown, areAll) => {
    const scripted: Ocs = { call: async () => ({ id: "ada", enabled: true, backend: "user_oidc", groups }) };
    const account = await getAccount(scripted, "ada");
    expect(account?.groups).toEqual(shown);
    expect(account?.showsAllGroups).toBe(areAll);
  });

  it.each([["1e400"], ["-1e400"], ["-7"], ['"NaN"'], ["[]"]])("does not know a quota of %s", async (written) => {
    const quota = JSON.parse(`{"quota":${written},"used":${written}}`);
    const scripted: Ocs = { call: async () => ({ id: "ada", enabled: true, backend: "user_oidc", quota }) };
    expect((await getAccount(scripted, "ada"))?.quota).toBeUndefined();
  });

  it("whose answer has another form is misrouted", async () => {
    const body = JSON.stringify({ ocs: { meta: { statuscode: 200 }, data: { id: "ada", displayname: "Ada" } } });
    nextcloud.faults.add({ kind: "status", status: 200, headers: { "content-type": "application/json" }, body });
    await expect(getAccount(ocs, "ada")).rejects.toThrow(NextcloudMisrouted);
  });
});

describe("looking for accounts", () => {
  /** A Nextcloud that lists these ids, then shows these pages of details, and has an account of any id that is asked for. */
  function listing(ids: string[], pages: string[][]) {
    const calls: string[] = [];
    const details = (id: string) => ({ id, enabled: true, backend: "user_oidc", displayname: `${id} ${calls.length}` });
    const scripted: Ocs = {
      async call(_method, path, { offset = "0" } = {}) {
        calls.push(path.replace("cloud/users", ""));
        if (path === "cloud/users") return { users: offset === "0" ? ids : [] };
        if (path !== "cloud/users/details") return details(path.replace("cloud/users/", ""));
        const page = pages[Number(offset) / 200] ?? [];
        return { users: page.length === 0 ? [] : Object.fromEntries(page.map((id) => [id, details(id)])) };
      },
    };
    return { scripted, calls };
  }
  const seek = (...ids: string[]): Map<string, Sought> =>
    new Map(ids.map((id) => [id.toLowerCase(), { accountId: id, listedAs: undefined }]));

  async function find(scripted: Ocs, sought: Map<string, Sought>): Promise<string[]> {
    const found: string[] = [];
    for await (const page of findAccounts(scripted, sought)) found.push(...page.map(({ owner }) => owner.accountId));
    return found;
  }

  it("asks for one page ahead of the one that it gives, and releases those who were found", async () => {
    const { scripted, calls } = listing(["a", "b"], [["a"], ["b"]]);
    const sought = seek("a", "b", "nobody");
    const walk = findAccounts(scripted, sought);
    expect(await walk.next()).toMatchObject({ value: [{ owner: { accountId: "a" }, account: { id: "a" } }] });
    await setImmediate();
    expect([calls, [...sought.keys()]]).toEqual([
      ["", "", "/details", "/details"],
      ["b", "nobody"],
    ]);
    expect(await walk.next()).toMatchObject({ value: [{ account: { id: "b" } }] });
    expect(await walk.next()).toEqual({ value: undefined, done: true });
    expect([...sought.keys()]).toEqual(["nobody"]);
    expect(calls).toHaveLength(5);
  });

  it("whose walk is left asks for nothing more", async () => {
    const ids = Array.from({ length: 6 }, (_, index) => `p${index}`);
    const { scripted, calls } = listing(
      ids,
      ids.map((id) => [id]),
    );
    for await (const _ of findAccounts(scripted, seek(...ids))) break;
    await setImmediate();
    expect(calls).toEqual(["", "", "/details", "/details"]);
  });

  describe("by a survey that was begun before it was known of everybody whether they are sought", () => {
    it("finds those who came in meanwhile, among ids and details that were read by then", async () => {
      const { scripted, calls } = listing(["a", "B", "foreign"], [["a", "B", "foreign"]]);
      const sought = seek("a");
      const survey = surveyAccounts(scripted, sought);
      await survey.ids.done;
      await survey.details().done;
      expect(calls).toEqual(["", "", "/details", "/details"]);
      sought.set("b", { accountId: "b", listedAs: undefined });
      sought.set("nobody", { accountId: "nobody", listedAs: undefined });
      const [found, foreign]: [string[], string[]] = [[], []];
      const listener: ForeignListener = {
        listed: (id) => foreign.push(`listed ${id}`),
        detailed: (id) => foreign.push(`detailed ${id}`),
        wantsDetails: () => false,
      };
      for await (const page of findAccounts(scripted, sought, undefined, listener, survey))
        found.push(...page.map(({ owner, account }) => `${owner.accountId} ${account.id}`));
      expect([found, foreign, [...sought.keys()]]).toEqual([
        ["a a", "b B"],
        ["listed foreign", "detailed a", "detailed B", "detailed foreign"],
        ["nobody"],
      ]);
      expect(calls).toHaveLength(4);
    });

    it("reads no details before it is certain that a GET each would cost more", async () => {
      const few = ["a", ...Array.from({ length: 13 }, (_, index) => `p${index}`)];
      const { scripted, calls } = listing(few, [few]);
      const sought = seek("a");
      const survey = surveyAccounts(scripted, sought);
      await survey.ids.done;
      await setImmediate();
      expect(calls).toEqual(["", ""]);
      sought.set("p0", { accountId: "p0", listedAs: undefined });
      const found: string[] = [];
      for await (const page of findAccounts(scripted, sought, undefined, undefined, survey))
        found.push(...page.map(({ owner }) => owner.accountId));
      expect([found, calls.slice(2)]).toEqual([
        ["a", "p0"],
        ["/details", "/details"],
      ]);
    });

    it("holds 10,000 accounts, and waits with the rest until somebody takes them", async () => {
      const ids = Array.from({ length: 10_600 }, (_, index) => `p${index}`);
      const details = Array.from({ length: 53 }, (_, page) => ids.slice(page * 200, (page + 1) * 200));
      const { scripted, calls } = listing([], details);
      const inPages: Ocs = {
        async call(method, path, parameters = {}) {
          const answer = await scripted.call(method, path, parameters);
          const offset = Number(parameters.offset);
          return path === "cloud/users" ? { users: ids.slice(offset, offset + 500) } : answer;
        },
      };
      const sought = seek(...ids);
      const survey = surveyAccounts(inPages, sought);
      await survey.ids.done;
      for (let turn = 0; turn < 200; turn += 1) await setImmediate();
      const readOfDetails = () => calls.filter((call) => call === "/details").length;
      expect(readOfDetails()).toBe(50);
      for await (const _ of findAccounts(inPages, sought, undefined, undefined, survey));
      expect([sought.size, readOfDetails()]).toEqual([0, 54]);
    });

    it("that failed, or was stopped, is no shorter list: whoever walks it gets the failure", async () => {
      const { scripted } = listing(["a"], [["a"]]);
      const failing: Ocs = { call: () => Promise.reject(new NextcloudServerError(500, "GET cloud/users")) };
      const failed = surveyAccounts(failing, seek("a"));
      await failed.ids.done;
      const stopped = surveyAccounts(scripted, seek("a"));
      stopped.stop(new Error("over"));
      const walk = async (survey: Survey): Promise<void> => {
        for await (const _ of findAccounts(scripted, seek("a"), undefined, undefined, survey));
      };
      await expect(walk(failed)).rejects.toThrow(NextcloudServerError);
      await expect(walk(stopped)).rejects.toThrow("over");
    });
  });

  it("finds one that was made while it listed", async () => {
    const { scripted, calls } = listing(["a"], [["a", "made"]]);
    expect(await find(scripted, seek("a", "made"))).toEqual(["a", "made"]);
    expect(calls).toEqual(["", "", "/details", "/details"]);
  });

  /** 32 and 34 also find accounts by e-mail address, so that another one may answer than the one that was asked for. */
  it.each([
    ["somebody else's", "mallory"],
    ["none that can be read", 7.5],
    ["an e-mail address", "ada@acme.example"],
    ["a longer id", "ada2"],
  ])("takes no account for somebody's whose own id is %s, on a page of details or alone", async (_, id) => {
    const details = { id, enabled: true, backend: "Database" };
    const calls: string[] = [];
    const scripted: Ocs = {
      async call(_method, path, { offset = "0" } = {}) {
        calls.push(path.replace("cloud/users", ""));
        if (path === "cloud/users") return { users: offset === "0" ? ["ada"] : [] };
        if (path === "cloud/users/details") return { users: offset === "0" ? { ada: details } : [] };
        return details;
      },
    };
    const sought = seek("ada");
    expect(await find(scripted, sought)).toEqual([]);
    expect([...sought.keys()]).toEqual(["ada"]);
    expect(calls).toEqual(["", "", "/details", "/details", "/ada"]);
  });

  it("gives somebody's account by its own id, whatever name the page shows it under", async () => {
    const shown = {
      x: { id: "ADA", enabled: true, backend: "user_oidc" },
      ada: { id: "bob", enabled: true, backend: "user_oidc" },
    };
    const scripted: Ocs = {
      async call(_method, path, { offset = "0" } = {}) {
        if (path === "cloud/users") return { users: offset === "0" ? ["ada", "bob"] : [] };
        if (path === "cloud/users/details") return { users: offset === "0" ? shown : [] };
        const id = path.replace("cloud/users/", "");
        return { id, enabled: false, backend: "user_oidc" };
      },
    };
    const found: [string, string][] = [];
    for await (const page of findAccounts(scripted, seek("ada", "bob"))) {
      found.push(...page.map(({ owner, account }): [string, string] => [owner.accountId, account.id]));
    }
    expect(found.sort()).toEqual([
      ["ada", "ada"],
      ["bob", "bob"],
    ]);
  });

  it("finds one that moved to the page before, where the pages never showed it, by asking for it", async () => {
    const { scripted, calls } = listing(["a", "moved"], [["a"]]);
    expect(await find(scripted, seek("a", "moved"))).toEqual(["a", "moved"]);
    expect(calls).toEqual(["", "", "/details", "/details", "/moved"]);
  });

  it("finds one that moved to the page after, and was shown twice, once", async () => {
    const { scripted } = listing(
      ["a", "b", "c"],
      [
        ["a", "b"],
        ["b", "c"],
      ],
    );
    expect(await find(scripted, seek("a", "b", "c"))).toEqual(["a", "b", "c"]);
  });

  it("asks for one that it could not read on its page, by the id as Nextcloud writes it", async () => {
    const { scripted, calls } = listing(["Ada"], []);
    expect(await find(scripted, seek("ada"))).toEqual(["ada"]);
    expect(calls.at(-1)).toBe("/Ada");
  });

  it("asks for none that is not listed", async () => {
    const { scripted, calls } = listing([], []);
    expect(await find(scripted, seek("a", "b"))).toEqual([]);
    expect(calls).toEqual(["", "/details"]);
  });

  it("finds those whose id is all digits, which PHP lists as a number, and passes over what is no id", async () => {
    const { scripted } = listing(["a"], [["20231234", "a"]]);
    const odd: Ocs = {
      call: async (method, path, parameters) => {
        const first = path === "cloud/users" && parameters?.offset === "0";
        return first ? { users: ["a", 20231234, null, ["x"], { y: 1 }] } : scripted.call(method, path, parameters);
      },
    };
    expect(await find(odd, seek("20231234", "a"))).toEqual(["20231234", "a"]);
  });

  describe("of which one makes its page of details fail", () => {
    const IDS = Array.from({ length: 450 }, (_, index) => `p${String(index).padStart(3, "0")}`);
    const details = (id: string) => ({ id, enabled: true, backend: "user_oidc" });

    /** A Nextcloud whose pages of details fail where one of these accounts is on them. */
    function failing(bad: string[], fault: () => unknown) {
      const calls: string[] = [];
      const scripted: Ocs = {
        async call(_method, path, { limit = "", offset = "" } = {}) {
          calls.push(`${path.replace("cloud/users", "")} ${limit} ${offset}`.trim());
          if (path === "cloud/users") return { users: offset === "0" ? IDS : [] };
          if (path !== "cloud/users/details") return details(path.replace("cloud/users/", ""));
          const page = IDS.slice(Number(offset), Number(offset) + Number(limit));
          if (page.some((id) => bad.includes(id))) return fault();
          return { users: page.length === 0 ? [] : Object.fromEntries(page.map((id) => [id, details(id)])) };
        },
      };
      return { scripted, calls };
    }

    it.each([
      ["500", () => Promise.reject(new NextcloudServerError(500, "GET cloud/users"))],
      ["404", () => Promise.reject(new OcsRefusal(404, "not found", "GET cloud/users"))],
      ["another form", async () => ({ users: "none" })],
    ])("%s: reads that page in smaller parts, and asks for those beside it one by one", async (_, fault) => {
      const { scripted, calls } = failing(["p210"], fault);
      expect((await find(scripted, seek(...IDS))).sort()).toEqual(IDS);
      const alone = calls.filter((call) => call.startsWith("/p"));
      expect(alone).toContain("/p210");
      expect(alone.length).toBeLessThanOrEqual(13);
      expect(calls.length).toBeLessThan(30);
    });

    it.each([12, 30])("%i of them, here and there: all are found, and the server is not given up", async (count) => {
      const bad = IDS.filter((_, index) => index % Math.floor(450 / count) === 3);
      const { scripted } = failing(bad, () => Promise.reject(new NextcloudServerError(500, "GET cloud/users")));
      expect((await find(scripted, seek(...IDS))).sort()).toEqual(IDS);
    });

    it.each([
      ["answers oddly for 20 of them is not given up: only they are not compared", 20, false],
      ["hangs for 20 of them is given up after nine", 9, true],
    ])("a server that %s", async (_, asked, hangs) => {
      const odd = IDS.slice(0, 20);
      const { scripted, calls } = failing([], () => undefined);
      const failure = hangs
        ? new NextcloudUnavailable("no answer", { undecided: "nextcloud", silent: true })
        : new NextcloudServerError(500, "GET cloud/users");
      const of: Ocs = {
        async call(method, path, parameters) {
          const answer = await scripted.call(method, path, parameters);
          if (odd.includes(path.replace("cloud/users/", ""))) throw failure;
          if (path !== "cloud/users/details") return answer;
          const { users } = answer as { users: Record<string, object> };
          for (const id of odd) if (id in users) users[id] = { id };
          return { users };
        },
      };
      const unread: string[] = [];
      const found: string[] = [];
      const walk = async (): Promise<void> => {
        const sought = seek(...IDS);
        for await (const page of findAccounts(of, sought, ({ accountId }) => unread.push(accountId)))
          found.push(...page.map(({ owner }) => owner.accountId));
      };
      if (hangs) await expect(walk()).rejects.toBe(failure);
      else await walk();
      expect(found.sort()).toEqual(IDS.slice(20));
      expect(calls.filter((call) => call.startsWith("/p"))).toHaveLength(asked);
      expect(unread).toEqual(odd.slice(0, hangs ? 8 : 20));
    });

    it("the last ones: ends there", async () => {
      const { scripted } = failing(["p449"], () => Promise.reject(new NextcloudServerError(500, "GET cloud/users")));
      expect((await find(scripted, seek(...IDS))).sort()).toEqual(IDS);
    });

    it("all of them: it is the server, which is not asked for ever", async () => {
      const { scripted, calls } = failing(IDS, () => Promise.reject(new NextcloudServerError(500, "GET cloud/users")));
      await expect(find(scripted, seek(...IDS))).rejects.toThrow(NextcloudServerError);
      expect(calls.length).toBeLessThan(40);
    });
  });

  describe("whose list of ids is odd", () => {
    const IDS = Array.from({ length: 1_200 }, (_, index) => `p${String(index).padStart(4, "0")}`);

    /** A Nextcloud whose list of ids is what `page` says; only those who are not in the list have to be asked for. */
    function listingBy(page: (limit: number, offset: number) => unknown) {
      const calls: string[] = [];
      const scripted: Ocs = {
        async call(_method, path, { limit = "", offset = "" } = {}) {
          calls.push(path.replace("cloud/users", ""));
          if (path === "cloud/users") return { users: await page(Number(limit), Number(offset)) };
          if (path === "cloud/users/details") return { users: [] };
          const id = path.replace("cloud/users/", "");
          if (IDS.includes(id)) return { id, enabled: true, backend: "user_oidc" };
          throw new OcsRefusal(404, "not found", "GET cloud/users");
        },
      };
      return { scripted, calls };
    }
    const pageOf = (limit: number, offset: number): string[] => IDS.slice(offset, offset + limit);

    it.each([
      ["500", () => Promise.reject(new NextcloudServerError(500, "GET cloud/users"))],
      ["another form", async () => "none"],
      ["null", async () => null],
    ])("%s for each page that one of them is on: the others are found, and nobody looks as if they had no account", async (_, fault) => {
      const { scripted, calls } = listingBy((limit, offset) => {
        const page = pageOf(limit, offset);
        return page.includes("p0700") ? fault() : page;
      });
      const sought = seek("p0001", "p0700", "p1199", "nobody");
      expect((await find(scripted, sought)).sort()).toEqual(["p0001", "p0700", "p1199"]);
      expect([...sought.keys()]).toEqual(["nobody"]);
      expect(calls.length).toBeLessThan(40);
    });

    it("a gap leaves those uncompared who are too many to be asked for one by one", async () => {
      const { scripted, calls } = listingBy((limit, offset) => {
        const page = pageOf(limit, offset);
        return page.includes("p0700") ? Promise.reject(new NextcloudServerError(500, "GET cloud/users")) : page;
      });
      const sought = seek(...Array.from({ length: 700 }, (_, index) => `nobody${index}`));
      const unread: unknown[] = [];
      for await (const _ of findAccounts(scripted, sought, (owner) => unread.push(owner))) expect(_).toEqual([]);
      expect([sought.size, unread.length]).toEqual([500, 200]);
      expect(calls.filter((call) => call.startsWith("/nobody"))).toHaveLength(500);
    });

    it("all of it: it is the server, which is not asked for ever", async () => {
      const { scripted, calls } = listingBy(() => Promise.reject(new NextcloudServerError(500, "GET cloud/users")));
      await expect(find(scripted, seek("p0001"))).rejects.toThrow(NextcloudServerError);
      expect(calls.length).toBeLessThan(40);
    });

    it("the same page for ever: it ends where all fit on it, and else the server does not page", async () => {
      const few = listingBy(() => ["p0001", "p0002"]);
      expect(await find(few.scripted, seek("p0001", "p0002"))).toEqual(["p0001", "p0002"]);
      expect(few.calls.filter((call) => call === "")).toHaveLength(2);
      const many = listingBy((limit) => pageOf(limit, 0));
      await expect(find(many.scripted, seek("p0001"))).rejects.toThrow(/does not advance/);
      expect(many.calls).toHaveLength(2);
    });

    it("without an end: a million is the end", async () => {
      const { scripted, calls } = listingBy((_, offset) => [`p${offset}`]);
      await expect(find(scripted, seek("p0001"))).rejects.toThrow(/does not end/);
      expect(calls).toHaveLength(2_001);
    });
  });

  it.each([
    ["the same for ever", 0],
    ["others for ever", 1],
  ])("ends where pages of details show %s", async (_, step) => {
    const { scripted } = listing(["a", "b"], []);
    let asked = 0;
    const endless: Ocs = {
      call: async (method, path, parameters) => {
        if (path !== "cloud/users/details") return scripted.call(method, path, parameters);
        asked += 1;
        const id = `a${asked * step}`;
        return { users: { [id]: { id, enabled: true, backend: "user_oidc" } } };
      },
    };
    expect(await find(endless, seek("a", "b"))).toEqual(["a", "b"]);
    expect(asked).toBeLessThan(4);
  });

  it("asks for 500 at most on a page: Nextcloud 34 answers a limit above with HTTP 500", async () => {
    const server = await startSimulatedNextcloud({ version: 34 });
    closers.push(server.close);
    const wanted = new Set(Array.from({ length: 1_100 }, (_, index) => `p${index}`));
    for (const id of wanted) server.addLocalUser({ id });
    const pool = createPool(server.url, 4, NEXTCLOUD_TIMEOUTS);
    closers.push(() => pool.close());
    const { url: baseUrl, username, password } = server;
    const { size } = await listAccounts(createOcs({ baseUrl, username, password: async () => password, pool }), wanted);
    expect(size).toBe(wanted.size);
    for (const { path } of server.requests) expect(Number(/limit=(\d+)/.exec(path)?.[1])).toBeLessThanOrEqual(500);
  });

  it("as a map has them by the ids that were wanted, in whichever letter case they are", async () => {
    for (const id of ["Ada", "grace", "linus"]) nextcloud.addLocalUser({ id });
    const accounts = await listAccounts(ocs, new Set(["ada", "grace", "missing"]));
    expect([...accounts].map(([wanted, account]) => [wanted, account.id])).toEqual([
      ["ada", "Ada"],
      ["grace", "grace"],
    ]);
  });
});

describe("pre-provisioning an account of user_oidc", () => {
  const upsert = (profile: Profile = PROFILE) => upsertOidcAccount(ocs, 1, "minimal-sub", profile);

  it("makes it with name, e-mail and quota in one call", async () => {
    await upsert();
    expect(requests()).toEqual(["POST user_oidc"]);
    expect(lastParameters()).toEqual({
      providerId: "1",
      userId: "minimal-sub",
      displayName: "Ada Lovelace",
      email: "Ada@Acme.example",
      quota: "5 GB",
    });
    expect(nextcloud.user(MINIMAL)).toMatchObject({
      id: MINIMAL,
      backends: ["user_oidc"],
      displayName: "Ada Lovelace",
      email: "ada@acme.example",
      quota: 5 * GB,
      enabled: true,
      homeExists: true,
    });
  });

  it("again updates it, and does not enable it", async () => {
    await upsert();
    nextcloud.setEnabled(MINIMAL, false);
    await upsert({ displayName: "Ada King", email: "king@acme.example", quota: "none" });
    expect(nextcloud.user(MINIMAL)).toMatchObject({
      displayName: "Ada King",
      email: "king@acme.example",
      quota: "none",
      enabled: false,
    });
  });

  it("with what is empty or not known leaves that as it was", async () => {
    await upsert();
    await upsert({ displayName: "", email: "", quota: undefined });
    expect(lastParameters()).toEqual({ providerId: "1", userId: "minimal-sub" });
    expect(nextcloud.user(MINIMAL)).toMatchObject({
      displayName: "Ada Lovelace",
      email: "ada@acme.example",
      quota: 5 * GB,
    });
  });

  it.each([
    "0",
    "5 GB",
    "1.5 GB",
    "123456789",
    "512 MB",
    "7 TB",
    "none",
  ])("with the quota %s gives exactly the quota that a later look shows", async (text) => {
    const quota = parseQuota(text);
    await upsert({ ...PROFILE, quota });
    expect((await getAccount(ocs, MINIMAL))?.quota).toBe(quota);
  });

  it("says under which id user_oidc has made it", async () => {
    expect(await upsert()).toBe(MINIMAL);
  });

  it("without the app user_oidc says which app to enable", async () => {
    const answer = await fetch(`${nextcloud.url}/ocs/v2.php/apps/other/api/v1/user?format=json`);
    nextcloud.faults.add({
      kind: "status",
      status: answer.status,
      headers: { "content-type": answer.headers.get("content-type") ?? "" },
      body: await answer.text(),
    });
    const missing = upsert();
    await expect(missing).rejects.toThrow(NextcloudMisrouted);
    await expect(missing).rejects.toMatchObject({ fix: expect.stringContaining("user_oidc") });
  });

  it("behind a redirect is not said to lack the app", async () => {
    nextcloud.faults.add({ kind: "status", status: 302, headers: { location: "/login" } });
    await expect(upsert()).rejects.toMatchObject({
      code: "nextcloud-misrouted",
      fix: expect.stringContaining("nextcloud.baseUrl"),
    });
  });

  it("that fails with 500, as parallel first calls do, is tried again later", async () => {
    nextcloud.faults.add({ kind: "status", status: 500, times: 1 });
    await expect(upsert()).rejects.toThrow(NextcloudServerError);
    await upsert();
    expect(nextcloud.user(MINIMAL)).toMatchObject({ backends: ["user_oidc"] });
  });
});

describe("removing an account that was made a moment ago", () => {
  beforeEach(() => upsertOidcAccount(ocs, 1, "minimal-sub", PROFILE));

  it("deletes it by its id", async () => {
    expect(await removeFreshAccount(ocs, MINIMAL)).toBe(true);
    expect(requests().slice(1)).toEqual(["GET user", "DELETE user_oidc"]);
    expect(nextcloud.user(MINIMAL)).toBeUndefined();
  });

  it.each<[string, () => unknown]>([
    ["was logged in to", () => nextcloud.simulateLogin({ providerId: 1, sub: "minimal-sub" })],
    [
      "is in a group",
      () => {
        nextcloud.addGroup("board");
        nextcloud.addMember("board", MINIMAL);
      },
    ],
  ])("leaves one that %s", async (_, meanwhile) => {
    meanwhile();
    expect(await removeFreshAccount(ocs, MINIMAL)).toBe(false);
    expect(nextcloud.user(MINIMAL)).toBeDefined();
  });

  it("leaves a local account", async () => {
    nextcloud.addLocalUser({ id: "carol" });
    expect(await removeFreshAccount(ocs, "carol")).toBe(false);
    expect(nextcloud.user("carol")).toBeDefined();
  });

  it.each([
    ["cannot be read", answers(500, "GET user")],
    ["cannot be deleted", answers(400, "DELETE user_oidc", { body: refusal(101, "no") })],
  ])("says of one that %s that it is still there", async (_, fault) => {
    nextcloud.faults.add(fault);
    expect(await removeFreshAccount(ocs, MINIMAL)).toBe(false);
    expect(nextcloud.user(MINIMAL)).toBeDefined();
  });
});

describe("making a core account", () => {
  const create = (id = "ada", profile: Profile = PROFILE, groups: string[] = []) =>
    createCoreAccount(ocs, id, profile, groups);

  it("gives it name, e-mail, quota and groups in one call", async () => {
    nextcloud.addGroup("eng");
    nextcloud.addGroup("ops & more");
    expect(await create("ada", PROFILE, ["eng", "ops & more"])).toBe("made");
    expect(requests()).toEqual(["POST user"]);
    expect(nextcloud.user("ada")).toMatchObject({
      backends: ["Database"],
      displayName: "Ada Lovelace",
      email: "ada@acme.example",
      quota: 5 * GB,
      groups: ["eng", "ops & more"],
    });
  });

  it("gives it a long random password that no two accounts share", async () => {
    await create("ada");
    const first = String(lastParameters()?.password);
    await create("grace");
    const second = String(lastParameters()?.password);
    expect(first.length).toBeGreaterThanOrEqual(32);
    expect(first).not.toBe(second);
    for (const kind of [/[a-z]/, /[A-Z]/, /[0-9]/, /[^A-Za-z0-9]/]) expect(first).toMatch(kind);
  });

  it("that is there says so, instead of failing", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    expect(await create()).toBe("exists");
  });

  it("that is there in other letter case says so: the caller has to look", async () => {
    nextcloud.addLocalUser({ id: "ADA" });
    expect(await create()).toBe("exists");
    expect(await getAccount(ocs, "ada")).toMatchObject({ id: "ADA" });
  });

  it("that somebody made at the same moment (101) says that it is there", async () => {
    const body = JSON.stringify({ ocs: { meta: { statuscode: 101, message: "Bad request" }, data: [] } });
    nextcloud.faults.add({ kind: "status", status: 400, body, after: true, times: 1, match: posts("cloud/users?") });
    expect(await create()).toBe("exists");
    expect(requests()).toEqual(["POST user", "GET user"]);
  });

  it("that a failed attempt left behind (102) says that it is there", async () => {
    const half = ocs.call("POST", "cloud/users", { userid: "ada", password: "Correct-horse-9", quota: "abc" });
    await expect(half).rejects.toThrow(OcsRefusal);
    expect(nextcloud.user("ada")).toMatchObject({ email: null });
    expect(await create()).toBe("exists");
  });

  it("that is refused and not there is a refusal", async () => {
    await expect(create("jörg")).rejects.toMatchObject({ status: 101, failureClass: "permanent" });
    expect(requests()).toEqual(["POST user", "GET user"]);
  });

  it("with a missing group says so (104), and nothing is made", async () => {
    expect(await create("ada", PROFILE, ["missing"])).toBe("group-missing");
    expect(nextcloud.user("ada")).toBeUndefined();
  });

  it.each([
    "0",
    "1.5 GB",
    "123456789",
    "none",
  ])("with the quota %s gives exactly the quota that a later look shows, as does an edit", async (text) => {
    const quota = parseQuota(text);
    await create("ada", { ...PROFILE, quota });
    expect((await getAccount(ocs, "ada"))?.quota).toBe(quota);
  });

  it("as somebody who is no administrator is forbidden", async () => {
    const nobody = as("nobody", "nobodys-app-password");
    await expect(createCoreAccount(nobody, "ada", PROFILE, [])).rejects.toThrow(NextcloudForbidden);
  });
});

describe("editing an account", () => {
  it("changes one field a call", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    await editAccount(ocs, "ada", "displayname", "Ada King");
    await editAccount(ocs, "ada", "email", "king@acme.example");
    await editAccount(ocs, "ada", "quota", "1 GB");
    expect(requests()).toEqual(["PUT user", "PUT user", "PUT user"]);
    expect(nextcloud.user("ada")).toMatchObject({ displayName: "Ada King", email: "king@acme.example", quota: GB });
  });

  it("with an e-mail address that Nextcloud refuses is a refusal", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    await expect(editAccount(ocs, "ada", "email", "no address")).rejects.toMatchObject({ status: 101 });
  });
});

describe("enabling and disabling", () => {
  it("may be repeated", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    for (const enabled of [false, false, true, true]) {
      await setAccountEnabled(ocs, "ada", enabled);
      expect(nextcloud.user("ada")?.enabled).toBe(enabled);
    }
    expect(requests()).toEqual(["PUT disable", "PUT disable", "PUT enable", "PUT enable"]);
  });

  it("does not use up the limit of fifty edits", async () => {
    nextcloud.addLocalUser({ id: "ada" });
    for (let time = 0; time < 60; time += 1) await setAccountEnabled(ocs, "ada", time % 2 === 0);
    expect(nextcloud.user("ada")?.enabled).toBe(false);
  });

  it("of an account that is gone is tried again, and then finds what to do", async () => {
    await expect(setAccountEnabled(ocs, "ada", false)).rejects.toMatchObject(VANISHED);
  });
});

const VANISHED = { failureClass: "transient", code: "nextcloud-account-vanished" };

describe("joining a group", () => {
  beforeEach(() => {
    nextcloud.addLocalUser({ id: "ada" });
  });

  it.each(["eng", "eng/backend", "c++", "a%2Fb", "Größe ü€", "x & y=z"])("named %j works, again too", async (gid) => {
    nextcloud.addGroup(gid);
    expect(await joinGroup(ocs, "ada", gid)).toBe(true);
    expect(await joinGroup(ocs, "ada", gid)).toBe(true);
    expect(nextcloud.user("ada")?.groups).toEqual([gid]);
  });

  it("that does not exist says so", async () => {
    expect(await joinGroup(ocs, "ada", "eng")).toBe(false);
  });

  it("of other letter case does not exist", async () => {
    nextcloud.addGroup("Eng");
    expect(await joinGroup(ocs, "ada", "eng")).toBe(false);
  });

  it.each([true, false])("is tried once more after a 500, the work done or not: %s", async (after) => {
    nextcloud.addGroup("eng");
    nextcloud.faults.add({ kind: "status", status: 500, after, times: 1 });
    expect(await joinGroup(ocs, "ada", "eng")).toBe(true);
    expect(requests()).toEqual(["POST membership", "POST membership"]);
    expect(nextcloud.user("ada")?.groups).toEqual(["eng"]);
  });

  it("is given up for now after a second 500", async () => {
    nextcloud.addGroup("eng");
    nextcloud.faults.add({ kind: "status", status: 500 });
    await expect(joinGroup(ocs, "ada", "eng")).rejects.toThrow(NextcloudServerError);
    expect(requests()).toEqual(["POST membership", "POST membership"]);
  });

  it("that is missing after a 500 says so", async () => {
    nextcloud.faults.add({ kind: "status", status: 500, times: 1 });
    expect(await joinGroup(ocs, "ada", "eng")).toBe(false);
  });

  it("with an account that is gone is tried again, and then finds what to do", async () => {
    nextcloud.addGroup("eng");
    await expect(joinGroup(ocs, "grace", "eng")).rejects.toMatchObject(VANISHED);
  });
});

describe("leaving a group", () => {
  beforeEach(() => {
    nextcloud.addLocalUser({ id: "ada" });
  });

  it.each(["eng", "eng/backend", "c++", "a%2Fb", "x & y=z"])("named %j works, again too", async (gid) => {
    nextcloud.addGroup(gid);
    nextcloud.addMember(gid, "ada");
    await leaveGroup(ocs, "ada", gid);
    await leaveGroup(ocs, "ada", gid);
    expect(nextcloud.user("ada")?.groups).toEqual([]);
  });

  it("that is gone is done", async () => {
    await leaveGroup(ocs, "ada", "eng");
    expect(requests()).toEqual(["DELETE membership"]);
  });

  it("with an account that is gone is tried again, and then finds what to do", async () => {
    nextcloud.addGroup("eng");
    await expect(leaveGroup(ocs, "grace", "eng")).rejects.toMatchObject(VANISHED);
  });
});

describe("a group", () => {
  it("is made with its id and its display name", async () => {
    await createGroup(ocs, "bc74", "Engineering");
    expect(nextcloud.group("bc74")).toEqual({ gid: "bc74", displayName: "Engineering", members: [] });
  });

  it("that exists already is taken as made, as after a race", async () => {
    nextcloud.addGroup("eng", "Theirs");
    await createGroup(ocs, "eng", "Ours");
    expect(nextcloud.group("eng")).toMatchObject({ displayName: "Theirs" });
  });

  it("that Nextcloud refuses is refused with its sentence, and others are not", async () => {
    expect(await createGroup(ocs, "0", "0")).toMatch(/Invalid group name \(OCS 101\)/);
    expect(nextcloud.group("0")).toBeUndefined();
    expect(await createGroup(ocs, "eng", "Engineering")).toBeUndefined();
  });

  it("exists in its own letter case only", async () => {
    nextcloud.addGroup("Eng");
    expect(await groupExists(ocs, "Eng")).toBe(true);
    expect(await groupExists(ocs, "eng")).toBe(false);
  });

  it("on a server without this part of the API is misrouted, and not the same as no group", async () => {
    const answer = await fetch(`${nextcloud.url}/ocs/v2.php/no/such/route?format=json`);
    nextcloud.faults.add({
      kind: "status",
      status: answer.status,
      headers: { "content-type": answer.headers.get("content-type") ?? "" },
      body: await answer.text(),
    });
    await expect(groupExists(ocs, "eng")).rejects.toThrow(NextcloudMisrouted);
  });

  it.each([
    ["the same page for ever", (): unknown => ["detailsmen"], 2],
    ["pages as objects", (): unknown => ({ 0: "detailsmen", 2: "details" }), 1],
  ])("that cannot be asked for by path is looked for in a list: %s", async (_, groups, pages) => {
    let asked = 0;
    const scripted: Ocs = {
      call: async () => {
        asked += 1;
        return { groups: groups() };
      },
    };
    expect(await groupExists(scripted, "details")).toBe(pages === 1);
    expect(asked).toBe(pages);
  });

  it("that cannot be asked for by path is not looked for without end", async () => {
    let asked = 0;
    const scripted: Ocs = {
      call: async () => {
        asked += 1;
        return { groups: [`details${asked}`] };
      },
    };
    await expect(groupExists(scripted, "details")).rejects.toThrow(/does not end/);
    expect(asked).toBe(200);
  });

  it("is forbidden to look at for one who is no administrator", async () => {
    nextcloud.addGroup("eng");
    await expect(groupExists(as("nobody", "nobodys-app-password"), "eng")).rejects.toThrow(NextcloudForbidden);
  });
});
