import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { answers } from "../support/requests.ts";

const { build } = useOrganizations();
const groupReads = ({ clavex }: Tenant): number =>
  clavex.requests.filter(({ path }) => path.includes("/groups?")).length;

describe("superseded jobs", () => {
  it("a job that a newer reading covers asks neither Clavex nor Nextcloud", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    const sentAt = tenant.clock.now;
    await tenant.bring(ada);
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    for (const job of [tenant.webhook(ada), tenant.job(ada), tenant.webhook(ada, "group.member.added")]) {
      expect(await tenant.provisionNow(job, sentAt)).toEqual({
        result: "superseded",
        accountId: tenant.accountId(ada),
      });
      expect(await tenant.container()(job, sentAt)).toMatchObject({ result: "superseded" });
    }
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
  });

  it("a job that was sent in the millisecond of the reading is carried out", async () => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    const readAt = (await tenant.record(ada))?.applied?.readAt;
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.provisionNow(tenant.webhook(ada), readAt)).toMatchObject({ operations: ["disable"] });
  });

  describe("with groups that had been read before", () => {
    /** Ada is applied with groups that were read ten seconds before; the job is sent in between. */
    async function applied() {
      const tenant = await build();
      const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person()];
      await tenant.provisionNow(tenant.webhook(grace));
      const mapReadAt = tenant.clock.now;
      tenant.clock.now += 10_000;
      await tenant.provisionNow(tenant.webhook(ada));
      expect(await tenant.record(ada)).toMatchObject({
        applied: { readAt: mapReadAt, userReadAt: tenant.clock.now },
      });
      return { tenant, ada, sentAt: mapReadAt + 5_000 };
    }

    it("a plain user webhook is superseded by groups that were read before it: it would use the same", async () => {
      const { tenant, ada, sentAt } = await applied();
      const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
      for (const container of [tenant.provisionNow, tenant.container()]) {
        expect(await container(tenant.webhook(ada), sentAt)).toMatchObject({ result: "superseded" });
      }
      expect(tenant.since(mark)).toEqual([]);
      expect(tenant.clavex.requests).toHaveLength(asked);
    });

    it("a plain user webhook is carried out a minute later: it would read the groups anew", async () => {
      const { tenant, ada, sentAt } = await applied();
      tenant.assign(ada, "ops");
      tenant.clock.now += 60_000;
      expect(await tenant.provisionNow(tenant.webhook(ada), sentAt)).toMatchObject({ operations: ["join ops"] });
    });

    it.each([
      "hint about a group",
      "reconciliation",
    ])("a %s is carried out though the person was read after it", async (reason) => {
      const { tenant, ada, sentAt } = await applied();
      tenant.assign(ada, "ops");
      const hint = tenant.webhook(ada, "group.member.added");
      const job = reason === "reconciliation" ? tenant.job(ada, "reconcile") : hint;
      expect(await tenant.provisionNow(job, sentAt)).toMatchObject({ operations: ["join ops"] });
    });

    it("a webhook that was sent after the person was read is carried out", async () => {
      const { tenant, ada } = await applied();
      tenant.clavex.suspend(tenant.organization.slug, ada.id);
      expect(await tenant.provisionNow(tenant.webhook(ada), tenant.clock.now)).toMatchObject({
        operations: ["disable"],
      });
    });
  });

  it("a job whose first attempt failed is carried out", async () => {
    const tenant = await build();
    const ada = tenant.person();
    const sentAt = tenant.clock.now;
    tenant.nextcloud.faults.add(answers(500, "POST user_oidc"));
    await expect(tenant.provisionNow(tenant.job(ada), sentAt)).rejects.toThrow(Failure);
    expect(await tenant.provisionNow(tenant.job(ada), sentAt)).toMatchObject({ result: "applied" });
  });
});

describe("the freshness of groups", () => {
  it("the groups of a plain user webhook may be a minute old, and no more", async () => {
    const tenant = await build();
    await tenant.provisionNow(tenant.webhook(tenant.person({}, ["eng"]), "user.created"));
    expect(groupReads(tenant)).toBe(1);
    tenant.clock.now += 58_000;
    await tenant.provisionNow(tenant.webhook(tenant.person({}, ["eng"]), "user.created"));
    expect(groupReads(tenant)).toBe(1);
    tenant.clock.now += 1_001;
    await tenant.provisionNow(tenant.webhook(tenant.person({}, ["eng"]), "user.created"));
    expect(groupReads(tenant)).toBe(2);
  });

  it.each([
    ["a reconciliation", (tenant: Tenant, person: ClavexUser) => tenant.job(person, "reconcile")],
    ["a replay", (tenant: Tenant, person: ClavexUser) => tenant.job(person, "replay")],
    ["an operator's job", (tenant: Tenant, person: ClavexUser) => tenant.job(person, "manual")],
    ["a new member", (tenant: Tenant, person: ClavexUser) => tenant.webhook(person, "group.member.added")],
    ["a lost member", (tenant: Tenant, person: ClavexUser) => tenant.webhook(person, "group.member.removed")],
  ])("the groups of %s are read after its message was sent", async (_, jobFor) => {
    const tenant = await build();
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.assign(ada, "eng");
    expect(await tenant.provisionNow(jobFor(tenant, ada))).toMatchObject({ operations: ["join eng"] });
    expect(groupReads(tenant)).toBe(2);
  });

  it("many hints that wait cost one reading of the groups", async () => {
    const tenant = await build();
    const people = Array.from({ length: 6 }, () => tenant.person({}, ["eng"]));
    const sentAt = tenant.clock.now;
    await Promise.all(people.map((person) => tenant.provisionNow(tenant.job(person), sentAt)));
    expect(groupReads(tenant)).toBe(1);
    for (const person of people) expect(tenant.account(person)?.groups).toEqual([tenant.groupId("eng")]);
  });

  it("nobody leaves a group by a reading that is older than the message", async () => {
    const tenant = await build();
    const behind = tenant.container();
    await behind(tenant.webhook(tenant.person()));
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const [mark, reads] = [tenant.mark(), groupReads(tenant)];
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged" });
    expect(tenant.writesSince(mark)).toEqual([]);
    expect(groupReads(tenant)).toBe(reads + 1);
  });

  it("nobody is disabled by a reading that is older than the message", async () => {
    const tenant = await build({ scope: { groups: ["Cloud"] } });
    const behind = tenant.container();
    await behind(tenant.webhook(tenant.person({}, ["Cloud"])));
    const ada = tenant.person({}, ["Cloud"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged", state: "active" });
    expect(tenant.writesSince(mark)).toEqual([]);
    tenant.unassign(ada, "Cloud");
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged" });
    tenant.clock.now += 60_000;
    expect(await behind(tenant.webhook(ada))).toMatchObject({ state: "outOfScope", operations: ["disable"] });
  });

  it("groups are not read where the policy has nothing to do with them", async () => {
    const tenant = await build({ groups: { managed: [] } });
    await tenant.bring(tenant.person({}, ["eng"]));
    expect(groupReads(tenant)).toBe(0);
  });

  it("groups are not read for a suspended person", async () => {
    const tenant = await build();
    await tenant.bring(tenant.person({ is_active: false }, ["eng"]));
    expect(groupReads(tenant)).toBe(0);
  });
});
