import { describe, expect, it } from "vitest";
import type { Organization } from "../../functions/core/organization.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { driftReport } from "../../functions/reconcile/drift-report.ts";
import { personJob, refusalOf, TRIGGERS } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

/** A new container that finds this organization in the configuration. */
function containerOf(tenant: Tenant, organization: Organization) {
  const { ledger, clock } = tenant;
  const now = () => clock.now;
  const organizations = {
    get: async (slug: string) => (slug === organization.slug ? organization : undefined),
    slugs: async () => [organization.slug],
  };
  const guards = createGuards({ organizations, clients: tenant.newClients(), breakerDelay: () => 30, ledger, now });
  const provision = createProvision({ guards, ledger, now });
  return (person: { id: string }) =>
    provision({ job: personJob(organization.slug, person.id, TRIGGERS.manual), sentAt: clock.now, receiveCount: 1 });
}

describe("a slug that was changed in the file", () => {
  it("is refused before anything is asked or written, naming the old one", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const renamed = { ...tenant.organization, slug: `${tenant.organization.slug}-new` };
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { is_active: false });
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    for (let container = 0; container < 2; container += 1) {
      expect(await refusalOf(containerOf(tenant, renamed)(ada))).toMatchObject({
        failureClass: "configuration",
        code: "slug-changed",
        message: expect.stringContaining(`${tenant.organization.slug} in the ledger`),
        fix: expect.stringContaining(`Put "slug": "${tenant.organization.slug}" back`),
      });
    }
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
    expect(await tenant.ledger.identities.get(renamed.slug)).toBeUndefined();
    // Put back, the person who left meanwhile loses access.
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("is refused by reconciliation and plan as well", async () => {
    const tenant = await build();
    await tenant.bring(tenant.person());
    const renamed = { ...tenant.organization, slug: `${tenant.organization.slug}-new` };
    const dependencies = { ledger: tenant.ledger, clients: tenant.newClients().of(renamed) };
    for (const mode of ["light", "full"] as const)
      await expect(driftReport(renamed, mode, dependencies)).rejects.toMatchObject({ code: "slug-changed" });
  });

  it("is found in a ledger of before, once the old slug was at work again", async () => {
    const tenant = await build();
    const { organization, ledger } = tenant;
    await ledger.identities.ensure(organization.slug, "of another identity");
    await refusalOf(tenant.bring(tenant.person()));
    expect(await ledger.identities.slugOf(organization.organizationId)).toBe(organization.slug);
  });

  it("is none where the slug is known, or another organization's", async () => {
    const tenant = await build();
    const neighbour = tenant.neighbour();
    for (const each of [tenant, neighbour, tenant])
      expect(await each.bring(each.person())).toMatchObject({ result: "applied" });
  });
});
