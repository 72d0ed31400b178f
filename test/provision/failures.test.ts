import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { IDENTITIES, type ProvisionNow, short, type Tenant, useWorld } from "../support/world.ts";

const world = useWorld();

const named =
  (name: string) =>
  (request: RecordedRequest): boolean =>
    short(request).name === name;

/** Works on a job; gives the outcome's result, or the code of what was thrown. */
async function resultOf(tenant: Tenant, person: ClavexUser, run: ProvisionNow = tenant.provisionNow): Promise<string> {
  try {
    return (await run(tenant.job(person))).result;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}

describe("a write that Nextcloud always fails with 5xx", () => {
  it("is tried eight times, then parked with what happened, and other people go on", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const [ada, grace] = [tenant.person(), tenant.person()];
    const match = (request: RecordedRequest) => short(request).parameters.userId === ada.id;
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match });
    for (let attempt = 1; attempt < 8; attempt += 1) {
      expect(await resultOf(tenant, ada)).toBe("nextcloud-server-error");
      expect(await tenant.ledger.deadLetter(slug, ada.id)).toBeUndefined();
    }
    expect(await resultOf(tenant, ada)).toBe("parked");
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toMatchObject({ subject: ada.id, job: tenant.job(ada) });
    expect(await resultOf(tenant, grace)).toBe("applied");
  });

  it("is counted in a row: a success begins anew", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    const fail = (times: number) =>
      tenant.nextcloud.faults.add({ kind: "status", status: 502, match: named("POST user_oidc"), times });
    for (let round = 0; round < 2; round += 1) {
      fail(5);
      tenant.clavex.updateUser(slug, ada.id, { last_name: `King ${round}` });
      for (let attempt = 0; attempt < 5; attempt += 1)
        expect(await resultOf(tenant, ada)).toBe("nextcloud-server-error");
      expect(await resultOf(tenant, ada)).toBe("applied");
    }
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toBeUndefined();
  });

  it("is not counted where it is the look that fails, however often", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["eng"]);
    for (const look of ["GET user", "GET group"]) {
      tenant.nextcloud.faults.add({ kind: "status", status: 500, match: named(look), times: 12 });
      for (let attempt = 0; attempt < 12; attempt += 1)
        expect(await resultOf(tenant, ada)).toBe("nextcloud-server-error");
    }
    expect(await resultOf(tenant, ada)).toBe("applied");
  });
});

describe("a job that Nextcloud refuses", () => {
  it("is parked at once, keeps the first time, and is forgotten with the next success", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    const ada = tenant.person({ first_name: "x".repeat(300) });
    expect(await resultOf(tenant, ada)).toBe("parked");
    const firstAt = tenant.clock.now;
    expect(await resultOf(tenant, ada)).toBe("parked");
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toMatchObject({
      reason: "profile-refused",
      firstAt,
      lastAt: tenant.clock.now,
    });
    tenant.clavex.updateUser(slug, ada.id, { first_name: "Ada" });
    expect(await resultOf(tenant, ada)).toBe("applied");
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toBeUndefined();
    expect((await tenant.entry(ada))?.parked).toBeUndefined();
  });

  it("holds no e-mail address in its dead letter, though Nextcloud repeats it", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.database });
    const ada = tenant.person();
    const message = `The address ${ada.email} is not welcome here`;
    const body = JSON.stringify({ ocs: { meta: { statuscode: 107, message }, data: [] } });
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, match: named("POST user") });
    expect(await resultOf(tenant, ada)).toBe("parked");
    const letter = await tenant.ledger.deadLetter(tenant.organization.slug, ada.id);
    expect(letter?.message).toContain("is not welcome here");
    expect(JSON.stringify(letter)).not.toContain("@");
  });
});

