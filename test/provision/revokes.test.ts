import { describe, expect, it } from "vitest";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { resultOf } from "../support/jobs.ts";
import { IDENTITIES, type Tenant, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";
import { named, refusal, short } from "../support/requests.ts";

const { build } = useOrganizations();
const MINUTE = 60_000;

/** Nextcloud refuses to take anybody out of these groups, with this OCS code. */
function refuseLeaving({ nextcloud, groupId }: Tenant, statuscode: number, ...groups: string[]): void {
  const gids = groups.map(groupId);
  const match = (request: RecordedRequest) =>
    named("DELETE membership")(request) && gids.includes(String(short(request).parameters.groupid));
  nextcloud.faults.add({ kind: "status", status: 400, body: refusal(statuscode, "not today"), match });
}

function refuseDisabling({ nextcloud }: Tenant, statuscode = 105): void {
  const body = refusal(statuscode, "not today");
  nextcloud.faults.add({ kind: "status", status: 400, body, match: named("PUT disable") });
}

const groupsOf = (tenant: Tenant, person: { id: string }, ...names: string[]): string[] => {
  const member = new Set(tenant.account(person)?.groups);
  return names.filter((name) => member.has(tenant.groupId(name)));
};

describe("a name that Nextcloud cannot hold", () => {
  it.each([
    ["hashed", 256],
    ["raw", 256],
    ["providerBased", 999],
    ["database", 65],
    ["sociallogin", 65],
  ] as const)("keeps nobody in a group they were removed from (%s ids)", async (identity, length) => {
    const tenant = await build({ identity: IDENTITIES[identity] });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["Secret", "Staff"]);
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { first_name: "x".repeat(length), last_name: "" });
    expect(await resultOf(tenant.bring(ada))).toBe("parked");
    tenant.unassign(ada, "Secret");
    tenant.assign(ada, "Board");
    expect(await tenant.bring(ada)).toMatchObject({
      result: "parked",
      reason: "profile-refused",
      done: ["leave Secret"],
      revoke: "none",
    });
    expect(groupsOf(tenant, ada, "Secret", "Staff", "Board")).toEqual(["Staff"]);
    expect(await tenant.record(ada)).toMatchObject({
      groups: [tenant.groupId("Staff")],
      refused: { unrevoked: "nothing" },
    });
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toMatchObject({ reason: "profile-refused" });

    tenant.clavex.updateUser(slug, ada.id, { first_name: "Ada" });
    expect(await resultOf(tenant.bring(ada))).toBe("applied");
    expect(groupsOf(tenant, ada, "Secret", "Staff", "Board")).toEqual(["Staff", "Board"]);
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
  });

  it("keeps no membership that somebody made in Nextcloud in a group of ours: full runs find it", async () => {
    const tenant = withPipeline(await build());
    const ada = tenant.person({ first_name: "x".repeat(300) }, ["Staff"]);
    const grace = tenant.person({}, ["Secret"]);
    tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id });
    await tenant.settle();
    tenant.nextcloud.addMember(tenant.groupId("Secret"), tenant.accountId(ada));
    const run = await tenant.full();
    expect(run.report.differences).toMatchObject([
      { subject: ada.id, kind: "update", operations: [{ kind: "leave" }] },
    ]);
    expect(run.report.notes).toMatchObject([{ subject: ada.id, note: expect.stringContaining("display name") }]);
    await tenant.work();
    expect(groupsOf(tenant, ada, "Secret")).toEqual([]);
    expect(groupsOf(tenant, grace, "Secret")).toEqual(["Secret"]);
    expect((await tenant.full()).report.differences).toEqual([]);
  });

  it("stays quiet in light runs once nothing is left to take away", async () => {
    const tenant = withPipeline(await build());
    const ada = tenant.person({}, ["Secret"]);
    await tenant.settle();
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { first_name: "x".repeat(300) });
    tenant.unassign(ada, "Secret");
    expect(await tenant.light()).toMatchObject({ sent: 1 });
    await tenant.work();
    expect(groupsOf(tenant, ada, "Secret")).toEqual([]);
    tenant.clock.now += 30 * 24 * 60 * MINUTE;
    expect(await tenant.light()).toMatchObject({ sent: 0, refused: 1 });
  });
});

