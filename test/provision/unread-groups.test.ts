import { describe, expect, it } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const HOUR_MS = 60 * 60_000;

/** Clavex answers 500 for the members of this group, until its faults are cleared. */
function breakGroup(tenant: Tenant, name: string): void {
  const group = tenant.clavex.groupByName(tenant.slug, name);
  tenant.clavex.faults.add({
    kind: "status",
    status: 500,
    body: '{"error":"Internal Server Error"}',
    match: ({ path }) => path.includes(`/groups/${group?.id}/members`),
  });
}

const groupsOf = (tenant: Tenant, person: { id: string }): string[] =>
  (tenant.account(person)?.groups ?? []).toSorted();

describe("a group of the directory whose members cannot be read", () => {
  it("is left as it is for everybody, and everything else goes on: joins, leaves, departures, newcomers", async () => {
    const company = withPipeline(await build());
    const [ada, ben, cy] = [
      company.person({}, ["eng", "odd"]),
      company.person({}, ["eng"]),
      company.person({}, ["odd"]),
    ];
    await company.settle();
    breakGroup(company, "odd");
    company.unassign(ada, "odd");
    company.unassign(ada, "eng");
    company.assign(ben, "odd");
    company.assign(ben, "ops");
    company.clavex.updateUser(company.slug, cy.id, { is_active: false });
    const dora = company.person({}, ["ops", "odd"]);
    const run = await company.full();
    await company.work();
    expect(run.report.unreadGroups).toEqual(["odd"]);
    expect(run.report.heldLeaves).toBeUndefined();
    expect(company.lines.map(({ message }) => message)).toContain("groups unreadable");
    expect(groupsOf(company, ada)).toEqual([company.groupId("odd")]);
    expect(groupsOf(company, ben)).toEqual([company.groupId("eng"), company.groupId("ops")].toSorted());
    expect(company.account(cy)).toMatchObject({ enabled: false });
    expect(groupsOf(company, dora)).toEqual([company.groupId("ops")]);
  });

  it("is left by whoever lost it meanwhile, and joined by whoever got it, soon after it can be read again", async () => {
    const company = withPipeline(await build());
    const [ada, ben] = [company.person({}, ["eng", "odd"]), company.person({}, ["eng"])];
    await company.settle();
    breakGroup(company, "odd");
    company.unassign(ada, "odd");
    company.assign(ben, "odd");
    await company.light();
    await company.work();
    expect(groupsOf(company, ada)).toContain(company.groupId("odd"));
    company.clavex.faults.clear();
    company.clock.now += HOUR_MS;
    await company.light();
    await company.work();
    expect(groupsOf(company, ada)).toEqual([company.groupId("eng")]);
    expect(groupsOf(company, ben)).toEqual([company.groupId("eng"), company.groupId("odd")].toSorted());
  });

  it("that gives a quota takes it from nobody, and gives nobody the default instead", async () => {
    const company = withPipeline(await build({ quota: { default: "1 GB", byGroup: { odd: "9 GB" } } }));
    const [ada, ben] = [company.person({}, ["odd"]), company.person({}, ["eng"])];
    await company.settle();
    const before = [ada, ben].map((person) => company.account(person)?.quota);
    breakGroup(company, "odd");
    const run = await company.full();
    await company.work();
    expect(run.report.differences).toEqual([]);
    expect([ada, ben].map((person) => company.account(person)?.quota)).toEqual(before);
  });

  it("that decides who is in scope closes no account, and opens none", async () => {
    const company = withPipeline(await build({ scope: { groups: ["staff"] }, groups: { managed: ["eng"] } }));
    const [ada, ben] = [company.person({}, ["staff", "eng"]), company.person({}, ["staff"])];
    company.person({}, ["eng"]);
    await company.settle();
    breakGroup(company, "staff");
    const cy = company.person({}, ["staff"]);
    company.unassign(ada, "eng");
    company.clavex.updateUser(company.slug, ben.id, { is_active: false });
    await company.full();
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true, groups: [] });
    expect(company.account(ben)).toMatchObject({ enabled: false });
    expect(company.account(cy)).toBeUndefined();
    company.clavex.faults.clear();
    await company.full();
    await company.work();
    expect(company.account(cy)).toMatchObject({ enabled: true });
  });
});

/** Clavex lists this group in another way, until its faults are cleared. */
function listOddly(tenant: Tenant, name: string, odd: (group: object) => unknown): void {
  tenant.clavex.faults.add({
    kind: "changed",
    match: ({ path }) => path.includes("/groups?"),
    change(answer) {
      const body = JSON.parse(answer.body ?? "{}") as { items: { name: string }[] };
      const items = body.items.map((group) => (group.name === name ? odd(group) : group));
      return { ...answer, body: JSON.stringify({ ...body, items }) };
    },
  });
}

const ODDLY: [string, (group: object) => unknown][] = [
  ["a name that is null", (group) => ({ ...group, name: null })],
  ["a name that is a number", (group) => ({ ...group, name: 2023 })],
  ["a name that is an object", (group) => ({ ...group, name: {} })],
  ["an id that is null", (group) => ({ ...group, id: null })],
  ["an id that is no UUID", (group) => ({ ...group, id: "../users" })],
  ["null in its place", () => null],
  ["a text in its place", () => "odd"],
];

