import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { refusalOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { answers } from "../support/requests.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;

describe("the scheme database", () => {
  const identity = IDENTITIES.database;

  it("an account is made with its groups in one call, under the subject, and login adopts it", async () => {
    const tenant = await build({ identity, quota: { default: "5 GB" } });
    await tenant.bring(tenant.person({}, ["eng", "ops"]));
    const ada = tenant.person({}, ["eng", "ops"]);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["create", "join eng", "join ops"] });
    expect(tenant.since(mark)).toEqual(["GET user", "POST user"]);
    expect(tenant.account(ada)).toMatchObject({
      id: ada.id,
      backends: ["Database"],
      displayName: "Ada Lovelace",
      email: ada.email,
      quota: 5 * GB,
      groups: ["eng", "ops"],
    });
    expect(tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id })).toEqual({ status: 303, userId: ada.id });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
  });

  it("groups that nobody was in before are made first", async () => {
    const tenant = await build({ identity });
    const mark = tenant.mark();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    expect(tenant.since(mark)).toEqual(["GET user", "GET group", "POST group", "POST user"]);
    expect((await tenant.record(ada))?.groups).toEqual(["eng"]);
  });

  it("groups that were deleted in Nextcloud are made again", async () => {
    const tenant = await build({ identity });
    await tenant.bring(tenant.person({}, ["eng", "ops"]));
    await tenant.administer("DELETE", "cloud/groups/eng");
    const ada = tenant.person({}, ["eng", "ops"]);
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied", notes: [] });
    expect(tenant.account(ada)?.groups).toEqual(["eng", "ops"]);
  });

  it("only what differs is edited; a leaver is disabled, a returner enabled", async () => {
    const tenant = await build({ version: 27, identity, quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    tenant.clavex.updateUser(slug, ada.id, { last_name: "King" });
    await tenant.bring(ada);
    expect(tenant.requestsSince(mark)).toMatchObject([
      { name: "GET user" },
      // Nextcloud 27 has none; that is known for an hour.
      { name: "PATCH user" },
      { name: "PUT user", parameters: { key: "displayname", value: "Ada King" } },
    ]);
    tenant.clavex.suspend(slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng", "enable"] });
  });

  it.each(["101", "102"])("an account that appeared between the read and the create is finished (%s)", async (code) => {
    const tenant = await build({ identity, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.addLocalUser({ id: ada.id });
    const notFound = JSON.stringify({ ocs: { meta: { statuscode: 404, message: "User does not exist" }, data: [] } });
    tenant.nextcloud.faults.add(answers(404, "GET user", { body: notFound }));
    if (code === "101") {
      const badRequest = JSON.stringify({ ocs: { meta: { statuscode: 101, message: "Bad request" }, data: [] } });
      tenant.nextcloud.faults.add(answers(400, "POST user", { body: badRequest }));
    }
    const outcome = await tenant.bring(ada);
    expect(outcome).toMatchObject({ result: "applied", operations: expect.arrayContaining(["join eng"]) });
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada Lovelace",
      email: ada.email,
      quota: 5 * GB,
      groups: ["eng"],
    });
  });

  it("an account that a failed attempt left half-made is finished", async () => {
    const tenant = await build({ identity, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.faults.add(answers(500, "POST user", { after: true }));
    await expect(tenant.bring(ada)).rejects.toThrow(Failure);
    expect(tenant.account(ada)).toBeDefined();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });

  it("an account of the same id in other letter case is not touched", async () => {
    const tenant = await build({ identity });
    const ada = tenant.person();
    tenant.nextcloud.addLocalUser({ id: ada.id.toUpperCase(), displayName: "Other" });
    const refusal = await refusalOf(tenant.bring(ada));
    expect(refusal).toMatchObject({ failureClass: "permanent", code: "account-conflict" });
    expect(tenant.writesSince(0)).toEqual([]);
  });
});

describe("the scheme sociallogin", () => {
  it("ids of account and groups have the provider's name before them", async () => {
    const tenant = await build({ identity: IDENTITIES.sociallogin });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    expect(tenant.account(ada)).toMatchObject({
      id: `clavex-${ada.id}`,
      backends: ["Database"],
      groups: ["clavex-eng"],
    });
    expect(tenant.nextcloud.group("clavex-eng")?.displayName).toBe("eng");
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });

  it("a provider's name that has to be encoded in paths works", async () => {
    const tenant = await build({ identity: { scheme: "sociallogin", providerName: "sso@acme" } });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ id: `sso@acme-${ada.id}`, enabled: false });
  });
});
