import { beforeEach, describe, expect, test } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { type Pipeline, withPipeline } from "../support/pipeline.ts";

const GB = 1024 ** 3;
const { build } = useOrganizations();

let company: Tenant & Pipeline;
let ada: ClavexUser;
let grace: ClavexUser;

beforeEach(async () => {
  company = withPipeline(await build({ skeleton: "empty", quota: { default: "5 GB", byGroup: { finance: "50 GB" } } }));
  ada = company.person({ first_name: "Ada", last_name: "Lovelace" }, ["eng"]);
  grace = company.person({ first_name: "Grace", last_name: "Hopper" }, ["eng", "ops"]);
  await company.settle();
});

/** The accounts that logins use, without the one that the pipeline works with. */
const peopleOfNextcloud = () =>
  company.nextcloud.users().filter(({ id, backend }) => backend === "user_oidc" && id !== company.nextcloud.username);

/** One light run and its jobs, after which neither kind of run finds anything more. */
async function closeWithLight(): Promise<void> {
  const before = company.nextcloud.requests.length;
  await company.light();
  expect(company.nextcloud.requests.length, "a light run asks Nextcloud nothing").toBe(before);
  await company.work();
  await expectNothingLeft();
}

async function closeWithFull(): Promise<void> {
  expect((await company.look("light")).differences, "a light run cannot see it").toEqual([]);
  await company.full();
  await company.work();
  await expectNothingLeft();
}

async function expectNothingLeft(): Promise<void> {
  for (const mode of ["light", "full"] as const) {
    const { differences, held, notes } = await company.look(mode);
    expect({ mode, differences, held, notes }).toEqual({ mode, differences: [], held: undefined, notes: [] });
  }
}

const update = (person: ClavexUser, change: Parameters<Tenant["clavex"]["updateUser"]>[2]) =>
  company.clavex.updateUser(company.organization.slug, person.id, change);
const group = (name: string) =>
  company.clavex.groupByName(company.organization.slug, name) ?? expect.fail(`no group ${name}`);

