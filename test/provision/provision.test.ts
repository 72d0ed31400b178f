import { createHash, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { identityFingerprint } from "../../functions/core/identity.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import type { Outcome } from "../../functions/provision/provision.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import type { Fault, RecordedRequest } from "../../functions/simulated/server.ts";
import { IDENTITIES, PAUSE_SECONDS, short, type Tenant, useWorld } from "../support/world.ts";

const world = useWorld();
const GB = 1024 ** 3;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Why a job did not succeed: thrown, or parked. */
async function refusalOf(run: Promise<Outcome>): Promise<{ code: string; failureClass: string; message: string }> {
  try {
    const outcome = await run;
    if (outcome.result !== "parked") throw new Error(`the job was done: ${JSON.stringify(outcome)}`);
    return { code: outcome.reason ?? "", failureClass: "permanent", message: outcome.notes.join() };
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

const writes = (tenant: Tenant, mark: number): string[] =>
  tenant.since(mark).filter((name) => !name.startsWith("GET "));
const named =
  (name: string) =>
  (request: RecordedRequest): boolean =>
    short(request).name === name;
const status = (code: number, name: string, times = 1): Fault => ({
  kind: "status",
  status: code,
  match: named(name),
  times,
});
const groupReads = ({ clavex }: Tenant): number =>
  clavex.requests.filter(({ path }) => path.includes("/groups?")).length;

/** Deletes a group as an administrator of Nextcloud would. */
async function deleteInNextcloud({ nextcloud }: Tenant, path: string): Promise<void> {
  const response = await fetch(`${nextcloud.url}/ocs/v2.php/cloud/${path}?format=json`, {
    method: "DELETE",
    headers: {
      "ocs-apirequest": "true",
      authorization: `Basic ${btoa(`${nextcloud.username}:${nextcloud.password}`)}`,
    },
  });
  expect(response.status).toBe(200);
}

/** A ledger that cannot be written the nth time an entry is put: where a worker is killed. */
function dyingAt(ledger: Ledger, write: number): Ledger {
  let count = 0;
  return {
    ...ledger,
    putSubject: async (...parameters) => {
      count += 1;
      if (count === write) throw new LedgerUnavailable(new Error("killed"));
      return ledger.putSubject(...parameters);
    },
  };
}

describe("a new person", () => {
  it("gets an account with name, e-mail, quota and groups, and login opens that account", async () => {
    const tenant = await world.tenant({ quota: { default: "5 GB" } });
    const ada = tenant.person({ email: "Ada@Acme.example" }, ["eng", "ops"]);
    const outcome = await tenant.bring(ada);
    expect(outcome).toEqual({
      result: "applied",
      accountId: sha256(`1_0_${ada.id}`),
      state: "active",
      operations: ["upsert account", "join eng", "join ops"],
      notes: [],
    });
    expect(tenant.account(ada)).toMatchObject({
      id: sha256(`1_0_${ada.id}`),
      backends: ["user_oidc"],
      displayName: "Ada Lovelace",
      email: "ada@acme.example",
      quota: 5 * GB,
      enabled: true,
      groups: [sha256("1_0_eng"), sha256("1_0_ops")].sort(),
    });
    const login = tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id, claims: {} });
    expect(login).toEqual({ status: 303, userId: outcome.accountId });
  });

  it.each([
    "hashed",
    "raw",
    "providerBased",
    "oddlyNamed",
  ] as const)("whose ids are %s is provisioned, renamed, disabled and enabled in the one account that login opens", async (name) => {
    const identity = IDENTITIES[name];
    const tenant = await world.tenant({ identity });
    const ada = tenant.person({}, ["eng/backend c++"]);
    await tenant.bring(ada);
    const login = tenant.nextcloud.simulateLogin({ providerId: identity.providerId, sub: ada.id, claims: {} });
    expect(login).toEqual({ status: 303, userId: tenant.accountId(ada) });
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname"] });
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ enabled: false, displayName: "Ada King" });
    tenant.clavex.updateUser(tenant.organization.slug, ada.id, { is_active: true });
    tenant.unassign(ada, "eng/backend c++");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng/backend c++", "enable"] });
    expect(tenant.account(ada)).toMatchObject({ enabled: true, groups: [] });
    expect(tenant.nextcloud.users()).toHaveLength(2);
  });

  it("costs a look, one call for the account and one for each known group", async () => {
    const tenant = await world.tenant();
    await tenant.bring(tenant.person({}, ["a", "b", "c"]));
    const grace = tenant.person({}, ["a", "b", "c"]);
    const mark = tenant.mark();
    await tenant.bring(grace);
    expect(tenant.since(mark)).toEqual(["GET user", "POST user_oidc", ...Array(3).fill("POST membership")]);
  });

  it("costs the same in another container, which knows the groups from the ledger", async () => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await world.tenant({ identity });
      await tenant.bring(tenant.person({}, ["a", "b"]));
      const grace = tenant.person({}, ["a", "b"]);
      const mark = tenant.mark();
      await tenant.container()(tenant.job(grace));
      expect(tenant.since(mark)).toEqual(["GET user", "POST user_oidc", "POST membership", "POST membership"]);
    }
  });

  it("in groups that nobody was in before makes them, with hashed ids and their own names", async () => {
    const tenant = await world.tenant();
    const mark = tenant.mark();
    await tenant.bring(tenant.person({}, ["eng", "Größe/ü"]));
    expect(tenant.requestsSince(mark).map(({ name, parameters }) => [name, parameters.groupid])).toEqual([
      ["GET user", undefined],
      ["POST user_oidc", undefined],
      ["POST group", sha256("1_0_Größe/ü")],
      ["POST membership", sha256("1_0_Größe/ü")],
      ["POST group", "bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112"],
      ["POST membership", "bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112"],
    ]);
    expect(tenant.nextcloud.group(sha256("1_0_Größe/ü"))?.displayName).toBe("Größe/ü");
    expect(tenant.nextcloud.group(sha256("1_0_eng"))?.displayName).toBe("eng");
  });

  it("comes with many others of the same new groups at once, in several containers, and all join", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const people = Array.from({ length: 12 }, () => tenant.person({}, ["all", "eng"]));
    const containers = [tenant.container(), tenant.container()];
    const outcomes = await Promise.all(
      people.map((person, index) => (containers[index % 2] ?? tenant.provisionNow)(tenant.job(person))),
    );
    expect(outcomes.flatMap(({ notes }) => notes)).toEqual([]);
    for (const person of people) expect(tenant.account(person)?.groups).toEqual(["all", "eng"]);
  });

  it("in groups that nobody was in before looks first whether they are there, where ids are raw", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const mark = tenant.mark();
    await tenant.bring(tenant.person({}, ["eng"]));
    expect(tenant.since(mark)).toEqual(["GET user", "GET group", "POST user_oidc", "POST group", "POST membership"]);
    expect(await tenant.ledger.group(tenant.nextcloud.url, "eng")).toEqual({
      owner: tenant.organization.slug,
      name: "eng",
    });
  });

  it("without a name gets the e-mail address for one", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({ first_name: "", last_name: "" });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.displayName).toBe(ada.email);
  });

  it("whose group Nextcloud cannot hold is provisioned with the rest, and it is reported", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["0", "g".repeat(65), "eng"]);
    const outcome = await tenant.bring(ada);
    expect(outcome).toMatchObject({ result: "applied", notes: [expect.any(String), expect.any(String)] });
    expect(tenant.account(ada)?.groups).toEqual(["eng"]);
  });

  it("whose group Nextcloud refuses to make is provisioned with the rest, and it is reported", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["bad", "eng"]);
    const body = JSON.stringify({ ocs: { meta: { statuscode: 101, message: "Invalid group name" }, data: [] } });
    const match = (request: RecordedRequest) => short(request).parameters.displayname === "bad";
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, match });
    const outcome = await tenant.bring(ada);
    expect(outcome.notes).toEqual([expect.stringContaining("group bad is skipped")]);
    expect(tenant.account(ada)?.groups).toEqual([sha256("1_0_eng")]);
    expect((await tenant.entry(ada))?.groups).toEqual([sha256("1_0_eng")]);
  });

  it("who is suspended or gone already gets no account", async () => {
    const tenant = await world.tenant();
    const [ada, grace] = [tenant.person({ is_active: false }), tenant.person()];
    tenant.clavex.deleteUser(tenant.organization.slug, grace.id);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", state: "suspended" });
    expect(await tenant.bring(grace)).toMatchObject({ result: "unchanged", state: "deleted" });
    expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
  });
});

