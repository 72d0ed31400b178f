import { describe, expect, it } from "vitest";
import { identityFingerprint } from "../../functions/core/identity.ts";
import type { PersonJob } from "../../functions/core/job.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { resultOf } from "../support/jobs.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const DAY = 24 * 60 * 60_000;
const MONTH = 30 * DAY;

/** A company that was settled while its clock was a month ahead. */
async function wasAhead(): Promise<{ company: Company; leaver: ClavexUser; member: ClavexUser }> {
  const company = withPipeline(await build());
  const [leaver, member] = company.people(2, ["Secret"]);
  if (!leaver || !member) return expect.fail();
  company.clock.now += MONTH;
  await company.settle();
  company.clock.now -= MONTH;
  return { company, leaver, member };
}

describe("the clock was ahead once; later", () => {
  it("a person is suspended: the webhook's job disables them", async () => {
    const { company, leaver } = await wasAhead();
    const suspended = company.clavex.suspend(company.slug, leaver.id);
    await company.provisionNow(company.webhook(suspended));
    expect(company.account(leaver)?.enabled).toBe(false);
  });

  it("a person leaves a group: so they do in Nextcloud", async () => {
    const { company, member } = await wasAhead();
    company.unassign(member, "Secret");
    await company.provisionNow(company.job(member));
    expect(company.groupsOf(member)).toEqual([]);
  });

  it("a run sends what it finds, though a job was marked as waiting then", async () => {
    const { company, leaver } = await wasAhead();
    company.clavex.suspend(company.slug, leaver.id);
    company.clock.now += MONTH;
    await company.light();
    await company.lose();
    company.clock.now -= MONTH;
    expect(await company.light()).toMatchObject({ sent: 1, waiting: 0 });
    await company.work();
    expect(company.account(leaver)?.enabled).toBe(false);
  });

  it("jobs that were sent then share a reading of the groups, and work on what it says", async () => {
    const { company, member } = await wasAhead();
    const people = [member, ...company.people(12, ["Secret"])];
    company.unassign(member, "Secret");
    company.clavex.requests.length = 0;
    const work = company.container();
    await Promise.all(people.map((each) => work(company.job(each), company.clock.now + MONTH)));
    const readings = company.clavex.requests.filter(({ path }) => /\/groups\?/.test(path));
    expect(readings.length).toBeLessThanOrEqual(2);
    expect([company.groupsOf(member), company.groupsOf(people[1] ?? member)]).toEqual([[], ["Secret"]]);
  });

  it("reconciliation is not busy, though a run was killed then", async () => {
    const { company } = await wasAhead();
    const then = company.clock.now + MONTH;
    await company.ledger.locks.take(company.slug, "reconcile", then, then + 16 * 60_000);
    expect((await company.reconcile(company.slug, "light")).result).toBe("done");
  });

  it("a server is asked again, though its circuit opened then", async () => {
    const company = withPipeline(await build());
    const [first, second] = company.people(2);
    if (!first || !second) return expect.fail();
    company.clock.now += MONTH;
    company.nextcloud.maintenance = true;
    expect(await resultOf(company.bring(first))).toBe("nextcloud-unavailable");
    company.nextcloud.maintenance = false;
    company.clock.now -= MONTH;
    expect(await resultOf(company.bring(second))).toBe("applied");
  });

  it("the grace period of somebody who left begins anew, and ends", async () => {
    const company = withPipeline(await build({ deprovision: { suspended: "delete", graceDays: 30 } }));
    const leaver = company.person();
    await company.settle();
    company.clavex.suspend(company.slug, leaver.id);
    company.clock.now += 10 * MONTH;
    await company.bring(leaver);
    company.clock.now -= 10 * MONTH;
    await company.bring(leaver);
    expect((await company.record(leaver))?.goneSince).toBe(company.clock.now);
    company.clock.now += MONTH;
    await company.full();
    await company.work();
    expect(company.account(leaver)).toBeUndefined();
  });

  it("an organization whose identity was found to be wrong then is tried again", async () => {
    const company = withPipeline(await build());
    const { ledger, slug, clock } = company;
    const { fingerprint } = await ledger.identities.ensure(slug, identityFingerprint(company.organization.identity));
    await ledger.identities.update(slug, {
      fingerprint,
      mismatch: { at: clock.now + MONTH, made: "a", expected: "b" },
    });
    const person = company.person();
    expect(await resultOf(company.bring(person))).toBe("applied");
  });
});

/** What the answers of these servers say of the time. */
function saying(company: Company, time: number, servers: readonly ("clavex" | "nextcloud")[]): void {
  const date = new Date(time).toUTCString();
  for (const server of servers)
    company[server].faults.add({
      kind: "changed",
      change: (answer) => ({ ...answer, headers: { ...answer.headers, date } }),
    });
}

/** A company whose leavers are deleted after thirty days, and one whom it has disabled. */
async function leaving(): Promise<{ company: Company; leaver: ClavexUser; purge: PersonJob }> {
  const company = withPipeline(await build({ deprovision: { suspended: "delete", graceDays: 30 } }));
  const leaver = company.person();
  await company.settle();
  company.clavex.suspend(company.slug, leaver.id);
  return { company, leaver, purge: { ...company.job(leaver, "reconcile"), kind: "purge" } };
}

describe("an account that is to be deleted after 30 days", () => {
  it.each([
    ["both servers say", ["clavex", "nextcloud"]],
    ["Clavex says", ["clavex"]],
    ["Nextcloud says", ["nextcloud"]],
  ] as const)("stays while our clock is 40 days ahead, as %s", async (_name, servers) => {
    const { company, leaver, purge } = await leaving();
    await company.bring(leaver);
    saying(company, company.clock.now, servers);
    company.clock.now += 40 * DAY;
    const { report } = await company.full();
    expect(report.differences).toEqual([]);
    await company.provisionNow(purge);
    expect(company.account(leaver)).toMatchObject({ enabled: false });
  });

  it("is deleted once that time has really passed", async () => {
    const { company, leaver } = await leaving();
    await company.bring(leaver);
    company.clock.now += 30 * DAY;
    await company.full();
    await company.work();
    expect(company.account(leaver)).toBeUndefined();
  });

  it("has its whole time, though our clock was 40 days behind when it was disabled", async () => {
    const { company, leaver, purge } = await leaving();
    const right = company.clock.now;
    saying(company, right, ["clavex", "nextcloud"]);
    company.clock.now = right - 40 * DAY;
    await company.bring(leaver);
    company.clavex.faults.clear();
    company.nextcloud.faults.clear();
    company.clock.now = right + 29 * DAY;
    expect((await company.full()).report.differences).toEqual([]);
    await company.provisionNow(purge);
    expect(company.account(leaver)).toMatchObject({ enabled: false });
    company.clock.now = right + 31 * DAY;
    await company.full();
    await company.work();
    expect(company.account(leaver)).toBeUndefined();
  });
});

it("a run says in the log whose clock differs from this machine's, and what to do", async () => {
  const company = withPipeline(await build());
  await company.settle();
  saying(company, company.clock.now - 40 * DAY, ["clavex"]);
  await company.light();
  expect(company.lines).toContainEqual({
    level: "warn",
    message: "clocks differ",
    fields: {
      organization: company.slug,
      problem: expect.stringMatching(/^Clavex's clock is 40 days behind this machine's; /),
      fix: expect.stringContaining("synchronise"),
    },
  });
});