describe("a change for which Clavex sends no webhook is in Nextcloud after one light run", () => {
  describe("inbound SCIM", () => {
    test("a user that is created gets the account that login will look for", async () => {
      const linus = company.person({ first_name: "Linus", last_name: "Pauling" }, ["ops"]);
      await closeWithLight();
      expect(company.account(linus)).toMatchObject({
        id: company.accountId(linus),
        backend: "user_oidc",
        displayName: "Linus Pauling",
        email: linus.email,
        quota: 5 * GB,
        enabled: true,
      });
      expect(company.groupsOf(linus)).toEqual(["ops"]);
      expect(company.logIn(linus)).toBe(303);
      expect(peopleOfNextcloud()).toHaveLength(3);
    });

    test("a user that is changed, e-mail address included, is changed", async () => {
      update(ada, { first_name: "Augusta Ada", last_name: "King", email: "ada.king@acme.example" });
      await closeWithLight();
      expect(company.account(ada)).toMatchObject({ displayName: "Augusta Ada King", email: "ada.king@acme.example" });
    });

    test("a user that is deactivated is locked out, and let in again when activated", async () => {
      update(ada, { is_active: false });
      await closeWithLight();
      expect(company.account(ada)).toMatchObject({ enabled: false, displayName: "Ada Lovelace" });
      expect(company.logIn(ada)).toBe(401);
      update(ada, { is_active: true });
      await closeWithLight();
      expect(company.logIn(ada)).toBe(303);
      expect(company.groupsOf(ada)).toEqual(["eng"]);
    });

    test("a user that is deleted is locked out; the account and its files stay", async () => {
      company.clavex.deleteUser(company.organization.slug, ada.id);
      await closeWithLight();
      expect(company.account(ada)).toMatchObject({ enabled: false, homeExists: true });
      expect(company.account(grace)).toMatchObject({ enabled: true });
    });

    test("a group that is created with members is made and joined", async () => {
      company.assign(ada, "research");
      company.assign(grace, "research");
      await closeWithLight();
      expect(company.nextcloud.group(company.groupId("research"))).toMatchObject({
        displayName: "research",
        members: [company.accountId(ada), company.accountId(grace)].sort(),
      });
    });

    test("a group whose members are replaced has the new ones", async () => {
      company.unassign(ada, "eng");
      company.unassign(grace, "ops");
      company.assign(ada, "ops");
      await closeWithLight();
      expect([company.groupsOf(ada), company.groupsOf(grace)]).toEqual([["ops"], ["eng"]]);
    });
  });

  test("bulk import: all accounts are made, each once", async () => {
    const imported = company.people(45, ["eng"]);
    await closeWithLight();
    expect(imported.map((person) => [company.account(person)?.email, company.groupsOf(person)])).toEqual(
      imported.map((person) => [person.email, ["eng"]]),
    );
    expect(company.sent).toHaveLength(45);
  });

  test("LDAP sync: joiner, mover and leaver of one night", async () => {
    const joiner = company.person({ first_name: "Linus", last_name: "Pauling" }, ["ops"]);
    update(grace, { last_name: "Murray" });
    company.unassign(grace, "ops");
    company.assign(grace, "finance");
    update(ada, { is_active: false });
    await closeWithLight();
    expect(company.account(joiner)).toMatchObject({ displayName: "Linus Pauling", enabled: true });
    expect(company.account(grace)).toMatchObject({ displayName: "Grace Murray", quota: 50 * GB });
    expect(company.groupsOf(grace)).toEqual(["eng", "finance"]);
    expect(company.account(ada)).toMatchObject({ enabled: false });
  });

  test.each([
    ["social", { first_name: "Linus", last_name: "Pauling" }, "Linus Pauling"],
    ["eID", { email: "eid-4711@acme.example" }, "eid-4711@acme.example"],
  ])("just-in-time login (%s): the account that login made is completed, not doubled", async (_kind, fields, name) => {
    const newcomer = company.clavex.addUser(company.organization.slug, { email: "linus@acme.example", ...fields });
    company.assign(newcomer, "ops");
    expect(company.logIn(newcomer, { email: newcomer.email })).toBe(303);
    await closeWithLight();
    expect(company.account(newcomer)).toMatchObject({
      displayName: name,
      email: newcomer.email,
      quota: 5 * GB,
      backends: ["user_oidc"],
    });
    expect(company.groupsOf(newcomer)).toEqual(["ops"]);
    expect(peopleOfNextcloud()).toHaveLength(3);
  });

  test("invitation acceptance: the invited person gets an account when they are in the directory, not before", async () => {
    const invited = company.person({ first_name: "Linus", is_active: false, is_email_verified: false });
    await closeWithLight();
    expect(company.account(invited)).toBeUndefined();
    update(invited, { is_active: true, is_email_verified: true, last_name: "Pauling" });
    await closeWithLight();
    expect(company.account(invited)).toMatchObject({ displayName: "Linus Pauling", enabled: true });
  });

  test("self-service profile edits: the new name, and the address where somebody has no name any more", async () => {
    update(ada, { first_name: "Countess Ada" });
    update(grace, { first_name: null, last_name: null });
    await closeWithLight();
    expect(company.account(ada)?.displayName).toBe("Countess Ada Lovelace");
    expect(company.account(grace)?.displayName).toBe(grace.email);
  });

  test.each([
    ["set directly", { nextcloud_quota: "20 GB" }],
    ["nested, as Clavex's SDK writes them", { attributes: { nextcloud_quota: "20 GB" } }],
  ])("attributes %s: the quota is changed, and falls back when they are taken away", async (_how, attributes) => {
    company.clavex.setAttributes(company.organization.slug, ada.id, attributes);
    await closeWithLight();
    expect(company.account(ada)?.quota).toBe(20 * GB);
    company.clavex.setAttributes(company.organization.slug, ada.id, {});
    await closeWithLight();
    expect(company.account(ada)?.quota).toBe(5 * GB);
  });

  test("group create: an empty group changes nobody and is not made yet", async () => {
    company.clavex.addGroup(company.organization.slug, "research");
    await closeWithLight();
    expect(company.sent).toEqual([]);
    expect(company.nextcloud.group(company.groupId("research"))).toBeUndefined();
  });

  test("group delete: its members leave it, and lose the quota it gave", async () => {
    company.assign(grace, "finance");
    await closeWithLight();
    expect(company.account(grace)?.quota).toBe(50 * GB);
    company.clavex.deleteGroup(company.organization.slug, group("finance").id);
    await closeWithLight();
    expect(company.groupsOf(grace)).toEqual(["eng", "ops"]);
    expect(company.account(grace)?.quota).toBe(5 * GB);
  });

  test("group membership add: joined", async () => {
    company.assign(ada, "ops");
    await closeWithLight();
    expect(company.groupsOf(ada)).toEqual(["eng", "ops"]);
  });

  test("group membership remove: left; memberships that others gave stay", async () => {
    company.nextcloud.addGroup("board");
    company.nextcloud.addMember("board", company.accountId(grace));
    company.unassign(grace, "ops");
    await closeWithLight();
    expect(company.groupsOf(grace)).toEqual(["board", "eng"]);
  });

  test("a joiner's groups, assigned after the delivery of user.created was worked on", async () => {
    const joiner = company.person();
    await company.deliver(company.clavex.delivery("user.created", joiner));
    await company.work();
    expect(company.groupsOf(joiner)).toEqual([]);
    company.assign(joiner, "eng", "finance");
    await closeWithLight();
    expect(company.groupsOf(joiner)).toEqual(["eng", "finance"]);
    expect(company.account(joiner)?.quota).toBe(50 * GB);
  });

  test("role changes: no job at all, although they touch the user", async () => {
    update(ada, { mfa_required: true });
    await closeWithLight();
    expect(company.sent).toEqual([]);
  });

  test.each([
    "erased",
    "anonymized",
  ] as const)("GDPR erasure (%s): locked out, and nothing is renamed", async (form) => {
    company.clavex.eraseUser(company.organization.slug, ada.id, form);
    await closeWithLight();
    expect(company.account(ada)).toMatchObject({ enabled: false, displayName: "Ada Lovelace", email: ada.email });
    expect(await company.record(ada)).toMatchObject({ state: "deleted", disabledByUs: true });
  });

  test("a webhook that Clavex gave up to deliver", async () => {
    update(ada, { last_name: "King" });
    const joiner = company.person({ first_name: "Linus" });
    company.clavex.deleteUser(company.organization.slug, grace.id);
    await closeWithLight();
    expect(company.account(ada)?.displayName).toBe("Ada King");
    expect(company.account(joiner)?.enabled).toBe(true);
    expect(company.account(grace)?.enabled).toBe(false);
  });
});