describe("a person who is as desired", () => {
  it("costs one GET", async () => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await world.tenant({ identity, quota: { default: "5 GB" }, groups: { always: ["everybody"] } });
      tenant.nextcloud.addGroup("everybody");
      const ada = tenant.person({ email: "Ada@Acme.example" }, ["eng", "ops"]);
      await tenant.bring(ada);
      const mark = tenant.mark();
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", operations: [], notes: [] });
      expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "unchanged" });
      expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
    }
  });

  it("is not written when a job is delivered twice", async () => {
    const tenant = await world.tenant();
    const job = tenant.webhook(tenant.person({}, ["eng"]), "user.created");
    const sentAt = tenant.clock.now;
    await tenant.provisionNow(job, sentAt);
    const mark = tenant.mark();
    await tenant.provisionNow(job, sentAt);
    await tenant.container()(job, sentAt);
    expect(writes(tenant, mark)).toEqual([]);
  });
});

describe("a job that a newer reading covers", () => {
  it("asks neither Clavex nor Nextcloud", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    const sentAt = tenant.clock.now;
    await tenant.bring(ada);
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    for (const job of [tenant.webhook(ada), tenant.job(ada), tenant.webhook(ada, "group.member.added")]) {
      expect(await tenant.provisionNow(job, sentAt)).toMatchObject({ result: "superseded", operations: [] });
      expect(await tenant.container()(job, sentAt)).toMatchObject({ result: "superseded" });
    }
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
  });

  it("is not one that was sent in the same millisecond", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person();
    await tenant.bring(ada);
    const readAt = (await tenant.entry(ada))?.readAt;
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.provisionNow(tenant.webhook(ada), readAt)).toMatchObject({ operations: ["disable"] });
  });

  describe("that used groups which had been read before", () => {
    /** Ada is applied with groups that were read ten seconds before; the job is sent in between. */
    async function applied() {
      const tenant = await world.tenant();
      const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person()];
      await tenant.provisionNow(tenant.webhook(grace));
      const mapReadAt = tenant.clock.now;
      tenant.clock.now += 10_000;
      await tenant.provisionNow(tenant.webhook(ada));
      expect(await tenant.entry(ada)).toMatchObject({ readAt: mapReadAt, userReadAt: tenant.clock.now });
      return { tenant, ada, sentAt: mapReadAt + 5_000 };
    }

    it("is a plain user webhook: it would use the same groups", async () => {
      const { tenant, ada, sentAt } = await applied();
      const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
      for (const container of [tenant.provisionNow, tenant.container()]) {
        expect(await container(tenant.webhook(ada), sentAt)).toMatchObject({ result: "superseded" });
      }
      expect(tenant.since(mark)).toEqual([]);
      expect(tenant.clavex.requests).toHaveLength(asked);
    });

    it("is no plain user webhook a minute later: it would read the groups anew", async () => {
      const { tenant, ada, sentAt } = await applied();
      tenant.assign(ada, "ops");
      tenant.clock.now += 60_000;
      expect(await tenant.provisionNow(tenant.webhook(ada), sentAt)).toMatchObject({ operations: ["join ops"] });
    });

    it.each(["hint about a group", "reconciliation"])("is no %s", async (reason) => {
      const { tenant, ada, sentAt } = await applied();
      tenant.assign(ada, "ops");
      const hint = tenant.webhook(ada, "group.member.added");
      const job = reason === "reconciliation" ? tenant.job(ada, "reconcile") : hint;
      expect(await tenant.provisionNow(job, sentAt)).toMatchObject({ operations: ["join ops"] });
    });

    it("is no webhook that was sent after the user was read", async () => {
      const { tenant, ada } = await applied();
      tenant.clavex.suspend(tenant.organization.slug, ada.id);
      expect(await tenant.provisionNow(tenant.webhook(ada), tenant.clock.now)).toMatchObject({
        operations: ["disable"],
      });
    });
  });

  it("is not one whose first attempt failed", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person();
    const sentAt = tenant.clock.now;
    tenant.nextcloud.faults.add(status(500, "POST user_oidc"));
    await expect(tenant.provisionNow(tenant.job(ada), sentAt)).rejects.toThrow(Failure);
    expect(await tenant.provisionNow(tenant.job(ada), sentAt)).toMatchObject({ result: "applied" });
  });
});

