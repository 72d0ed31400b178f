import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import type { SubjectState } from "../../functions/core/account.ts";
import { admit, BrakeHeld, hourlyLimit, newBrake as noBrake, passedWithin } from "../../functions/core/brake.ts";
import type { PersonJob } from "../../functions/core/job.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { newRecord } from "../../functions/core/record.ts";
import { openDatabase } from "../../functions/database.ts";
import type { Brakes } from "../../functions/ledger/brake.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { type Brake, createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { organizationOf } from "../core/organization.ts";
import { runs } from "../support/chance.ts";
import { fc } from "../support/fast-check.ts";
import { resultOf } from "../support/jobs.ts";
import { type ProvisionNow, type Tenant, useOrganizations } from "../support/organization.ts";

const HOUR_MS = 60 * 60_000;
/** The default: at most this many in an hour, or five percent. */
const COUNT = 10;

/** How many of this many get through, one after the other. */
async function passed(brake: Brake, organization: Organization, number: number): Promise<number> {
  let through = 0;
  for (let index = 0; index < number; index += 1) {
    through += await brake.admit(organization, "deprovisions", randomUUID()).then(
      () => 1,
      (error) => {
        expect(error).toMatchObject({ failureClass: "configuration", code: "brake-held" });
        return 0;
      },
    );
  }
  return through;
}

