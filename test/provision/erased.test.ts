import { describe, expect, it } from "vitest";
import { useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();
const ANONYMISE = { deprovision: { erased: "anonymise" as const } };

describe("a person who is erased in Clavex", () => {
  it("is disabled, and keeps name and e-mail address, as long as nothing else is said", async () => {
    const tenant = await build({ version: 34 });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.eraseUser(tenant.slug, ada.id, "erased");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace", email: ada.email });
  });

  it.each([
    "erased",
    "anonymized",
  ] as const)("loses name and e-mail address where the policy says so (%s)", async (how) => {
    const tenant = await build({ version: 34, ...ANONYMISE });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.eraseUser(tenant.slug, ada.id, how);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable", "upsert displayname", "edit email"] });
    expect(tenant.writesSince(mark)).toEqual(["PUT disable", "POST user_oidc", "PUT user"]);
    expect(tenant.account(ada)).toMatchObject({ enabled: false, displayName: "Erased person", email: null });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [] });
  });

  it("who has logged in loses the e-mail address; the name stays with a note, and no file is touched", async () => {
    const tenant = await build({ version: 34, ...ANONYMISE });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.logIn(ada);
    const files = tenant.nextcloud.files(tenant.accountId(ada));
    files.set("Readme.md", "mine");
    tenant.clavex.eraseUser(tenant.slug, ada.id, "erased");
    expect(await tenant.bring(ada)).toMatchObject({
      operations: ["disable", "edit email"],
      notes: [expect.stringContaining("name of the erased person cannot be written")],
    });
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace", email: null });
    expect(files.get("Readme.md")).toBe("mine");
  });

  it("who has logged in loses both where the skeleton is empty", async () => {
    const tenant = await build({ version: 34, skeleton: "empty", ...ANONYMISE });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.logIn(ada);
    tenant.clavex.eraseUser(tenant.slug, ada.id, "erased");
    await tenant.bring(ada);
    expect(tenant.account(ada)).toMatchObject({ displayName: "Erased person", email: null });
  });

  it("after having been suspended loses both as well", async () => {
    const tenant = await build({ version: 34, ...ANONYMISE });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.slug, ada.id);
    await tenant.bring(ada);
    tenant.clavex.eraseUser(tenant.slug, ada.id, "erased");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname", "edit email"] });
  });

  it("keeps all where deleted people are kept", async () => {
    const tenant = await build({ version: 34, deprovision: { erased: "anonymise", deleted: "keep" } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.eraseUser(tenant.slug, ada.id, "erased");
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    expect(tenant.account(ada)).toMatchObject({ enabled: true, displayName: "Ada Lovelace" });
  });
});
