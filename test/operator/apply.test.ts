import { describe, expect, it } from "vitest";
import { applyPlan, FRESH_MS, losers, makePlan, OUTDATED, type Plan, refusal } from "../../functions/operator/apply.ts";
import { useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const office = useOrganizations();

/** A company in which two people lose access, and one a group. */
async function company() {
  const acme = withPipeline(await office.build({ reconcile: { maxDeprovisions: { count: 1, percent: 0 } } }));
  const leavers = acme.people(2);
  const [mover] = acme.people(1, ["Finance"]);
  acme.people(2, ["Finance"]);
  await acme.settle();
  for (const { id } of leavers) acme.clavex.updateUser(acme.slug, id, { is_active: false });
  if (mover) acme.unassign(mover, "Finance");
  acme.clock.now += 60_000;
  const now = () => acme.clock.now;
  const make = (): Promise<Plan> =>
    makePlan(acme.organization, { ledger: acme.ledger, clients: acme.newClients().of(acme.organization), now });
  return { acme, make };
}

describe("a plan that is to be applied", () => {
  it("needs the number of those who lose access or a group typed in, whichever shell asks", async () => {
    const { acme, make } = await company();
    const plan = await make();
    expect(losers([plan])).toBe(3);
    expect(refusal([plan], "3", acme.clock.now)).toBeUndefined();
    expect(refusal([plan], " 3 ", acme.clock.now)).toBeUndefined();
    // Confirmed another way: --yes.
    expect(refusal([plan], undefined, acme.clock.now)).toBeUndefined();
    for (const typed of ["", "2", "-3", "3.0", "03", "3e0", "three", "9".repeat(400)])
      expect(refusal([plan], typed, acme.clock.now)).toBe(
        `Nothing was done: 3 was to be typed in, not "${typed.slice(0, 40)}".`,
      );
    expect(refusal([plan, plan], "3", acme.clock.now)).toContain("6 was to be typed in");
  });

  it("is outdated ten minutes after it was shown", async () => {
    const { acme, make } = await company();
    const plan = await make();
    expect(refusal([plan], "3", plan.shownAt + FRESH_MS - 1)).toBeUndefined();
    expect(refusal([plan], "3", plan.shownAt + FRESH_MS)).toBe(OUTDATED);
    expect(refusal([plan, await make()], undefined, acme.clock.now + FRESH_MS)).toBe(OUTDATED);
    // It was shown by a clock that has been set back since.
    expect(refusal([plan], "3", plan.shownAt - FRESH_MS)).toBe(OUTDATED);
  });

  it("is held by the brake as any run is, and says for whom jobs were sent", async () => {
    const { acme, make } = await company();
    const sent: string[] = [];
    const run = await applyPlan(acme.reconcile, await make(), {
      onSent: (jobs) => sent.push(...jobs.map(({ subject }) => subject)),
    });
    expect(run).toMatchObject({ result: "done", held: { people: 2 } });
    expect(sent).toHaveLength(1);
    const all = await applyPlan(acme.reconcile, await make(), { allow: true });
    expect(all).toMatchObject({ result: "done", held: undefined, sent: 2 });
  });
});