describe("a leave that Nextcloud refuses", () => {
  it.each([
    ["the first", 105, ["A"]],
    ["the second", 105, ["B"]],
    ["the last", 104, ["C"]],
    ["two of three", 101, ["A", "C"]],
  ])("keeps nobody in the other groups: %s (OCS %d)", async (_name, code, kept) => {
    const tenant = await build();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["A", "B", "C", "Staff"]);
    await tenant.bring(ada);
    refuseLeaving(tenant, code, ...kept);
    tenant.unassign(ada, "A", "B", "C");
    tenant.assign(ada, "Board");
    expect(await tenant.bring(ada)).toMatchObject({
      result: "parked",
      reason: `nextcloud-ocs-${code}`,
      revoke: "refused",
    });
    expect(groupsOf(tenant, ada, "A", "B", "C", "Staff", "Board")).toEqual([...kept, "Staff"]);
    const remembered = (await tenant.record(ada))?.groups ?? [];
    expect(["A", "B", "C"].filter((name) => remembered.includes(tenant.groupId(name)))).toEqual(kept);
    expect(await tenant.record(ada)).toMatchObject({ refused: { unrevoked: "leave", times: 1 } });
    expect(await tenant.bring(ada)).toMatchObject({ revoke: "refused-again" });

    tenant.nextcloud.faults.clear();
    expect(await resultOf(tenant.bring(ada))).toBe("applied");
    expect(groupsOf(tenant, ada, "A", "B", "C", "Staff", "Board")).toEqual(["Staff", "Board"]);
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
  });

  it("or answers with 5xx keeps nobody in the other groups, and is tried again", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["A", "B"]);
    await tenant.bring(ada);
    const gid = tenant.groupId("A");
    const match = (request: RecordedRequest) => short(request).parameters.groupid === gid;
    tenant.nextcloud.faults.add({ kind: "status", status: 500, match, times: 1 });
    tenant.unassign(ada, "A", "B");
    expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
    expect(groupsOf(tenant, ada, "A", "B")).toEqual(["A"]);
    expect(await resultOf(tenant.bring(ada))).toBe("applied");
    expect(groupsOf(tenant, ada, "A", "B")).toEqual([]);
  });

  it("ends with a server that is away: nothing more is asked of it", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["A", "B"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "A", "B");
    const match = named("DELETE membership");
    tenant.nextcloud.faults.add({
      kind: "status",
      status: 503,
      headers: { "x-nextcloud-maintenance-mode": "1" },
      match,
    });
    const mark = tenant.mark();
    await resultOf(tenant.bring(ada));
    expect(tenant.writesSince(mark)).toEqual(["DELETE membership"]);
  });

  it("comes first, and then the name: both refusals leave all that can be left", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["A", "B"]);
    await tenant.bring(ada);
    refuseLeaving(tenant, 105, "A");
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { first_name: "x".repeat(300) });
    tenant.unassign(ada, "A", "B");
    expect(await tenant.bring(ada)).toMatchObject({ reason: "nextcloud-ocs-105", revoke: "refused" });
    expect(groupsOf(tenant, ada, "A", "B")).toEqual(["A"]);
    tenant.nextcloud.faults.clear();
    expect(await tenant.bring(ada)).toMatchObject({ reason: "profile-refused", done: ["leave A"], revoke: "none" });
    expect(groupsOf(tenant, ada, "A", "B")).toEqual([]);
  });

  it("is still owed when another job fails before it is known what to do", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["A"]);
    await tenant.bring(ada);
    refuseLeaving(tenant, 105, "A");
    tenant.unassign(ada, "A");
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", revoke: "refused" });
    tenant.assign(ada, "Board");
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body: refusal(105, "no"), match: named("GET group") });
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", done: [], revoke: "refused-again" });
    expect(await tenant.record(ada)).toMatchObject({ refused: { hash: undefined, unrevoked: "leave" } });
  });

  it("is tried again by light runs, also when the group is desired again meanwhile", async () => {
    const tenant = withPipeline(await build());
    const ada = tenant.person({}, ["A", "B"]);
    await tenant.settle();
    refuseLeaving(tenant, 105, "A");
    tenant.unassign(ada, "A", "B");
    expect(await tenant.light()).toMatchObject({ sent: 1 });
    await tenant.work();
    expect(await tenant.light()).toMatchObject({ sent: 0, refused: 1 });
    // As at first; but B was left.
    tenant.assign(ada, "A", "B");
    expect(await tenant.light()).toMatchObject({ sent: 1, refused: 0 });
    await tenant.work();
    expect(groupsOf(tenant, ada, "A", "B")).toEqual(["A", "B"]);
    expect((await tenant.record(ada))?.refused).toBeUndefined();
    expect(await tenant.light()).toMatchObject({ sent: 0, refused: 0 });
  });
});

