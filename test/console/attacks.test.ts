import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import type { Table } from "../../functions/ledger/table.ts";
import { type Desk, ORIGIN, openDesk } from "../support/console.ts";
import { buildInMemory, type Tenant } from "../support/organization.ts";

/*
 * What goes wrong, and who wants it to: none of it runs a script, changes anything unasked, or leaves somebody before a page that
 * says nothing.
 */

const HOSTILE = `<script>alert(1)</script><img src=x onerror=alert(1)>"'&`;
const ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;";
const PAGES = ["/", "/people", "/plan", "/dead-letters", "/activity", "/checks"];
/** Nobody waits for a server that does not answer. */
const PATIENCE = 150;

const closers: (() => unknown)[] = [];
afterAll(async () => {
  for (const close of closers) await close();
});
async function build(): Promise<Tenant> {
  const { tenant, close } = await buildInMemory();
  closers.push(close);
  return tenant;
}

/** Only `app.request`, whatever it answers. */
async function ask(desk: Desk, path: string, init: RequestInit = {}): Promise<{ status: number; text: string }> {
  const answer = await desk.app.request(path, { ...init, headers: { ...desk.headers, ...init.headers } });
  return { status: answer.status, text: await answer.text() };
}
const park = (tenant: Tenant, person: { id: string }, reason = "profile-refused") =>
  tenant.ledger.deadLetters.park({
    organization: tenant.slug,
    subject: person.id,
    job: tenant.job(person),
    reason,
    message: reason,
    attempts: 1,
    lastAt: tenant.clock.now,
  });
const formOf = async (desk: Desk) => /name="form" value="([^"]+)"/.exec(await desk.get("/"))?.[1] ?? "";

describe("foreign texts", () => {
  let tenant: Tenant;
  let desk: Desk;
  beforeAll(async () => {
    tenant = await build();
    desk = await openDesk(tenant);
  });

  it.each([
    ["a group's name", (person: { id: string }) => `/people/${tenant.slug}/${person.id}?fresh=yes`],
    [
      "a group's name, in the rehearsal",
      (person: { id: string }) => `/people/${tenant.slug}/${person.id}/rehearsal?fresh=yes`,
    ],
    ["a group's name, in the plan", () => "/plan?compute=yes"],
  ])("%s is shown as a text", async (_what, path) => {
    tenant.clock.now += 1_000;
    const person = tenant.person({}, [HOSTILE]);
    const text = await desk.get(path(person));
    expect(text).toContain(ESCAPED);
    expect(text).not.toMatch(/<script>|<img/);
  });

  it("a server's error, a dead letter's message and an event's text are shown as texts", async () => {
    const person = tenant.person();
    await park(tenant, person, HOSTILE);
    await desk.happened({
      at: tenant.clock.now,
      organization: HOSTILE,
      kind: "run",
      result: "failed",
      cause: HOSTILE,
      problem: HOSTILE,
    });
    const body = JSON.stringify({ error: HOSTILE, message: HOSTILE });
    const headers = { "content-type": "application/json", server: HOSTILE };
    tenant.clavex.faults.add({ kind: "status", status: 401, body, headers });
    tenant.nextcloud.faults.add({
      kind: "status",
      status: 500,
      body: HOSTILE,
      headers: { "content-type": "text/html" },
    });
    const pages = [...PAGES, `/people/${tenant.slug}/${person.id}?fresh=yes`, "/plan?compute=yes", "/checks?run=yes"];
    let shown = 0;
    for (const path of pages) {
      const { text } = await ask(desk, path);
      expect([path, /<script>|<img/.test(text)]).toEqual([path, false]);
      shown += text.split("&lt;script&gt;").length - 1;
    }
    expect(shown).toBeGreaterThan(4);
    tenant.clavex.faults.clear();
    tenant.nextcloud.faults.clear();
  });
});

