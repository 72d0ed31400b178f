import { describe, expect, it } from "vitest";
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
