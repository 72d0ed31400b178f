import { describe, expect, it } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Choices, type Tenant, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();

/** A 404 is believed only while Clavex lists somebody: there is a person who has no account. */
const buildWithOthers = async (choices: Choices = {}): Promise<Tenant> => {
  const tenant = await build(choices);
  tenant.person({ is_active: false });
  return tenant;
};

describe("somebody who is suspended while their account is made", () => {
  it("between its two calls is disabled by the next job", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.faults.add({
      kind: "changed",
      match: named("POST user_oidc"),
      times: 1,
      change(answer) {
        tenant.clavex.suspend(tenant.slug, ada.id);
        return answer;
      },
    });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(true);
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });
});

describe("a ledger that is put back to what it was a day ago", () => {
  it("leaves nobody enabled who left since, opens nobody's account, and later leavers are disabled", async () => {
    const company = withPipeline(await build());
    const people = company.people(6, ["eng"]);
    const [suspended, deleted, mover, later] = people;
    if (!suspended || !deleted || !mover || !later) return expect.fail();
    await company.settle();
    const { slug, ledger } = company;
    const before = await Promise.all(people.map((person) => company.record(person)));
    company.clavex.suspend(slug, suspended.id);
    company.clavex.deleteUser(slug, deleted.id);
    company.unassign(mover, "eng");
    await company.settle();
    company.clock.now += 24 * 60 * 60_000;
    for (const record of before) {
      const { revision = 0 } = (record && (await ledger.subjects.get(slug, record.subject))) ?? {};
      if (record) await ledger.subjects.put(slug, { ...record, revision });
    }
    company.clavex.suspend(slug, later.id);
    await company.settle();
    expect([suspended, deleted, later].map((person) => company.account(person)?.enabled)).toEqual([
      false,
      false,
      false,
    ]);
    expect(company.groupsOf(mover)).toEqual([]);
    expect((await company.look("full")).differences).toEqual([]);
  });
});

describe("leavers", () => {
  const leaving: [string, (tenant: Tenant, person: ClavexUser) => void, string][] = [
    ["suspended", ({ clavex, organization }, { id }) => void clavex.suspend(organization.slug, id), "suspended"],
    ["deleted", ({ clavex, organization }, { id }) => void clavex.deleteUser(organization.slug, id), "deleted"],
    ["erased", ({ clavex, organization }, { id }) => void clavex.eraseUser(organization.slug, id, "erased"), "deleted"],
    [
      "made anonymous",
      ({ clavex, organization }, { id }) => void clavex.eraseUser(organization.slug, id, "anonymized"),
      "deleted",
    ],
    ["out of scope", (tenant, person) => tenant.unassign(person, "Cloud"), "outOfScope"],
  ];

  it.each(leaving)("a person who is %s is disabled in one call and keeps all else", async (_, leave, state) => {
    const tenant = await buildWithOthers({ scope: { groups: ["Cloud"] }, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["Cloud", "eng"]);
    await tenant.bring(ada);
    const before = tenant.account(ada);
    leave(tenant, ada);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied", state, operations: ["disable"] });
    expect(tenant.since(mark)).toEqual(["GET user", "PUT disable"]);
    expect(tenant.account(ada)).toEqual({ ...before, enabled: false });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", operations: [] });
    expect(tenant.writesSince(mark)).toEqual(["PUT disable"]);
  });

  it("a deleted person cannot log in any more", async () => {
    const tenant = await buildWithOthers();
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    await tenant.provisionNow(tenant.webhook(ada, "user.deleted"));
    expect(tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id }).status).toBe(401);
  });

  it("a deleted person whom we never saw, but who has an account by login, is disabled too", async () => {
    const tenant = await buildWithOthers();
    const ada = tenant.person();
    tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id });
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ operations: ["disable"] });
  });

  it("a suspended person stays as they are where the policy says keep", async () => {
    const tenant = await build({ deprovision: { suspended: "keep" } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [expect.stringContaining("keep")] });
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  it("a deleted person is only disabled by a webhook where the policy says delete, however long ago", async () => {
    const tenant = await buildWithOthers({ deprovision: { deleted: "delete", graceDays: 0 } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    for (let day = 0; day < 3; day += 1) {
      await tenant.provisionNow(tenant.webhook(ada, "user.deleted"));
      tenant.clock.now += 86_400_000;
    }
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
    expect(tenant.writesSince(0)).not.toContain("DELETE user");
  });
});