describe("a person who changes", () => {
  it("is updated in one call, whatever of name, e-mail and quota is new", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    tenant.clavex.updateUser(slug, ada.id, { last_name: "King", email: `king.${ada.id}@acme.example` });
    tenant.clavex.setAttributes(slug, ada.id, { nextcloud_quota: "2 GB" });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname+email+quota"] });
    expect(tenant.since(mark)).toEqual(["GET user", "POST user_oidc"]);
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada King",
      email: `king.${ada.id}@acme.example`,
      quota: 2 * GB,
      groups: [sha256("1_0_eng")],
    });
  });

  it("and moves leaves the old group before joining the new one", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng", "all"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "eng");
    tenant.assign(ada, "ops");
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng", "join ops"] });
    expect(tenant.since(mark)).toEqual(["GET user", "DELETE membership", "POST group", "POST membership"]);
    expect(tenant.account(ada)?.groups).toEqual([sha256("1_0_all"), sha256("1_0_ops")].sort());
    expect((await tenant.entry(ada))?.groups).toEqual([sha256("1_0_all"), sha256("1_0_ops")].sort());
  });

  it.each(["hashed", "raw"] as const)("leaves a group that was deleted in Clavex (%s ids)", async (name) => {
    const tenant = await world.tenant({ identity: IDENTITIES[name] });
    const ada = tenant.person({}, ["eng", "ops"]);
    await tenant.bring(ada);
    const eng = tenant.clavex.groupByName(tenant.organization.slug, "eng");
    tenant.clavex.deleteGroup(tenant.organization.slug, eng?.id ?? "");
    expect(await tenant.container()(tenant.job(ada))).toMatchObject({ operations: ["leave eng"] });
    expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("ops")]);
  });

  it("never costs a rate-limited edit, over a whole life", async () => {
    const tenant = await world.tenant({ quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    const changes: (() => void)[] = [
      () => undefined,
      () => tenant.clavex.updateUser(slug, ada.id, { first_name: "Augusta" }),
      () => tenant.clavex.updateUser(slug, ada.id, { email: `new.${ada.id}@acme.example` }),
      () => tenant.clavex.setAttributes(slug, ada.id, { nextcloud_quota: "none" }),
      () => tenant.assign(ada, "ops"),
      () => tenant.unassign(ada, "eng"),
      () => tenant.clavex.suspend(slug, ada.id),
      () => tenant.clavex.updateUser(slug, ada.id, { is_active: true, last_name: "King" }),
      () => tenant.clavex.deleteUser(slug, ada.id),
    ];
    for (const change of changes) {
      change();
      expect(await tenant.bring(ada)).toMatchObject({ result: "applied" });
    }
    expect(tenant.since(0)).not.toContain("PUT user");
    expect(new Set(writes(tenant, 0))).toEqual(
      new Set(["POST user_oidc", "POST group", "POST membership", "DELETE membership", "PUT disable", "PUT enable"]),
    );
  });

  it("back is put right again when somebody changed the account in Nextcloud", async () => {
    const tenant = await world.tenant({ quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id, claims: { name: "Other", quota: "1 GB" } });
    const bob = tenant.person({}, ["ops"]);
    await tenant.bring(bob);
    tenant.nextcloud.addMember(tenant.groupId("ops"), tenant.accountId(ada));
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave ops", "upsert displayname+quota"] });
  });
});

describe("a person who leaves", () => {
  const leaving: [string, (tenant: Tenant, person: ClavexUser) => void, string][] = [
    ["suspended", ({ clavex, organization }, { id }) => void clavex.suspend(organization.slug, id), "suspended"],
    ["deleted", ({ clavex, organization }, { id }) => void clavex.deleteUser(organization.slug, id), "deleted"],
    ["erased", ({ clavex, organization }, { id }) => void clavex.eraseUser(organization.slug, id, "erased"), "deleted"],
    [
      "made anonymous",
      ({ clavex, organization }, { id }) => void clavex.eraseUser(organization.slug, id, "anonymized"),
      "deleted",
    ],
    ["out of scope", (tenant, person) => tenant.unassign(person, "Cloud"), "outOfScope"],
  ];

  it.each(leaving)("because %s is disabled in one call and keeps all else", async (_, leave, state) => {
    const tenant = await world.tenant({ scope: { groups: ["Cloud"] }, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["Cloud", "eng"]);
    await tenant.bring(ada);
    const before = tenant.account(ada);
    leave(tenant, ada);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied", state, operations: ["disable"] });
    expect(tenant.since(mark)).toEqual(["GET user", "PUT disable"]);
    expect(tenant.account(ada)).toEqual({ ...before, enabled: false });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", operations: [] });
    expect(writes(tenant, mark)).toEqual(["PUT disable"]);
  });

  it("cannot log in any more", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    await tenant.provisionNow(tenant.webhook(ada, "user.deleted"));
    expect(tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id }).status).toBe(401);
  });

  it("and was never seen by us, but has an account by login, is disabled too", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person();
    tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id });
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ operations: ["disable"] });
  });

  it("stays as they are where the policy says keep", async () => {
    const tenant = await world.tenant({ deprovision: { suspended: "keep" } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [expect.stringContaining("keep")] });
    expect(writes(tenant, mark)).toEqual([]);
  });

  it("is only disabled by a webhook where the policy says delete, however long ago", async () => {
    const tenant = await world.tenant({ deprovision: { deleted: "delete", graceDays: 0 } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    for (let day = 0; day < 3; day += 1) {
      await tenant.provisionNow(tenant.webhook(ada, "user.deleted"));
      tenant.clock.now += 86_400_000;
    }
    expect(tenant.account(ada)).toMatchObject({ enabled: false });
    expect(writes(tenant, 0)).not.toContain("DELETE user");
  });
});

describe("a person who comes back", () => {
  it.each([
    "in the same container",
    "in another one",
  ])("is enabled again %s, with what has changed meanwhile", async (where) => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.suspend(slug, ada.id);
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true, last_name: "King" });
    tenant.unassign(ada, "eng");
    const run = where === "in another one" ? tenant.container() : tenant.provisionNow;
    const mark = tenant.mark();
    expect(await run(tenant.job(ada))).toMatchObject({ operations: ["leave eng", "upsert displayname", "enable"] });
    expect(tenant.since(mark)).toEqual(["GET user", "DELETE membership", "POST user_oidc", "PUT enable"]);
    expect(tenant.account(ada)).toMatchObject({ enabled: true, displayName: "Ada King", groups: [] });
    expect(await tenant.entry(ada)).toMatchObject({ disabledByUs: false, state: "active" });
  });

  it("stays locked where an administrator of Nextcloud had locked them before", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.nextcloud.setEnabled(tenant.accountId(ada), false);
    expect(await tenant.bring(ada)).toMatchObject({
      result: "unchanged",
      notes: [expect.stringContaining("not by us")],
    });
    tenant.clavex.suspend(slug, ada.id);
    await tenant.bring(ada);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("not by us")] });
    expect(writes(tenant, mark)).toEqual([]);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("stays locked where an administrator locks them after we have enabled them", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    for (const is_active of [false, true]) {
      tenant.clavex.updateUser(slug, ada.id, { is_active });
      await tenant.bring(ada);
    }
    tenant.nextcloud.setEnabled(tenant.accountId(ada), false);
    expect(await tenant.bring(ada)).toMatchObject({ operations: [], notes: [expect.stringContaining("not by us")] });
  });

  it("into the scope is enabled again", async () => {
    const tenant = await world.tenant({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["Cloud"]);
    await tenant.bring(ada);
    tenant.unassign(ada, "Cloud");
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(false);
    tenant.assign(ada, "Cloud");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["enable"] });
  });

  it("never was in scope, and gets an account when they come into it", async () => {
    const tenant = await world.tenant({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["eng"]);
    expect(await tenant.bring(ada)).toMatchObject({ state: "outOfScope", operations: [] });
    expect(tenant.account(ada)).toBeUndefined();
    tenant.assign(ada, "Cloud");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert account", "join Cloud", "join eng"] });
  });
});

