import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { SimulatedNextcloud, SimulatedNextcloudOptions } from "../../functions/simulated/nextcloud.ts";
import {
  cleanUp,
  credentialsOf,
  exchangesOf,
  hashedId,
  isReplayed,
  lookAtRealServer,
  PASSAGES,
  prefixed,
  RESET_LINE,
  realTarget,
  replay,
  simulatorTarget,
} from "./nextcloud-replay.ts";
import { scenarios } from "./nextcloud-scenarios.ts";
import {
  isReal,
  played,
  type RecordedLogin,
  realCredentials,
  recordings,
  run,
  startTarget,
} from "./nextcloud-target.ts";
import { load } from "./recordings.ts";

/*
 * Holds the simulated Nextcloud against recordings of real ones: of 27 in scenarios, of 32 and 34 in the order in which they
 * were made. With NEXTCLOUD_URL, NEXTCLOUD_USER and NEXTCLOUD_PASSWORD (of an administrator; any kind of credentials) what
 * does no harm runs against that server instead, with users and groups named `cnx-test-...`, which are deleted afterwards. What
 * does not apply to that server or these credentials is skipped with the reason.
 */

/** A real server hashes a password with every login, and may be small. */
const PATIENCE_MS = isReal ? 180_000 : 30_000;

const real = isReal ? realTarget(...realCredentials()) : undefined;
const server = real && (await lookAtRealServer(real, realCredentials()[1]));

describe.runIf(server !== undefined)("a real Nextcloud", { timeout: PATIENCE_MS }, () => {
  const version = (server?.major ?? 0) < 34 ? 32 : 34;

  it.for(PASSAGES)(`answers as ${version} did: $title`, async ({ lines, writes }, { skip }) => {
    const { major, takesWrites, hashesIds } = server ?? expect.fail();
    skip(major < 32, "27 is held to its own recordings");
    skip(writes && !takesWrites, "core takes no writes with these credentials");
    const target = real ?? expect.fail();
    const all = new Map(exchangesOf(version).map((each) => [each.line, each]));
    const idOf = (subject: string): string => (hashesIds ? hashedId(subject) : subject);
    const exchanges = lines.map((line) => prefixed(all.get(line) ?? expect.fail(), idOf));
    try {
      for (const exchange of exchanges) await replay(target, exchange);
    } finally {
      await cleanUp(target, exchanges, idOf);
    }
  });
});

describe("recordings of a real Nextcloud 27", { timeout: PATIENCE_MS }, () => {
  it.for(scenarios.filter(({ where }) => where === "anywhere" || !isReal))("$title", async (scenario, { skip }) => {
    skip(server !== undefined && server.major >= 32, "newer versions are held to recordings of their own");
    await run(scenario);
  });

  it("are all played", () => {
    expect([...recordings.keys()].sort()).toEqual([...new Set(scenarios.flatMap(played))].sort());
  });
});

describe.skipIf(isReal).each([32, 34] as const)(
  "the exchanges of a real Nextcloud %d, one after the other",
  (version) => {
    const exchanges = exchangesOf(version).filter(isReplayed);
    const RAW_IDS = { uniqueUid: false, providerBasedId: false, mappingUid: "sub", mappingDisplayName: "name" };
    const provider = {
      id: 1,
      identifier: "clavex",
      clientId: "nextcloud",
      discoveryEndpoint: "https://id.example/",
      ...RAW_IDS,
    };
    let time = 0;
    let nextcloud: SimulatedNextcloud;
    let cookies: string[];

    beforeAll(async () => {
      nextcloud = await fresh();
    });
    afterAll(() => nextcloud.close());

    function fresh(): Promise<SimulatedNextcloud> {
      return startTarget({
        version,
        credentials: credentialsOf(version),
        providers: [
          { ...provider, scope: "openid profile email groups", mappingEmail: "email", mappingGroups: "groups" },
        ],
        bruteForce: true,
        now: () => time,
      });
    }

    it.each(
      exchanges.map((exchange) => [exchange.line, exchange.request.method, exchange.request.path, exchange] as const),
    )("%d: %s %s", async (line, _method, _path, exchange) => {
      if (line === RESET_LINE) {
        await nextcloud.close();
        nextcloud = await fresh();
      }
      const target = simulatorTarget(nextcloud.url);
      // The calls of the limit before these do not count any more, and the 48 equal ones in between were left out.
      if (line === 236) time += 11 * 60_000;
      if (line === 238)
        for (let call = 0; call < 48; call += 1) await replay(target, exchangesOf(version)[236 - 2] as typeof exchange);
      const response = await replay(target, exchange, cookies);
      if (line === 274) cookies = response.headers.getSetCookie().flatMap((each) => each.split(";")[0] ?? []);
    });
  },
);