describe("requests that no page of ours sends", () => {
  let tenant: Tenant;
  let desk: Desk;
  beforeAll(async () => {
    tenant = await build();
    desk = await openDesk(tenant);
  });
  const post = async (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) => {
    const body = new URLSearchParams({ form: await formOf(desk), ...fields });
    return ask(desk, path, { method: "POST", body, headers: { origin: ORIGIN, ...headers } });
  };

  it("the form of another session is refused, and each session's own is taken", async () => {
    const enter = async (): Promise<Desk> => {
      const authorization = `Bearer ${desk.token}`;
      const asked = await ask(desk, "/links", { method: "POST", headers: { authorization } });
      const { path } = JSON.parse(asked.text) as { path: string };
      const entered = await desk.app.request(path, { headers: { host: desk.headers.host ?? "" } });
      return { ...desk, headers: { ...desk.headers, cookie: entered.headers.get("set-cookie")?.split(";")[0] ?? "" } };
    };
    const other = await enter();
    const theirs = /name="form" value="([^"]+)"/.exec((await ask(other, "/")).text)?.[1] ?? "";
    expect((await post("/pause", { form: theirs, organization: tenant.slug })).status).toBe(403);
    expect((await tenant.ledger.pauses.get(tenant.slug))?.paused).not.toBe(true);
    const body = new URLSearchParams({ form: theirs, organization: tenant.slug });
    expect((await ask(other, "/pause", { method: "POST", body, headers: { origin: ORIGIN } })).status).toBe(303);
    expect((await post("/resume", { organization: tenant.slug })).status).toBe(303);
    // What the one did is not said to the other.
    expect((await ask(desk, "/")).text).toContain("is resumed");
    expect((await ask(other, "/")).text).toContain("is paused: ");
  });

  it("other methods change nothing", async () => {
    const headers = { origin: ORIGIN };
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"])
      for (const path of [...PAGES, "/pause", "/links"]) {
        const { status } = await ask(desk, path, { method, headers });
        expect([method, path, [403, 404].includes(status)]).toEqual([method, path, true]);
      }
    for (const path of PAGES) {
      const { status, text } = await ask(desk, path, { method: "HEAD" });
      expect([path, status, text]).toEqual([path, 200, ""]);
    }
    expect((await ask(desk, "/pause", { method: "HEAD" })).status).toBe(404);
    expect(desk.lines.filter(({ message }) => message === "changed by console").length).toBe(2);
  });

  it("a form that is larger than any of ours is not read", async () => {
    const large = { organization: "x".repeat(100_000) };
    expect((await post("/pause", large, { "content-length": "100100" })).status).toBe(413);
    // Its size was not said, and it is no form either.
    for (const body of [new URLSearchParams(large), "{", "--x", new Uint8Array(300)])
      for (const type of [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
      ]) {
        const headers = { origin: ORIGIN, "content-type": type };
        expect([403, 413]).toContain((await ask(desk, "/pause", { method: "POST", body, headers })).status);
      }
    expect((await post("/pause", { organization: "x".repeat(60_000) })).status).toBe(404);
  });

  it("a page that is no page, and a number that is none, count as the first", async () => {
    tenant.people(3);
    await desk.get("/plan?compute=yes");
    const first = await desk.get(`/plan?organization=${tenant.slug}`);
    for (const from of ["-1", "1e9", "NaN", "0x10", "-0", "9".repeat(40), "", "../.."])
      expect([from, await desk.get(`/plan?organization=${tenant.slug}&from=${encodeURIComponent(from)}`)]).toEqual([
        from,
        first,
      ]);
    expect(await desk.get(`/plan?organization=${tenant.slug}&from=5000000`)).toContain("Apply the plan");
    for (const kind of ["__proto__", "constructor", HOSTILE])
      expect((await ask(desk, `/plan?kind=${encodeURIComponent(kind)}`)).status).toBe(200);
  });

  it("an organization that there is none of is said so, on every page", async () => {
    for (const organization of ["../..", "__proto__", "%00", HOSTILE, "x".repeat(5_000)]) {
      const query = `organization=${encodeURIComponent(organization)}`;
      for (const path of [`/people?q=ada&${query}`, `/plan?compute=yes&${query}`, `/checks?run=yes&${query}`]) {
        const { status, text } = await ask(desk, path);
        expect([path.slice(0, 40), status]).toEqual([path.slice(0, 40), 200]);
        expect(text).toContain("there is no organization ");
      }
      for (const path of [`/dead-letters?${query}`, `/activity?${query}`])
        expect((await ask(desk, path)).status).toBe(200);
      expect((await post("/pause", { organization })).status).toBe(404);
    }
    const missing = await ask(desk, `/people/..%2F..%2Fetc/${tenant.person().id}`);
    expect(missing.status).toBe(404);
  });

  it("a change that no preview has shown is refused", async () => {
    const person = tenant.person();
    await park(tenant, person);
    for (const fields of [
      { work: "drop", count: "-5" },
      { work: "drop", count: "1e3" },
      { work: "drop", count: "999" },
      { work: "drop", count: "" },
      { work: "list", count: "1" },
      { work: "__proto__", count: "1" },
    ] as Record<string, string>[]) {
      const { path, text } = await desk.post("/dead-letters/change", fields);
      expect([path, text.includes("Nothing was done: the form was not complete.")]).toEqual(["/dead-letters", true]);
    }
    expect(await tenant.ledger.deadLetters.get(tenant.slug, person.id)).toBeDefined();
    expect(await desk.queued()).toBe(0);
  });

  it("a plan is applied once, however often its form is sent", async () => {
    const text = await desk.get("/plan?compute=yes");
    const fields = { organization: tenant.slug, plan: /name="plan" value="([^"]+)"/.exec(text)?.[1] ?? "" };
    const answers = await Promise.all([post("/plan/apply", fields), post("/plan/apply", fields)]);
    expect(answers.map(({ status }) => status)).toEqual([303, 303]);
    expect(desk.lines.filter(({ fields: { change } }) => change === "apply the plan")).toHaveLength(1);
  });
});

