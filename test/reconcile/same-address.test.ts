import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OrganizationClients } from "../../functions/clients.ts";
import { accountId } from "../../functions/core/identity.ts";
import { driftReport } from "../../functions/reconcile/drift-report.ts";
import { SameAddresses } from "../../functions/reconcile/same-address.ts";
import { IDENTITIES, organizationOf } from "../core/organization.ts";
import { buildInMemory, type Tenant } from "../support/organization.ts";

describe("people who are in Nextcloud already", () => {
  let tenant: Tenant;
  let close: () => Promise<void>;
  let clients: OrganizationClients;
  beforeAll(async () => {
    ({ tenant, close } = await buildInMemory());
    clients = tenant.newClients().of(tenant.organization);
  });
  afterAll(() => close());

  const look = async (sameAddresses = true) => {
    const { organization, ledger, clock } = tenant;
    return driftReport(organization, "full", { ledger, clients, now: () => clock.now, sameAddresses });
  };

  test("a full look finds them by the e-mail address, in any letter case, although none of ours is listed yet", async () => {
    const { nextcloud } = tenant;
    const [ada, grace, known] = [tenant.person(), tenant.person(), tenant.person()];
    for (let index = 0; index < 30; index += 1) nextcloud.addLocalUser({ id: `somebody-${index}` });
    nextcloud.addLocalUser({ id: "Ada.L", email: ada.email.toUpperCase() });
    nextcloud.addLocalUser({ id: "known", email: known.email });
    nextcloud.simulateLogin({ providerId: 9, sub: grace.id, claims: { email: grace.email } });
    await tenant.bring(known);

    const report = await look();
    expect(report.existing).toEqual([{ subject: ada.id, accountId: "Ada.L", backend: "Database", enabled: true }]);
    // Nothing of it is kept: the next look without it knows nothing.
    expect((await look(false)).existing).toEqual([]);
    await tenant.bring(ada);
    expect((await look()).existing).toEqual([]);
  });

  test("they are still named once the pipeline's account exists, until the old one is disabled", async () => {
    const { nextcloud } = tenant;
    const [alan, barbara] = [tenant.person(), tenant.person()];
    nextcloud.addLocalUser({ id: "alan", email: alan.email });
    for (const person of [alan, barbara]) await tenant.bring(person);
    const own = accountId(tenant.organization.identity, alan.id);
    const doubled = async () => (await look()).doubled.filter(({ subject }) => [alan.id, barbara.id].includes(subject));
    expect(await doubled()).toEqual([{ subject: alan.id, own, accountId: "alan", backend: "Database", enabled: true }]);
    expect((await look()).named.get(alan.id)?.email).toBe(alan.email);
    expect((await look(false)).doubled).toEqual([]);
    nextcloud.setEnabled("alan", false);
    expect(await doubled()).toEqual([]);
  });

  test("so is somebody who has left: the old account still lets them in", async () => {
    const leaver = tenant.person();
    await tenant.bring(leaver);
    tenant.nextcloud.addLocalUser({ id: "leaver", email: leaver.email });
    tenant.clavex.suspend(tenant.organization.slug, leaver.id);
    await tenant.bring(leaver);
    expect((await look()).doubled).toContainEqual(expect.objectContaining({ subject: leaver.id, accountId: "leaver" }));
  });

  test("an account of the person's own id is not their second one", async () => {
    const person = tenant.person();
    const id = accountId(tenant.organization.identity, person.id);
    tenant.nextcloud.addLocalUser({ id, email: person.email });
    const { existing, doubled } = await look();
    expect([...existing, ...doubled].filter(({ subject }) => subject === person.id)).toEqual([]);
  });

  test("nobody is warned of whose account was not to be made", async () => {
    const suspended = tenant.person({ is_active: false });
    tenant.nextcloud.addLocalUser({ id: "suspended", email: suspended.email });
    expect((await look()).existing).toEqual([]);
  });
});

describe("accounts of another backend with the e-mail address of a person", () => {
  const ADA = { subject: "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", email: "Ada@acme.example" };
  const found = (details: unknown, identity: object = IDENTITIES.hashed, id = "ada") => {
    const addresses = new SameAddresses(organizationOf({ identity }), [ADA]);
    addresses.detailed(id, details);
    return idsOf(addresses)[0];
  };
  const idsOf = (addresses: SameAddresses<typeof ADA>) => [...addresses.all()].map(({ other }) => other.accountId);
  const account = { backend: "Database", email: " ADA@acme.example", enabled: false };

  test.each([
    ["one of the Database", account, "ada"],
    ["one of LDAP", { ...account, backend: "LDAP" }, "ada"],
    ["one of user_oidc, which the list of unknown accounts has", { ...account, backend: "user_oidc" }, undefined],
    ["one with another address", { ...account, email: "grace@acme.example" }, undefined],
    ["one without an address", { ...account, email: null }, undefined],
    ["one without a backend", { email: account.email }, undefined],
    ["no account at all", "ada", undefined],
    ["nothing", null, undefined],
    ["a list", [account], undefined],
  ])("%s", (_what, details, id) => {
    expect(found(details)).toBe(id);
  });

  test("where ours are core accounts as well, only those that are nobody's", () => {
    expect(found(account, IDENTITIES.database)).toBe("ada");
    expect(found(account, IDENTITIES.database, ADA.subject.toUpperCase())).toBeUndefined();
  });

  test("the pipeline's own account is none", () => {
    expect(found(account, IDENTITIES.hashed, "provisioner")).toBeUndefined();
  });

  test.each([
    ["the first", [false, false], "0"],
    ["the first that is enabled", [false, true, true], "1"],
    ["an enabled one, whatever comes later", [true, false], "0"],
  ])("of several %s is named", (_what, enabled, id) => {
    const addresses = new SameAddresses(organizationOf(), [ADA, { ...ADA, email: "" }]);
    for (const [index, each] of enabled.entries()) addresses.detailed(String(index), { ...account, enabled: each });
    expect(idsOf(addresses)).toEqual([id]);
  });

  test("of two people with one address both are named", () => {
    const other = { subject: "7a1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", email: "ada@acme.example" };
    const addresses = new SameAddresses(organizationOf(), [ADA, other]);
    addresses.detailed("ada", account);
    expect([...addresses.all()].map(({ person }) => person.subject)).toEqual([ADA.subject, other.subject]);
  });
});