describe.skipIf(isReal)("what the recordings show of state and time", () => {
  let nextcloud: SimulatedNextcloud | undefined;
  afterEach(async () => {
    await nextcloud?.close();
  });

  async function start(options: SimulatedNextcloudOptions = {}): Promise<SimulatedNextcloud> {
    nextcloud = await startTarget(options);
    return nextcloud;
  }

  function request(method: string, path: string, form?: Record<string, string>, cookie?: string): Promise<Response> {
    const { url = "", username, password } = nextcloud ?? {};
    return fetch(url + path, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
        "OCS-APIRequest": "true",
        accept: "application/json",
        ...(cookie === undefined ? {} : { cookie }),
      },
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
    });
  }

  const names = (response: Response): string[] =>
    response.headers
      .getSetCookie()
      .map((cookie) => `${cookie.split("=")[0]}${cookie.includes("Max-Age=0") ? " deleted" : ""}`);
  const put = (): Promise<Response> =>
    request("PUT", "/ocs/v2.php/cloud/users/full2", { key: "language", value: "en" });

  it("every answer sets the cookies of a new session, and deletes those of a remembered login", async () => {
    await start();
    const response = await request("GET", "/ocs/v2.php/cloud/users/admin");
    expect(names(response)).toEqual([
      "oc_sessionPassphrase",
      "nc_sameSiteCookielax",
      "nc_sameSiteCookiestrict",
      ...["nc_username deleted", "nc_token deleted", "nc_session_id deleted"],
      ...["nc_username deleted", "nc_token deleted", "nc_session_id deleted"],
      "oc9abrdbgcks",
    ]);
  });

  it("cookies that are sent back keep the session; unknown ones open a new one", async () => {
    const { expireSessions } = await start();
    const first = await request("GET", "/ocs/v2.php/cloud/users/admin");
    const cookie = first.headers
      .getSetCookie()
      .map((line) => line.split(";")[0])
      .join("; ");
    expect(names(await request("GET", "/ocs/v2.php/cloud/users/admin", undefined, cookie))).toEqual([]);
    expect(nextcloud?.sessionsOpened).toBe(1);
    expireSessions();
    const later = await request("GET", "/ocs/v2.php/cloud/users/admin", undefined, cookie);
    expect(later.status).toBe(200);
    expect(nextcloud?.sessionsOpened).toBe(2);
  });

  it("the rate limit counts failed calls and lets go after 600 seconds", async () => {
    let time = 0;
    const { addLocalUser } = await start({ now: () => time });
    for (let call = 0; call < 50; call += 1) expect((await put()).status).toBe(404);
    addLocalUser({ id: "full2" });
    expect((await put()).status).toBe(429);
    time = 599_999;
    expect((await put()).status).toBe(429);
    time = 600_001;
    expect((await put()).status).toBe(200);
  });

  it("brute-force protection lets go after 30 minutes", async () => {
    let time = 0;
    const { url } = await start({ bruteForce: true, now: () => time });
    const wrong = { authorization: `Basic ${btoa("admin:wrong")}`, "OCS-APIRequest": "true" };
    for (let attempt = 0; attempt < 11; attempt += 1) {
      expect((await fetch(`${url}/ocs/v2.php/cloud/users`, { headers: wrong })).status).toBe(401);
    }
    expect((await request("GET", "/ocs/v2.php/cloud/users")).status).toBe(500);
    time = 30 * 60_000 + 1;
    expect((await request("GET", "/ocs/v2.php/cloud/users")).status).toBe(200);
  });

  it("a negative quota is refused by core, with the account made", async () => {
    const { user } = await start();
    const form = { userid: "negative", password: "Correct-horse-battery-9", quota: "-1" };
    const response = await request("POST", "/ocs/v2.php/cloud/users", form);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ ocs: { meta: { statuscode: 101 } } });
    expect(user("negative")).toMatchObject({ backend: "Database", quota: "none" });
  });

  it.each([
    ["0", 5 * 1024 ** 3],
    ["0 B", 0],
    ["-1", 0],
    ["", 5 * 1024 ** 3],
  ])("user_oidc makes of quota %j on 5 GB: %d", async (quota, bytes) => {
    const { user } = await start();
    for (const sent of ["5 GB", quota]) {
      const form = { providerId: "1", userId: "minimal-sub", quota: sent };
      expect((await request("POST", "/ocs/v2.php/apps/user_oidc/api/v1/user", form)).status).toBe(200);
    }
    expect(user("60a86a4244ce7af6ab89af4be1abc0a7293f58cc8ebf3debb334f87d67abf8ac")?.quota).toBe(bytes);
  });

  it("a failed pre-provisioning leaves the account behind", async () => {
    const { users } = await start({
      providers: [{ id: 1, identifier: "clavex", uniqueUid: false, providerBasedId: false }],
    });
    for (const form of [
      { userId: "", quota: "" },
      { userId: "q4", quota: "abc" },
      { userId: "jörg|x/y", quota: "" },
    ]) {
      const response = await request("POST", "/ocs/v2.php/apps/user_oidc/api/v1/user", { providerId: "1", ...form });
      expect(response.status).toBe(500);
    }
    expect(users().map(({ id }) => id)).toEqual(["admin", "", "q4", "jörg|x/y"]);
  });

  it.each([
    [34, "users", { 0: 500, 1: 200, 500: 200, 501: 500, 10000: 500, "-1": 500 }],
    [34, "users/details", { 500: 200, 501: 500 }],
    [34, "groups", { 500: 200, 1000: 500 }],
    [34, "groups/details", { 500: 200, 501: 500 }],
    [34, "groups/admin/users/details", { 500: 200, 501: 500 }],
    [32, "users", { 0: 200, 501: 200, 10000: 200, "-1": 500 }],
    [27, "users", { 0: 200, 501: 200, 10000: 200, "-1": 500 }],
  ] as const)("Nextcloud %d answers the limits of %s with %j", async (version, list, statuses) => {
    await start({ version });
    for (const [limit, status] of Object.entries(statuses)) {
      const answer = await request("GET", `/ocs/v2.php/cloud/${list}?limit=${limit}&format=json`);
      expect([limit, answer.status]).toEqual([limit, status]);
    }
  });

  it("members of a group, with details and pages", async () => {
    await start({
      groups: [{ gid: "eng", displayName: "Engineering" }],
      users: ["u1", "u2", "u3"].map((id) => ({ id, groups: ["eng"], enabled: id !== "u2" })),
    });
    const data = async (path: string): Promise<unknown> => {
      const body = (await (await request("GET", `/ocs/v2.php/cloud/groups${path}`)).json()) as {
        ocs: { data: unknown };
      };
      return body.ocs.data;
    };
    expect(await data("/eng")).toEqual({ users: ["u1", "u2", "u3"] });
    expect(await data("/eng/users/details?limit=1&offset=1")).toMatchObject({
      users: { u2: { id: "u2", enabled: false } },
    });
    expect(await data("/eng/users/details?offset=3")).toEqual({ users: [] });
    expect(await data("/details?search=engineering")).toMatchObject({
      groups: [{ id: "eng", usercount: 3, disabled: 1 }],
    });
    expect(await data("?limit=1&offset=1")).toEqual({ groups: ["eng"] });
  });
});

