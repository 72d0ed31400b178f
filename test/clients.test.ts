import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Clients, createClients } from "../functions/clients.ts";
import { environmentSecrets } from "../functions/config/secrets.ts";
import type { Organization } from "../functions/core/organization.ts";
import { environmentOf, organizationOf } from "./core/organization.ts";
import { until } from "./support/processes.ts";

/** A Nextcloud that answers when the test says so. */
interface Slow {
  server: Server;
  url: string;
  /** The requests that were not answered yet. */
  open: ServerResponse[];
}

let clients: Clients;
let [old, other]: Slow[] = [];
const newClients = (): Clients =>
  createClients({ secrets: environmentSecrets(environmentOf("secret", "acme")), nextcloudConnections: 4 });
beforeEach(async () => {
  clients = newClients();
  [old, other] = await Promise.all([listen(), listen()]);
});
afterEach(async () => {
  await clients.close();
  for (const each of [old, other]) await new Promise((resolve) => each?.server.close(resolve));
});

async function listen(): Promise<Slow> {
  const open: ServerResponse[] = [];
  const server = createServer((_request, response) => void open.push(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, open };
}

const at = (slow: Slow | undefined, slug = "acme"): Organization => {
  const organization = organizationOf({ slug });
  return { ...organization, nextcloud: { ...organization.nextcloud, baseUrl: slow?.url ?? "" } };
};
const call = (organization: Organization) => clients.of(organization).ocs.call("GET", "cloud/capabilities");
const connections = (slow: Slow | undefined) => () =>
  new Promise<number>((resolve) => slow?.server.getConnections((_error, count) => resolve(count)));
async function answer(slow: Slow | undefined): Promise<void> {
  const [response] = await until(
    () => slow?.open.splice(0) ?? [],
    ({ length }) => length > 0,
  );
  response?.writeHead(200, { "content-type": "application/json" });
  response?.end(JSON.stringify({ ocs: { meta: { status: "ok", statuscode: 200 }, data: "there" } }));
}

describe("connections to a server that no organization uses any more", () => {
  it("are closed when the requests under way are over, and not before", async () => {
    const before = at(old);
    const underWay = call(before);
    await until(connections(old), (count) => count === 1);
    clients.keepOnly([at(other)]);
    await answer(old);
    expect(await underWay).toBe("there");
    await until(connections(old), (count) => count === 0);
  });

  it("are opened again for whoever is still at work with it", async () => {
    const before = at(old);
    const { ocs } = clients.of(before);
    const [first] = await Promise.all([ocs.call("GET", "cloud/capabilities"), answer(old)]);
    clients.keepOnly([at(other)]);
    await until(connections(old), (count) => count === 0);
    const [second] = await Promise.all([ocs.call("GET", "cloud/capabilities"), answer(old)]);
    expect([first, second]).toEqual(["there", "there"]);
  });

  it("stay open while another organization uses it", async () => {
    await Promise.all([call(at(old)), answer(old)]);
    clients.keepOnly([at(old, "globex")]);
    await Promise.all([call(at(other)), answer(other)]);
    expect(await connections(old)()).toBe(1);
  });

  it("are closed at the end, also where requests are under way while they are", async () => {
    const underWay = call(at(old));
    await until(connections(old), (count) => count === 1);
    clients.keepOnly([]);
    const closed = clients.close();
    await answer(old);
    await Promise.all([underWay, closed]);
    await until(connections(old), (count) => count === 0);
    await expect(call(at(old))).rejects.toThrow();
    clients = newClients();
  });
});
