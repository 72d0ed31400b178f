import { describe, expect, it } from "vitest";
import { useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

describe("returners", () => {
  it.each([
    "in the same container",
    "in another one",
  ])("a person who comes back is enabled again %s, with what has changed meanwhile", async (where) => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.suspend(slug, ada.id);
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true, last_name: "King" });
    tenant.unassign(ada, "eng");
    const run = where === "in another one" ? tenant.container() : tenant.provisionNow;
    const mark = tenant.mark();
    expect(await run(tenant.job(ada))).toMatchObject({ operations: ["leave eng", "upsert displayname", "enable"] });
    expect(tenant.since(mark)).toEqual(["GET user", "DELETE membership", "POST user_oidc", "PUT enable"]);
    expect(tenant.account(ada)).toMatchObject({ enabled: true, displayName: "Ada King", groups: [] });
    expect(await tenant.record(ada)).toMatchObject({ disabledByUs: false, state: "active" });
  });

  it("a person stays locked where an administrator of Nextcloud had locked them before", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.nextcloud.setEnabled(tenant.accountId(ada), false);
    expect(await tenant.bring(ada)).toMatchObject({
      result: "unchanged",
      notes: [expect.stringContaining("not by us")],
    });
    tenant.clavex.suspend(slug, ada.id);
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("not by us")] });
    expect(tenant.writesSince(mark)).toEqual([]);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("a person stays locked where an administrator locks them after we have enabled them", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    for (const is_active of [false, true]) {
      tenant.clavex.updateUser(slug, ada.id, { is_active });
      await tenant.bring(ada);
    }
    tenant.nextcloud.setEnabled(tenant.accountId(ada), false);
    expect(await tenant.bring(ada)).toMatchObject({ operations: [], notes: [expect.stringContaining("not by us")] });
  });

  it("a person who comes back into the scope is enabled again", async () => {
    const tenant = await build({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["Cloud"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "Cloud");
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(false);
    tenant.assign(ada, "Cloud");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["enable"] });
  });

  it("a person who comes into the scope for the first time gets an account", async () => {
    const tenant = await build({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["eng"]);
    expect(await tenant.bring(ada)).toMatchObject({ state: "outOfScope", operations: [] });
    expect(tenant.account(ada)).toBeUndefined();
    tenant.assign(ada, "Cloud");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert account", "join Cloud", "join eng"] });
  });
});
