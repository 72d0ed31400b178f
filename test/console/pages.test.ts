import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Desk, openDesk } from "../support/console.ts";
import { buildInMemory, type Tenant } from "../support/organization.ts";

const HOSTILE = "<img src=x onerror=alert(1)>";

describe("the operator's pages", () => {
  let tenant: Tenant;
  let desk: Desk;
  let close: () => Promise<void>;

  beforeAll(async () => {
    const built = await buildInMemory({ quota: { default: "5 GB", byGroup: { Finance: "50 GB" } } });
    ({ tenant, close } = built);
    desk = await openDesk(tenant);
  });
  afterAll(() => close());
  beforeEach(async () => {
    desk.lines.length = 0;
    for (;;) {
      const messages = await desk.queue.receive({ most: 10, waitSeconds: 0 });
      if (messages.length === 0) break;
      await desk.queue.done(messages);
    }
  });

  const changes = () =>
    desk.lines.filter(({ message }) => message === "changed by console").map(({ fields }) => fields);
  const pathOf = ({ id }: { id: string }) => `/people/${tenant.slug}/${id}`;
  const park = (person: { id: string }, reason = "nextcloud-ocs-101") =>
    tenant.ledger.deadLetters.park({
      organization: tenant.slug,
      subject: person.id,
      job: tenant.job(person),
      reason,
      message: "Nextcloud refuses the name",
      attempts: 3,
      lastAt: tenant.clock.now,
    });
  const isParked = async ({ id }: { id: string }) =>
    (await tenant.ledger.deadLetters.get(tenant.slug, id)) !== undefined;

  it("Status says in one sentence how things are, and what to do next", async () => {
    const text = await desk.get("/");
    expect(text).toContain(`<li>No full reconciliation of ${tenant.slug} has ended yet`);
    expect(text).toContain("What to do next");
    expect(text).toMatch(/<a href="\/plan\?organization=organization-\d+">Plan<\/a>/);
  });

  it("pauses and resumes an organization, and says what that means", async () => {
    const paused = await desk.post("/pause", { organization: tenant.slug });
    expect(paused.text).toContain(`${tenant.slug} is paused: nobody gets or loses access until resume`);
    expect((await tenant.ledger.pauses.get(tenant.slug))?.paused).toBe(true);
    expect((await desk.post("/pause", { organization: tenant.slug })).text).toContain(
      `${tenant.slug} is paused already.`,
    );
    await desk.post("/resume", { organization: tenant.slug });
    const resumed = await tenant.ledger.pauses.get(tenant.slug);
    expect(resumed?.paused).toBe(false);
    // A second one would start another full run.
    tenant.clock.now += 1_000;
    expect((await desk.post("/resume", { organization: tenant.slug })).text).toContain("is not paused.");
    expect(await tenant.ledger.pauses.get(tenant.slug)).toEqual(resumed);
    expect(changes()).toEqual([
      { change: "pause", organization: tenant.slug },
      { change: "resume", organization: tenant.slug },
    ]);
  });

  it("reconciles now, lightly or in full, and says what each costs", async () => {
    const text = await desk.get("/");
    expect(text).toContain("full also reads every account in Nextcloud");
    const looked = async (mode: string) => {
      tenant.nextcloud.requests.length = 0;
      const { text: after } = await desk.post("/reconcile", { organization: tenant.slug, mode });
      expect(after).toMatch(/looked at \d+ people, sent \d+ jobs?; /);
      return tenant.nextcloud.requests.length > 0;
    };
    expect([await looked("light"), await looked("full")]).toEqual([false, true]);
    expect(changes().map(({ change }) => change)).toEqual(["light reconciliation", "full reconciliation"]);
    expect(await desk.get("/")).toMatch(/\(\d+ people: 1 second last time\)/);
  });

  it("finds people by name, e-mail address and id", async () => {
    const grace = tenant.person({ first_name: "Grace", last_name: "Hopper", email: "grace@acme.example" });
    for (const q of ["hopper", "Grace Hopper", "GRACE@ACME.EXAMPLE"])
      expect(await desk.get(`/people?q=${encodeURIComponent(q)}`)).toContain(
        `href="${pathOf(grace)}">Grace Hopper</a>`,
      );
    const byId = await desk.app.request(`/people?q=${grace.id}`, { headers: desk.headers });
    expect([byId.status, byId.headers.get("location")]).toEqual([303, pathOf(grace)]);
    expect(await desk.get("/people?q=nobody-of-this-name")).toContain("Clavex finds nobody by this.");
  });

  it("shows one person: Clavex, what should be and Nextcloud, each group and the quota with its rule", async () => {
    const person = tenant.person({ first_name: "Barbara", last_name: "Liskov" }, ["Finance"]);
    await tenant.bring(person);
    tenant.assign(person, "Research");
    const text = await desk.get(`${pathOf(person)}?fresh=yes`);
    expect(text).toContain("<h1>Barbara Liskov</h1>");
    expect(text).toContain('Finance: <span class="quiet">joins Nextcloud group ');
    expect(text).toContain('Quota: <span class="quiet">50 GB (rule: group Finance)</span>');
    expect(text).toContain("group    + Research");
  });

  it("computes no plan before somebody asks for one", async () => {
    const requests = tenant.clavex.requests.length + tenant.nextcloud.requests.length;
    expect(await desk.get("/plan")).not.toContain("Apply the plan");
    expect(tenant.clavex.requests.length + tenant.nextcloud.requests.length).toBe(requests);
  });

  it("shows a person called <img src=x onerror=alert(1)> as a text, on every page", async () => {
    const person = tenant.person({ first_name: HOSTILE, last_name: "\"'&</td>" }, [HOSTILE]);
    await park(person);
    await desk.happened({
      at: tenant.clock.now,
      organization: tenant.slug,
      kind: "job",
      result: "parked",
      subject: person.id,
      cause: HOSTILE,
      problem: HOSTILE,
    });
    const pages = [
      "/people?q=onerror",
      `${pathOf(person)}?fresh=yes`,
      `${pathOf(person)}/rehearsal`,
      "/plan?compute=yes",
      "/dead-letters",
      "/activity",
      `/dead-letters?reason=${encodeURIComponent(HOSTILE)}`,
      `/activity?user=${encodeURIComponent(HOSTILE)}&result=${encodeURIComponent(HOSTILE)}`,
      `/people?q=${encodeURIComponent(HOSTILE)}`,
    ];
    for (const path of pages) {
      const text = await desk.get(path);
      expect([path, text.includes("<img")]).toEqual([path, false]);
      expect([path, text.includes("&lt;img src=x onerror=alert(1)&gt;") || path.includes("activity?")]).toEqual([
        path,
        true,
      ]);
    }
    await tenant.ledger.deadLetters.drop(tenant.slug, person.id);
  });

  it("knows no page of what is no id of a person", async () => {
    for (const path of [`/people/${tenant.slug}/${HOSTILE}`, `/people/${tenant.slug}/grace`, "/people/a/b/c"]) {
      const answer = await desk.app.request(path, { headers: desk.headers });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    expect(desk.lines).toEqual([]);
  });

  it("brings one person up to date", async () => {
    const person = tenant.person();
    const { text } = await desk.post(`${pathOf(person)}/bring`);
    expect(text).toContain("Queued. If an earlier job of this person waits");
    const [message] = await desk.queue.receive({ most: 1, waitSeconds: 0 });
    if (message) await desk.queue.done([message]);
    expect(JSON.parse(message?.body ?? "")).toMatchObject({ subject: person.id, trigger: { kind: "manual" } });
    expect(changes()).toEqual([{ change: "bring up to date", organization: tenant.slug, subject: person.id }]);
  });

  it("says that a paused organization has to be resumed first, and queues nothing", async () => {
    const person = tenant.person();
    await tenant.ledger.pauses.put(tenant.slug, { paused: true, at: 0 });
    const said = await desk.post(`${pathOf(person)}/bring`).catch(String);
    await tenant.ledger.pauses.put(tenant.slug, { paused: false, at: 0 });
    expect(said).toMatch(/nothing was done: the organization \S+ is paused<.*npx clavex-nextcloud resume/);
    expect(await desk.queue.receive({ most: 1, waitSeconds: 0 })).toEqual([]);
  });

  it("rehearses the first login", async () => {
    const text = await desk.get(`${pathOf(tenant.person({ first_name: "Radia", last_name: "Perlman" }))}/rehearsal`);
    expect(text).toContain("A first login creates");
    expect(text).toContain("Radia Perlman");
  });

  it("computes the plan on demand, and applies it: what is taken away needs its number typed in", async () => {
    const [stays, leaves] = tenant.people(2);
    for (const person of [stays, leaves]) if (person) await tenant.bring(person);
    if (leaves) tenant.clavex.updateUser(tenant.slug, leaves.id, { is_active: false });
    tenant.clock.now += 60_000;
    const text = await desk.get("/plan?compute=yes");
    expect(text).toContain("1 person loses access or a group");
    expect(text).toContain("Type 1 to take access or groups away from 1 person");
    const plan = /name="plan" value="([^"]+)"/.exec(text)?.[1] ?? "";
    const fields = { organization: tenant.slug, plan };
    for (const number of ["", "2", "one"]) {
      const refused = await desk.post("/plan/apply", { ...fields, number });
      expect(refused.text).toContain("Nothing was done: 1 was to be typed in");
    }
    const stale = await desk.post("/plan/apply", { ...fields, plan: "another", number: "1" });
    expect(stale.text).toContain("this plan is too old");
    expect([await desk.queued(), changes()]).toEqual([0, []]);
    const done = await desk.post("/plan/apply", { ...fields, number: "1" });
    expect(done.path).toBe(`/activity?organization=${tenant.slug}`);
    expect(done.text).toMatch(/looked at \d+ people, sent \d+ jobs?/);
    expect(await desk.queued()).toBeGreaterThan(0);
    expect(changes()).toEqual([{ change: "apply the plan", organization: tenant.slug, losing: 1, allowed: false }]);
  });

  it("shows the plan of one kind", async () => {
    const person = tenant.person({ first_name: "New", last_name: "Here" });
    await desk.get("/plan?compute=yes");
    expect(await desk.get(`/plan?organization=${tenant.slug}&kind=create`)).toContain(pathOf(person));
    expect(await desk.get(`/plan?organization=${tenant.slug}&kind=update`)).not.toContain(pathOf(person));
  });

  it("lists dead letters by reason with the name, and replays or drops one, or all of a filter, after a preview", async () => {
    const [ada, grace, linus] = ["Ada", "Grace", "Linus"].map((first_name) =>
      tenant.person({ first_name, last_name: "X" }),
    );
    if (!ada || !grace || !linus) throw new Error("three people were made");
    await park(ada);
    await park(grace);
    await park(linus, "profile-refused");
    const text = await desk.get("/dead-letters");
    expect(text).toContain("<code>nextcloud-ocs-101</code>: 2");
    expect(text).toContain("<code>profile-refused</code>: 1");
    expect(text).toContain(">Grace X</a>");

    const one = { user: linus.id, reason: "profile-refused", organization: tenant.slug };
    const preview = await desk.post("/dead-letters/preview", { ...one, work: "drop" });
    expect(preview.text).toContain("1 dead letter is removed without another attempt.");
    expect(preview.text).toContain(">Linus X</a>");
    expect([await isParked(linus), changes()]).toEqual([true, []]);
    const dropped = await desk.post("/dead-letters/change", { ...one, work: "drop", count: "1" });
    expect(dropped.text).toContain("1 dead letter dropped.");
    expect([await isParked(linus), await isParked(ada)]).toEqual([false, true]);

    const all = { user: "", reason: "nextcloud-ocs-101", organization: "" };
    await desk.post("/dead-letters/preview", { ...all, work: "replay" });
    expect(await desk.queued()).toBe(0);
    const replayed = await desk.post("/dead-letters/change", { ...all, work: "replay", count: "2" });
    expect(replayed.text).toContain("2 dead letters sent back");
    expect(replayed.text).toContain("(sent back, on its way)");
    expect(await desk.queued()).toBe(2);
    expect(changes().map(({ change }) => change)).toEqual(["drop dead letters", "replay dead letters"]);
  });

  it("shows the last events with the filters of the command activity", async () => {
    const person = tenant.person({ first_name: "Edsger", last_name: "Dijkstra" });
    const common = { at: tenant.clock.now, organization: tenant.slug, kind: "job", cause: "manual" } as const;
    await desk.happened({ ...common, subject: person.id, result: "applied", operations: ["disable"] });
    await desk.happened({ ...common, subject: tenant.person().id, result: "retried", problem: "HTTP 503" });
    const text = await desk.get("/activity?result=applied");
    expect(text).toContain(">Edsger Dijkstra</a>");
    expect(text).toContain("account disabled");
    expect(text).not.toContain("HTTP 503");
    expect(text).toContain('hx-get="/activity/events?result=applied"');
    expect(await desk.get(`/activity/events?user=${person.id}`)).toMatch(/^<table/);
    expect(await desk.get(pathOf(person))).toContain("account disabled");
  });

  it("runs doctor's checks when asked, failures first, each with its fix", async () => {
    expect(await desk.get("/checks")).not.toContain("What should be so");
    const text = await desk.get("/checks?run=yes");
    const statuses = [...text.matchAll(/<td><span class="\w+">([\w ]+)<\/span><\/td>/g)].map(([, status]) => status);
    const order = ["failed", "warning", "left out", "ok"];
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses).toEqual(statuses.toSorted((one = "", other = "") => order.indexOf(one) - order.indexOf(other)));
  });

  it("leaves out the checks that read all people, unless they are asked for", async () => {
    const leftOut = "it reads all people, which was not asked for";
    const text = await desk.get("/checks?run=yes");
    expect(text.split(leftOut)).toHaveLength(7);
    expect(text).toContain("6 checks read all people and their accounts");
    expect(await desk.get("/checks?run=yes&everybody=yes")).not.toContain(leftOut);
  });

  it("shows a person's groups as the group watch saw them, and how old that is; without, it reads them only when asked", async () => {
    const built = await buildInMemory({ quota: { default: "5 GB", byGroup: { Finance: "50 GB" } } });
    try {
      const acme = built.tenant;
      const watched = await openDesk(acme);
      const person = acme.person({ first_name: "Frances", last_name: "Allen" }, ["Finance"]);
      const path = `/people/${acme.slug}/${person.id}`;
      const unread = await watched.get(path);
      expect(unread).toContain(`<a href="${path}?fresh=yes">Read the members of all groups</a>`);
      expect(await watched.get(`${path}/rehearsal`)).toContain(`${path}/rehearsal?fresh=yes`);
      const members = () => acme.clavex.requests.filter((request) => request.path.endsWith("/members")).length;
      expect(members()).toBe(0);
      const at = acme.clock.now - 600_000;
      await acme.ledger.groups.putMembers(acme.slug, "finance", [person.id]);
      const group = { id: "finance", name: "Finance", count: 1, readAt: at };
      await acme.ledger.groups.putGroups(acme.slug, { groups: [group], complete: true });
      const text = await watched.get(path);
      expect(text).toContain('Finance: <span class="quiet">joins Nextcloud group ');
      expect(text).toContain(`Groups as of <time datetime="${new Date(at).toISOString()}">`);
      expect(members()).toBe(0);
      acme.assign(person, "Research");
      expect(await watched.get(`${path}?fresh=yes`)).toContain("group    + Research");
      // What somebody has had read is newer than what the watch remembers.
      expect(await watched.get(path)).toContain("group    + Research");
      expect(members()).toBe(2);
    } finally {
      await built.close();
    }
  });

  it("finds a person by the id of the account, which is a hash, or says how far it leads", async () => {
    const [ada, grace] = tenant.people(2);
    if (!ada || !grace) throw new Error("two people were made");
    const found = async (id: string) => {
      const answer = await desk.app.request(`/people?q=${id}`, { headers: desk.headers });
      return answer.headers.get("location") ?? (await answer.text());
    };
    await tenant.bring(ada);
    expect(await found(tenant.accountId(ada).toUpperCase())).toBe(pathOf(ada));
    // Nobody has written down whose this one is: a login made it.
    tenant.logIn(grace, { email: grace.email });
    expect(await found(tenant.accountId(grace))).toBe(pathOf(grace));
    tenant.clavex.deleteUser(tenant.slug, grace.id);
    expect(await found(tenant.accountId(grace))).toContain("This is the id of an account");
    expect(await found("0".repeat(64))).toContain("Neither the ledger nor Nextcloud knows an account of this id.");
    tenant.clavex.deleteUser(tenant.slug, ada.id);
    expect(await found(tenant.accountId(ada))).toBe(pathOf(ada));
    tenant.assign(tenant.person(), "Named <Group>");
    await tenant.bring(tenant.person({}, ["Named <Group>"]));
    expect(await found(tenant.groupId("Named <Group>"))).toContain("that of the group &quot;Named &lt;Group&gt;&quot;");
  });

  it("says that more match than were looked at", async () => {
    const built = await buildInMemory();
    try {
      const crowd = await openDesk(built.tenant);
      built.tenant.people(210);
      const last = built.tenant.person({ email: "zoe@acme.example", first_name: "Zoe", last_name: "Last" });
      const many = await crowd.get("/people?q=acme");
      expect(many).toContain("200 or more match");
      expect(many).toContain("narrow the search");
      const none = await crowd.get("/people?q=zoe+acme.example");
      expect(none).toContain("200 or more match");
      const exact = await crowd.get("/people?q=zoe@acme.example");
      expect(exact).toContain(`/people/${built.tenant.slug}/${last.id}`);
      expect(exact).not.toContain("narrow");
    } finally {
      await built.close();
    }
  });
});