describe("a disable that Nextcloud refuses", () => {
  it("is tried again by light runs after 10 minutes, then twice as long each time, up to a day, with one alarm", async () => {
    const tenant = withPipeline(await build());
    const ada = tenant.person();
    await tenant.settle();
    refuseDisabling(tenant);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.light()).toMatchObject({ sent: 1 });
    await tenant.work();
    for (const minutes of [10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440]) {
      const { at } = (await tenant.record(ada))?.refused ?? { at: 0 };
      tenant.clock.now = at + minutes * MINUTE - 2_000;
      expect(await tenant.light()).toMatchObject({ sent: 0, refused: 1 });
      tenant.clock.now = at + minutes * MINUTE;
      expect(await tenant.light()).toMatchObject({ sent: 1, refused: 0 });
      await tenant.work();
      expect(await tenant.record(ada)).toMatchObject({ refused: { unrevoked: "disable" } });
    }
    expect(tenant.lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([
      "job",
      "revoke refused",
    ]);
    expect(tenant.counted.filter((counter) => counter === "RevokesRefused")).toHaveLength(1);
    const leavers = () =>
      tenant.measured.filter(([name]) => name === "LeaversStillEnabled").map(([, people]) => people);
    expect(leavers(), "every run after the first has measured it").toEqual(Array.from({ length: 20 }, () => 1));
    await tenant.full();
    expect(leavers()).toHaveLength(21);

    tenant.nextcloud.faults.clear();
    tenant.clock.now += 1_440 * MINUTE;
    await tenant.light();
    await tenant.work();
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
    expect(await tenant.record(ada)).toMatchObject({ state: "suspended", disabledByUs: true, refused: undefined });
    tenant.measured.length = 0;
    expect(await tenant.light()).toMatchObject({ sent: 0, refused: 0 });
    expect(leavers(), "nobody is left").toEqual([]);
  });

  it.each([
    ["deleted", 104],
    ["suspended", 112],
    ["out of scope", 998],
  ] as const)("of somebody who is %s is tried again too (OCS %d)", async (how, code) => {
    const tenant = withPipeline(await build({ scope: { groups: ["Cloud"] } }));
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["Cloud"]);
    await tenant.settle();
    refuseDisabling(tenant, code);
    if (how === "deleted") tenant.clavex.deleteUser(slug, ada.id);
    if (how === "suspended") tenant.clavex.suspend(slug, ada.id);
    if (how === "out of scope") tenant.unassign(ada, "Cloud");
    // Somebody else has to be there: nobody believes an empty directory.
    tenant.person({}, ["Cloud"]);
    await tenant.light();
    await tenant.work();
    expect(tenant.account(ada)).toMatchObject({ enabled: true });
    tenant.nextcloud.faults.clear();
    expect(await tenant.light()).toMatchObject({ sent: 0, refused: 1 });
    tenant.clock.now += 10 * MINUTE;
    expect(await tenant.light()).toMatchObject({ sent: 1 });
    await tenant.work();
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
  });

  it("that a version before gave up, without a time, is tried again at once", async () => {
    const tenant = withPipeline(await build());
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.settle();
    refuseDisabling(tenant);
    tenant.clavex.suspend(slug, ada.id);
    await tenant.light();
    await tenant.work();
    const record = await tenant.record(ada);
    if (!record?.refused) throw new Error("nothing was refused");
    const { hash } = record.refused;
    await tenant.ledger.subjects.put(slug, { ...record, refused: { hash, unrevoked: "nothing", at: 0, times: 0 } });
    tenant.nextcloud.faults.clear();
    expect(await tenant.light()).toMatchObject({ sent: 1, refused: 0 });
    await tenant.work();
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
  });
});