describe("the freshness of groups", () => {
  it("of a plain user webhook may be a minute, and no more", async () => {
    const tenant = await world.tenant();
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
  ])("of %s has to be that of its message", async (_, jobFor) => {
    const tenant = await world.tenant();
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.assign(ada, "eng");
    expect(await tenant.provisionNow(jobFor(tenant, ada))).toMatchObject({ operations: ["join eng"] });
    expect(groupReads(tenant)).toBe(2);
  });

  it("is shared: many hints that wait cost one reading", async () => {
    const tenant = await world.tenant();
    const people = Array.from({ length: 6 }, () => tenant.person({}, ["eng"]));
    const sentAt = tenant.clock.now;
    await Promise.all(people.map((person) => tenant.provisionNow(tenant.job(person), sentAt)));
    expect(groupReads(tenant)).toBe(1);
    for (const person of people) expect(tenant.account(person)?.groups).toEqual([tenant.groupId("eng")]);
  });

  it("lets nobody leave a group by a reading that is older than the message", async () => {
    const tenant = await world.tenant();
    const behind = tenant.container();
    await behind(tenant.webhook(tenant.person()));
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const [mark, reads] = [tenant.mark(), groupReads(tenant)];
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged" });
    expect(writes(tenant, mark)).toEqual([]);
    expect(groupReads(tenant)).toBe(reads + 1);
  });

  it("lets nobody be disabled by a reading that is older than the message", async () => {
    const tenant = await world.tenant({ scope: { groups: ["Cloud"] } });
    const behind = tenant.container();
    await behind(tenant.webhook(tenant.person({}, ["Cloud"])));
    const ada = tenant.person({}, ["Cloud"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged", state: "active" });
    expect(writes(tenant, mark)).toEqual([]);
    tenant.unassign(ada, "Cloud");
    expect(await behind(tenant.webhook(ada))).toMatchObject({ result: "unchanged" });
    tenant.clock.now += 60_000;
    expect(await behind(tenant.webhook(ada))).toMatchObject({ state: "outOfScope", operations: ["disable"] });
  });

  it("is no matter where the policy has nothing to do with groups: they are not read", async () => {
    const tenant = await world.tenant({ groups: { managed: [] } });
    await tenant.bring(tenant.person({}, ["eng"]));
    expect(groupReads(tenant)).toBe(0);
  });

  it("is no matter for a suspended person: they are not read", async () => {
    const tenant = await world.tenant();
    await tenant.bring(tenant.person({ is_active: false }, ["eng"]));
    expect(groupReads(tenant)).toBe(0);
  });
});

describe("a Clavex that does not tell the truth", () => {
  const wrong: [string, Fault][] = [
    ["500", { kind: "status", status: 500 }],
    ["429", { kind: "status", status: 429 }],
    ["401", { kind: "status", status: 401 }],
    ["403", { kind: "status", status: 403 }],
    ["a redirect", { kind: "status", status: 302, headers: { location: "https://elsewhere.example/" } }],
    ["somebody else's 404", { kind: "status", status: 404, body: "<html>not here</html>" }],
    ["a 404 for everything", { kind: "status", status: 404, body: '{"error":"Not Found","message":"Not Found"}' }],
    ["an empty page", { kind: "status", status: 200, body: "" }],
    ["a login page", { kind: "status", status: 200, body: "<html>login</html>" }],
    ["an empty object", { kind: "status", status: 200, body: "{}" }],
    ["a reset connection", { kind: "reset" }],
    ["half an answer", { kind: "cut" }],
  ];

  it.each(wrong)("but %s takes nothing from anybody", async (_, fault) => {
    const tenant = await world.tenant({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["Cloud", "eng"]);
    await tenant.bring(ada);
    const before = tenant.account(ada);
    const mark = tenant.mark();
    for (const part of ["/users", "/groups", "/members"]) {
      tenant.clavex.faults.clear();
      tenant.clavex.faults.add({ ...fault, match: ({ path }) => path.includes(part) });
      for (const run of [tenant.container(), tenant.container()]) {
        const refusal = await refusalOf(run(tenant.webhook(ada)));
        expect(["transient", "configuration"]).toContain(refusal.failureClass);
      }
    }
    expect(writes(tenant, mark)).toEqual([]);
    expect(tenant.account(ada)).toEqual(before);
  });

  it("but is down takes nothing from anybody, and the job succeeds later", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    await tenant.clavex.down();
    expect(await refusalOf(tenant.bring(ada))).toMatchObject({ failureClass: "transient" });
    await tenant.clavex.up();
    expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "applied" });
  });
});

describe("a Nextcloud in trouble", () => {
  it("that wants no more requests gets none, but for one probe after the pause", async () => {
    const tenant = await world.tenant();
    const people = Array.from({ length: 5 }, () => tenant.person());
    tenant.nextcloud.maintenance = true;
    const mark = tenant.mark();
    for (const person of people) {
      expect(await refusalOf(tenant.bring(person))).toMatchObject({ failureClass: "transient" });
    }
    expect(tenant.since(mark)).toEqual(["GET user"]);
    tenant.clock.now += PAUSE_SECONDS * 1_000;
    const probes = people.map((person) => refusalOf(tenant.provisionNow(tenant.job(person))));
    await Promise.all(probes);
    expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
    tenant.nextcloud.maintenance = false;
    tenant.clock.now += 10 * PAUSE_SECONDS * 1_000;
    for (const person of people) expect(await tenant.bring(person)).toMatchObject({ result: "applied" });
  });

  it("that refuses the app password is not tried again: good requests would be slowed down", async () => {
    const tenant = await world.tenant();
    tenant.nextcloud.faults.add({ kind: "status", status: 401 });
    const mark = tenant.mark();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect(await refusalOf(tenant.bring(tenant.person()))).toMatchObject({
        failureClass: "configuration",
        code: "nextcloud-unauthorized",
      });
    }
    expect(tenant.since(mark)).toEqual(["GET user"]);
  });

  it.each([
    "POST user_oidc",
    "POST group",
    "POST membership",
  ])("in the middle of %s is tried again, and all is right then", async (name) => {
    for (const fault of ["before", "after", "reset"] as const) {
      const tenant = await world.tenant();
      const ada = tenant.person({}, ["eng", "ops"]);
      const match = named(name);
      // A join is repeated at once after a 500: only two in a row make the job fail.
      if (fault === "reset") tenant.nextcloud.faults.add({ kind: "reset", match, times: 1 });
      else tenant.nextcloud.faults.add({ kind: "status", status: 500, match, times: 2, after: fault === "after" });
      for (let attempt = 0; attempt < 3; attempt += 1) await tenant.bring(ada).catch(() => undefined);
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [] });
      expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("eng"), tenant.groupId("ops")].sort());
      tenant.unassign(ada, "eng", "ops");
      await tenant.bring(ada);
      expect(tenant.account(ada)?.groups).toEqual([]);
    }
  });

  it("without the app user_oidc makes no account, and says which app to enable", async () => {
    const tenant = await world.tenant();
    const body = JSON.stringify({
      ocs: { meta: { status: "failure", statuscode: 404, message: "Invalid query" }, data: [] },
    });
    tenant.nextcloud.faults.add({ kind: "status", status: 404, body, match: named("POST user_oidc") });
    const refusal = await refusalOf(tenant.bring(tenant.person()));
    expect(refusal).toMatchObject({ failureClass: "configuration", fix: expect.stringContaining("user_oidc") });
  });
});

