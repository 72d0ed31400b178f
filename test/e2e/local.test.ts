import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sign } from "../../functions/clavex/signature.ts";
import { groupId } from "../../functions/core/identity.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { startPipelineProcess } from "../support/processes.ts";

const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const ACCOUNT = "5aa15ceeda5109e1473f31e7462c45e929ba7e7d264437dd5a9a9d013919039e";
const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const API_KEY = "clv_test";

/** The whole of `npm start` as a process of its own, between a simulated Clavex and a simulated Nextcloud. */
describe("npm start with an organization file", () => {
  let folder: string;
  let clavex: SimulatedClavex;
  let nextcloud: SimulatedNextcloud;
  let environment: Record<string, string>;
  const running: Awaited<ReturnType<typeof startPipelineProcess>>[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    clavex = await startSimulatedClavex({ organizations: [{ id: ORGANIZATION, slug: "acme", apiKey: API_KEY }] });
    nextcloud = await startSimulatedNextcloud();
    environment = { WEBHOOK: SECRET, KEY: API_KEY, PASSWORD: nextcloud.password };
    const ada = clavex.addUser("acme", { id: SUBJECT, email: "ada@acme.eu", first_name: "Ada", last_name: "Lovelace" });
    for (const name of ["eng", "ops"]) clavex.addMember("acme", clavex.addGroup("acme", name).id, ada.id);
    const organization = {
      slug: "acme",
      organizationId: ORGANIZATION,
      clavex: { baseUrl: clavex.url, webhookSecrets: ["env:WEBHOOK"], apiKey: "env:KEY" },
      nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:PASSWORD" },
      identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
      quota: { default: "5 GB" },
    };
    await writeFile(join(folder, "acme.json"), JSON.stringify(organization));
  });

  afterEach(async () => {
    for (const program of running.splice(0)) {
      program.kill("SIGKILL");
      await program.ended;
    }
    await clavex.close();
    await nextcloud.close();
    await rm(folder, { recursive: true });
  });

  async function start() {
    const program = await startPipelineProcess(
      ["--organizations", folder, "--state", join(folder, "state")],
      environment,
    );
    running.push(program);
    return program;
  }

  const delivery = (event: string, id: string): string => JSON.stringify({ ...clavex.delivery(event, userNow()), id });

  function userNow() {
    const user = clavex.user("acme", SUBJECT);
    if (!user) throw new Error("the person is gone");
    return user;
  }

  async function post(url: string, body: string): Promise<number> {
    const headers = { "x-clavex-signature": sign(body, SECRET), "content-type": "application/json" };
    const answer = await fetch(`${url}/webhooks/clavex/acme`, { method: "POST", headers, body });
    await answer.text();
    return answer.status;
  }

  const calls = () => nextcloud.requests.map(({ method, path }) => `${method} ${path.replace(/\?.*/, "")}`);

  test("a signed delivery makes the account, its groups and quota with the fewest calls", async () => {
    const { url, printed } = await start();
    expect(await post(url, delivery("user.created", "d-1"))).toBe(202);
    await printed(/deliveryId=d-1 result=applied/);

    const identity = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;
    const users = "/ocs/v2.php/cloud/users";
    expect(calls()).toEqual([
      `GET ${users}/${ACCOUNT}`,
      "POST /ocs/v2.php/apps/user_oidc/api/v1/user",
      "POST /ocs/v2.php/cloud/groups",
      `POST ${users}/${ACCOUNT}/groups`,
      "POST /ocs/v2.php/cloud/groups",
      `POST ${users}/${ACCOUNT}/groups`,
    ]);
    expect(nextcloud.user(ACCOUNT)).toMatchObject({
      displayName: "Ada Lovelace",
      email: "ada@acme.eu",
      quota: 5 * 1024 ** 3,
      groups: [groupId(identity, "eng"), groupId(identity, "ops")].sort(),
    });
    expect(nextcloud.group(groupId(identity, "eng"))?.displayName).toBe("eng");
  });

  test("a delivery sent twice, the second time in the form of a retry, writes nothing the second time", async () => {
    const { url, printed } = await start();
    const body = delivery("user.created", "d-1");
    await post(url, body);
    await printed(/deliveryId=d-1 result=applied/);
    const before = calls().length;
    const { id, event, occurred_at, data } = JSON.parse(body);
    expect(await post(url, JSON.stringify({ id, data, event, occurred_at }, null, 1))).toBe(202);
    expect(await post(url, delivery("user.updated", "d-2"))).toBe(202);
    await printed(/deliveryId=d-2 result=unchanged/);
    expect(calls().slice(before)).toEqual([`GET /ocs/v2.php/cloud/users/${ACCOUNT}`]);
  });

  test("a job that was accepted before the pipeline was killed is done after its restart", async () => {
    const first = await start();
    await nextcloud.down();
    expect(await post(first.url, delivery("user.created", "d-1"))).toBe(202);
    await first.printed(/job failed/);
    first.kill("SIGKILL");
    await first.ended;
    await nextcloud.up();
    await start();
    const second = running.at(-1);
    // The failed job is invisible for its retry delay; a manual look at the person goes after it in the same FIFO group.
    expect(await second?.printed(/deliveryId=d-1 result=applied/)).toBeTruthy();
    expect(nextcloud.user(ACCOUNT)?.displayName).toBe("Ada Lovelace");
  }, 120_000);

  test("SIGTERM finishes what is under way and ends with code 0", async () => {
    const { url, kill, ended } = await start();
    await post(url, delivery("user.created", "d-1"));
    kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  test("SIGTERM does not wait for a client that never ends its request", async () => {
    const { url, kill, ended } = await start();
    const client = request(`${url}/webhooks/clavex/acme`, {
      method: "POST",
      headers: { "x-clavex-signature": sign("x", SECRET), "content-length": 100, expect: "100-continue" },
    });
    const cutOff = once(client, "error");
    client.flushHeaders();
    await once(client, "continue");
    client.write("{");
    expect(await post(url, delivery("user.created", "d-1"))).toBe(202);
    kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(await cutOff).toMatchObject([{ code: "ECONNRESET" }]);
  });

  test("a second pipeline on the same state folder is refused with a sentence", async () => {
    await start();
    await expect(start()).rejects.toThrow(/another pipeline runs on this state folder/);
  });

  test("wrong organization files stop the start with all their errors", async () => {
    await writeFile(join(folder, "broken.json"), JSON.stringify({ slug: "No", quota: { default: "5 GiB" } }));
    await expect(start()).rejects.toThrow(/broken\.json: slug: [\s\S]*broken\.json: quota\.default: "5 GiB"/);
  });
});
