import { describe, expect, it } from "vitest";
import { done } from "../support/jobs.ts";
import { useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const VERIFIED_ONLY = { scope: { verifiedEmailOnly: true } };

describe("scope.verifiedEmailOnly", () => {
  it("makes no account for somebody whose address is not verified, and says so; when it is, a light run finds them", async () => {
    const company = withPipeline(await build(VERIFIED_ONLY));
    const ada = company.person({ is_email_verified: false });
    const grace = company.person();
    expect(done(await company.bring(ada))).toMatchObject({
      operations: [],
      notes: [expect.stringContaining("not verified")],
    });
    await company.settle();
    expect([company.account(ada), company.account(grace)?.enabled]).toEqual([undefined, true]);
    expect(await company.light()).toMatchObject({ sent: 0 });
    company.clavex.updateUser(company.slug, ada.id, { is_email_verified: true });
    expect(await company.light()).toMatchObject({ sent: 1 });
    await company.work();
    expect(company.account(ada)?.enabled).toBe(true);
  });

  it("never deprovisions: an account that is there stays and is kept up to date, though the address changes to an unverified one", async () => {
    const company = withPipeline(await build(VERIFIED_ONLY));
    const ada = company.person({}, ["eng"]);
    await company.settle();
    company.clavex.updateUser(company.slug, ada.id, { email: "new@acme.example", is_email_verified: false });
    company.assign(ada, "ops");
    await company.light();
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true, email: "new@acme.example" });
    expect(company.groupsOf(ada)).toEqual(["eng", "ops"]);
    for (const mode of ["light", "full"] as const) expect((await company.look(mode)).differences).toEqual([]);
  });

  it("is off unless it is chosen", async () => {
    const tenant = await build();
    const ada = tenant.person({ is_email_verified: false });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(true);
  });

  it("works without an API key too", async () => {
    const tenant = await build({ ...VERIFIED_ONLY, apiKey: false });
    const [ada, grace] = [tenant.person({ is_email_verified: false }), tenant.person()];
    for (const person of [ada, grace]) await tenant.provisionNow(tenant.webhook(person));
    expect([tenant.account(ada), tenant.account(grace)?.enabled]).toEqual([undefined, true]);
  });
});
