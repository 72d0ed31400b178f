import { afterEach, describe, expect, it } from "vitest";
import {
  type SimulatedNextcloud,
  type SimulatedNextcloudOptions,
  startSimulatedNextcloud,
} from "../../functions/simulated/nextcloud.ts";

/*
 * What no recording holds, or only one of a newer version: people's files, cards, limits, look-ups by e-mail address
 * (docs/facts/nextcloud.md 1 and 2).
 */

let running: SimulatedNextcloud | undefined;
afterEach(async () => {
  await running?.close();
});

const PROVIDERS = [{ id: 1, identifier: "clavex", uniqueUid: false, providerBasedId: false }];

async function start(options: SimulatedNextcloudOptions = {}): Promise<SimulatedNextcloud> {
  running = await startSimulatedNextcloud({ providers: PROVIDERS, ...options });
  return running;
}

async function call(nextcloud: SimulatedNextcloud, method: string, path: string, form?: Record<string, string>) {
  const { url, username, password } = nextcloud;
  const answer = await fetch(`${url}/ocs/v2.php/${path}?format=json`, {
    method,
    headers: { authorization: `Basic ${btoa(`${username}:${password}`)}`, "ocs-apirequest": "true" },
    ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
  });
  const body = await answer.text();
  const json = body === "" ? undefined : JSON.parse(body).ocs;
  return { status: answer.status, type: answer.headers.get("content-type"), body, data: json?.data };
}

const upsert = (nextcloud: SimulatedNextcloud, form: Record<string, string>) =>
  call(nextcloud, "POST", "apps/user_oidc/api/v1/user", { providerId: "1", ...form });

describe("the simulated Nextcloud", () => {
  it("copies the skeleton over the person's files at every POST of user_oidc, and at the first login", async () => {
    const nextcloud = await start();
    await upsert(nextcloud, { userId: "ada", displayName: "Ada" });
    const files = nextcloud.files("ada");
    const change = () => {
      files.set("Readme.md", "mine").set("Letter.md", "mine too");
      files.delete("Documents/");
    };
    change();
    await upsert(nextcloud, { userId: "ada", displayName: "Ada" });
    expect(files.get("Readme.md")).toContain("Welcome");
    expect([...files.keys()].sort()).toEqual(["Documents/", "Letter.md", "Readme.md"]);
    nextcloud.simulateLogin({ providerId: 1, sub: "ada" });
    change();
    nextcloud.simulateLogin({ providerId: 1, sub: "ada" });
    expect(Object.fromEntries(files)).toEqual({ "Readme.md": "mine", "Letter.md": "mine too" });
    nextcloud.skeleton.clear();
    await upsert(nextcloud, { userId: "ada", quota: "1 GB" });
    expect(files.get("Readme.md")).toBe("mine");
  });

  it("takes 50 PUTs and 50 PATCHes in ten minutes, failed ones too, and then 429 without a word", async () => {
    let now = 0;
    const nextcloud = await start({ version: 34, now: () => now });
    for (let edit = 0; edit < 50; edit += 1) {
      await call(nextcloud, "PUT", "cloud/users/provisioner", { key: "nosuchkey", value: "1 GB" });
      await call(nextcloud, "PATCH", "cloud/users/provisioner", { quota: "abc" });
    }
    const put = () => call(nextcloud, "PUT", "cloud/users/provisioner", { key: "quota", value: "1 GB" });
    const patch = () => call(nextcloud, "PATCH", "cloud/users/provisioner", { quota: "1 GB" });
    const limited = { status: 429, type: expect.stringContaining("text/html"), body: "" };
    expect([await put(), await patch()]).toMatchObject([limited, limited]);
    now += 600_000;
    expect([await put(), await patch()]).toMatchObject([{ status: 200 }, { status: 200 }]);
  });

  it("checks all of a PATCH before it writes anything, and has none before 34", async () => {
    const nextcloud = await start({ version: 34 });
    await upsert(nextcloud, { userId: "ada", displayName: "Ada" });
    const answer = await call(nextcloud, "PATCH", "cloud/users/ada", { email: "bad", quota: "1 GB", displayName: "X" });
    expect(answer).toMatchObject({ status: 422, data: { errors: { email: "Invalid email address" } } });
    expect(nextcloud.user("ada")).toMatchObject({ quota: "none", displayName: "Ada" });
    const good = await call(nextcloud, "PATCH", "cloud/users/ada", { email: "a@b.example", quota: "1 GB" });
    expect(good).toMatchObject({ status: 200, data: { id: "ada", email: "a@b.example" } });
    expect((await call(nextcloud, "PATCH", "cloud/users/nope", { quota: "1 GB" })).status).toBe(404);
    await nextcloud.close();
    expect(
      (await call(await start({ version: 27 }), "PATCH", "cloud/users/provisioner", { quota: "1 GB" })).status,
    ).toBe(405);
  });

  it("shows a card with the id until the first login where the first POST carries name and e-mail together", async () => {
    const nextcloud = await start();
    await upsert(nextcloud, { userId: "ada", displayName: "Ada", email: "ada@acme.example", quota: "1 GB" });
    expect(nextcloud.card("ada")).toBe("ada");
    nextcloud.simulateLogin({ providerId: 1, sub: "ada" });
    expect(nextcloud.card("ada")).toBe("Ada");
    await upsert(nextcloud, { userId: "eve", displayName: "Eve" });
    await upsert(nextcloud, { userId: "eve", displayName: "Eve", email: "eve@acme.example", quota: "1 GB" });
    expect(nextcloud.card("eve")).toBe("Eve");
    await upsert(nextcloud, { userId: "eve", displayName: "Eva" });
    expect(nextcloud.card("eve")).toBe("Eve");
    await upsert(nextcloud, { userId: "eve", displayName: "Evi", email: "evi@acme.example" });
    expect(nextcloud.card("eve")).toBe("Evi");
  });

  it("finds core accounts by e-mail address from 32 on, and user_oidc's POST changes them", async () => {
    const boss = { id: "boss", displayName: "Boss", email: "boss@acme.example" };
    const nextcloud = await start({ version: 32, users: [boss] });
    expect(await call(nextcloud, "GET", "cloud/users/BOSS%40acme.example")).toMatchObject({ data: { id: "boss" } });
    const answer = await upsert(nextcloud, { userId: "boss@acme.example", displayName: "Eve", quota: "1 GB" });
    expect(answer.data).toEqual({ user_id: "boss" });
    expect(nextcloud.user("boss")).toMatchObject({ displayName: "Boss", quota: 1024 ** 3 });
    await call(nextcloud, "PUT", "cloud/users/boss%40acme.example/disable");
    expect(nextcloud.user("boss")?.enabled).toBe(false);
    await nextcloud.close();
    const old = await start({ version: 27, users: [boss] });
    expect((await call(old, "GET", "cloud/users/boss%40acme.example")).status).toBe(404);
  });
});
