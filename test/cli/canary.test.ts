import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { apiKeyOf, documentOf, WEBHOOK_SECRET } from "../core/organization.ts";
import { type Office, openOffice } from "../support/office.ts";

/*
 * Servers that repeat each request, credentials and all, wherever an answer has room for it: nothing of them may come out of a
 * command, whatever it shows.
 */

type Answering = (response: ServerResponse, repeated: string, request: IncomingMessage) => unknown;

const json = (response: ServerResponse, status: number, value: object) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));

/** A refusal in the server's own form. */
const refusing =
  (status: number): Answering =>
  (response, repeated, { url = "" }) =>
    url.includes("/ocs/")
      ? json(response, status, {
          ocs: { meta: { status: "failure", statuscode: status, message: repeated }, data: { message: repeated } },
        })
      : json(response, status, { error: repeated, message: repeated });

const WAYS: Record<string, Answering> = {
  "a refusal of the request": refusing(400),
  "a refusal of the credentials": refusing(403),
  "a proxy's page": (response, repeated, { headers }) =>
    response
      .writeHead(500, {
        "content-type": "text/html",
        server: String(headers.authorization ?? headers["x-api-key"]),
        via: repeated,
      })
      .end(`<html>${repeated}</html>`),
  "a redirect": (response, repeated) =>
    response.writeHead(302, { location: `${thief.url}/?${encodeURIComponent(repeated)}` }).end(repeated),
  "half an answer": (response, repeated) => {
    response.writeHead(200, { "content-type": "application/json" }).write(repeated);
    response.destroy();
  },
  "no HTTP": (_response, repeated, { socket }) => void socket.end(`HTTP/9 ${repeated}\r\n\r\n${repeated}`),
};

interface Mirror {
  server: Server;
  url: string;
  asked: string[];
  answer: Answering;
}

async function open(answer: Answering): Promise<Mirror> {
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join("");
    const repeated = JSON.stringify({ url: request.url, headers: request.headers, body });
    mirror.asked.push(repeated);
    mirror.answer(response, repeated, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const mirror = {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [] as string[],
    answer,
  };
  return mirror;
}

let office: Office;
let mirror: Mirror;
let thief: Mirror;
let secrets: string[];

beforeAll(async () => {
  [office, thief, mirror] = await Promise.all([openOffice(), open(refusing(404)), open(refusing(404))]);
  const { username, password } = office.nextcloud;
  const basic = Buffer.from(`${username}:${password}`).toString("base64");
  secrets = [password, basic, apiKeyOf(office.slug), WEBHOOK_SECRET];
});
afterAll(async () => {
  await office.close();
  for (const { server } of [mirror, thief]) {
    server.closeAllConnections();
    server.close();
  }
});

describe.each(Object.keys(WAYS))("%s", (way) => {
  test.each(["clavex", "nextcloud"])("of %s that repeats the credentials shows them to nobody", async (name) => {
    const { clavex, nextcloud, slug } = office;
    mirror.answer = WAYS[way] ?? refusing(404);
    mirror.asked.length = 0;
    const repeating = { url: mirror.url, username: nextcloud.username };
    const { organizationId: _, ...document } = documentOf({ slug }, { clavex, nextcloud, [name]: repeating });
    await office.configure(document);
    const person = office.person({}, ["eng"]);
    let shown = "";
    for (const args of [["plan", "--json"], ["explain", person.id], ["reconcile"]])
      shown += (await office.command(...args)).output;
    // They were sent, to that server alone.
    expect(secrets.some((secret) => mirror.asked.some((asked) => asked.includes(secret)))).toBe(true);
    expect(thief.asked).toEqual([]);
    for (const secret of secrets) expect(shown).not.toContain(secret);
    expect(shown).toContain(mirror.url);
  });
});