describe("the pages of a stage", () => {
  it("name the stage in every command, read no logs for Status, and say where circuit breakers are", async () => {
    const { tenant, close } = await buildInMemory();
    try {
      let looks = 0;
      const activities = {
        last: async () => {
          looks += 1;
          return { activities: [], next: "" };
        },
        after: async () => ({ activities: [], next: "" }),
      };
      const desk = await openDesk(tenant, { stage: "prod", activities });
      const status = await desk.get("/");
      expect(status).toContain('<span class="stage">stage prod</span>');
      expect(status).toContain(`npx clavex-nextcloud apply --stage prod --organization ${tenant.slug}`);
      expect(status).toContain("Circuit breakers are not known here: each container of the worker has its own.");
      expect(looks).toBe(0);
      expect(await desk.get("/activity")).toContain('hx-trigger="every 10s"');
      expect(looks).toBe(1);
      const refused = await desk.app.request("/", { headers: { host: desk.headers.host ?? "" } });
      expect(await refused.text()).toContain("npx clavex-nextcloud console --stage prod");
    } finally {
      await close();
    }
  });
});

describe("a plan that the brake holds", () => {
  it("takes access from nobody, until all are let through", async () => {
    const { tenant, close } = await buildInMemory();
    try {
      const desk = await openDesk(tenant);
      const everybody = tenant.people(6);
      for (const person of everybody) await tenant.bring(person);
      for (const person of everybody.slice(1)) tenant.clavex.suspend(tenant.slug, person.id);
      const joiner = tenant.person();
      tenant.clock.now += 60_000;
      const apply = async (fields: Record<string, string>) => {
        const text = await desk.get("/plan?compute=yes");
        expect(text).toContain("5 people lose access or a group");
        expect(text).toContain("Held: ");
        const plan = /name="plan" value="([^"]+)"/.exec(text)?.[1] ?? "";
        return desk.post("/plan/apply", { organization: tenant.slug, plan, number: "5", ...fields });
      };
      const held = await apply({});
      expect(held.text).toContain("sent 1 job;");
      expect(held.text).toContain("held: ");
      const [message] = await desk.queue.receive({ most: 10, waitSeconds: 0 });
      expect(JSON.parse(message?.body ?? "")).toMatchObject({ subject: joiner.id });
      if (message) await desk.queue.done([message]);
      const through = await apply({ allow: "yes" });
      expect(through.text).toContain("sent 5 jobs;");
      expect(await desk.queued()).toBe(5);
    } finally {
      await close();
    }
  });
});
