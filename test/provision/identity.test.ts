import { describe, expect, it } from "vitest";
import { identityFingerprint } from "../../functions/core/identity.ts";
import { refusalOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

describe("a changed identity", () => {
  it("a changed identity stops the organization before anything is asked or written, until an operator accepts it", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ identity: IDENTITIES.raw });
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    for (const run of [tenant.provisionNow, tenant.container()]) {
      const refusal = await refusalOf(run(tenant.job(ada)));
      expect(refusal).toMatchObject({ failureClass: "configuration", code: "identity-changed" });
    }
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
    tenant.configure({ identity: IDENTITIES.hashed });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    tenant.configure({ identity: IDENTITIES.raw });
    await tenant.ledger.identities.accept(tenant.organization.slug, identityFingerprint(tenant.organization.identity));
    expect(await tenant.bring(ada)).toMatchObject({ accountId: ada.id });
  });

  it("a changed identity does not stop a neighbour", async () => {
    const tenant = await build();
    await tenant.bring(tenant.person());
    const neighbour = tenant.neighbour();
    tenant.configure({ identity: IDENTITIES.raw });
    await refusalOf(tenant.bring(tenant.person()));
    expect(await neighbour.bring(neighbour.person())).toMatchObject({ result: "applied" });
  });

  it("a job whose organization is unknown fails as the configuration's fault", async () => {
    const tenant = await build();
    const job = { ...tenant.job(tenant.person()), organization: "nobody" };
    expect(await refusalOf(tenant.provisionNow(job))).toMatchObject({ failureClass: "configuration" });
  });
});
