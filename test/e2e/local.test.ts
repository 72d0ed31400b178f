import { once } from "node:events";
import { request } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Office, openOffice } from "../support/office.ts";
import { signed } from "../support/requests.ts";

const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const ACCOUNT = "5aa15ceeda5109e1473f31e7462c45e929ba7e7d264437dd5a9a9d013919039e";

/** The whole of `npm start` as a process of its own, between a simulated Clavex and a simulated Nextcloud. */
describe("npm start with an organization file", () => {
  let office: Office;

  beforeEach(async () => {
    office = await openOffice({ quota: { default: "5 GB" } });
    office.person({ id: SUBJECT, email: "ada@acme.eu" }, ["eng", "ops"]);
  });
  afterEach(() => office.close());

  const delivery = (event: string, id: string): string =>
    JSON.stringify({ ...office.clavex.delivery(event, userNow()), id });

  function userNow() {
    const user = office.clavex.user(office.slug, SUBJECT);
    if (!user) throw new Error("the person is gone");
    return user;
  }

  const calls = () => office.nextcloud.requests.map(({ method, path }) => `${method} ${path.replace(/\?.*/, "")}`);

  test("a signed delivery makes the account, its groups and quota with the fewest calls", async () => {
    const { post, printed } = await office.start();
    expect(await post(delivery("user.created", "d-1"))).toBe(202);
    await printed(/deliveryId=d-1 result=applied/);

    const users = "/ocs/v2.php/cloud/users";
    expect(calls()).toEqual([
      `GET ${users}/${ACCOUNT}`,
      // The name first, for the address book.
      "POST /ocs/v2.php/apps/user_oidc/api/v1/user",
      "POST /ocs/v2.php/apps/user_oidc/api/v1/user",
      "POST /ocs/v2.php/cloud/groups",
      `POST ${users}/${ACCOUNT}/groups`,
      "POST /ocs/v2.php/cloud/groups",
      `POST ${users}/${ACCOUNT}/groups`,
    ]);
    expect(office.nextcloud.user(ACCOUNT)).toMatchObject({
      displayName: "Ada Lovelace",
      email: "ada@acme.eu",
      quota: 5 * 1024 ** 3,
      groups: [office.groupId("eng"), office.groupId("ops")].sort(),
    });
    expect(office.nextcloud.group(office.groupId("eng"))?.displayName).toBe("eng");
  });

  test("a delivery sent twice, the second time in the form of a retry, writes nothing the second time", async () => {
    const { post, printed } = await office.start();
    const body = delivery("user.created", "d-1");
    await post(body);
    await printed(/deliveryId=d-1 result=applied/);
    const before = calls().length;
    const { id, event, occurred_at, data } = JSON.parse(body);
    expect(await post(JSON.stringify({ id, data, event, occurred_at }, null, 1))).toBe(202);
    expect(await post(delivery("user.updated", "d-2"))).toBe(202);
    await printed(/deliveryId=d-2 result=unchanged/);
    expect(calls().slice(before)).toEqual([`GET /ocs/v2.php/cloud/users/${ACCOUNT}`]);
  });

  test("a job that was accepted before the pipeline was killed is done after its restart", async () => {
    const first = await office.start();
    await office.nextcloud.down();
    expect(await first.post(delivery("user.created", "d-1"))).toBe(202);
    await first.printed(/job failed/);
    first.kill("SIGKILL");
    await first.ended;
    await office.nextcloud.up();
    const second = await office.start();
    // The failed job is invisible for its retry delay; a manual look at the person goes after it in the same FIFO group.
    expect(await second.printed(/deliveryId=d-1 result=applied/)).toBeTruthy();
    expect(office.nextcloud.user(ACCOUNT)?.displayName).toBe("Ada Lovelace");
  });

  test("SIGTERM finishes what is under way and ends with code 0", async () => {
    const { post, kill, ended } = await office.start();
    await post(delivery("user.created", "d-1"));
    kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  test("SIGTERM does not wait for a client that never ends its request", async () => {
    const { url, post, kill, ended } = await office.start();
    const client = request(`${url}/webhooks/clavex/acme`, {
      method: "POST",
      headers: { ...signed("x").headers, "content-length": 100, expect: "100-continue" },
    });
    const cutOff = once(client, "error");
    client.flushHeaders();
    await once(client, "continue");
    client.write("{");
    expect(await post(delivery("user.created", "d-1"))).toBe(202);
    kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(await cutOff).toMatchObject([{ code: "ECONNRESET" }]);
  });

  test("a second pipeline on the same state folder is refused with a sentence", async () => {
    await office.start();
    await expect(office.start()).rejects.toThrow(/another pipeline runs on this state folder/);
  });

  test("a wrong organization file is told and stops no other; when none is left, the start ends with all errors", async () => {
    await office.addFile("broken", { slug: "No", quota: { default: "5 GiB" } });
    const errors = /broken\.json: slug: [\s\S]*broken\.json: quota\.default: \S*5 GiB/;
    const pipeline = await office.start();
    expect(pipeline.output()).toMatch(errors);
    await office.stop();
    await office.configure({ colour: "red" });
    await expect(office.start()).rejects.toThrow(errors);
  });
});
