import { describe, expect, it, vi } from "vitest";
import { IdentityChanged, identityFingerprint } from "../../functions/core/identity.ts";
import { createIdentityGuard } from "../../functions/provision/identity-guard.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { refusalOf, resultOf } from "../support/jobs.ts";
import { IDENTITIES, type ProvisionNow, type Tenant, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

/** Says that ids are hashed, of a provider that makes raw ones. */
const WRONG = { ...IDENTITIES.raw, uniqueUserIds: true };
const MISMATCH = { failureClass: "configuration", code: "identity-mismatch" };
const MINUTE = 60_000;

const fourContainers = (tenant: Tenant): ProvisionNow[] => Array.from({ length: 4 }, () => tenant.container());

/** Works on a job for each person, shared out among containers that do four at a time. */
async function workOn<T>(
  tenant: Tenant,
  people: readonly ClavexUser[],
  containers: readonly ProvisionNow[],
  ending: (run: ReturnType<ProvisionNow>) => Promise<T>,
): Promise<T[]> {
  const endings: T[] = [];
  const next = people.values();
  const runner = async (container: ProvisionNow): Promise<void> => {
    for (const person of next) endings.push(await ending(container(tenant.job(person))));
  };
  await Promise.all(containers.flatMap((container) => Array.from({ length: 4 }, () => runner(container))));
  return endings;
}

/** An organization with a wrong identity, for all of whose 20 people a job has failed. */
async function mismatched() {
  const tenant = await build({ identity: WRONG });
  const people = tenant.people(20);
  const containers = fourContainers(tenant);
  const before = tenant.nextcloud.users();
  const refusals = await workOn(tenant, people, containers, refusalOf);
  return { tenant, people, containers, before, refusals };
}

describe("a wrong identity", () => {
  it("a wrong identity is found by one wrong account of 20 jobs in 4 containers, and it is deleted again", async () => {
    const { tenant, people, before, refusals } = await mismatched();
    expect(refusals).toHaveLength(20);
    for (const refusal of refusals) expect(refusal).toMatchObject(MISMATCH);
    expect(tenant.writesSince(0)).toEqual(["POST user_oidc", "DELETE user_oidc"]);
    expect(tenant.nextcloud.users()).toEqual(before);
    for (const person of people) expect((await tenant.record(person))?.applied).toBeUndefined();
  });

  it("the failure names both ids and says what to do", async () => {
    const tenant = await build({ identity: WRONG });
    const ada = tenant.person();
    const refusal = await refusalOf(tenant.bring(ada));
    expect(refusal).toMatchObject({ ...MISMATCH, fix: expect.stringContaining("uniqueUserIds") });
    expect(refusal.message).toContain(`id ${ada.id} where identity gives ${tenant.accountId(ada)}`);
  });

  it("jobs within the hour make no request, in new containers neither; after it one makes one wrong account", async () => {
    const { tenant, people, containers } = await mismatched();
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    tenant.clock.now += 30 * MINUTE;
    for (const each of [containers, fourContainers(tenant)])
      for (const refusal of await workOn(tenant, people, each, refusalOf)) expect(refusal).toMatchObject(MISMATCH);
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
    tenant.clock.now += 31 * MINUTE;
    for (const refusal of await workOn(tenant, people, containers, refusalOf)) expect(refusal).toMatchObject(MISMATCH);
    expect(tenant.writesSince(mark)).toEqual(["POST user_oidc", "DELETE user_oidc"]);
  });

  it("a wrong identity is corrected without accept-identity where nobody was ever applied", async () => {
    const { tenant, people, containers, before } = await mismatched();
    tenant.configure({ identity: IDENTITIES.raw });
    expect(await workOn(tenant, people, containers, resultOf)).toEqual(Array(20).fill("applied"));
    for (const { id } of people) expect(tenant.nextcloud.user(id)).toMatchObject({ backends: ["user_oidc"] });
    expect(tenant.nextcloud.users()).toHaveLength(before.length + 20);
  });

  it("a wrong identity is corrected by accept-identity where somebody was applied before", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    expect(await resultOf(tenant.bring(tenant.person()))).toBe("applied");
    const provider = tenant.nextcloud.providers.find(({ id }) => id === IDENTITIES.raw.providerId);
    Object.assign(provider ?? {}, { uniqueUid: true });
    const grace = tenant.person();
    expect(await refusalOf(tenant.bring(grace))).toMatchObject(MISMATCH);
    tenant.configure({ identity: WRONG });
    expect(await resultOf(tenant.bring(grace))).toBe("identity-changed");
    await tenant.ledger.identities.accept(slug, identityFingerprint(tenant.organization.identity));
    expect(await resultOf(tenant.bring(grace))).toBe("applied");
    expect(tenant.account(grace)?.id).toBe(tenant.accountId(grace));
  });

  it("a neighbour with a right identity goes on", async () => {
    const { tenant } = await mismatched();
    const neighbour = tenant.neighbour({ identity: IDENTITIES.hashed });
    expect(await resultOf(neighbour.bring(neighbour.person()))).toBe("applied");
  });

  it("a container that still has the wrong identity after it was corrected makes no account", async () => {
    const tenant = await build({ identity: WRONG });
    const { organization, ledger, clock } = tenant;
    const guard = createIdentityGuard(ledger, () => clock.now);
    await guard.require(organization);
    await ledger.identities.accept(organization.slug, identityFingerprint(IDENTITIES.database));
    const make = vi.fn(async () => "made");
    const target = tenant.newClients().of(organization);
    await expect(guard.create(organization, target, "expected", make)).rejects.toThrow(IdentityChanged);
    expect(make).not.toHaveBeenCalled();
  });
});

