import { createHash, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { done } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { short } from "../support/requests.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("joiners", () => {
  it("a new person gets an account with name, e-mail, quota and groups, and login opens that account", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const ada = tenant.person({ email: "Ada@Acme.example" }, ["eng", "ops"]);
    const outcome = await tenant.bring(ada);
    expect(outcome).toEqual({
      result: "applied",
      accountId: sha256(`1_0_${ada.id}`),
      state: "active",
      operations: ["upsert account", "join eng", "join ops"],
      notes: [],
    });
    expect(tenant.account(ada)).toMatchObject({
      id: sha256(`1_0_${ada.id}`),
      backends: ["user_oidc"],
      displayName: "Ada Lovelace",
      email: "ada@acme.example",
      quota: 5 * GB,
      enabled: true,
      groups: [sha256("1_0_eng"), sha256("1_0_ops")].sort(),
    });
    const login = tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id, claims: {} });
    expect(login).toEqual({ status: 303, userId: tenant.accountId(ada) });
  });

  it.each([
    "hashed",
    "raw",
    "providerBased",
    "oddlyNamed",
  ] as const)("a person whose ids are %s is provisioned, renamed, disabled and enabled in the one account that login opens", async (name) => {
    const identity = IDENTITIES[name];
    const tenant = await build({ identity, skeleton: "empty" });
    const ada = tenant.person({}, ["eng/backend c++"]);
    await tenant.bring(ada);
    const login = tenant.nextcloud.simulateLogin({ providerId: identity.providerId, sub: ada.id, claims: {} });
    expect(login).toEqual({ status: 303, userId: tenant.accountId(ada) });
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname"] });
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ enabled: false, displayName: "Ada King" });
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { is_active: true });
    tenant.unassign(ada, "eng/backend c++");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng/backend c++", "enable"] });
    expect(tenant.account(ada)).toMatchObject({ enabled: true, groups: [] });
    expect(tenant.nextcloud.users()).toHaveLength(2);
  });

  it("a new person with n known groups costs 3 + n calls: a look, two for the account and one for each group", async () => {
    const tenant = await build();
    await tenant.bring(tenant.person({}, ["a", "b", "c"]));
    const grace = tenant.person({}, ["a", "b", "c"]);
    const mark = tenant.mark();
    await tenant.bring(grace);
    expect(tenant.since(mark)).toEqual([
      "GET user",
      "POST user_oidc",
      "POST user_oidc",
      ...Array(3).fill("POST membership"),
    ]);
  });

  it("a new person costs the same in another container, which knows the groups from the ledger", async () => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await build({ identity });
      await tenant.bring(tenant.person({}, ["a", "b"]));
      const grace = tenant.person({}, ["a", "b"]);
      const mark = tenant.mark();
      await tenant.container()(tenant.job(grace));
      expect(tenant.since(mark)).toEqual([
        "GET user",
        "POST user_oidc",
        "POST user_oidc",
        "POST membership",
        "POST membership",
      ]);
    }
  });

  it("groups that nobody was in before are made with hashed ids and their own names", async () => {
    const tenant = await build();
    const mark = tenant.mark();
    await tenant.bring(tenant.person({}, ["eng", "Größe/ü"]));
    expect(tenant.requestsSince(mark).map(({ name, parameters }) => [name, parameters.groupid])).toEqual([
      ["GET user", undefined],
      ["POST user_oidc", undefined],
      ["POST user_oidc", undefined],
      ["POST group", sha256("1_0_Größe/ü")],
      ["POST membership", sha256("1_0_Größe/ü")],
      ["POST group", "bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112"],
      ["POST membership", "bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112"],
    ]);
    expect(tenant.nextcloud.group(sha256("1_0_Größe/ü"))?.displayName).toBe("Größe/ü");
    expect(tenant.nextcloud.group(sha256("1_0_eng"))?.displayName).toBe("eng");
  });

  it("many new people of the same new groups, in several containers at once, all join them", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const people = Array.from({ length: 12 }, () => tenant.person({}, ["all", "eng"]));
    const containers = [tenant.container(), tenant.container()];
    const outcomes = await Promise.all(
      people.map((person, index) => (containers[index % 2] ?? tenant.provisionNow)(tenant.job(person))),
    );
    expect(outcomes.flatMap((outcome) => done(outcome).notes)).toEqual([]);
    for (const person of people) expect(tenant.account(person)?.groups).toEqual(["all", "eng"]);
  });

  it("groups that nobody was in before are looked for first, where ids are raw", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const mark = tenant.mark();
    await tenant.bring(tenant.person({}, ["eng"]));
    expect(tenant.since(mark)).toEqual([
      "GET user",
      "GET group",
      "POST user_oidc",
      "POST user_oidc",
      "POST group",
      "POST membership",
    ]);
    expect(await tenant.ledger.claims.group(tenant.nextcloud.url, "eng")).toEqual({
      owner: tenant.organization.slug,
      name: "eng",
    });
  });

  it("a person without a name gets the e-mail address for one", async () => {
    const tenant = await build();
    const ada = tenant.person({ first_name: "", last_name: "" });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.displayName).toBe(ada.email);
  });

  it("a person whose group Nextcloud cannot hold is provisioned with the rest, and it is reported", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["0", "g".repeat(256), "eng"]);
    const outcome = await tenant.bring(ada);
    expect(outcome).toMatchObject({ result: "applied", notes: [expect.any(String), expect.any(String)] });
    expect(tenant.account(ada)?.groups).toEqual(["eng"]);
  });

  it.each([
    27, 32, 34,
  ] as const)("a group of more than 64 characters is made by the hash of its name, on %d", async (version) => {
    const tenant = await build({ version, identity: IDENTITIES.raw });
    const name = "g".repeat(65);
    const ada = tenant.person({}, [name, "eng"]);
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied", notes: [] });
    expect(tenant.account(ada)?.groups).toEqual([sha256(name), "eng"].sort());
    expect(tenant.nextcloud.group(sha256(name))?.displayName).toBe(name);
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
  });

  it("a person whose group Nextcloud refuses to make is provisioned with the rest, and it is reported", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["bad", "eng"]);
    const body = JSON.stringify({ ocs: { meta: { statuscode: 101, message: "Invalid group name" }, data: [] } });
    const match = (request: RecordedRequest) => short(request).parameters.displayname === "bad";
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, match });
    const outcome = await tenant.bring(ada);
    expect(done(outcome).notes).toEqual([expect.stringContaining("group bad is skipped")]);
    expect(tenant.account(ada)?.groups).toEqual([sha256("1_0_eng")]);
    expect((await tenant.record(ada))?.groups).toEqual([sha256("1_0_eng")]);
  });

  it("a person who is suspended or gone already gets no account", async () => {
    const tenant = await build();
    const [ada, grace] = [tenant.person({ is_active: false }), tenant.person()];
    tenant.clavex.deleteUser(tenant.organization.slug, grace.id);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", state: "suspended" });
    expect(await tenant.bring(grace)).toMatchObject({ result: "unchanged", state: "deleted" });
    expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
  });
});

describe("outcomes", () => {
  it("an outcome names ids and groups, and never an e-mail address", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({ first_name: "", last_name: "", metadata: { nextcloud_quota: "lots" } }, ["eng", "0"]);
    const outcomes = [await tenant.bring(ada)];
    tenant.clavex.updateUser(slug, ada.id, { email: `${randomUUID()}@acme.example` });
    outcomes.push(await tenant.bring(ada));
    tenant.clavex.eraseUser(slug, ada.id, "erased");
    outcomes.push(await tenant.bring(ada));
    expect(outcomes.map((outcome) => done(outcome).operations)).toEqual([
      ["upsert account", "join eng"],
      ["upsert displayname+email"],
      ["disable"],
    ]);
    expect(JSON.stringify(outcomes)).not.toContain("@");
  });
});
