import { describe, expect, it } from "vitest";
import { identityFingerprint } from "../../functions/core/identity.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { resultOf } from "../support/jobs.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const MONTH = 30 * 24 * 60 * 60_000;

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
