import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  jsonAnswer,
  parametersOf,
  type RecordedRequest,
  type SimulatedServer,
  startServer,
} from "../../functions/simulated/server.ts";

let server: SimulatedServer;
/** How often the real work was done. */
let work: number;

beforeEach(async () => {
  work = 0;
  server = await startServer({
    answer: () => {
      work += 1;
      return jsonAnswer(200, { work, filler: "x".repeat(200) });
    },
  });
});
afterEach(() => server.close());

const get = (path = "/", init: RequestInit = {}): Promise<Response> => fetch(server.url + path, init);
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};
const text = async (path = "/"): Promise<string> => (await get(path)).text();

describe("faults", () => {
  it("answer a status instead, without the work", async () => {
    server.faults.add({ kind: "status", status: 503, headers: { "retry-after": "7" }, body: "busy" });
    const response = await get();
    expect([response.status, response.headers.get("retry-after"), await response.text()]).toEqual([503, "7", "busy"]);
    expect(work).toBe(0);
  });

  it("answer a status after the work has been done", async () => {
    server.faults.add({ kind: "status", status: 500, after: true });
    expect((await get()).status).toBe(500);
    expect(work).toBe(1);
  });

  it("happen as often as asked, then the next one, then nothing", async () => {
    server.faults.add({ kind: "status", status: 500, times: 2 });
    server.faults.add({ kind: "status", status: 429, times: 1 });
    const statuses: number[] = [];
    for (let request = 0; request < 4; request += 1) statuses.push((await get()).status);
    expect(statuses).toEqual([500, 500, 429, 200]);
  });

  it("happen to matching requests only, until cleared", async () => {
    server.faults.add({ kind: "status", status: 500, match: ({ method, path }) => method === "GET" && path === "/a" });
    expect([(await get("/a")).status, (await get("/b")).status]).toEqual([500, 200]);
    server.faults.clear();
    expect((await get("/a")).status).toBe(200);
  });

  it.each([
    [false, 0],
    [true, 1],
  ])("reset the connection, work done first: %s", async (after, done) => {
    server.faults.add({ kind: "reset", after, times: 1 });
    await expect(get()).rejects.toThrow("fetch failed");
    expect(work).toBe(done);
    expect((await get()).status).toBe(200);
  });

  it("cut the answer in the middle of the body, after the work", async () => {
    server.faults.add({ kind: "cut", times: 1 });
    const response = await get();
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect(work).toBe(1);
  });

  it.each([
    [false, 0],
    [true, 1],
  ])("hang until the client gives up, work done first: %s", async (after, done) => {
    server.faults.add({ kind: "hang", after, times: 1 });
    const client = new AbortController();
    const hanging = get("/", { signal: client.signal });
    await until(() => server.requests.length === 1 && work === done);
    client.abort();
    await expect(hanging).rejects.toThrow("aborted");
    expect(work).toBe(done);
  });

  it.each([[false], [true]])("are slow, then give the real answer, work done first: %s", async (after) => {
    server.faults.add({ kind: "slow", ms: 20, after, times: 1 });
    expect(await text()).toContain('"work":1');
    expect(work).toBe(1);
  });
});

describe("the server", () => {
  it("records every request with its query, headers and body", async () => {
    await get("/path?a=1", { method: "POST", body: "text", headers: { "x-test": "yes" } });
    expect(server.requests).toMatchObject([
      { method: "POST", path: "/path?a=1", body: "text", headers: { "x-test": "yes" } },
    ]);
  });

  it("is unreachable while it is down, and keeps its state and port", async () => {
    await text();
    const { url } = server;
    await server.down();
    await expect(get()).rejects.toThrow("fetch failed");
    await server.up();
    expect(server.url).toBe(url);
    expect(await text()).toContain('"work":2');
  });

  it("breaks off requests that are under way when it goes down", async () => {
    server.faults.add({ kind: "hang", times: 1 });
    const hanging = get();
    hanging.catch(() => undefined);
    await until(() => server.requests.length === 1);
    await server.down();
    await expect(hanging).rejects.toThrow();
  });

  it("releases hanging and slow requests when it is closed", async () => {
    server.faults.add({ kind: "hang", times: 1 });
    server.faults.add({ kind: "slow", ms: 600_000, times: 1 });
    const waiting = [get(), get()];
    for (const request of waiting) request.catch(() => undefined);
    await until(() => server.requests.length === 2);
    await server.close();
    for (const request of waiting) await expect(request).rejects.toThrow();
  });

  it("takes the service time of each request", async () => {
    const paths: string[] = [];
    const slow = await startServer({
      answer: ({ path }) => jsonAnswer(200, { path }),
      serviceTime: ({ path }) => {
        paths.push(path);
        return 1;
      },
    });
    try {
      expect(await (await fetch(`${slow.url}/a`)).json()).toEqual({ path: "/a" });
      expect(paths).toEqual(["/a"]);
    } finally {
      await slow.close();
    }
  });
});

describe("parameters", () => {
  const parse = (path: string, type: string, body: string): Record<string, unknown> => {
    const request: RecordedRequest = { at: 0, method: "POST", path, headers: { "content-type": type }, body };
    return Object.fromEntries(parametersOf(request));
  };

  it("of forms are collected as PHP does", () => {
    const body = "userid=a+b&groups[]=x&groups%5B%5D=y&quota=1&quota=2";
    expect(parse("/?userid=query&format=json", "application/x-www-form-urlencoded", body)).toEqual({
      userid: "a b",
      format: "json",
      groups: ["x", "y"],
      quota: "2",
    });
  });

  it("of JSON keep their types", () => {
    const body = '{"userId":12345,"groups":["a"],"quota":null}';
    expect(parse("/", "application/json", body)).toEqual({ userId: 12345, groups: ["a"], quota: null });
  });

  it.each(["not json", '"text"', "[1]"])("of the body %s are none", (body) => {
    expect(parse("/?a=1", "application/json", body)).toEqual({ a: "1" });
  });
});
