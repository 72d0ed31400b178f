import { describe, expect, it } from "vitest";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { resultOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { named, short } from "../support/requests.ts";

const { build } = useOrganizations();

describe("a write that Nextcloud always fails with 5xx", () => {
  it("a write that always fails is tried four times, then parked with what happened, and other people go on", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const [ada, grace] = [tenant.person(), tenant.person()];
    const match = (request: RecordedRequest) => short(request).parameters.userId === ada.id;
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match });
    for (let attempt = 1; attempt < 4; attempt += 1) {
      expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
      expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
    }
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toMatchObject({ subject: ada.id, job: tenant.job(ada) });
    expect(await resultOf(tenant.bring(grace))).toBe("applied");
  });

  it("failures of a write are counted in a row: a success begins anew", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    const fail = (times: number) =>
      tenant.nextcloud.faults.add({ kind: "status", status: 502, match: named("POST user_oidc"), times });
    for (let round = 0; round < 2; round += 1) {
      fail(3);
      tenant.clavex.updateUser(slug, ada.id, { last_name: `King ${round}` });
      for (let attempt = 0; attempt < 3; attempt += 1)
        expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
      expect(await resultOf(tenant.bring(ada))).toBe("applied");
    }
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
  });
});

describe("a job that Nextcloud refuses", () => {
  it("a refused job is parked at once, keeps the first time, and is forgotten with the next success", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    const ada = tenant.person({ first_name: "x".repeat(300) });
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    const firstAt = tenant.clock.now;
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toMatchObject({
      reason: "profile-refused",
      firstAt,
      lastAt: tenant.clock.now,
    });
    tenant.clavex.updateUser(slug, ada.id, { first_name: "Ada" });
    expect(await resultOf(tenant.bring(ada))).toBe("applied");
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
    expect((await tenant.record(ada))?.refused).toBeUndefined();
  });

  it("a dead letter holds no e-mail address, though Nextcloud repeats it", async () => {
    const tenant = await build({ identity: IDENTITIES.database });
    const ada = tenant.person();
    const message = `The address ${ada.email} is not welcome here`;
    const body = JSON.stringify({ ocs: { meta: { statuscode: 107, message }, data: [] } });
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, match: named("POST user") });
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    const letter = await tenant.ledger.deadLetters.get(tenant.organization.slug, ada.id);
    expect(letter?.message).toContain("is not welcome here");
    expect(JSON.stringify(letter)).not.toContain("@");
  });
});