describe("while something is away", () => {
  it("a ledger that cannot be reached: every page says so", async () => {
    const tenant = await build();
    const away = async () => {
      throw new LedgerUnavailable(new Error("locked"));
    };
    const table: Table = {
      get: away,
      put: away,
      delete: away,
      count: away,
      // biome-ignore lint/correctness/useYield: it fails before
      async *query() {
        await away();
      },
    };
    const ledger: Ledger = createLedger(table);
    const desk = await openDesk(tenant, { ledger });
    const person = `/people/${tenant.slug}/${tenant.person().id}`;
    for (const path of ["/", "/dead-letters", person, "/plan?compute=yes", "/checks?run=yes"]) {
      const { status, text } = await ask(desk, path);
      expect([path, [200, 503].includes(status), /ledger/i.test(text)]).toEqual([path, true, true]);
      expect([path, text.includes("<nav")]).toEqual([path, true]);
    }
    expect(desk.lines.filter(({ message }) => message === "console failed")).toEqual([]);
  });

  it.each([
    "clavex",
    "nextcloud",
  ] as const)("%s hangs: no page waits for it, each says what is missing", async (which) => {
    const tenant = await build();
    const desk = await openDesk(tenant, { patienceMs: PATIENCE });
    const person = tenant.person({ first_name: "Grace", last_name: "Hopper" });
    const path = `/people/${tenant.slug}/${person.id}`;
    await desk.get(`${path}?fresh=yes`);
    await park(tenant, person);
    tenant[which].faults.add({ kind: "hang" });
    tenant.clock.now += 120_000;
    expect(await desk.get(path)).toContain("did not answer within 0.15 seconds");
    expect(await desk.get(`${path}/rehearsal`)).toContain("did not answer within");
    if (which === "clavex") expect(await desk.get("/people?q=grace")).toContain("did not answer within");
    // Without their names people are shown by their ids.
    const letters = await desk.get("/dead-letters");
    expect(letters).toContain("profile-refused");
    if (which === "clavex") expect(letters).toContain(`<code>${person.id}</code>`);
    expect(await desk.get("/checks?run=yes")).toContain(">failed</span>");
    tenant[which].faults.clear();
  });

  it("a run that takes long goes on by itself", async () => {
    const tenant = await build();
    let finish = (): void => undefined;
    const reconcile = () =>
      new Promise<{ result: "busy" }>((resolve) => {
        finish = () => resolve({ result: "busy" });
      });
    const desk = await openDesk(tenant, { patienceMs: PATIENCE, reconcile });
    const { text } = await desk.post("/reconcile", { organization: tenant.slug, mode: "full" });
    expect(text).toContain(`${tenant.slug}: the run is under way.`);
    finish();
  });

  it("a pipeline that is paused: status says so, and applying does nothing", async () => {
    const tenant = await build();
    const desk = await openDesk(tenant);
    tenant.person();
    await desk.post("/pause", { organization: tenant.slug });
    const status = await desk.get("/");
    expect(status).toContain(`${tenant.slug} (paused)`);
    expect(status).not.toContain("Reconcile now");
    const plan = /name="plan" value="([^"]+)"/.exec(await desk.get("/plan?compute=yes"))?.[1] ?? "";
    const { text } = await desk.post("/plan/apply", { organization: tenant.slug, plan });
    expect(text).toContain("nothing was done: it is paused");
    expect(await desk.queued()).toBe(0);
  });

  it("a session that has ended stops the live part with a sentence in its place", async () => {
    const desk = await openDesk(await build());
    const headers = { host: desk.headers.host ?? "", "hx-request": "true" };
    const answer = await desk.app.request("/activity/events", { headers });
    expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining("This session has ended")]);
  });
});

describe("how many organizations there are", () => {
  it("none: every page says that none is configured, and none fails", async () => {
    const tenant = await build();
    const desk = await openDesk(tenant, { organizations: fixedOrganizations([]) });
    for (const path of [...PAGES, "/people?q=ada", "/plan?compute=yes", "/checks?run=yes"]) {
      const { status, text } = await ask(desk, path);
      expect([path, status]).toEqual([path, 200]);
      if (path === "/" || path.includes("?")) expect(text.toLowerCase()).toContain("no organization is configured");
    }
  });

  it("thirty: each has its part of Status, and the other pages a choice", async () => {
    const tenant = await build();
    const many = Array.from({ length: 30 }, (_, index) => ({
      ...tenant.organization,
      slug: `organization-${100 + index}`,
    }));
    const desk = await openDesk(tenant, { organizations: fixedOrganizations(many) });
    const status = await desk.get("/");
    for (const { slug } of many) expect(status).toContain(`<h2>${slug}</h2>`);
    expect((await desk.get("/people")).split("<option")).toHaveLength(31);
    expect((await desk.get("/activity")).split("<option>organization-")).toHaveLength(31);
  });
});
