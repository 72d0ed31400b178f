import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { queued } from "../../functions/core/record.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { refusalOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

/** A ledger that cannot be written the nth time an entry is put: where a worker is killed. */
function dyingAt(ledger: Ledger, write: number): Ledger {
  let count = 0;
  return beforeEachEntry(ledger, async () => {
    count += 1;
    if (count === write) throw new LedgerUnavailable(new Error("killed"));
  });
}

/** A ledger in which somebody else does this just before an entry is put for the first time. */
function overtakenBy(ledger: Ledger, others: () => Promise<unknown>): Ledger {
  let isOvertaken = false;
  return beforeEachEntry(ledger, async () => {
    if (isOvertaken) return;
    isOvertaken = true;
    await others();
  });
}

/** A ledger in which this happens before an entry is put. */
function beforeEachEntry(ledger: Ledger, happens: () => Promise<unknown>): Ledger {
  const { subjects } = ledger;
  const after =
    <P extends unknown[], R>(write: (...parameters: P) => Promise<R>) =>
    async (...parameters: P): Promise<R> => {
      await happens();
      return write(...parameters);
    };
  return { ...ledger, subjects: { ...subjects, put: after(subjects.put), tryPut: after(subjects.tryPut) } };
}

describe("workers that are killed", () => {
  it("a worker that is killed before the ledger knows of a join or a lock has changed nothing in Nextcloud", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    const mark = tenant.mark();
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 1) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.writesSince(mark)).toEqual([]);
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    const later = tenant.mark();
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 1) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.writesSince(later)).toEqual([]);
  });

  it("a worker that is killed between a join and the ledger leaves no membership that nobody owns", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board", "eng"]);
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 2) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.account(ada)?.groups).toEqual(["board", "eng"]);
    tenant.unassign(ada, "board", "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave board", "leave eng"] });
    expect(tenant.account(ada)?.groups).toEqual([]);
  });

  it("a worker that is killed between a join and the ledger does not make a local membership ours", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board"]);
    await tenant.bring(ada);
    tenant.nextcloud.addMember("board", ada.id);
    tenant.assign(ada, "eng");
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 2) })(tenant.job(ada))).rejects.toThrow(Failure);
    await tenant.bring(ada);
    tenant.unassign(ada, "board");
    await tenant.bring(ada);
    expect(tenant.account(ada)?.groups).toEqual(["board", "eng"]);
  });

  it("a worker that is killed between a lock and the ledger still knows that the lock is ours", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(slug, ada.id);
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 2) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.account(ada)?.enabled).toBe(false);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["enable"] });
  });

  it("a worker that is killed after a departure was counted, before its record says so, has counted it once", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(slug, ada.id);
    const [job, sentAt] = [tenant.job(ada), tenant.clock.now];
    // Killed: its job ends in no way.
    const counted = Promise.withResolvers<void>();
    const killed = (): Promise<never> => {
      counted.resolve();
      return new Promise(() => undefined);
    };
    void tenant.container({ ledger: beforeEachEntry(tenant.ledger, killed) })(job, sentAt);
    await counted.promise;
    expect(await tenant.container()(job, sentAt)).toMatchObject({ operations: ["disable"] });
    const passed = await tenant.ledger.brakes.get(slug);
    expect(passed?.state.buckets.map(({ people }) => people)).toEqual([1]);
  });

  it("a worker that is overtaken before it has written anything looks again, and finds what was done", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.assign(ada, "ops");
    const late = tenant.container({ ledger: overtakenBy(tenant.ledger, () => tenant.bring(ada)) });
    expect(await late(tenant.job(ada))).toMatchObject({ result: "unchanged" });
    expect((await tenant.record(ada))?.groups).toEqual(tenant.account(ada)?.groups);
  });

  it("a job of the group watch goes on when a reconciliation that runs at the same time marks its person", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "eng");
    const mark = async () => {
      const record = await tenant.record(ada);
      if (record) await tenant.ledger.subjects.put(slug, queued(record, "hash", tenant.clock.now));
    };
    const worker = tenant.container({ ledger: overtakenBy(tenant.ledger, mark) });
    expect(await worker(tenant.job(ada))).toMatchObject({ result: "applied", operations: ["leave eng"] });
    expect(await tenant.record(ada)).toMatchObject({ groups: [], queued: undefined });
  });

  it("a worker that is overtaken while it writes to Nextcloud cannot write the ledger over the newer state", async () => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { last_name: "Byron" });
    const late = tenant.container({ ledger: overtakenBy(tenant.ledger, () => tenant.bring(ada)) });
    expect(await refusalOf(late(tenant.job(ada)))).toMatchObject({
      failureClass: "transient",
      code: "ledger-conflict",
    });
    const entry = await tenant.record(ada);
    expect(await late(tenant.job(ada))).toMatchObject({ result: "unchanged" });
    expect((await tenant.record(ada))?.applied?.desiredHash).toBe(entry?.applied?.desiredHash);
  });
});