describe("an organization without an API key", () => {
  const choices = { apiKey: false, quota: { default: "5 GB" }, groups: { always: ["everybody"] } };
  const snapshotOf = (person: ClavexUser, fields: Partial<ClavexUser>): ClavexUser => ({ ...person, ...fields });

  it("gives accounts, quotas and the groups of `always`, and asks Clavex nothing", async () => {
    const tenant = await world.tenant(choices);
    tenant.nextcloud.addGroup("everybody");
    const ada = tenant.person({ metadata: { nextcloud_quota: "2 GB" } }, ["eng"]);
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "applied" });
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace", quota: 2 * GB, groups: ["everybody"] });
    expect(tenant.clavex.requests).toEqual([]);
  });

  it("does not let an older snapshot win, and asks nobody about it", async () => {
    const tenant = await world.tenant(choices);
    const ada = tenant.person();
    const newer = tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    await tenant.provisionNow(tenant.webhook(newer));
    const mark = tenant.mark();
    expect(await tenant.provisionNow(tenant.webhook(ada))).toMatchObject({ result: "stale", operations: [] });
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.account(ada)?.displayName).toBe("Ada King");
    expect(await tenant.provisionNow(tenant.webhook(newer))).toMatchObject({ result: "unchanged" });
  });

  it("orders snapshots by the moment and not by how it is written", async () => {
    const tenant = await world.tenant(choices);
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

  it("disables and enables by snapshots", async () => {
    const tenant = await world.tenant(choices);
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    for (const is_active of [false, true]) {
      const snapshot = tenant.clavex.updateUser(slug, ada.id, { is_active });
      await tenant.provisionNow(tenant.webhook(snapshot));
      expect(tenant.account(ada)?.enabled).toBe(is_active);
    }
  });

  it("takes a deletion for final: no later snapshot brings the person back", async () => {
    const tenant = await world.tenant(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const later = tenant.clavex.updateUser(tenant.organization.slug, ada.id, { last_name: "King" });
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ operations: ["disable"] });
    const mark = tenant.mark();
    expect(await tenant.provisionNow(tenant.webhook(later))).toMatchObject({ result: "stale" });
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("takes a deletion for final that comes before the creation", async () => {
    const tenant = await world.tenant(choices);
    const ada = tenant.person();
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ state: "deleted" });
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.created"))).toMatchObject({ result: "stale" });
    expect(tenant.account(ada)).toBeUndefined();
  });

  it("takes a deletion for final whose first attempt failed, and one that is sent again from the dead letters", async () => {
    const tenant = await world.tenant(choices);
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    const job = tenant.webhook(ada, "user.deleted");
    tenant.nextcloud.faults.add(status(500, "PUT disable"));
    await expect(tenant.provisionNow(job)).rejects.toThrow(Failure);
    const replay = { ...job, trigger: { ...job.trigger, kind: "replay" as const } };
    expect(await tenant.provisionNow(replay)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)?.enabled).toBe(false);
  });

  it("ignores a hint without a user, giving the reason", async () => {
    const tenant = await world.tenant(choices);
    const ada = tenant.person();
    const mark = tenant.mark();
    for (const job of [
      tenant.job(ada),
      tenant.job(ada, "reconcile"),
      { ...tenant.webhook(ada), snapshot: { id: ada.id } },
    ]) {
      const outcome = await tenant.provisionNow(job);
      expect(outcome).toMatchObject({ result: "ignored", notes: [expect.stringContaining("apiKey")] });
    }
    expect(tenant.since(mark)).toEqual([]);
  });

  it("does not take somebody else's snapshot", async () => {
    const tenant = await world.tenant(choices);
    const [ada, grace] = [tenant.person(), tenant.person()];
    const job = { ...tenant.webhook(ada), snapshot: tenant.webhook(grace).snapshot ?? {} };
    const mark = tenant.mark();
    await expect(tenant.provisionNow(job)).rejects.toThrow(Failure);
    expect(writes(tenant, mark)).toEqual([]);
  });

  it("lets nobody leave a group, and does not forget which were ours", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ apiKey: false });
    tenant.unassign(ada, "eng");
    const mark = tenant.mark();
    const snapshot = tenant.clavex.updateUser(tenant.organization.slug, ada.id, {});
    expect(await tenant.provisionNow(tenant.webhook(snapshot))).toMatchObject({ result: "unchanged" });
    expect(writes(tenant, mark)).toEqual([]);
    expect((await tenant.entry(ada))?.groups).toEqual(["eng"]);
    tenant.configure({ apiKey: true });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });
});

describe("a changed identity", () => {
  it("stops the organization before anything is asked or written, until an operator accepts it", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ identity: IDENTITIES.raw });
    const [mark, asked] = [tenant.mark(), tenant.clavex.requests.length];
    for (const run of [tenant.provisionNow, tenant.container()]) {
      const refusal = await refusalOf(run(tenant.job(ada)));
      expect(refusal).toMatchObject({ failureClass: "configuration", code: "identity-changed" });
    }
    expect(tenant.since(mark)).toEqual([]);
    expect(tenant.clavex.requests).toHaveLength(asked);
    tenant.configure({ identity: IDENTITIES.hashed });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    tenant.configure({ identity: IDENTITIES.raw });
    await tenant.ledger.acceptIdentity(tenant.organization.slug, identityFingerprint(tenant.organization.identity));
    expect(await tenant.bring(ada)).toMatchObject({ accountId: ada.id });
  });

  it("does not stop a neighbour", async () => {
    const tenant = await world.tenant();
    await tenant.bring(tenant.person());
    const neighbour = tenant.neighbour();
    tenant.configure({ identity: IDENTITIES.raw });
    await refusalOf(tenant.bring(tenant.person()));
    expect(await neighbour.bring(neighbour.person())).toMatchObject({ result: "applied" });
  });

  it("of the provider in Nextcloud is found with the first account, and said so", async () => {
    const tenant = await world.tenant({ identity: { ...IDENTITIES.raw, uniqueUserIds: true } });
    const ada = tenant.person();
    const refusal = await refusalOf(tenant.bring(ada));
    expect(refusal).toMatchObject({ failureClass: "configuration", code: "identity-mismatch" });
    expect(refusal.message).toContain(ada.id);
    expect((await tenant.entry(ada))?.readAt).toBeUndefined();
  });

  it("is not a job's fault whose organization is unknown: that is the configuration's", async () => {
    const tenant = await world.tenant();
    const job = { ...tenant.job(tenant.person()), organization: "nobody" };
    expect(await refusalOf(tenant.provisionNow(job))).toMatchObject({ failureClass: "configuration" });
  });
});