describe("an account under a wrong id that is somebody's", () => {
  /** Makes the one job of a wrong identity whose account exists already. */
  async function meet(exists: (tenant: Tenant, person: ClavexUser) => unknown): Promise<[Tenant, ClavexUser]> {
    const tenant = await build({ identity: WRONG });
    const ada = tenant.person();
    await exists(tenant, ada);
    expect(await refusalOf(tenant.bring(ada))).toMatchObject({ ...MISMATCH, fix: expect.stringContaining("delete") });
    return [tenant, ada];
  }

  it("an account that was logged in to stays", async () => {
    const [{ nextcloud }, ada] = await meet((tenant, person) => tenant.logIn(person));
    expect(nextcloud.user(ada.id)).toBeDefined();
    expect(nextcloud.requests.map(({ method }) => method)).not.toContain("DELETE");
  });

  it("an account that is in a group stays", async () => {
    const [{ nextcloud }, ada] = await meet(async ({ nextcloud: server, administer }, { id }) => {
      server.addGroup("board");
      await administer("POST", "apps/user_oidc/api/v1/user", { providerId: "2", userId: id });
      server.addMember("board", id);
    });
    expect(nextcloud.user(ada.id)?.groups).toEqual(["board"]);
    expect(nextcloud.requests.map(({ method }) => method)).not.toContain("DELETE");
  });

  it("an account that another organization has claimed stays", async () => {
    const [{ nextcloud }, ada] = await meet(async (tenant, { id }) => {
      const neighbour = tenant.neighbour({ identity: IDENTITIES.raw });
      expect(await resultOf(neighbour.bring(neighbour.person({ id })))).toBe("applied");
    });
    expect(nextcloud.user(ada.id)).toBeDefined();
    expect(nextcloud.requests.map(({ method }) => method)).not.toContain("DELETE");
  });
});

describe("a right identity", () => {
  it("20 first jobs in 4 containers make 20 accounts with three requests each, and the identity is confirmed", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const people = tenant.people(20);
    const before = tenant.nextcloud.users().length;
    expect(await workOn(tenant, people, fourContainers(tenant), resultOf)).toEqual(Array(20).fill("applied"));
    expect(tenant.nextcloud.users()).toHaveLength(before + 20);
    for (const person of people) expect(tenant.account(person)).toBeDefined();
    expect(tenant.since(0).sort()).toEqual([...Array(20).fill("GET user"), ...Array(40).fill("POST user_oidc")]);
    expect(await tenant.ledger.identities.get(tenant.organization.slug)).toMatchObject({ confirmed: true });
  });
});