describe("the brake", () => {
  /** An organization with so many people who have accounts and are then suspended in Clavex. */
  async function leaving(people: number, count: number): Promise<{ tenant: Tenant; leavers: ClavexUser[] }> {
    const tenant = await world.tenant({ reconcile: { maxDeprovisions: { count, percent: 0 } } });
    const leavers = Array.from({ length: people }, () => tenant.person());
    for (const person of leavers) await tenant.bring(person);
    for (const person of leavers) tenant.clavex.suspend(tenant.organization.slug, person.id);
    return { tenant, leavers };
  }
  const disabled = (tenant: Tenant, people: ClavexUser[]): number =>
    people.filter((person) => tenant.account(person)?.enabled === false).length;

  it("lets the limit pass in an hour and holds the others, with nothing written for them", async () => {
    const { tenant, leavers } = await leaving(4, 2);
    const results: string[] = [];
    for (const person of leavers) results.push(await resultOf(tenant, person));
    expect(results).toEqual(["applied", "applied", "brake-held", "brake-held"]);
    expect(disabled(tenant, leavers)).toBe(2);
    expect((await Promise.all(leavers.map(tenant.entry))).map((entry) => entry?.disabledByUs)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("holds on after the hour is over, in every container, until an operator allows more", async () => {
    const { tenant, leavers } = await leaving(3, 1);
    for (const person of leavers) await resultOf(tenant, person);
    tenant.clock.now += 2 * 60 * 60_000;
    expect(await resultOf(tenant, leavers[1] as ClavexUser, tenant.container())).toBe("brake-held");
    await createBrake(tenant.ledger, () => tenant.clock.now).allow(tenant.organization.slug, 2);
    for (const person of leavers.slice(1)) expect(await resultOf(tenant, person)).toBe("applied");
    expect(disabled(tenant, leavers)).toBe(3);
  });

  it("counts anew after an hour in which nobody was held", async () => {
    const { tenant, leavers } = await leaving(2, 1);
    expect(await resultOf(tenant, leavers[0] as ClavexUser)).toBe("applied");
    tenant.clock.now += 60 * 60_000;
    expect(await resultOf(tenant, leavers[1] as ClavexUser)).toBe("applied");
  });

  it("stands in nobody's way who comes, changes, or has no account", async () => {
    const { tenant, leavers } = await leaving(2, 0);
    for (const person of leavers) expect(await resultOf(tenant, person)).toBe("brake-held");
    expect(await resultOf(tenant, tenant.person({}, ["eng"]))).toBe("applied");
    expect(await resultOf(tenant, tenant.person({ is_active: false }))).toBe("unchanged");
  });

  it("counts a person once, though Nextcloud fails and the job is tried again", async () => {
    const { tenant, leavers } = await leaving(2, 2);
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match: named("PUT disable"), times: 3 });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await resultOf(tenant, leavers[0] as ClavexUser)).toBe("nextcloud-server-error");
    }
    for (const person of leavers) expect(await resultOf(tenant, person)).toBe("applied");
  });

  it("counts a person once, though the ledger fails and the job is tried again", async () => {
    const { tenant, leavers } = await leaving(2, 2);
    let failures = 3;
    const ledger: Ledger = {
      ...tenant.ledger,
      async putSubject(...parameters) {
        if (failures === 0) return tenant.ledger.putSubject(...parameters);
        failures -= 1;
        throw new LedgerUnavailable(new Error("throttled"));
      },
    };
    const run = tenant.container({ ledger });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await resultOf(tenant, leavers[0] as ClavexUser, run)).toBe("ledger-unavailable");
    }
    for (const person of leavers) expect(await resultOf(tenant, person, run)).toBe("applied");
  });

  it("lets exactly the limit pass when many leave at the same moment", async () => {
    const { tenant, leavers } = await leaving(8, 3);
    const containers = [tenant.container(), tenant.container()];
    const results = await Promise.all(
      leavers.map((person, index) => resultOf(tenant, person, containers[index % 2] ?? tenant.provisionNow)),
    );
    expect(results.filter((result) => result === "applied")).toHaveLength(3);
    expect(disabled(tenant, leavers)).toBe(3);
  });
});
