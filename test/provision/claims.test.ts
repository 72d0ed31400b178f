import { describe, expect, it } from "vitest";
import { identityFingerprint } from "../../functions/core/identity.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { driftReport } from "../../functions/reconcile/drift-report.ts";
import { resultOf } from "../support/jobs.ts";
import { type Choices, IDENTITIES, type Tenant, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const HOUR = 60 * 60_000;

/** Two organizations of one Clavex with the same account ids, each with somebody in it. */
async function pair(identity: object = IDENTITIES.raw): Promise<{ acme: Tenant; globex: Tenant }> {
  const acme = await build({ identity });
  const globex = acme.neighbour({ identity });
  for (const tenant of [acme, globex]) await tenant.bring(tenant.person());
  return { acme, globex };
}

describe("an account that may be another organization's", () => {
  it.each([
    "raw",
    "database",
  ] as const)("is not disabled because of that one's deletion, sent before there was an account (%s)", async (name) => {
    const { acme, globex } = await pair(IDENTITIES[name]);
    const hank = acme.person();
    await globex.provisionNow(globex.webhook(hank, "user.deleted"));
    expect(await globex.ledger.claims.account(globex.nextcloud.url, hank.id)).toBeUndefined();
    if (name === "raw") acme.logIn(hank);
    else acme.nextcloud.addLocalUser({ id: hank.id, password: "that protects nothing" });
    const mark = globex.mark();
    expect(await globex.bring(hank)).toMatchObject({
      result: "unchanged",
      operations: [],
      notes: [expect.stringMatching(/^unclaimed, still enabled/)],
    });
    expect(globex.writesSince(mark)).toEqual([]);
    expect(acme.account(hank)?.enabled).toBe(true);
    expect(await globex.ledger.claims.account(globex.nextcloud.url, hank.id)).toBeUndefined();
  });

  it("is claimed and made right by the organization whose directory knows the person, whatever the other has written down", async () => {
    const { acme, globex } = await pair();
    const hank = acme.person({}, ["eng"]);
    acme.logIn(hank);
    await globex.bring(hank);
    expect(await resultOf(acme.bring(hank))).toBe("applied");
    expect(await acme.ledger.claims.account(acme.nextcloud.url, hank.id)).toBe(acme.slug);
    expect(acme.groupsOf(hank)).toEqual(["eng"]);
    // The other one's entry is no claim.
    expect(await globex.bring(hank)).toMatchObject({ result: "parked", reason: "account-conflict" });
    expect(acme.account(hank)?.enabled).toBe(true);
  });

  it("is claimed for somebody whom the directory knows as suspended, and disabled", async () => {
    const { acme } = await pair();
    const hank = acme.person({ is_active: false });
    acme.logIn(hank);
    expect(await acme.bring(hank)).toMatchObject({ operations: ["disable"] });
    expect(await acme.ledger.claims.account(acme.nextcloud.url, hank.id)).toBe(acme.slug);
  });

  it('of a leaver stands in the plan as "unclaimed, still enabled", and is no difference', async () => {
    const company = withPipeline(await build({ identity: IDENTITIES.raw }));
    company.person();
    const hank = company.person();
    await company.settle();
    const { ledger, slug } = company;
    const stranger = company.person();
    company.logIn(stranger);
    company.clavex.deleteUser(slug, stranger.id);
    await company.bring(stranger);
    const report = await company.look("full");
    expect(report.differences).toEqual([]);
    expect(report.notes).toEqual([{ subject: stranger.id, note: expect.stringMatching(/^unclaimed, still enabled/) }]);
    expect(company.account(stranger)?.enabled).toBe(true);
    // One that we have claimed is taken away as ever.
    company.clavex.deleteUser(slug, hank.id);
    expect((await company.look("full")).differences).toMatchObject([{ subject: hank.id, kind: "deprovision" }]);
    expect(await ledger.claims.account(company.nextcloud.url, hank.id)).toBe(slug);
  });

  it("does not exist where ids are hashes with a provider of one's own: a leaver is disabled, known or not", async () => {
    const tenant = await build();
    tenant.person();
    const hank = tenant.person();
    tenant.logIn(hank);
    tenant.clavex.deleteUser(tenant.slug, hank.id);
    expect(await tenant.bring(hank)).toMatchObject({ operations: ["disable"] });
  });
});

describe("what another organization without an API key says of somebody", () => {
  it.each([
    "user.created",
    "user.updated",
    "group.member.added",
    "user.deleted",
  ])("changes nothing of their account, before and after there is one: %s", async (event) => {
    const acme = await build({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw, apiKey: false });
    const hank = acme.person({}, ["eng"]);
    const org_id = globex.organization.organizationId;
    const said = { ...hank, org_id, first_name: "Mallory", is_active: false, updated_at: "2026-07-23T09:00:00Z" };
    expect(await resultOf(globex.provisionNow(globex.webhook(said, event)))).toBe("unchanged");
    expect(await resultOf(acme.bring(hank))).toBe("applied");
    const before = acme.account(hank);
    expect(await resultOf(globex.provisionNow(globex.webhook(said, event)))).toBe("parked");
    expect(acme.account(hank)).toEqual(before);
  });
});

describe("after accept-identity", () => {
  it("there and back, somebody who left meanwhile is disabled all the same", async () => {
    const tenant = await build({ identity: IDENTITIES.hashed });
    const { slug, ledger } = tenant;
    const ada = tenant.person();
    await tenant.bring(ada);
    for (const identity of [IDENTITIES.raw, IDENTITIES.hashed]) {
      tenant.configure({ identity });
      await ledger.identities.accept(slug, identityFingerprint(tenant.organization.identity));
      if (identity === IDENTITIES.hashed) tenant.clavex.suspend(slug, ada.id);
      await tenant.container()(tenant.job(ada));
    }
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("a person who comes back, and whose new account an administrator had locked, stays locked", async () => {
    const tenant = await build({ identity: IDENTITIES.hashed });
    const { slug, clavex, ledger } = tenant;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    clavex.suspend(slug, ada.id);
    await tenant.bring(ada);
    expect((await tenant.record(ada))?.disabledByUs).toBe(true);

    tenant.configure({ identity: IDENTITIES.raw });
    await ledger.identities.accept(slug, identityFingerprint(tenant.organization.identity));
    tenant.logIn(ada);
    await tenant.administer("PUT", `cloud/users/${tenant.accountId(ada)}/disable`);
    clavex.updateUser(slug, ada.id, { is_active: true });
    const outcome = await tenant.container()(tenant.job(ada));
    expect(outcome).toMatchObject({ notes: expect.arrayContaining([expect.stringContaining("not by us")]) });
    expect(tenant.account(ada)?.enabled).toBe(false);
    expect(await tenant.record(ada)).toMatchObject({ accountId: tenant.accountId(ada), disabledByUs: false });
  });

  it("memberships of the old account are not taken for ours in the new one, nor its grace period for over", async () => {
    const choices: Choices = { groups: { managed: [] }, deprovision: { suspended: "delete", graceDays: 0 } };
    const company = withPipeline(await build({ identity: IDENTITIES.hashed, ...choices }));
    const { slug, clavex, ledger } = company;
    const ada = company.person();
    await company.settle();
    clavex.suspend(slug, ada.id);
    await company.light();
    await company.work();
    company.configure({ identity: IDENTITIES.raw });
    await ledger.identities.accept(slug, identityFingerprint(company.organization.identity));
    company.logIn(ada);
    await company.administer("PUT", `cloud/users/${company.accountId(ada)}/disable`);
    company.clock.now += HOUR;
    expect((await company.look("full")).differences).toEqual([]);
  });
});

describe("a 404 of Clavex", () => {
  it("is not believed while its list of users is empty: a superadmin's key with a wrong organization id", async () => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.faults.add({
      kind: "status",
      status: 200,
      headers: { "content-type": "application/json" },
      body: '{"items":[],"has_more":false}',
      match: ({ path }) => path.includes("/users?"),
    });
    tenant.clavex.faults.add({
      kind: "status",
      status: 404,
      headers: { "content-type": "application/json" },
      body: '{"error":"Not Found"}',
      match: ({ path }) => path.includes("/users/"),
    });
    expect(await resultOf(tenant.bring(ada))).toBe("clavex-misrouted");
    expect(tenant.account(ada)?.enabled).toBe(true);
  });
});

describe("a group that we made and that is gone from both sides", () => {
  /** Ada and a suspended person were in Helpdesk; then the group was deleted in Clavex and in Nextcloud. */
  async function gone() {
    const company = withPipeline(await build({ identity: IDENTITIES.raw }));
    const [ada, away] = company.people(2, ["Helpdesk", "eng"]);
    if (!ada || !away) return expect.fail();
    await company.settle();
    company.clavex.suspend(company.slug, away.id);
    await company.light();
    await company.work();
    const group = company.clavex.groupByName(company.slug, "Helpdesk");
    company.clavex.deleteGroup(company.slug, group?.id ?? expect.fail());
    await company.light();
    await company.work();
    await company.administer("DELETE", "cloud/groups/Helpdesk");
    return { company, ada, away };
  }

  it("is not ours any more after a full run: a local one of that name keeps its members, and nobody joins it", async () => {
    const { company, ada, away } = await gone();
    await company.full();
    expect(await company.ledger.claims.group(company.nextcloud.url, "Helpdesk")).toBeUndefined();
    expect(await company.ledger.claims.group(company.nextcloud.url, "eng")).toBeDefined();

    company.nextcloud.addGroup("Helpdesk");
    for (const person of [ada, away]) company.nextcloud.addMember("Helpdesk", company.accountId(person));
    company.clock.now += HOUR;
    company.clavex.updateUser(company.slug, away.id, { is_active: true });
    await company.full();
    await company.work();
    expect([company.groupsOf(ada), company.groupsOf(away)]).toEqual([
      ["Helpdesk", "eng"],
      ["Helpdesk", "eng"],
    ]);

    const linus = company.person({}, ["Helpdesk"]);
    expect(await company.bring(linus)).toMatchObject({ notes: [expect.stringContaining("groups.adopt")] });
    expect(company.groupsOf(linus)).toEqual([]);
  });

  it("stays ours while either side has it, and while Clavex shows no groups at all", async () => {
    const { company } = await gone();
    company.nextcloud.addGroup("Helpdesk");
    await company.full();
    expect(await company.ledger.claims.group(company.nextcloud.url, "Helpdesk")).toBeDefined();
    await company.administer("DELETE", "cloud/groups/Helpdesk");
    await company.administer("DELETE", "cloud/groups/eng");
    company.clavex.faults.add({
      kind: "status",
      status: 200,
      headers: { "content-type": "application/json" },
      body: '{"items":[],"has_more":false}',
      match: ({ path }) => path.includes("/groups?"),
    });
    await company.full();
    expect(await company.ledger.claims.group(company.nextcloud.url, "Helpdesk")).toBeDefined();
  });

  it("is made and claimed again when it comes back, also by a container that knew it", async () => {
    const { company, ada } = await gone();
    await company.full();
    company.assign(ada, "Helpdesk");
    expect(await company.bring(ada)).toMatchObject({ operations: ["join Helpdesk"] });
    expect(await company.ledger.claims.group(company.nextcloud.url, "Helpdesk")).toMatchObject({ owner: company.slug });
  });
});

describe("the account that the pipeline itself works with", () => {
  it("is one of the people: it is never disabled, and in no plan", async () => {
    const company = withPipeline(await build());
    const { ledger, clock, slug } = company;
    const [ada] = [company.person(), company.person()];
    await company.settle();
    const organization: Organization = {
      ...company.organization,
      actingAccounts: [company.accountId(ada).toUpperCase()],
    };
    const now = () => clock.now;
    const organizations = { get: async () => organization, slugs: async () => [slug] };
    const clients = company.newClients();
    const guards = createGuards({ organizations, clients, breakerDelay: () => 30, ledger, now });
    const provision = createProvision({ guards, ledger, now });
    company.clavex.suspend(slug, ada.id);
    clock.now += 1_000;
    const mark = company.mark();
    const outcome = await provision({ job: company.job(ada), sentAt: clock.now, receiveCount: 1 });
    expect(outcome).toMatchObject({ result: "ignored", why: expect.stringContaining("works with this account") });
    expect(company.writesSince(mark)).toEqual([]);
    for (const mode of ["light", "full"] as const) {
      const report = await driftReport(organization, mode, { ledger, clients: clients.of(organization), now });
      expect(report.differences).toEqual([]);
    }
    expect(company.account(ada)?.enabled).toBe(true);
  });
});

describe('a group named "details", which cannot be asked for by path', () => {
  it.each(["details", "users"])("is made and joined like any other (%s)", async (name) => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, [name]);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert account", `join ${name}`], notes: [] });
    expect(tenant.groupsOf(ada)).toEqual([name]);
  });

  it.each(["details", "users"])("is left alone where it was there before (%s)", async (name) => {
    const tenant = await build({ identity: IDENTITIES.raw });
    tenant.nextcloud.addGroup(name);
    const ada = tenant.person({}, [name]);
    expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("groups.adopt")] });
  });
});
