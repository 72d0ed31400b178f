import { describe, expect, it } from "vitest";
import type { Fault } from "../../functions/simulated/server.ts";
import { done, resultOf } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";
import { short } from "../support/requests.ts";

const { build } = useOrganizations();

const BROKEN: [string, Fault][] = [
  ["500", { kind: "status", status: 500 }],
  ["429", { kind: "status", status: 429 }],
  ["a 401 without a body", { kind: "status", status: 401 }],
  ["a refusal", { kind: "status", status: 400, body: '{"ocs":{"meta":{"statuscode":101,"message":""},"data":[]}}' }],
  ["the code 0", { kind: "status", status: 200, body: '{"ocs":{"meta":{"statuscode":0},"data":[]}}' }],
  ["a code in words", { kind: "status", status: 200, body: '{"ocs":{"meta":{"statuscode":"failure"},"data":[]}}' }],
  ["a proxy's 403", { kind: "status", status: 403, headers: { "content-type": "text/html" }, body: "<html>" }],
  [
    "an account of another form",
    { kind: "status", status: 200, body: '{"ocs":{"meta":{"statuscode":200},"data":{"id":7}}}' },
  ],
];

/** From now on the account of this person cannot be read: neither alone nor in a list. */
function breakReads(tenant: Tenant, person: { id: string }, fault: Fault = { kind: "status", status: 500 }): void {
  const id = tenant.accountId(person);
  const reads: Fault["match"] = (request) => short(request).name === "GET user" && short(request).id === id;
  tenant.nextcloud.faults.add({ ...fault, match: reads });
  tenant.nextcloud.faults.add({
    kind: "changed",
    match: ({ path }) => path.includes("cloud/users/details"),
    change: (answer) => ({ ...answer, body: (answer.body ?? "").replaceAll(`"id":"${id}"`, '"id":[]') }),
  });
}

describe("an account whose GET fails for ever", () => {
  it.each(BROKEN)("of a leaver is disabled unread, at once (%s)", async (_name, fault) => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    breakReads(tenant, ada, fault);
    tenant.clavex.suspend(tenant.slug, ada.id);
    const { operations, notes } = done(await tenant.bring(ada));
    expect(operations).toEqual(["disable"]);
    expect(notes).toEqual([expect.stringContaining("not read")]);
    expect(tenant.account(ada)?.enabled).toBe(false);
    expect(await tenant.record(ada)).toMatchObject({ state: "suspended", lastSeenEnabled: true, disabledByUs: true });
    const mark = tenant.mark();
    expect(await resultOf(tenant.bring(ada))).toBe("unchanged");
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  it.each([
    "suspended",
    "deleted",
    "out of scope",
  ])("of somebody who is %s is found by a light run, and a full one reports it", async (how) => {
    const company = withPipeline(await build({ scope: { groups: ["Cloud"] } }));
    const [ada, grace] = company.people(3, ["Cloud"]);
    if (!ada || !grace) throw new Error("two people");
    await company.settle();
    breakReads(company, ada);
    for (const person of [ada, grace]) {
      if (how === "suspended") company.clavex.suspend(company.slug, person.id);
      if (how === "deleted") company.clavex.deleteUser(company.slug, person.id);
      if (how === "out of scope") company.unassign(person, "Cloud");
    }
    const { report } = await company.full();
    expect(report.notes).toMatchObject([{ subject: ada.id, note: expect.stringContaining("cannot be read") }]);
    await company.light();
    await company.work();
    expect([company.account(ada)?.enabled, company.account(grace)?.enabled]).toEqual([false, false]);
    expect(company.counted).not.toContain("JobsParked");
  });

  it("is enabled again when the person is back, if it was enabled when it was last seen", async () => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    breakReads(tenant, ada);
    tenant.clavex.suspend(tenant.slug, ada.id);
    await tenant.bring(ada);
    tenant.nextcloud.faults.clear();
    tenant.clavex.updateUser(tenant.slug, ada.id, { is_active: true });
    expect(done(await tenant.bring(ada)).operations).toEqual(["enable"]);
  });

  it.each([
    [
      "an administrator had disabled it",
      async (tenant: Tenant, ada: { id: string }) => {
        tenant.nextcloud.setEnabled(tenant.accountId(ada), false);
        tenant.clavex.updateUser(tenant.slug, ada.id, { first_name: "Augusta" });
        await tenant.bring(ada);
      },
    ],
    [
      "nobody knows",
      async (tenant: Tenant, ada: { id: string }) => {
        const record = await tenant.record(ada);
        if (record) await tenant.ledger.subjects.put(tenant.slug, { ...record, lastSeenEnabled: undefined });
      },
    ],
  ])("is not enabled for a return where %s, which is noted", async (_name, before) => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    await before(tenant, ada);
    breakReads(tenant, ada);
    tenant.clavex.suspend(tenant.slug, ada.id);
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(false);
    tenant.nextcloud.faults.clear();
    tenant.clavex.updateUser(tenant.slug, ada.id, { is_active: true });
    const { operations, notes } = done(await tenant.bring(ada));
    expect(operations).toEqual([]);
    expect(notes).toEqual([expect.stringContaining("not by us")]);
  });

  it("is left alone where nothing was ever applied, or the claim is another's", async () => {
    const tenant = await build();
    const [ada, grace] = tenant.people(2);
    if (!ada || !grace) throw new Error("two people");
    await tenant.bring(grace);
    const other = { ...tenant.ledger, claims: { ...tenant.ledger.claims, account: async () => "another" } };
    for (const person of [ada, grace]) {
      breakReads(tenant, person);
      tenant.clavex.suspend(tenant.slug, person.id);
    }
    const mark = tenant.mark();
    const run = tenant.container({ ledger: other });
    for (const person of [ada, grace]) expect(await resultOf(run(tenant.job(person)))).toBe("nextcloud-server-error");
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  it("of somebody who stays is parked after four tries, and nobody else", async () => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    breakReads(tenant, ada);
    tenant.clavex.updateUser(tenant.slug, ada.id, { first_name: "Augusta" });
    for (let attempt = 1; attempt < 4; attempt += 1)
      expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    expect(await resultOf(tenant.bring(tenant.person()))).toBe("applied");
  });

  it("counts for the brake like any other", async () => {
    const tenant = await build({ reconcile: { maxDeprovisions: { count: 0, percent: 0 } } });
    const ada = tenant.person();
    await tenant.bring(ada);
    breakReads(tenant, ada);
    tenant.clavex.suspend(tenant.slug, ada.id);
    expect(await resultOf(tenant.bring(ada))).toMatch(/^brake/);
    expect(tenant.account(ada)?.enabled).toBe(true);
  });
});
