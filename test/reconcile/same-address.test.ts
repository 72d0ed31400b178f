import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OrganizationClients } from "../../functions/clients.ts";
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
    expect(report.existing).toEqual([{ subject: ada.id, accountId: "Ada.L", backend: "Database" }]);
    // Nothing of it is kept: the next look without it knows nothing.
    expect((await look(false)).existing).toEqual([]);
    await tenant.bring(ada);
    expect((await look()).existing).toEqual([]);
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
    return addresses.of("ada@ACME.example")?.accountId;
  };
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

  test("of several the first one is named", () => {
    const addresses = new SameAddresses(organizationOf(), [ADA, { ...ADA, email: "" }]);
    for (const id of ["first", "second"]) addresses.detailed(id, account);
    expect(addresses.of(ADA.email)?.accountId).toBe("first");
    expect(addresses.of("")).toBeUndefined();
  });
});