describe.skipIf(isReal)("recorded first logins", () => {
  it.each(load<RecordedLogin>("nextcloud-logins.jsonl"))("$name $note", async ({
    name,
    note,
    sub,
    claims,
    before,
    status,
    after,
    rows,
  }) => {
    const whitelist = /^whitelist (.*)$/.exec(note)?.[1];
    const nextcloud = await startTarget({
      providers: [
        {
          id: 1,
          identifier: "clavex",
          uniqueUid: !name.includes("uq0"),
          providerBasedId: false,
          groupProvisioning: name.startsWith("gp-"),
          ...(whitelist === undefined ? {} : { groupWhitelistRegex: whitelist }),
        },
      ],
      flags: {
        ...(note.startsWith("soft_auto_provision") ? { softAutoProvision: false } : {}),
        ...(note.startsWith("auto_provision") ? { autoProvision: false } : {}),
        ...(note.startsWith("disable_account_creation") ? { disableAccountCreation: true } : {}),
      },
    });
    try {
      if (before !== null) await make(nextcloud, sub, before, rows);
      expect(nextcloud.simulateLogin({ providerId: 1, sub, claims }).status).toBe(status);
      if (after === null) {
        expect(nextcloud.users().map(({ id }) => id)).toEqual(["admin"]);
        return;
      }
      expect(nextcloud.user(after.id)).toMatchObject({
        id: after.id,
        backend: after.backend,
        backends: rows.split(" ; ").map((row) => (row.startsWith("users:") ? "Database" : "user_oidc")),
        displayName: after.dn,
        email: after.email,
        quota: after.quota === -3 ? "none" : after.quota,
        groups: after.groups,
        enabled: after.enabled,
      });
    } finally {
      await nextcloud.close();
    }
  });

  /** Brings an account into the state before a recorded login. */
  async function make(
    nextcloud: SimulatedNextcloud,
    sub: string,
    { id, dn, email, groups, enabled }: NonNullable<RecordedLogin["before"]>,
    rows: string,
  ): Promise<void> {
    for (const gid of groups) if (nextcloud.group(gid) === undefined) nextcloud.addGroup(gid);
    if (rows.includes("users:")) nextcloud.addLocalUser({ id, displayName: dn, email, quota: "5 GB" });
    if (rows.includes("oidc:")) {
      const response = await fetch(`${nextcloud.url}/ocs/v2.php/apps/user_oidc/api/v1/user`, {
        method: "POST",
        headers: {
          authorization: `Basic ${Buffer.from(`${nextcloud.username}:${nextcloud.password}`).toString("base64")}`,
          "OCS-APIRequest": "true",
        },
        body: new URLSearchParams({ providerId: "1", userId: sub, displayName: dn, email, quota: "5 GB" }),
      });
      expect(response.status).toBe(200);
    }
    for (const gid of groups) nextcloud.addMember(gid, id);
    nextcloud.setEnabled(id, enabled);
  }
});