describe("what was there before", () => {
  it.each(["hashed", "raw"] as const)("in local groups stays: board and admin, with %s ids", async (name) => {
    const tenant = await world.tenant({ identity: IDENTITIES[name] });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["eng"]);
    // Somebody else is in a Clavex group that is called the same.
    await tenant.bring(tenant.person({}, ["board", "admin"]));
    await tenant.bring(ada);
    for (const gid of ["board", "admin"]) tenant.nextcloud.addMember(gid, tenant.accountId(ada));
    tenant.unassign(ada, "eng");
    tenant.assign(ada, "ops");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng", "join ops"] });
    expect(tenant.account(ada)?.groups).toEqual(["admin", "board", tenant.groupId("ops")].sort());
    expect(tenant.nextcloud.group("board")?.members).toEqual([tenant.accountId(ada)]);
  });

  it("as a local group of the same name is not joined, and is reported, with raw ids", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board", "eng"]);
    expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("groups.adopt")] });
    expect(tenant.account(ada)?.groups).toEqual(["eng"]);
    expect(await tenant.ledger.group(tenant.nextcloud.url, "board")).toBeUndefined();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [expect.stringContaining("board")] });
  });

  it("as the group admin is never joined without being named", async () => {
    for (const identity of [IDENTITIES.raw, IDENTITIES.database]) {
      const tenant = await world.tenant({ identity });
      const ada = tenant.person({}, ["admin"]);
      expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("administrators")] });
      expect(tenant.account(ada)?.groups).toEqual([]);
    }
  });

  it("as a local group that is adopted is joined and left, and nobody else's membership is touched", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
    tenant.nextcloud.addGroup("board");
    const [ada, grace] = [tenant.person({}, ["board"]), tenant.person()];
    await tenant.bring(grace);
    tenant.nextcloud.addMember("board", grace.id);
    tenant.assign(grace, "board");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert account", "join board"] });
    expect(await tenant.bring(grace)).toMatchObject({ result: "unchanged" });
    for (const person of [ada, grace]) {
      tenant.unassign(person, "board");
      await tenant.bring(person);
    }
    expect(tenant.nextcloud.group("board")?.members).toEqual([grace.id]);
    expect(await tenant.ledger.group(tenant.nextcloud.url, "board")).toBeUndefined();
  });

  it("as a local group that comes between two attempts is not joined, and its members stay", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person()];
    await tenant.bring(grace);
    tenant.nextcloud.faults.add(status(500, "POST user_oidc"));
    await expect(tenant.bring(ada)).rejects.toThrow(Failure);
    tenant.nextcloud.addGroup("eng");
    tenant.nextcloud.addMember("eng", grace.id);
    await tenant.bring(ada);
    await tenant.bring(grace);
    expect(tenant.nextcloud.group("eng")?.members).toEqual([grace.id]);
  });

  it("is not confused with a group that another container makes at this moment", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person({}, ["eng"])];
    let first = true;
    const ledger: Ledger = {
      ...tenant.ledger,
      async group(origin, gid) {
        const read = await tenant.ledger.group(origin, gid);
        if (first) {
          first = false;
          await tenant.bring(grace);
        }
        return read;
      },
    };
    expect(await tenant.container({ ledger })(tenant.job(ada))).toMatchObject({ notes: [] });
    expect(tenant.nextcloud.group("eng")?.members).toEqual([ada.id, grace.id].sort());
  });

  it("as a local group is joined where `always` names it, by those too whose Clavex group is called the same", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw, groups: { always: ["staff"] } });
    tenant.nextcloud.addGroup("staff");
    const [ada, grace] = [tenant.person(), tenant.person({}, ["staff"])];
    await tenant.bring(ada);
    await tenant.bring(grace);
    expect(tenant.nextcloud.group("staff")?.members).toEqual([ada.id, grace.id].sort());
    tenant.unassign(grace, "staff");
    await tenant.bring(grace);
    tenant.configure({ groups: { always: [] } });
    await tenant.bring(ada);
    expect(tenant.nextcloud.group("staff")?.members).toEqual([ada.id, grace.id].sort());
  });

  it("as a Database account under our id is a conflict, and nothing of it is touched", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.addLocalUser({ id: ada.id, displayName: "Local", email: "local@acme.example", groups: ["admin"] });
    const before = tenant.account(ada);
    for (const change of [() => undefined, () => tenant.clavex.suspend(slug, ada.id)]) {
      change();
      const refusal = await refusalOf(tenant.bring(ada));
      expect(refusal).toMatchObject({ failureClass: "permanent", code: "account-conflict" });
      expect(refusal.message).not.toContain("@");
    }
    expect(tenant.account(ada)).toEqual(before);
    expect(writes(tenant, 0)).toEqual([]);
  });

  it("as a conflict that an administrator has ended is forgotten with the next success", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    const ada = tenant.person();
    tenant.nextcloud.addLocalUser({ id: ada.id });
    await refusalOf(tenant.bring(ada));
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toMatchObject({ reason: "account-conflict", attempts: 1 });
    await deleteInNextcloud(tenant, `users/${ada.id}`);
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied" });
    expect(await tenant.ledger.deadLetter(slug, ada.id)).toBeUndefined();
  });

  it("as accounts that no subject has is never asked for nor written", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
    tenant.nextcloud.addLocalUser({ id: "service" });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    await tenant.bring(ada);
    const ids = new Set(tenant.requestsSince(0).flatMap(({ name, id }) => (name.endsWith("group") ? [] : (id ?? []))));
    expect([...ids]).toEqual([ada.id]);
  });
});

describe("the ledger", () => {
  it("is asked about each group once a minute, however many people are in it", async () => {
    const tenant = await world.tenant({ groups: { always: ["everybody"] } });
    tenant.nextcloud.addGroup("everybody");
    const asked: string[] = [];
    const group: Ledger["group"] = (origin, gid) => {
      asked.push(gid);
      return tenant.ledger.group(origin, gid);
    };
    const run = tenant.container({ ledger: { ...tenant.ledger, group } });
    for (let person = 0; person < 5; person += 1) await run(tenant.job(tenant.person({}, ["eng"])));
    expect(asked.sort()).toEqual([tenant.groupId("eng"), "everybody"].sort());
    tenant.clock.now += 60_000;
    await run(tenant.job(tenant.person({}, ["eng"])));
    expect(asked.slice(2)).toEqual(["everybody"]);
  });
});

