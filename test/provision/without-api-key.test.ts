import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { replayOf } from "../../functions/core/job.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { answers } from "../support/requests.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;

describe("without an API key", () => {
  const choices = { apiKey: false, quota: { default: "5 GB" }, groups: { always: ["everybody"] } };
  const snapshotOf = (person: ClavexUser, fields: Partial<ClavexUser>): ClavexUser => ({ ...person, ...fields });

  it("a snapshot gives account, quota and the groups of `always`, and Clavex is asked nothing", async () => {
    const tenant = await build(choices);
    tenant.nextcloud.addGroup("everybody");
    const ada = tenant.person({ metadata: { nextcloud_quota: "2 GB" } }, ["eng"]);
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "applied" });
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace", quota: 2 * GB, groups: ["everybody"] });
    expect(tenant.clavex.requests).toEqual([]);
  });

  it("an older snapshot does not win, and nobody is asked about it", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    const newer = tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    await tenant.provisionNow(tenant.webhook(newer));
    const mark = tenant.mark();
    expect(await tenant.provisionNow(tenant.webhook(ada))).toEqual({
      result: "stale",
      accountId: tenant.accountId(ada),
    });
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.account(ada)?.displayName).toBe("Ada King");
    expect(await tenant.provisionNow(tenant.webhook(newer))).toMatchObject({ result: "unchanged" });
  });

  it("snapshots are ordered by the moment and not by how it is written", async () => {
    const tenant = await build(choices);
    tenant.clock.now = Date.UTC(2026, 6, 23, 12);
    const ada = tenant.person();
    const moments: [string, Outcome["result"]][] = [
      ["2026-07-23T12:00:00.5+02:00", "applied"],
      ["2026-07-23T10:00:00.49Z", "stale"],
      ["2026-07-23T05:00:00.500000000-05:00", "unchanged"],
      ["2026-07-23T10:00:00.500000001Z", "unchanged"],
      ["2026-07-23T12:00:00.5+02:00", "stale"],
      ["2026-07-23T09:59:59-01:00", "unchanged"],
    ];
    for (const [updated_at, result] of moments) {
      const outcome = await tenant.provisionNow(tenant.webhook(snapshotOf(ada, { updated_at })));
      expect([updated_at, outcome.result]).toEqual([updated_at, result]);
    }
  });

  it("snapshots disable and enable", async () => {
    const tenant = await build(choices);
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    for (const is_active of [false, true]) {
      const snapshot = tenant.clavex.updateUser(slug, ada.id, { is_active });
      await tenant.provisionNow(tenant.webhook(snapshot));
      expect(tenant.account(ada)?.enabled).toBe(is_active);
    }
  });

  it("an older snapshot does not bring somebody back who is suspended, although Clavex's clock is five minutes ahead of ours", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const ahead = (seconds: number) => new Date(tenant.clock.now + 5 * 60_000 + seconds * 1_000).toISOString();
    const renamed = snapshotOf(ada, { last_name: "King", updated_at: ahead(1) });
    const suspended = snapshotOf(ada, { last_name: "King", is_active: false, updated_at: ahead(2) });
    await tenant.provisionNow(tenant.webhook(suspended));
    expect(await tenant.provisionNow(tenant.webhook(renamed))).toMatchObject({ result: "stale" });
    expect(tenant.account(ada)?.enabled).toBe(false);
    // Set right again, the clock orders what happens then.
    const back = snapshotOf(ada, { updated_at: new Date(tenant.clock.now).toISOString() });
    expect(await tenant.provisionNow(tenant.webhook(back))).toMatchObject({ result: "applied" });
    expect(tenant.account(ada)?.enabled).toBe(true);
  });

  it("a snapshot of somebody who was suspended disables them, however odd the rest of it is", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const suspended = tenant.clavex.suspend(tenant.organization.slug, ada.id);
    const odd = { ...suspended, metadata: [], email: null, first_name: 7 } as unknown as ClavexUser;
    expect(await tenant.provisionNow(tenant.webhook(odd))).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ enabled: false, displayName: "Ada Lovelace" });
  });

  it("a deletion is final: no later snapshot brings the person back", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const later = tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ operations: ["disable"] });
    const mark = tenant.mark();
    expect(await tenant.provisionNow(tenant.webhook(later))).toMatchObject({ result: "stale" });
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("a deletion that comes before the creation is final", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ state: "deleted" });
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "stale" });
    expect(tenant.account(ada)).toBeUndefined();
  });

  it("a deletion is final whose first attempt failed, and one that is sent again from the dead letters", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const job = tenant.webhook(ada, "user.deleted");
    tenant.nextcloud.faults.add(answers(500, "PUT disable"));
    await expect(tenant.provisionNow(job)).rejects.toThrow(Failure);
    const replay = replayOf(job);
    expect(await tenant.provisionNow(replay)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("a hint without a user is ignored, giving the reason", async () => {
    const tenant = await build(choices);
    const ada = tenant.person();
    const mark = tenant.mark();
    for (const job of [
      tenant.job(ada),
      tenant.job(ada, "reconcile"),
      { ...tenant.webhook(ada), snapshot: { id: ada.id } },
    ]) {
      const outcome = await tenant.provisionNow(job);
      expect(outcome).toMatchObject({ result: "ignored", why: expect.stringContaining("apiKey") });
    }
    expect(tenant.since(mark)).toEqual([]);
  });

  it("somebody else's snapshot is not taken", async () => {
    const tenant = await build(choices);
    const [ada, grace] = [tenant.person(), tenant.person()];
    const job = { ...tenant.webhook(grace), subject: ada.id };
    const mark = tenant.mark();
    await expect(tenant.provisionNow(job)).rejects.toThrow(Failure);
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  it("nobody leaves a group, and it is not forgotten which were ours", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ apiKey: false });
    tenant.unassign(ada, "eng");
    const mark = tenant.mark();
    const snapshot = tenant.clavex.updateUser(tenant.organization.slug, ada.id, {});
    expect(await tenant.provisionNow(tenant.webhook(snapshot))).toMatchObject({ result: "unchanged" });
    expect(tenant.writesSince(mark)).toEqual([]);
    expect((await tenant.record(ada))?.groups).toEqual(["eng"]);
    tenant.configure({ apiKey: true });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });
});
