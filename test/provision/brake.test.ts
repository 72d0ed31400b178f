import { describe, expect, it } from "vitest";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { resultOf } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();

describe("the brake", () => {
  /** An organization with this many people who have accounts and are then suspended in Clavex. */
  async function leaving(people: number, count: number): Promise<{ tenant: Tenant; leavers: ClavexUser[] }> {
    const tenant = await build({ reconcile: { maxDeprovisions: { count, percent: 0 } } });
    const leavers = Array.from({ length: people }, () => tenant.person());
    for (const person of leavers) await tenant.bring(person);
    for (const person of leavers) tenant.clavex.suspend(tenant.organization.slug, person.id);
    return { tenant, leavers };
  }
  const disabled = (tenant: Tenant, people: ClavexUser[]): number =>
    people.filter((person) => tenant.account(person)?.enabled === false).length;

  it("the limit passes in an hour and the others are held, with nothing written for them", async () => {
    const { tenant, leavers } = await leaving(4, 2);
    const results: string[] = [];
    for (const person of leavers) results.push(await resultOf(tenant.bring(person)));
    expect(results).toEqual(["applied", "applied", "brake-held", "brake-held"]);
    expect(disabled(tenant, leavers)).toBe(2);
    expect((await Promise.all(leavers.map(tenant.record))).map((record) => record?.disabledByUs)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("the brake holds on after the hour is over, in every container, until an operator allows more", async () => {
    const { tenant, leavers } = await leaving(3, 1);
    for (const person of leavers) await resultOf(tenant.bring(person));
    tenant.clock.now += 2 * 60 * 60_000;
    expect(await resultOf(tenant.container()(tenant.job(leavers[1] as ClavexUser)))).toBe("brake-held");
    await createBrake(tenant.ledger, () => tenant.clock.now).allow(tenant.organization.slug, 2);
    for (const person of leavers.slice(1)) expect(await resultOf(tenant.bring(person))).toBe("applied");
    expect(disabled(tenant, leavers)).toBe(3);
  });

  it("the brake counts anew after an hour in which nobody was held", async () => {
    const { tenant, leavers } = await leaving(2, 1);
    expect(await resultOf(tenant.bring(leavers[0] as ClavexUser))).toBe("applied");
    tenant.clock.now += 60 * 60_000;
    expect(await resultOf(tenant.bring(leavers[1] as ClavexUser))).toBe("applied");
  });

  it("the brake stands in nobody's way who comes, changes, or has no account", async () => {
    const { tenant, leavers } = await leaving(2, 0);
    for (const person of leavers) expect(await resultOf(tenant.bring(person))).toBe("brake-held");
    expect(await resultOf(tenant.bring(tenant.person({}, ["eng"])))).toBe("applied");
    expect(await resultOf(tenant.bring(tenant.person({ is_active: false })))).toBe("unchanged");
  });

  it("a person is counted once, though Nextcloud fails and the job is tried again", async () => {
    const { tenant, leavers } = await leaving(2, 2);
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match: named("PUT disable"), times: 3 });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await resultOf(tenant.bring(leavers[0] as ClavexUser))).toBe("nextcloud-server-error");
    }
    for (const person of leavers) expect(await resultOf(tenant.bring(person))).toBe("applied");
  });

  it("a person is counted once, though the ledger fails and the job is tried again", async () => {
    const { tenant, leavers } = await leaving(2, 2);
    let failures = 3;
    const ledger: Ledger = {
      ...tenant.ledger,
      subjects: {
        ...tenant.ledger.subjects,
        async tryPut(...parameters) {
          if (failures === 0) return tenant.ledger.subjects.tryPut(...parameters);
          failures -= 1;
          throw new LedgerUnavailable(new Error("throttled"));
        },
      },
    };
    const run = tenant.container({ ledger });
    const [job, sentAt] = [tenant.job(leavers[0] as ClavexUser), tenant.clock.now];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect(await resultOf(run(job, sentAt))).toBe("ledger-unavailable");
    }
    expect(await resultOf(run(job, sentAt))).toBe("applied");
    expect(await resultOf(run(tenant.job(leavers[1] as ClavexUser)))).toBe("applied");
  });

  it("exactly the limit passes when many leave at the same moment", async () => {
    const { tenant, leavers } = await leaving(8, 3);
    const containers = [tenant.container(), tenant.container()];
    const results = await Promise.all(
      leavers.map((person, index) => resultOf((containers[index % 2] ?? tenant.provisionNow)(tenant.job(person)))),
    );
    expect(results.filter((result) => result === "applied")).toHaveLength(3);
    expect(disabled(tenant, leavers)).toBe(3);
  });
});

describe("an organization whose limits nobody chose", () => {
  const disabled = (tenant: Tenant, people: ClavexUser[]): number =>
    people.filter((person) => tenant.account(person)?.enabled === false).length;

  it("of 10 people, all of whom a wrong import suspends, loses at most half of them in an hour, and no more later", async () => {
    const tenant = await build();
    const people = tenant.people(10);
    for (const person of people) await tenant.bring(person);
    for (const { id } of people) tenant.clavex.suspend(tenant.slug, id);
    for (let round = 0; round < 3; round += 1) {
      for (const person of people) await resultOf(tenant.bring(person));
      expect(disabled(tenant, people)).toBe(5);
      tenant.clock.now += 2 * 60 * 60_000;
    }
  });

  it("raises the daily alarm when many leave within a day, each hour below its limit", async () => {
    const tenant = await build({ reconcile: { maxDeprovisions: { count: 2, percent: 0, daily: 3 } } });
    const people = tenant.people(6);
    for (const person of people) await tenant.bring(person);
    const alarms: unknown[] = [];
    for (const person of people) {
      tenant.clavex.suspend(tenant.slug, person.id);
      alarms.push((await tenant.bring(person)) as { overDaily?: true });
      tenant.clock.now += 40 * 60_000;
    }
    expect(alarms.map((outcome) => (outcome as { overDaily?: true }).overDaily)).toEqual([
      undefined,
      undefined,
      undefined,
      true,
      true,
      true,
    ]);
  });

  it("remembers in the person's entry who was let pass, until they are disabled", async () => {
    const tenant = await build();
    const person = tenant.person();
    await tenant.bring(person);
    tenant.clavex.suspend(tenant.slug, person.id);
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match: named("PUT disable"), times: 1 });
    await resultOf(tenant.bring(person));
    expect((await tenant.record(person))?.admitted).toEqual({ braked: "deprovisions", at: expect.any(Number) });
    await tenant.bring(person);
    expect(await tenant.record(person)).toMatchObject({ state: "suspended", admitted: undefined });
    expect(await tenant.ledger.brakes.get(tenant.slug)).toMatchObject({ state: { buckets: [{ people: 1 }] } });
  });
});