describe("groups that are no longer managed", () => {
  it.each([
    { managed: ["ops"] },
    { managed: [] },
    { never: ["eng"] },
  ])("(%j) are let go: nobody leaves them", async (groups) => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await world.tenant({ identity });
      const ada = tenant.person({}, ["eng"]);
      await tenant.bring(ada);
      tenant.configure({ groups });
      tenant.unassign(ada, "eng");
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
      expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "unchanged" });
      expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("eng")]);
    }
  });

  it("are let go too where they had been adopted", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board"]);
    await tenant.bring(ada);
    tenant.configure({ groups: { managed: ["eng"], adopt: ["board"] } });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.groups).toEqual(["board"]);
  });

  it("are ours again when they are managed again", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ groups: { never: ["eng"] } });
    tenant.unassign(ada, "eng");
    await tenant.bring(ada);
    tenant.configure({});
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });
});

describe("a group that was deleted in Nextcloud", () => {
  it.each(["hashed", "raw"] as const)("is made again, by its first member and by others (%s ids)", async (name) => {
    const tenant = await world.tenant({ identity: IDENTITIES[name] });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    await deleteInNextcloud(tenant, `groups/${tenant.groupId("eng")}`);
    const mark = tenant.mark();
    const grace = tenant.person({}, ["eng"]);
    await tenant.bring(grace);
    await tenant.bring(ada);
    expect(writes(tenant, mark)).toEqual([
      "POST user_oidc",
      "POST membership",
      "POST group",
      "POST membership",
      "POST membership",
    ]);
    expect(tenant.nextcloud.group(tenant.groupId("eng"))).toMatchObject({
      displayName: "eng",
      members: [tenant.accountId(ada), tenant.accountId(grace)].sort(),
    });
  });
});

