import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("people who are as desired", () => {
  it("a person who is as desired costs one GET", async () => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await build({ identity, quota: { default: "5 GB" }, groups: { always: ["everybody"] } });
      tenant.nextcloud.addGroup("everybody");
      const ada = tenant.person({ email: "Ada@Acme.example" }, ["eng", "ops"]);
      await tenant.bring(ada);
      const mark = tenant.mark();
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", operations: [], notes: [] });
      expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "unchanged" });
      expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
    }
  });

  it("a person is not written when a job is delivered twice", async () => {
    const tenant = await build();
    const job = tenant.webhook(tenant.person({}, ["eng"]), "user.created");
    const sentAt = tenant.clock.now;
    await tenant.provisionNow(job, sentAt);
    const mark = tenant.mark();
    await tenant.provisionNow(job, sentAt);
    await tenant.container()(job, sentAt);
    expect(tenant.writesSince(mark)).toEqual([]);
  });
});

describe("movers", () => {
  it("a change of name, e-mail and quota is one call", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    tenant.clavex.updateUser(slug, ada.id, { last_name: "King", email: `king.${ada.id}@acme.example` });
    tenant.clavex.setAttributes(slug, ada.id, { nextcloud_quota: "2 GB" });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname+email+quota"] });
    expect(tenant.since(mark)).toEqual(["GET user", "POST user_oidc"]);
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada King",
      email: `king.${ada.id}@acme.example`,
      quota: 2 * GB,
      groups: [sha256("1_0_eng")],
    });
  });

  it("a person who moves leaves the old group before joining the new one", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng", "all"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "eng");
    tenant.assign(ada, "ops");
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng", "join ops"] });
    expect(tenant.since(mark)).toEqual(["GET user", "DELETE membership", "POST group", "POST membership"]);
    expect(tenant.account(ada)?.groups).toEqual([sha256("1_0_all"), sha256("1_0_ops")].sort());
    expect((await tenant.record(ada))?.groups).toEqual([sha256("1_0_all"), sha256("1_0_ops")].sort());
  });

  it.each(["hashed", "raw"] as const)("a person leaves a group that was deleted in Clavex (%s ids)", async (name) => {
    const tenant = await build({ identity: IDENTITIES[name] });
    const ada = tenant.person({}, ["eng", "ops"]);
    await tenant.bring(ada);
    const eng = tenant.clavex.groupByName(tenant.organization.slug, "eng");
    tenant.clavex.deleteGroup(tenant.organization.slug, eng?.id ?? "");
    expect(await tenant.container()(tenant.job(ada))).toMatchObject({ operations: ["leave eng"] });
    expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("ops")]);
  });

  it("a whole life before the first login costs no rate-limited edit", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    tenant.person({ is_active: false });
    const changes: (() => void)[] = [
      () => undefined,
      () => tenant.clavex.updateUser(slug, ada.id, { first_name: "Augusta" }),
      () => tenant.clavex.updateUser(slug, ada.id, { email: `new.${ada.id}@acme.example` }),
      () => tenant.clavex.setAttributes(slug, ada.id, { nextcloud_quota: "none" }),
      () => tenant.assign(ada, "ops"),
      () => tenant.unassign(ada, "eng"),
      () => tenant.clavex.suspend(slug, ada.id),
      () => tenant.clavex.updateUser(slug, ada.id, { is_active: true, last_name: "King" }),
      () => tenant.clavex.deleteUser(slug, ada.id),
    ];
    for (const change of changes) {
      change();
      expect(await tenant.bring(ada)).toMatchObject({ result: "applied" });
    }
    expect(tenant.since(0)).not.toContain("PUT user");
    expect(new Set(tenant.writesSince(0))).toEqual(
      new Set(["POST user_oidc", "POST group", "POST membership", "DELETE membership", "PUT disable", "PUT enable"]),
    );
  });

  it("an account that somebody changed in Nextcloud is put right again", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id, claims: { name: "Other", quota: "1 GB" } });
    const bob = tenant.person({}, ["ops"]);
    await tenant.bring(bob);
    tenant.nextcloud.addMember(tenant.groupId("ops"), tenant.accountId(ada));
    expect(await tenant.bring(ada)).toMatchObject({
      operations: ["leave ops", "edit quota"],
      notes: [expect.stringContaining("name cannot be written")],
    });
  });
});