/** The rule itself is tested in test/core/brake.test.ts; here, that it holds over a ledger that many share. */
describe("the brake", () => {
  const database = openDatabase(undefined);
  const ledger = createLedger(sqliteTable(database));
  let organizations = 0;
  afterAll(() => database.close());

  function newBrake(maxDeprovisions: { count?: number; percent?: number } = {}) {
    organizations += 1;
    const slug = `brake-${organizations}`;
    const organization = organizationOf({ slug, reconcile: { maxDeprovisions: { count: COUNT, ...maxDeprovisions } } });
    const clock = { now: Date.UTC(2026, 6, 23, 8) };
    return { slug, organization, clock, brake: createBrake(ledger, () => clock.now) };
  }

  async function addPeople(slug: string, number: number, state: SubjectState): Promise<void> {
    const records = Array.from({ length: number }, () => ({ ...newRecord(randomUUID(), "an account"), state }));
    await Promise.all(records.map((record) => ledger.subjects.put(slug, record)));
  }

  test("lets the count pass in an hour and holds the next one, with what an operator has to do", async () => {
    const { slug, brake, organization } = newBrake();
    expect(await passed(brake, organization, 25)).toBe(COUNT);
    await expect(brake.admit(organization, "deprovisions", randomUUID())).rejects.toMatchObject({
      message: `more than 10 people of ${slug} would lose access within an hour`,
      fix: expect.stringContaining(`reconcile --organization ${slug} --allow-deprovisions`),
    });
  });

  test("takes the percentage of the people whose accounts were enabled before, rounded down, where that is more", async () => {
    const { slug, brake, organization } = newBrake();
    await addPeople(slug, 259, "active");
    await addPeople(slug, 60, "suspended");
    const people = (await Array.fromAsync(ledger.subjects.all(slug))).flat().filter(({ state }) => state === "active");
    let through = 0;
    for (const record of people.slice(0, 20)) {
      if ((await passed(brake, organization, 1)) === 0) continue;
      through += 1;
      await ledger.subjects.put(slug, { ...record, state: "suspended" });
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

  test("releases nobody by itself once somebody was held, not after hours, and not in a restarted worker", async () => {
    const { brake, organization, clock } = newBrake();
    await passed(brake, organization, COUNT + 1);
    clock.now += 100 * HOUR_MS;
    expect(await passed(brake, organization, 5)).toBe(0);
    expect(
      await passed(
        createBrake(ledger, () => clock.now),
        organization,
        5,
      ),
    ).toBe(0);
  });

  test("lets as many more pass as an operator allows, in every worker", async () => {
    const { slug, brake, organization, clock } = newBrake();
    await passed(brake, organization, COUNT + 4);
    await createBrake(ledger, () => clock.now).allow(slug, 4);
    expect(await passed(brake, organization, 30)).toBe(4);
    clock.now += HOUR_MS;
    expect(await passed(brake, organization, 30)).toBe(0);
  });

  test("holds one organization without the others", async () => {
    const [one, two] = [newBrake(), newBrake()];
    await passed(one.brake, one.organization, COUNT + 1);
    expect(await passed(two.brake, two.organization, COUNT)).toBe(COUNT);
  });

  test("lets no more than the limit pass when many workers ask at the same time", async () => {
    const { organization, clock } = newBrake();
    const workers = Array.from({ length: 4 }, () => createBrake(ledger, () => clock.now));
    const asked = Array.from({ length: 24 }, (_, index) =>
      workers[index % 4]?.admit(organization, "deprovisions", randomUUID()),
    );
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

  test("holds leaves by themselves, and lets go by what was allowed for them", async () => {
    const { slug, brake, organization } = newBrake();
    for (let index = 0; index < 50; index += 1) await brake.admit(organization, "leaves", randomUUID());
    await expect(brake.admit(organization, "leaves", randomUUID())).rejects.toMatchObject({ code: "leaves-held" });
    expect(await passed(brake, organization, COUNT)).toBe(COUNT);
    await brake.allow(slug, 1);
    await expect(brake.admit(organization, "leaves", randomUUID())).rejects.toMatchObject({ code: "leaves-held" });
    expect(await brake.isAllowed(slug, "leaves")).toBe(false);
    await brake.allow(slug, 1, "leaves");
    await brake.admit(organization, "leaves", randomUUID());
    await expect(brake.admit(organization, "leaves", randomUUID())).rejects.toMatchObject({ code: "leaves-held" });
  });

  describe.each([
    ["refused, as it was made already", async () => false],
    ["lost", () => Promise.reject(new LedgerUnavailable(new Error("timeout")))],
  ])("whose answer is %s", (_how, answer) => {
    const forgetful = (): Brakes => {
      let writes = 0;
      return {
        ...ledger.brakes,
        async put(...parameters) {
          const written = await ledger.brakes.put(...parameters);
          writes += 1;
          return writes === 1 ? answer() : written;
        },
      };
    };

    test("does not let the number double that an operator allows", async () => {
      const { slug, brake, organization, clock } = newBrake();
      await passed(brake, organization, COUNT + 1);
      await createBrake({ ...ledger, brakes: forgetful() }, () => clock.now).allow(slug, 3);
      expect(await passed(brake, organization, 10)).toBe(3);
    });

    test("does not count a person twice", async () => {
      const { brake, organization, clock } = newBrake();
      await createBrake({ ...ledger, brakes: forgetful() }, () => clock.now).admit(
        organization,
        "deprovisions",
        randomUUID(),
      );
      expect(await passed(brake, organization, COUNT)).toBe(COUNT - 1);
    });
  });

  test("counts the attempts of one job once, and those of another job by themselves", async () => {
    const { slug, brake, organization, clock } = newBrake();
    for (let attempt = 0; attempt < 3; attempt += 1) await brake.admit(organization, "deprovisions", "Ada's job");
    expect(await passed(brake, organization, COUNT)).toBe(COUNT - 1);
    // Who was held is not let pass by coming again.
    await expect(brake.admit(organization, "deprovisions", "Grace's job")).rejects.toThrow(BrakeHeld);
    await expect(brake.admit(organization, "deprovisions", "Grace's job")).rejects.toThrow(BrakeHeld);
    await createBrake(ledger, () => clock.now).allow(slug, 2);
    for (let attempt = 0; attempt < 3; attempt += 1) await brake.admit(organization, "deprovisions", "Grace's job");
    expect(await passed(brake, organization, 5)).toBe(1);
  });

  test("holds at most half of a small organization whose limits nobody chose, however many workers there are", async () => {
    const organization = organizationOf({ slug: "small" });
    await addPeople("small", 10, "active");
    const brake = createBrake(ledger, () => Date.UTC(2026, 6, 23, 8));
    const people = (await Array.fromAsync(ledger.subjects.all("small"))).flat();
    let through = 0;
    for (const record of people) {
      if ((await passed(brake, organization, 1)) === 0) continue;
      through += 1;
      await ledger.subjects.put("small", { ...record, state: "suspended" });
    }
    expect(through).toBe(5);
  });

  test("raises the daily alarm from the first person on who is one too many within a day, and holds nobody by that", async () => {
    const { brake, organization, clock } = newBrake({ count: 3 });
    const alarms: boolean[] = [];
    for (let hour = 0; hour < 5; hour += 1) {
      for (let index = 0; index < 3; index += 1)
        alarms.push((await brake.admit(organization, "deprovisions", randomUUID())).overDaily);
      clock.now += HOUR_MS;
    }
    expect(alarms).toEqual([...Array(9).fill(false), ...Array(6).fill(true)]);
    clock.now += 24 * HOUR_MS;
    expect((await brake.admit(organization, "deprovisions", randomUUID())).overDaily).toBe(false);
  });
});

describe("a brake that counts the people as seldom as it can", () => {
  const database = openDatabase(undefined);
  const ledger = createLedger(sqliteTable(database));
  afterAll(() => database.close());
  /** Disabled a moment after they passed, as by the subjects of one container. */
  const UNDER_WAY = 4;
  const kind = (name: string, weight: number) => ({ arbitrary: fc.constant(name), weight });
  const step = fc.oneof(kind("ask", 12), kind("join", 1), kind("leave unbraked", 1), kind("wait", 1), kind("allow", 1));

  /** A few people, of whom many leave right after they were counted: by allowances, and past the brake. */
  const FEW_PEOPLE = [
    ...["ask", "ask", "join", "allow", "leave unbraked", "join", "ask", "ask", "ask", "ask"],
    ...["allow", "leave unbraked", "allow", ...Array<string>(8).fill("ask")],
  ];

  test("lets pass and holds whom it would if it counted for each of them", async () => {
    let organizations = 0;
    let [counts, asked] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.nat(600), fc.array(step, { minLength: 40, maxLength: 120 }), async (people, steps) => {
        const organization = organizationOf({ slug: `counted-${organizations++}` });
        const { slug } = organization;
        let [now, active] = [Date.UTC(2026, 6, 23, 8), people];
        let underWay = 0;
        const subjects = {
          ...ledger.subjects,
          async countActive(_slug: string, most = Number.POSITIVE_INFINITY) {
            if (most === Number.POSITIVE_INFINITY) counts += 1;
            return Math.min(active, most);
          },
        };
        const brakes = [0, 1].map(() => createBrake({ brakes: ledger.brakes, subjects }, () => now));
        for (const [index, each] of steps.entries()) {
          if (each === "join") active += 5;
          if (each === "leave unbraked") active = Math.max(0, active - 1);
          if (each === "wait") now += 4_000;
          if (each === "allow") await brakes[0]?.allow(slug, 2);
          if (each !== "ask") continue;
          asked += 1;
          const state = (await ledger.brakes.get(slug))?.state ?? noBrake();
          const limit = hourlyLimit(organization, "deprovisions", active + passedWithin(state, "hour", now));
          const { admitted } = admit(state, "somebody", limit, now);
          const through = await passed(brakes[index % 2] as Brake, organization, 1);
          expect(through, `step ${index}`).toBe(admitted === undefined ? 0 : 1);
          underWay += through;
          if (underWay <= UNDER_WAY) continue;
          underWay -= 1;
          active = Math.max(0, active - 1);
        }
      }),
      { numRuns: runs(100), examples: [[3, FEW_PEOPLE]] },
    );
    expect(counts).toBeLessThan(asked / 4);
  });
});

describe("the brake in front of jobs", () => {
  const { build } = useOrganizations();
  const LIMITED = { reconcile: { maxDeprovisions: { count: COUNT } } };

  async function people(tenant: Tenant, number: number): Promise<ClavexUser[]> {
    const all = Array.from({ length: number }, () => tenant.person());
    for (const person of all) await tenant.bring(person);
    return all;
  }
  const suspend = ({ clavex, organization }: Tenant, all: ClavexUser[]): ClavexUser[] =>
    all.map(({ id }) => clavex.suspend(organization.slug, id));
  const disabled = (tenant: Tenant, all: ClavexUser[]): number =>
    all.filter((person) => tenant.account(person)?.enabled === false).length;
  const attempt = (provision: ProvisionNow, job: PersonJob): Promise<string> => resultOf(provision(job));

  test("counts webhooks, reconciliation, replays and commands together", async () => {
    const tenant = await build(LIMITED);
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
    const tenant = await build({ ...LIMITED, apiKey: false });
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
    const tenant = await build(LIMITED);
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
      // Each in a container of its own: in one, the failures of the first would keep the others from being tried.
      for (const job of jobs.slice(0, COUNT)) {
        expect(await attempt(tenant.container(), job)).toBe("nextcloud-server-error");
      }
      faults.clear();
    }
    expect(disabled(tenant, all)).toBe(when === "after" ? COUNT : 0);
    for (const job of jobs.slice(0, COUNT)) {
      expect(await attempt(tenant.provisionNow, job)).toBe(when === "after" ? "unchanged" : "applied");
    }
    expect(await attempt(tenant.provisionNow, jobs.at(-1) as PersonJob)).toBe("brake-held");
    expect(disabled(tenant, all)).toBe(COUNT);
  });

  test("lets no more pass however many workers try, again and again, until an operator allows it", async () => {
    const tenant = await build(LIMITED);
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
    const tenant = await build(LIMITED);
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
