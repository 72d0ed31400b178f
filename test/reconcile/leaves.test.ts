import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createWatch } from "../../functions/reconcile/watch.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Choices, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const HOUR = 60 * 60_000;
const MODES = ["light", "full"] as const;

/** A company of this many people in the group "eng", with accounts that are in sync. */
async function settled(number: number, choices: Choices = {}): Promise<{ company: Company; people: ClavexUser[] }> {
  const company = withPipeline(await build(choices));
  const people = company.people(number, ["eng"]);
  await company.settle();
  return { company, people };
}

const members = (company: Company, people: ClavexUser[], group = "eng"): number =>
  people.filter((person) => company.groupsOf(person).includes(group)).length;

/** Clavex answers `{"items":[]}` for its list of groups. */
const emptyGroups = (company: Company, times?: number): void =>
  company.clavex.faults.add({
    kind: "status",
    status: 200,
    headers: { "content-type": "application/json" },
    body: '{"items":[],"has_more":false}',
    match: ({ path }) => /\/groups\?/.test(path),
    ...(times === undefined ? {} : { times }),
  });

const held = (company: Company): number => company.counted.filter((counter) => counter === "LeavesHeld").length;

describe('Clavex answers {"items":[]} for groups', () => {
  test.each(MODES)("once: nobody leaves a group by a %s run, which says so and raises an alarm", async (mode) => {
    const { company, people } = await settled(6);
    emptyGroups(company, 1);
    const run = await company[mode]();
    expect(run).toMatchObject({ sent: 0, heldLeaves: { reason: "empty-groups", people: 6 } });
    expect(held(company)).toBe(1);
    expect(company.lines).toContainEqual(
      expect.objectContaining({
        level: "error",
        message: "leaves held",
        fields: expect.objectContaining({ people: 6 }),
      }),
    );
    await company.work();
    expect(members(company, people)).toBe(6);
    expect(await company[mode]()).toMatchObject({ sent: 0, heldLeaves: undefined });
  });

  test("while a person's job is done: all else is done for them, and the job comes again", async () => {
    const { company, people } = await settled(2);
    const [mover] = people;
    if (!mover) return expect.fail();
    const renamed = company.clavex.updateUser(company.slug, mover.id, { last_name: "Byron" });
    emptyGroups(company);
    company.clock.now += 61_000;
    await company.deliver(company.clavex.delivery("user.updated", renamed));
    await company.attempt();
    expect(company.account(mover)?.displayName).toBe("Ada Byron");
    expect(members(company, people)).toBe(2);
    expect(await company.queued()).toBe(1);
    expect(held(company)).toBe(1);
    company.clavex.faults.clear();
    await company.work();
    expect(members(company, people)).toBe(2);
  });

  test("while a group hint is followed: nobody gets a job by that", async () => {
    const { company, people } = await settled(3);
    emptyGroups(company);
    await company.deliver({
      id: randomUUID(),
      event: "group.member.removed",
      occurred_at: new Date(company.clock.now).toISOString(),
      data: { org_id: company.organization.organizationId, group_name: "eng" },
    });
    await company.attempt();
    expect(company.sent.map(({ kind }) => kind)).toEqual(["groups"]);
    expect(held(company)).toBe(1);
    company.clavex.faults.clear();
    await company.work();
    expect(members(company, people)).toBe(3);
  });

  test("while the group watch looks: it is held, with an alarm", async () => {
    const { company } = await settled(3);
    const watch = createWatch(company.dependencies);
    await watch(company.slug);
    emptyGroups(company);
    expect(await watch(company.slug)).toEqual({ result: "held" });
    expect(company.sent).toEqual([]);
  });

  test("and groups decide who has an account: nobody is disabled, in a run or by a job", async () => {
    const { company, people } = await settled(3, { scope: { groups: ["eng"] } });
    emptyGroups(company);
    expect(await company.full()).toMatchObject({ sent: 0, held: { reason: "empty-groups", people: 3 } });
    const [person] = people;
    if (!person) return expect.fail();
    await company.deliver(company.clavex.delivery("user.updated", person));
    await company.attempt();
    expect(people.filter((each) => company.account(each)?.enabled)).toHaveLength(3);
  });

  test("for good, because all were deleted: an operator lets everybody out", async () => {
    const { company, people } = await settled(3);
    const group = company.clavex.groupByName(company.slug, "eng");
    if (!group) return expect.fail();
    company.clavex.deleteGroup(company.slug, group.id);
    expect(await company.light()).toMatchObject({ sent: 0, heldLeaves: { people: 3 } });
    expect(await company.light({ allowLeaves: 3 })).toMatchObject({ sent: 3, heldLeaves: undefined });
    await company.work();
    expect(members(company, people)).toBe(0);
  });
});

describe("more people than maxLeaves would lose a group", () => {
  const choices: Choices = { reconcile: { maxLeaves: { count: 3, percent: 0 } } };

  test.each(MODES)("by a %s run: it sends none of them, and an operator lets them go", async (mode) => {
    const { company, people } = await settled(5, choices);
    for (const person of people.slice(0, 4)) company.unassign(person, "eng");
    expect(await company[mode]()).toMatchObject({ sent: 0, heldLeaves: { reason: "leaves", people: 4 } });
    expect(await company[mode]({ allowLeaves: 1 })).toMatchObject({ sent: 4, heldLeaves: undefined });
    await company.work();
    expect(members(company, people)).toBe(1);
  });

  test("by jobs: the others wait, also after an hour, and all else is done for them", async () => {
    const { company, people } = await settled(5, choices);
    for (const person of people) {
      company.unassign(person, "eng");
      const renamed = company.clavex.updateUser(company.slug, person.id, { last_name: "Byron" });
      await company.deliver(company.clavex.delivery("user.updated", renamed));
    }
    company.clock.now += 61_000;
    await company.attempt();
    expect(members(company, people)).toBe(2);
    expect(people.map((person) => company.account(person)?.displayName)).toEqual(Array(5).fill("Ada Byron"));
    expect(held(company)).toBe(2);
    company.clock.now += 2 * HOUR;
    await company.attempt();
    expect(members(company, people)).toBe(2);
    await company.full({ allowLeaves: 2 });
    await company.work();
    expect(members(company, people)).toBe(0);
  });

  test("but change to another one: they are not counted", async () => {
    const { company, people } = await settled(5, choices);
    for (const person of people) {
      company.unassign(person, "eng");
      company.assign(person, "ops");
    }
    expect(await company.light()).toMatchObject({ sent: 5, heldLeaves: undefined });
    await company.work();
    expect([members(company, people), members(company, people, "ops")]).toEqual([0, 5]);
  });

  test("and one of them is suspended meanwhile: that is not held", async () => {
    const { company, people } = await settled(5, choices);
    for (const person of people) company.unassign(person, "eng");
    const [leaver] = people;
    if (!leaver) return expect.fail();
    company.clavex.suspend(company.slug, leaver.id);
    expect(await company.light()).toMatchObject({ sent: 1, heldLeaves: { people: 4 } });
    await company.work();
    expect(company.account(leaver)?.enabled).toBe(false);
  });
});
