import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAccess } from "../../functions/console/access.ts";
import { type Desk, ORIGIN, openDesk } from "../support/console.ts";
import { buildInMemory } from "../support/organization.ts";

describe("who may use the console", () => {
  let desk: Desk;
  let close: () => Promise<void>;

  beforeAll(async () => {
    const built = await buildInMemory();
    close = built.close;
    desk = await openDesk(built.tenant);
  });
  const closers: (() => Promise<void>)[] = [];
  afterAll(async () => {
    await close();
    for (const each of closers) await each();
  });

  const status = async (path: string, headers: Record<string, string>, method = "GET", fields?: object) => {
    const body = fields && new URLSearchParams({ ...fields });
    return (await desk.app.request(path, { method, headers, ...(body ? { body } : {}) })).status;
  };
  const anonymous = { host: "127.0.0.1:8788" };
  const PAGES = ["/", "/people", "/plan", "/dead-letters", "/activity", "/activity/events", "/checks", "/nowhere"];

  it("shows nothing to whoever has no session", async () => {
    for (const path of PAGES) expect([path, await status(path, anonymous)]).toEqual([path, 401]);
    const forged = { ...desk.headers, cookie: `${desk.headers.cookie?.split("=")[0]}=forged` };
    expect(await status("/", forged)).toBe(401);
  });

  it("lets a browser in once with a link, by a cookie that scripts and other sites do not get", async () => {
    const asked = await desk.app.request("/links", {
      method: "POST",
      headers: { ...anonymous, authorization: `Bearer ${desk.token}` },
    });
    const { path } = (await asked.json()) as { path: string };
    const first = await desk.app.request(path, { headers: anonymous });
    expect([first.status, first.headers.get("location")]).toEqual([303, "/"]);
    expect(first.headers.get("set-cookie")).toMatch(
      /^clavex_nextcloud_\w+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(await status(path, anonymous)).toBe(401);
    expect(await status("/?token=guess", anonymous)).toBe(401);
  });

  it("gives links only to the token of the state folder", async () => {
    for (const authorization of ["", "Bearer", "Bearer guess", `Basic ${desk.token}`])
      expect(await status("/links", { ...anonymous, authorization }, "POST")).toBe(401);
    // A session alone does not make further ones.
    expect(await status("/links", desk.headers, "POST")).toBe(401);
  });

  it("forgets links after ten minutes and sessions after twelve hours", () => {
    let now = 0;
    const access = createAccess("token", () => now);
    const [early, late] = [access.invite(), access.invite()];
    const id = access.enter(early);
    now = 10 * 60_000 + 1;
    expect(access.enter(late)).toBeUndefined();
    expect(access.session(id)).toBeDefined();
    now = 12 * 60 * 60_000 + 1;
    expect(access.session(id)).toBeUndefined();
  });

  it("keeps neither links nor sessions for longer, when the clock that dated them is set back", () => {
    const day = 24 * 60 * 60_000;
    let now = 40 * day;
    const access = createAccess("token", () => now);
    const [early, late] = [access.invite(), access.invite()];
    const id = access.enter(early);
    now = day;
    expect([access.enter(late), access.session(id)]).toEqual([undefined, undefined]);
  });

  it("refuses a name that is not its own, as after DNS rebinding", async () => {
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example:8788",
      "evil.example:8788",
      "localhost@evil.example",
      "[::2]",
      "",
    ])
      expect([host, await status("/", { ...desk.headers, host })]).toEqual([host, 421]);
    for (const host of ["localhost:8788", "127.0.0.1", "[::1]:8788", "LOCALHOST"])
      expect([host, await status("/", { ...desk.headers, host })]).toEqual([host, 200]);
  });

  it("refuses changes from a foreign origin, and from none", async () => {
    const form = /name="form" value="([^"]+)"/.exec(await desk.get("/"))?.[1] ?? "";
    const foreign = ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8788", ""];
    for (const origin of foreign)
      expect([origin, await status("/pause", { ...desk.headers, origin }, "POST", { form })]).toEqual([origin, 403]);
    const crossSite = { ...desk.headers, origin: ORIGIN, "sec-fetch-site": "cross-site" };
    expect(await status("/pause", crossSite, "POST", { form })).toBe(403);
    expect(desk.lines).toEqual([]);
  });

  it("answers no reading by another site, but the link that somebody follows", async () => {
    const embedded = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" };
    expect(await status("/", { ...desk.headers, ...embedded })).toBe(403);
    const framed = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" };
    expect(await status("/", { ...desk.headers, ...framed })).toBe(403);
    const followed = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
    expect(await status("/", { ...desk.headers, ...followed })).toBe(200);
  });

  describe("through a proxy with --console-url", () => {
    const browserUrl = "https://console.example.org:8443";
    const through = { host: "console.example.org" };
    let proxied: Desk;
    beforeAll(async () => {
      const built = await buildInMemory();
      closers.push(built.close);
      proxied = await openDesk(built.tenant, { browserUrl });
    });
    const enter = async (headers: Record<string, string>, method = "GET") => {
      const authorization = `Bearer ${proxied.token}`;
      const asked = await proxied.app.request("/links", { method: "POST", headers: { ...anonymous, authorization } });
      const { path } = (await asked.json()) as { path: string };
      return { path, answer: await proxied.app.request(path, { method, headers }) };
    };

    it("the cookie is secure there, and on the loopback it is one that works without TLS", async () => {
      const secure = /; HttpOnly; Secure; SameSite=Strict$/;
      expect((await enter(through)).answer.headers.get("set-cookie")).toMatch(secure);
      expect((await enter(anonymous)).answer.headers.get("set-cookie")).not.toMatch(secure);
    });

    it("forms come from that address, whatever port the proxy passes on; others are refused", async () => {
      const { answer } = await enter(through);
      const cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? "";
      const text = await (await proxied.app.request("/", { headers: { ...through, cookie } })).text();
      const form = /name="form" value="([^"]+)"/.exec(text)?.[1] ?? "";
      const post = async (host: string, origin: string) => {
        const init = {
          method: "POST",
          headers: { host, origin, cookie },
          body: new URLSearchParams({ form, organization: "x" }),
        };
        return (await proxied.app.request("/pause", init)).status;
      };
      // The form is taken: there is no organization x.
      for (const host of ["console.example.org", "console.example.org:8443", "127.0.0.1:8788"])
        expect([host, await post(host, browserUrl)]).toEqual([host, 404]);
      for (const origin of [
        "https://console.example.org.evil.example:8443",
        "http://console.example.org:8443",
        "https://console.example.org:9443",
        "null",
      ])
        expect([origin, await post("console.example.org", origin)]).toEqual([origin, 403]);
      expect(await post("evil.example", browserUrl)).toBe(421);
    });

    it("after the login page of another site, a page of ours leads on: a redirect would come without the cookie", async () => {
      const led = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
      const { answer } = await enter({ ...through, ...led });
      expect([answer.status, answer.headers.get("refresh")]).toEqual([200, "0; url=/"]);
      expect(answer.headers.get("set-cookie")).toContain("SameSite=Strict");
      expect(await answer.text()).toContain('<a href="/">Status</a>');
    });

    it("a link is not used up by whoever only asks whether it is there", async () => {
      const { path, answer } = await enter(through, "HEAD");
      expect(answer.status).toBe(401);
      expect((await proxied.app.request(path, { headers: through })).status).toBe(303);
    });
  });

  it("refuses every change without the form of this session", async () => {
    const posts = ["/pause", "/resume", "/reconcile", "/plan/apply", "/dead-letters/preview", "/dead-letters/change"];
    const headers = { ...desk.headers, origin: ORIGIN };
    for (const path of posts)
      for (const fields of [{}, { form: "" }, { form: "guess" }])
        expect([path, await status(path, headers, "POST", fields)]).toEqual([path, 403]);
    expect(desk.lines).toEqual([]);
  });

  it("tells browsers to run nothing but its own files, to frame nothing and to keep nothing", async () => {
    for (const path of ["/", "/assets/console.css", "/assets/htmx.js", "/nowhere"]) {
      const { headers } = await desk.app.request(path, { headers: desk.headers });
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  it("has no script, style or handler in its pages, and takes nothing from elsewhere", async () => {
    for (const path of PAGES.slice(0, -1)) {
      const text = await desk.get(path);
      expect(text).not.toMatch(/<script(?![^>]* src="\/assets\/)|<style|\son\w+=|\sstyle=|hx-on/);
      expect(text).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
    }
    expect(await desk.get("/assets/htmx.js")).toContain("htmx");
  });
});