describe("an organization that is deactivated or deleted in Clavex takes nobody's access by itself", () => {
  test.each([
    ["the API key is refused (401)", 401, /API key/],
    ["the API key may do nothing (403)", 403, /API key/],
    ["the organization is unknown (404)", 404, /organizationId/],
  ])("%s: the run fails with what to do, and goes on when it is back", async (_how, status, fix) => {
    update(ada, { last_name: "King" });
    company.clavex.faults.add({
      kind: "status",
      status,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ error: "Not Found", message: "Not Found" }),
    });
    for (const mode of ["light", "full"] as const) {
      await expect(company[mode]()).rejects.toMatchObject({
        failureClass: "configuration",
        fix: expect.stringMatching(fix),
      });
    }
    expect(company.sent).toEqual([]);
    company.clavex.faults.clear();
    await closeWithLight();
    expect(company.account(ada)).toMatchObject({ displayName: "Ada King", enabled: true });
    expect(company.account(grace)).toMatchObject({ enabled: true });
  });
});

describe("a change that was made in Nextcloud itself is put right by one full run", () => {
  test("name, e-mail address and quota", async () => {
    company.logIn(ada, { name: "Somebody Else", email: "else@acme.example", quota: "1 GB" });
    await closeWithFull();
    expect(company.account(ada)).toMatchObject({ displayName: "Ada Lovelace", email: ada.email, quota: 5 * GB });
  });

  test("an extra member of a group of ours; a local account in it is not touched", async () => {
    company.nextcloud.addLocalUser({ id: "service", groups: [company.groupId("ops")] });
    company.nextcloud.addMember(company.groupId("ops"), company.accountId(ada));
    await closeWithFull();
    expect(company.groupsOf(ada)).toEqual(["eng"]);
    expect(company.nextcloud.user("service")?.groups).toEqual([company.groupId("ops")]);
  });

  test("a membership that was taken away", async () => {
    await company.administer("DELETE", `cloud/users/${company.accountId(grace)}/groups`, {
      groupid: company.groupId("ops"),
    });
    expect(company.groupsOf(grace)).toEqual(["eng"]);
    await closeWithFull();
    expect(company.groupsOf(grace)).toEqual(["eng", "ops"]);
  });

  test("a group that was deleted", async () => {
    await company.administer("DELETE", `cloud/groups/${company.groupId("eng")}`);
    await closeWithFull();
    expect([company.groupsOf(ada), company.groupsOf(grace)]).toEqual([["eng"], ["eng", "ops"]]);
    expect(company.nextcloud.group(company.groupId("eng"))?.displayName).toBe("eng");
  });

  test("an account that was deleted is made again, with its groups", async () => {
    await company.administer("DELETE", `cloud/users/${company.accountId(grace)}`);
    expect(company.account(grace)).toBeUndefined();
    await closeWithFull();
    expect(company.account(grace)).toMatchObject({ displayName: "Grace Hopper", quota: 5 * GB, enabled: true });
    expect(company.groupsOf(grace)).toEqual(["eng", "ops"]);
  });

  test("a suspended person whom an administrator has let in again", async () => {
    update(ada, { is_active: false });
    await closeWithLight();
    company.nextcloud.setEnabled(company.accountId(ada), true);
    await closeWithFull();
    expect(company.logIn(ada)).toBe(401);
    update(ada, { is_active: true });
    await closeWithLight();
    expect(company.logIn(ada)).toBe(303);
  });

  test("somebody who logged in before the pipeline knew them, and was suspended since", async () => {
    const guest = company.person();
    company.logIn(guest, { name: "Ada Lovelace", email: guest.email });
    update(guest, { is_active: false });
    await closeWithFull();
    expect(company.logIn(guest)).toBe(401);
    await expectNothingLeft();
  });

  test("an e-mail address that differs in letter case only is no difference", async () => {
    company.logIn(ada, { email: ada.email.toUpperCase() });
    await company.full();
    expect(company.sent).toEqual([]);
  });
});
