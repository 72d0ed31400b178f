import { afterEach, describe, expect, it } from "vitest";
import { createPool } from "../../functions/http.ts";
import { setAccountEnabled } from "../../functions/nextcloud/accounts.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "../../functions/nextcloud/ocs.ts";
import { Session } from "../../functions/nextcloud/session.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

/* The kinds of credentials, and the session of one with a login password (docs/facts/nextcloud.md 4). */

const APP_PASSWORD = "an-app-password";
const LOGIN_PASSWORD = "the-login-password-of-the-administrator";
const MINUTE = 60_000;

let closers: (() => Promise<unknown>)[] = [];
let time: number;
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});

async function nextcloudOf(version: 27 | 32 | 34, backend: "Database" | "user_oidc" = "Database") {
  time = Date.now();
  const nextcloud = await startSimulatedNextcloud({
    version,
    credentials: [{ username: "admin", password: APP_PASSWORD, loginPassword: LOGIN_PASSWORD, backend }],
    users: [{ id: "ada" }],
    bruteForce: true,
    now: () => time,
  });
  closers.push(nextcloud.close);
  return nextcloud;
}

function client({ url: baseUrl }: SimulatedNextcloud, password: string, session = new Session()): Ocs {
  const pool = createPool(baseUrl, 4, NEXTCLOUD_TIMEOUTS);
  closers.push(() => pool.close());
  return createOcs({ baseUrl, username: "admin", password: async () => password, pool, session, now: () => time });
}

const write = (ocs: Ocs) => setAccountEnabled(ocs, "ada", false);
const read = (ocs: Ocs) => ocs.call("GET", "cloud/users/ada");

async function block(nextcloud: SimulatedNextcloud): Promise<void> {
  const other = client(nextcloud, "wrong");
  for (let attempt = 0; attempt < 11; attempt += 1) await expect(read(other)).rejects.toThrow("401");
}

describe("a core write", () => {
  it.each([
    [27, "Database", APP_PASSWORD],
    [27, "Database", LOGIN_PASSWORD],
    [32, "Database", APP_PASSWORD],
    [32, "user_oidc", APP_PASSWORD],
    [34, "Database", LOGIN_PASSWORD],
    [34, "user_oidc", APP_PASSWORD],
  ] as const)("passes on %d for an administrator of %s with %s", async (version, backend, password) => {
    const nextcloud = await nextcloudOf(version, backend);
    await write(client(nextcloud, password));
    expect(nextcloud.user("ada")?.enabled).toBe(false);
  });

  it("is refused on 34 for an ordinary administrator's app password, with what to do, and what 34 takes still works", async () => {
    const nextcloud = await nextcloudOf(34);
    const ocs = client(nextcloud, APP_PASSWORD);
    await expect(write(ocs)).rejects.toMatchObject({
      code: "nextcloud-password-confirmation",
      fix: expect.stringMatching(/clavex-nextcloud setup.*service account/),
    });
    await ocs.call("POST", "apps/user_oidc/api/v1/user", { providerId: "1", userId: "grace", displayName: "Grace" });
    await read(ocs);
  });

  it("with a login password logs in anew when the session's login is half an hour old, and reads do not", async () => {
    const nextcloud = await nextcloudOf(34);
    const ocs = client(nextcloud, LOGIN_PASSWORD);
    await write(ocs);
    time += 31 * MINUTE;
    await read(ocs);
    expect(nextcloud.sessionsOpened).toBe(1);
    await write(ocs);
    await write(ocs);
    expect(nextcloud.sessionsOpened).toBe(2);
    expect(nextcloud.requests.filter(({ method }) => method === "PUT")).toHaveLength(4);
  });

  it("of several at the same time logs in anew and is made once for each", async () => {
    const nextcloud = await nextcloudOf(34);
    const ocs = client(nextcloud, LOGIN_PASSWORD);
    await read(ocs);
    time += 31 * MINUTE;
    await Promise.all(Array.from({ length: 4 }, () => write(ocs)));
    expect(nextcloud.user("ada")?.enabled).toBe(false);
  });
});

describe("somebody else's failed logins from the same address", () => {
  it("let a kept session pass, and stop fresh requests with the lines that help", async () => {
    const nextcloud = await nextcloudOf(34);
    const session = new Session();
    await read(client(nextcloud, APP_PASSWORD, session));
    await block(nextcloud);
    await expect(read(client(nextcloud, APP_PASSWORD))).rejects.toMatchObject({
      code: "nextcloud-blocked",
      failureClass: "configuration",
      scope: { server: "nextcloud", harmful: false },
      fix: expect.stringMatching(/occ security:bruteforce:reset ADDRESS.*whitelist_1 --value=ADDRESS/),
    });
    await read(client(nextcloud, APP_PASSWORD, session));
    time += 31 * MINUTE;
    await read(client(nextcloud, APP_PASSWORD));
  });

  it("do not cost a login password its session, which is not renewed while they hold", async () => {
    const nextcloud = await nextcloudOf(34);
    const ocs = client(nextcloud, LOGIN_PASSWORD);
    await write(ocs);
    time += 31 * MINUTE;
    await block(nextcloud);
    const before = nextcloud.requests.length;
    for (const _ of [1, 2, 3]) await expect(write(ocs)).rejects.toMatchObject({ code: "nextcloud-blocked" });
    await read(ocs);
    // One fresh login was tried; the others were spared.
    expect(nextcloud.requests.length - before).toBe(5);
    time += 31 * MINUTE;
    await write(ocs);
    expect(nextcloud.user("ada")?.enabled).toBe(false);
  });
});

it("edits over the limit are no block: the session and everything else go on", async () => {
  const nextcloud = await nextcloudOf(34, "user_oidc");
  const ocs = client(nextcloud, APP_PASSWORD);
  const edit = () => ocs.call("PUT", "cloud/users/ada", { key: "language", value: "de" });
  for (let call = 0; call < 50; call += 1) await edit();
  await expect(edit()).rejects.toMatchObject({ code: "nextcloud-rate-limited" });
  await read(ocs);
  expect(nextcloud.sessionsOpened).toBe(1);
});