describe("two organizations on one Nextcloud", () => {
  it("do not join each other's groups, and say so", async () => {
    const acme = await world.tenant({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng", "ops"])];
    await acme.bring(ada);
    expect(await globex.bring(hank)).toMatchObject({ notes: [expect.stringContaining("another organization owns")] });
    expect(acme.nextcloud.group("eng")?.members).toEqual([ada.id]);
    expect(acme.nextcloud.group("ops")?.members).toEqual([hank.id]);
    acme.assign(ada, "ops");
    expect(await acme.bring(ada)).toMatchObject({ notes: [expect.stringContaining("another organization owns")] });
    expect(acme.nextcloud.group("ops")?.members).toEqual([hank.id]);
  });

  it("do not join each other's groups of one provider, whose hashed ids are the same", async () => {
    const acme = await world.tenant();
    const globex = acme.neighbour();
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    await acme.bring(ada);
    expect(await globex.bring(hank)).toMatchObject({ notes: [expect.stringContaining("another organization owns")] });
    expect(acme.nextcloud.group(acme.groupId("eng"))?.members).toEqual([acme.accountId(ada)]);
  });

  it("do not end memberships in each other's groups that somebody gave in Nextcloud", async () => {
    const acme = await world.tenant({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    await acme.bring(acme.person({}, ["eng"]));
    const hank = globex.person();
    await globex.bring(hank);
    acme.nextcloud.addMember("eng", hank.id);
    expect(await globex.bring(hank)).toMatchObject({ result: "unchanged", operations: [] });
    expect(acme.nextcloud.group("eng")?.members).toContain(hank.id);
  });

  it("do not take access from each other's people, whatever a delivery to one of them says", async () => {
    for (const identity of [IDENTITIES.raw, IDENTITIES.hashed]) {
      const acme = await world.tenant({ identity });
      const globex = acme.neighbour({ identity });
      const hank = globex.person();
      await globex.bring(hank);
      await refusalOf(acme.provisionNow(acme.webhook(hank, "user.deleted"))).catch(() => undefined);
      expect(globex.account(hank)?.enabled).toBe(true);
    }
  });

  it("do not take access from people whose account login had made, and that needed no change", async () => {
    const acme = await world.tenant({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    const hank = globex.person();
    const name = `${hank.first_name} ${hank.last_name}`;
    globex.nextcloud.simulateLogin({
      providerId: IDENTITIES.raw.providerId,
      sub: hank.id,
      claims: { name, email: hank.email, quota: "5 GB" },
    });
    expect(await globex.bring(hank)).toMatchObject({ result: "unchanged", operations: [] });
    expect(await acme.provisionNow(acme.webhook(hank, "user.deleted"))).toMatchObject({
      result: "parked",
      reason: "account-conflict",
    });
    expect(globex.account(hank)?.enabled).toBe(true);
  });

  it("have groups of their own with prefixes", async () => {
    const acme = await world.tenant({ identity: IDENTITIES.raw, groups: { prefix: "acme " } });
    const globex = acme.neighbour({ identity: IDENTITIES.raw, groups: { prefix: "globex " } });
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    expect(await acme.bring(ada)).toMatchObject({ notes: [] });
    expect(await globex.bring(hank)).toMatchObject({ notes: [] });
    expect(acme.nextcloud.group("acme eng")).toMatchObject({ displayName: "acme eng", members: [ada.id] });
    expect(acme.nextcloud.group("globex eng")).toMatchObject({ displayName: "globex eng", members: [hank.id] });
  });

  it("that make a group at the same moment: one has it, the other is told", async () => {
    const acme = await world.tenant({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    const outcomes = await Promise.all([acme.bring(ada), globex.bring(hank)]);
    const owner = (await acme.ledger.group(acme.nextcloud.url, "eng"))?.owner;
    expect(acme.nextcloud.group("eng")?.members).toEqual([owner === acme.organization.slug ? ada.id : hank.id]);
    expect(outcomes.flatMap(({ notes }) => notes)).toHaveLength(1);
  });
});

describe("the scheme database", () => {
  const identity = IDENTITIES.database;

  it("makes the account with its groups in one call, under the subject, and login adopts it", async () => {
    const tenant = await world.tenant({ identity, quota: { default: "5 GB" } });
    await tenant.bring(tenant.person({}, ["eng", "ops"]));
    const ada = tenant.person({}, ["eng", "ops"]);
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["create", "join eng", "join ops"] });
    expect(tenant.since(mark)).toEqual(["GET user", "POST user"]);
    expect(tenant.account(ada)).toMatchObject({
      id: ada.id,
      backends: ["Database"],
      displayName: "Ada Lovelace",
      email: ada.email,
      quota: 5 * GB,
      groups: ["eng", "ops"],
    });
    expect(tenant.nextcloud.simulateLogin({ providerId: 1, sub: ada.id })).toEqual({ status: 303, userId: ada.id });
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
  });

  it("makes groups first that nobody was in before", async () => {
    const tenant = await world.tenant({ identity });
    const mark = tenant.mark();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    expect(tenant.since(mark)).toEqual(["GET user", "GET group", "POST group", "POST user"]);
    expect((await tenant.entry(ada))?.groups).toEqual(["eng"]);
  });

  it("makes groups again that were deleted in Nextcloud", async () => {
    const tenant = await world.tenant({ identity });
    await tenant.bring(tenant.person({}, ["eng", "ops"]));
    await deleteInNextcloud(tenant, "groups/eng");
    const ada = tenant.person({}, ["eng", "ops"]);
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied", notes: [] });
    expect(tenant.account(ada)?.groups).toEqual(["eng", "ops"]);
  });

  it("edits only what differs, disables and enables", async () => {
    const tenant = await world.tenant({ identity, quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const mark = tenant.mark();
    tenant.clavex.updateUser(slug, ada.id, { last_name: "King" });
    await tenant.bring(ada);
    expect(tenant.requestsSince(mark)).toMatchObject([
      { name: "GET user" },
      { name: "PUT user", parameters: { key: "displayname", value: "Ada King" } },
    ]);
    tenant.clavex.suspend(slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng", "enable"] });
  });

  it.each(["101", "102"])("goes on with an account that appeared between looking and making it (%s)", async (code) => {
    const tenant = await world.tenant({ identity, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.addLocalUser({ id: ada.id });
    const notFound = JSON.stringify({ ocs: { meta: { statuscode: 404, message: "User does not exist" }, data: [] } });
    tenant.nextcloud.faults.add({ ...status(404, "GET user"), body: notFound } as Fault);
    if (code === "101") {
      const badRequest = JSON.stringify({ ocs: { meta: { statuscode: 101, message: "Bad request" }, data: [] } });
      tenant.nextcloud.faults.add({ ...status(400, "POST user"), body: badRequest } as Fault);
    }
    const outcome = await tenant.bring(ada);
    expect(outcome).toMatchObject({ result: "applied", operations: expect.arrayContaining(["join eng"]) });
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada Lovelace",
      email: ada.email,
      quota: 5 * GB,
      groups: ["eng"],
    });
  });

  it("finishes an account that a failed attempt left half-made", async () => {
    const tenant = await world.tenant({ identity, quota: { default: "5 GB" } });
    const ada = tenant.person({}, ["eng"]);
    tenant.nextcloud.faults.add({ ...status(500, "POST user"), after: true } as Fault);
    await expect(tenant.bring(ada)).rejects.toThrow(Failure);
    expect(tenant.account(ada)).toBeDefined();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });

  it("does not touch an account of the same id in other letter case", async () => {
    const tenant = await world.tenant({ identity });
    const ada = tenant.person();
    tenant.nextcloud.addLocalUser({ id: ada.id.toUpperCase(), displayName: "Other" });
    const refusal = await refusalOf(tenant.bring(ada));
    expect(refusal).toMatchObject({ failureClass: "permanent", code: "account-conflict" });
    expect(writes(tenant, 0)).toEqual([]);
  });
});

describe("the scheme sociallogin", () => {
  it("makes a core account whose id and groups have the provider's name before them", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.sociallogin });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    expect(tenant.account(ada)).toMatchObject({
      id: `clavex-${ada.id}`,
      backends: ["Database"],
      groups: ["clavex-eng"],
    });
    expect(tenant.nextcloud.group("clavex-eng")?.displayName).toBe("eng");
    tenant.unassign(ada, "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });

  it("works with a provider's name that has to be encoded in paths", async () => {
    const tenant = await world.tenant({ identity: { scheme: "sociallogin", providerName: "sso@acme" } });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["disable"] });
    expect(tenant.account(ada)).toMatchObject({ id: `sso@acme-${ada.id}`, enabled: false });
  });
});

describe("a worker that is killed", () => {
  it("before the ledger knows of a join or a lock has changed nothing in Nextcloud", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    const mark = tenant.mark();
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 1) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(writes(tenant, mark)).toEqual([]);
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.organization.slug, ada.id);
    const later = tenant.mark();
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 1) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(writes(tenant, later)).toEqual([]);
  });

  it("between a join and the ledger leaves no membership that nobody owns", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board", "eng"]);
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 2) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.account(ada)?.groups).toEqual(["board", "eng"]);
    tenant.unassign(ada, "board", "eng");
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave board", "leave eng"] });
    expect(tenant.account(ada)?.groups).toEqual([]);
  });

  it("between a join and the ledger does not make a local membership ours", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw });
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

  it("between a lock and the ledger still knows that the lock is ours", async () => {
    const tenant = await world.tenant();
    const { slug } = tenant.organization;
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.suspend(slug, ada.id);
    await expect(tenant.container({ ledger: dyingAt(tenant.ledger, 2) })(tenant.job(ada))).rejects.toThrow(Failure);
    expect(tenant.account(ada)?.enabled).toBe(false);
    tenant.clavex.updateUser(slug, ada.id, { is_active: true });
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["enable"] });
  });

  it("and works on after another has taken over cannot write the ledger over the newer state", async () => {
    const tenant = await world.tenant();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.assign(ada, "ops");
    let overtaken = false;
    const ledger: Ledger = {
      ...tenant.ledger,
      async putSubject(...parameters) {
        if (!overtaken) {
          overtaken = true;
          await tenant.bring(ada);
        }
        return tenant.ledger.putSubject(...parameters);
      },
    };
    const late = tenant.container({ ledger });
    expect(await refusalOf(late(tenant.job(ada)))).toMatchObject({
      failureClass: "transient",
      code: "ledger-conflict",
    });
    const entry = await tenant.entry(ada);
    expect(await late(tenant.job(ada))).toMatchObject({ result: "unchanged" });
    expect((await tenant.entry(ada))?.groups).toEqual(entry?.groups);
  });
});

describe("an outcome", () => {
  it("names ids and groups, and never an e-mail address", async () => {
    const tenant = await world.tenant({ identity: IDENTITIES.raw, quota: { default: "5 GB" } });
    const { slug } = tenant.organization;
    const ada = tenant.person({ first_name: "", last_name: "", metadata: { nextcloud_quota: "lots" } }, ["eng", "0"]);
    const outcomes = [await tenant.bring(ada)];
    tenant.clavex.updateUser(slug, ada.id, { email: `${randomUUID()}@acme.example` });
    outcomes.push(await tenant.bring(ada));
    tenant.clavex.eraseUser(slug, ada.id, "erased");
    outcomes.push(await tenant.bring(ada));
    expect(outcomes.map(({ operations }) => operations)).toEqual([
      ["upsert account", "join eng"],
      ["upsert displayname+email"],
      ["disable"],
    ]);
    expect(JSON.stringify(outcomes)).not.toContain("@");
  });
});
