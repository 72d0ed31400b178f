import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Job } from "../../functions/core/job.ts";
import type { Organization } from "../../functions/core/organization.ts";
import type { SubjectState } from "../../functions/ledger/ledger.ts";
import { type Brake, createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { organizationOf, type ProvisionNow, type Tenant, useWorld } from "../support/world.ts";

const HOUR_MS = 60 * 60_000;
/** The default: at most so many in an hour, or five percent. */
const COUNT = 10;

describe("the brake", () => {
  const world = useWorld();
  let organizations = 0;

  function newBrake(maxDeprovisions: Partial<Organization["reconcile"]["maxDeprovisions"]> = {}) {
    organizations += 1;
    const slug = `brake-${organizations}`;
    const defaults = organizationOf({ slug });
    const limits = { ...defaults.reconcile.maxDeprovisions, ...maxDeprovisions };
    const organization: Organization = { ...defaults, reconcile: { maxDeprovisions: limits } };
    const clock = { now: Date.UTC(2026, 6, 23, 8) };
    return { slug, organization, clock, brake: createBrake(world.ledger, () => clock.now) };
  }

  /** How many of so many get through, one after the other. */
  async function passed(brake: Brake, organization: Organization, number: number): Promise<number> {
    let through = 0;
    for (let index = 0; index < number; index += 1) {
      through += await brake.admit(organization, randomUUID()).then(
        () => 1,
        (error) => {
          expect(error).toMatchObject({ failureClass: "configuration", code: "brake-held" });
          return 0;
        },
      );
    }
    return through;
  }

  async function addPeople(slug: string, number: number, state: SubjectState): Promise<void> {
    for (let index = 0; index < number; index += 1) {
      const subject = randomUUID();
      const entry = { subject, accountId: subject, state, groups: [], disabledByUs: state !== "active" };
      await world.ledger.putSubject(slug, entry, undefined);
    }
  }

  test("lets the count pass in an hour and holds the next one, with what an operator has to do", async () => {
    const { slug, brake, organization } = newBrake();
    expect(await passed(brake, organization, 25)).toBe(COUNT);
    await expect(brake.admit(organization, randomUUID())).rejects.toMatchObject({
      message: `more than 10 people of ${slug} would lose access within an hour`,
      fix: expect.stringContaining(`reconcile --organization ${slug} --allow-deprovisions`),
    });
  });

  test("takes the percentage of the people whose accounts were enabled before, rounded down, where that is more", async () => {
    const { slug, brake, organization } = newBrake();
    await addPeople(slug, 259, "active");
    await addPeople(slug, 60, "suspended");
    let through = 0;
    for await (const page of world.ledger.subjects(slug)) {
      for (const { revision, ...entry } of page.filter(({ state }) => state === "active").slice(0, 20)) {
        if ((await passed(brake, organization, 1)) === 0) continue;
        through += 1;
        await world.ledger.putSubject(slug, { ...entry, state: "suspended" }, revision);
      }
    }
    expect(through).toBe(12);
  });

  test("takes the count where the percentage is less, and nobody at all where both are zero", async () => {
    const { slug, brake, organization } = newBrake({ count: 3, percent: 5 });
    await addPeople(slug, 70, "active");
    expect(await passed(brake, organization, 10)).toBe(3);
    const strict = newBrake({ count: 0, percent: 0 });
    expect(await passed(strict.brake, strict.organization, 3)).toBe(0);
  });

  test("counts anew in a new hour when nobody was held", async () => {
    const { brake, organization, clock } = newBrake();
    expect(await passed(brake, organization, COUNT)).toBe(COUNT);
    clock.now += HOUR_MS;
    expect(await passed(brake, organization, COUNT)).toBe(COUNT);
    clock.now += HOUR_MS - 1;
    expect(await passed(brake, organization, 1)).toBe(0);
  });

  test("releases nobody by itself once somebody was held, not after hours, and not in a restarted worker", async () => {
    const { brake, organization, clock } = newBrake();
    await passed(brake, organization, COUNT + 1);
    clock.now += 100 * HOUR_MS;
    expect(await passed(brake, organization, 5)).toBe(0);
    expect(
      await passed(
        createBrake(world.ledger, () => clock.now),
        organization,
        5,
      ),
    ).toBe(0);
  });

  test.each([
    0,
    5 * 60_000,
    3 * HOUR_MS,
  ])("lets exactly as many of those it held pass as an operator allows (%i ms later)", async (milliseconds) => {
    const { slug, brake, organization, clock } = newBrake();
    await passed(brake, organization, 40);
    clock.now += milliseconds;
    await brake.allow(slug, 7);
    expect(await passed(brake, organization, 30)).toBe(7);
    clock.now += HOUR_MS;
    expect(await passed(brake, organization, 30)).toBe(0);
  });

  test("works as before when an operator has let all of those go that it held", async () => {
    const { slug, brake, organization, clock } = newBrake();
    await passed(brake, organization, COUNT + 4);
    await brake.allow(slug, 4);
    expect(await passed(brake, organization, 4)).toBe(4);
    clock.now += HOUR_MS;
    expect(await passed(brake, organization, 20)).toBe(COUNT);
  });

  test("adds what an operator allows in advance to the limit", async () => {
    const { slug, brake, organization } = newBrake();
    await brake.allow(slug, 20);
    await brake.allow(slug, 5);
    expect(await passed(brake, organization, 60)).toBe(COUNT + 25);
  });

  test("forgets after a day what an operator has allowed and nobody used", async () => {
    const { slug, brake, organization, clock } = newBrake();
    await brake.allow(slug, 20);
    expect(await passed(brake, organization, 5)).toBe(5);
    clock.now += 24 * HOUR_MS;
    expect(await passed(brake, organization, 30)).toBe(COUNT);
  });

  test("holds one organization without the others", async () => {
    const [one, two] = [newBrake(), newBrake()];
    await passed(one.brake, one.organization, COUNT + 1);
    expect(await passed(two.brake, two.organization, COUNT)).toBe(COUNT);
  });

  test("lets no more than the limit pass when many workers ask at the same time", async () => {
    const { organization, clock } = newBrake();
    const workers = Array.from({ length: 4 }, () => createBrake(world.ledger, () => clock.now));
    const asked = Array.from({ length: 24 }, (_, index) => workers[index % 4]?.admit(organization, randomUUID()));
    const codes = (await Promise.allSettled(asked)).map((result) =>
      result.status === "fulfilled" ? "passed" : result.reason.code,
    );
    expect(codes.filter((code) => code === "passed").length).toBeLessThanOrEqual(COUNT);
    // Whoever lost a race for the counter too often tries again later: nobody is let through by that.
    for (const code of codes) expect(["passed", "brake-held", "ledger-conflict"]).toContain(code);
    let more = 0;
    for (const worker of workers) more += await passed(worker, organization, COUNT);
    expect(codes.filter((code) => code === "passed").length + more).toBe(COUNT);
  });
});

describe("the brake in front of jobs", () => {
  const world = useWorld();

  async function people(tenant: Tenant, number: number): Promise<ClavexUser[]> {
    const all = Array.from({ length: number }, () => tenant.person());
    for (const person of all) await tenant.bring(person);
    return all;
  }
  const suspend = ({ clavex, organization }: Tenant, all: ClavexUser[]): ClavexUser[] =>
    all.map(({ id }) => clavex.suspend(organization.slug, id));
  const disabled = (tenant: Tenant, all: ClavexUser[]): number =>
    all.filter((person) => tenant.account(person)?.enabled === false).length;
  const attempt = (provision: ProvisionNow, job: Job): Promise<string> =>
    provision(job).then(
      ({ result }) => result,
      (error) => error.code,
    );

  test("counts webhooks, reconciliation, replays and commands together", async () => {
    const tenant = await world.tenant();
    const all = await people(tenant, COUNT + 6);
    const suspended = suspend(tenant, all);
    const kinds = ["webhook", "reconcile", "replay", "manual"] as const;
    const codes: string[] = [];
    for (const [index, person] of suspended.entries()) {
      const kind = kinds[index % kinds.length] ?? "manual";
      const job = kind === "webhook" ? tenant.webhook(person) : tenant.job(person, kind);
      codes.push(await attempt(tenant.provisionNow, job));
    }
    expect(codes).toEqual([...Array(COUNT).fill("applied"), ...Array(6).fill("brake-held")]);
    expect(disabled(tenant, all)).toBe(COUNT);
  });

  test("counts departures without an API key too, and people who were deleted", async () => {
    const tenant = await world.tenant({ apiKey: false });
    const { clavex, organization } = tenant;
    const all = Array.from({ length: COUNT + 2 }, () => tenant.person());
    for (const person of all) await tenant.provisionNow(tenant.webhook(person, "user.created"));
    const codes: string[] = [];
    for (const { id } of all) {
      const job = tenant.webhook(clavex.deleteUser(organization.slug, id), "user.deleted");
      codes.push(await attempt(tenant.provisionNow, job));
    }
    expect(codes).toEqual([...Array(COUNT).fill("applied"), "brake-held", "brake-held"]);
  });

  test.each(["before", "after"])("does not count a person twice whose disabling failed %s its work", async (when) => {
    const tenant = await world.tenant();
    const all = await people(tenant, COUNT + 1);
    const jobs = suspend(tenant, all).map((person) => tenant.job(person));
    const { faults } = tenant.nextcloud;
    for (let round = 0; round < 3; round += 1) {
      faults.add({
        kind: "status",
        status: 500,
        after: when === "after" && round === 2,
        match: ({ path }) => path.includes("/disable"),
      });
      for (const job of jobs.slice(0, COUNT)) {
        expect(await attempt(tenant.provisionNow, job)).toBe("nextcloud-server-error");
      }
      faults.clear();
    }
    expect(disabled(tenant, all)).toBe(when === "after" ? COUNT : 0);
    for (const job of jobs.slice(0, COUNT)) {
      expect(await attempt(tenant.provisionNow, job)).toBe(when === "after" ? "unchanged" : "applied");
    }
    expect(await attempt(tenant.provisionNow, jobs.at(-1) as Job)).toBe("brake-held");
    expect(disabled(tenant, all)).toBe(COUNT);
  });

  test("lets no more pass however many workers try, again and again, until an operator allows it", async () => {
    const tenant = await world.tenant();
    const all = await people(tenant, 18);
    const jobs = suspend(tenant, all).map((person) => tenant.job(person, "reconcile"));
    const workers = Array.from({ length: 4 }, () => tenant.container());
    const everybodyTries = () =>
      Promise.all(jobs.map((job, index) => attempt(workers[index % 4] as ProvisionNow, job)));
    const operator = createBrake(tenant.ledger, () => tenant.clock.now);

    for (let round = 0; round < 3; round += 1) {
      await everybodyTries();
      expect(disabled(tenant, all)).toBeLessThanOrEqual(COUNT);
      tenant.clock.now += 2 * HOUR_MS;
    }
    expect(disabled(tenant, all)).toBe(COUNT);
    await operator.allow(tenant.organization.slug, 3);
    for (let round = 0; round < 2; round += 1) await everybodyTries();
    expect(disabled(tenant, all)).toBe(COUNT + 3);
    await operator.allow(tenant.organization.slug, 5);
    for (let round = 0; round < 2; round += 1) await everybodyTries();
    expect(disabled(tenant, all)).toBe(all.length);
  });

  test("holds nothing but departures: others are provisioned, and who comes back stays as they are", async () => {
    const tenant = await world.tenant();
    const { clavex, organization, provisionNow } = tenant;
    const all = await people(tenant, COUNT + 1);
    const jobs = suspend(tenant, all).map((person) => tenant.job(person));
    for (const job of jobs) await attempt(provisionNow, job);
    const held = all.at(-1) as ClavexUser;

    expect(await attempt(provisionNow, tenant.job(tenant.person()))).toBe("applied");
    clavex.updateUser(organization.slug, held.id, { is_active: true, last_name: "Byron" });
    expect(await attempt(provisionNow, tenant.job(held))).toBe("applied");
    expect(tenant.account(held)).toMatchObject({ enabled: true, displayName: "Ada Byron" });
  });
});