describe("a group that the directory lists with", () => {
  it.each(
    ODDLY,
  )("%s: nobody leaves it, and everything else goes on: joins, leaves, departures, newcomers", async (_, odd) => {
    const company = withPipeline(await build());
    const [ada, ben, cy] = [
      company.person({}, ["eng", "odd"]),
      company.person({}, ["eng"]),
      company.person({}, ["odd"]),
    ];
    await company.settle();
    listOddly(company, "odd", odd);
    company.unassign(ada, "eng");
    company.assign(ben, "ops");
    company.clavex.updateUser(company.slug, cy.id, { is_active: false });
    const dora = company.person({}, ["ops"]);
    for (const mode of ["light", "full"] as const) {
      const run = await company[mode]();
      expect(run.report.unreadGroups).toHaveLength(1);
      expect([run.held, run.heldLeaves]).toEqual([undefined, undefined]);
      await company.work();
    }
    expect(groupsOf(company, ada)).toEqual([company.groupId("odd")]);
    expect(groupsOf(company, ben)).toEqual([company.groupId("eng"), company.groupId("ops")].toSorted());
    expect(company.account(cy)).toMatchObject({ enabled: false });
    expect(groupsOf(company, dora)).toEqual([company.groupId("ops")]);
    company.clavex.faults.clear();
    company.unassign(ada, "odd");
    await company.full();
    await company.work();
    expect(groupsOf(company, ada)).toEqual([]);
  });

  it("no name gives and takes no quota, and decides about nobody's account", async () => {
    const company = withPipeline(
      await build({ quota: { default: "1 GB", byGroup: { staff: "9 GB" } }, scope: { groups: ["staff"] } }),
    );
    const [ada, ben] = [company.person({}, ["staff", "eng"]), company.person({}, ["staff"])];
    await company.settle();
    const before = company.account(ada);
    listOddly(company, "staff", () => null);
    company.clavex.suspend(company.slug, ben.id);
    const cy = company.person({}, ["staff"]);
    const run = await company.full();
    await company.work();
    expect(run.held).toBeUndefined();
    expect(company.account(ada)).toEqual(before);
    expect(company.account(ben)).toMatchObject({ enabled: false });
    expect(company.account(cy)).toBeUndefined();
    company.clavex.faults.clear();
    await company.full();
    await company.work();
    expect(company.account(cy)).toMatchObject({ enabled: true });
  });

  it("a count that cannot be is read, whatever it says", async () => {
    const company = withPipeline(await build());
    const ada = company.person({}, ["odd"]);
    listOddly(company, "odd", (group) => ({ ...group, member_count: -1 }));
    await company.settle();
    expect(groupsOf(company, ada)).toEqual([company.groupId("odd")]);
  });

  it("what breaks each page that it is on: the groups before it are known, and of the others nobody leaves one", async () => {
    const company = withPipeline(await build());
    const [ada, ben] = [company.person({}, ["a", "z"]), company.person({}, ["a", "m"])];
    await company.settle();
    company.clavex.faults.add({
      kind: "changed",
      match: ({ path }) => path.includes("/groups?"),
      change: (answer) => (answer.body?.includes('"name":"m"') ? { status: 500, body: '{"error":"no"}' } : answer),
    });
    company.unassign(ada, "a");
    company.clavex.suspend(company.slug, ben.id);
    const run = await company.full();
    await company.work();
    expect(run.heldLeaves).toBeUndefined();
    expect(groupsOf(company, ada)).toEqual([company.groupId("z")]);
    expect(company.account(ben)).toMatchObject({ enabled: false });
  });
});

describe("a list of groups that cannot be read at all", () => {
  it.each([
    ["HTTP 500", { status: 500, body: '{"error":"no"}' }],
    ["a proxy's page", { status: 502, body: "<html>Bad gateway</html>", headers: { "content-type": "text/html" } }],
    ["an answer of another form", { status: 200, body: '{"items":{}}' }],
  ])("(%s) keeps nobody who must lose access waiting behind those who need the groups", async (_, answer) => {
    const company = withPipeline(await build());
    const [ada, ben, cy] = [company.person({}, ["eng"]), company.person({}, ["eng"]), company.person({}, ["eng"])];
    await company.settle();
    company.clavex.faults.add({ kind: "status", match: ({ path }) => path.includes("/groups?"), ...answer });
    const dee = company.person({}, ["eng"]);
    company.clavex.updateUser(company.slug, ada.id, { first_name: "Augusta" });
    for (const person of [ben, cy]) company.clavex.suspend(company.slug, person.id);
    // Later than the groups were read the last time.
    company.clock.now += 1_000;
    const send = (people: ClavexUser[]) =>
      company.dependencies.queue.sendAll(
        people.map((person) => company.job(person)),
        `${people.length}`,
      );
    await send([ada, dee, ben]);
    await company.attempt();
    expect(company.account(ben)).toMatchObject({ enabled: false });
    await send([cy]);
    await company.attempt();
    expect(company.account(cy)).toMatchObject({ enabled: false });
    expect(company.account(dee)).toBeUndefined();
    company.clavex.faults.clear();
    await company.work();
    expect(company.account(ada)).toMatchObject({ displayName: expect.stringContaining("Augusta"), enabled: true });
    expect(groupsOf(company, dee)).toEqual([company.groupId("eng")]);
  });
});
