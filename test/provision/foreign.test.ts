import { describe, expect, it } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { refusalOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { answers } from "../support/requests.ts";

const { build } = useOrganizations();

describe("what was there before", () => {
  it.each([
    "hashed",
    "raw",
  ] as const)("memberships of local groups stay: board and admin, with %s ids", async (name) => {
    const tenant = await build({ identity: IDENTITIES[name] });
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

  it("a local group of the same name is not joined, and is reported, with raw ids", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board", "eng"]);
    expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("groups.adopt")] });
    expect(tenant.account(ada)?.groups).toEqual(["eng"]);
    expect(await tenant.ledger.claims.group(tenant.nextcloud.url, "board")).toBeUndefined();
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [expect.stringContaining("board")] });
  });

  it("the group admin is never joined without being named", async () => {
    for (const identity of [IDENTITIES.raw, IDENTITIES.database]) {
      const tenant = await build({ identity });
      const ada = tenant.person({}, ["admin"]);
      expect(await tenant.bring(ada)).toMatchObject({ notes: [expect.stringContaining("administrators")] });
      expect(tenant.account(ada)?.groups).toEqual([]);
    }
  });

  it("a local group that is adopted is joined and left, and nobody else's membership is touched", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
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
    expect(await tenant.ledger.claims.group(tenant.nextcloud.url, "board")).toBeUndefined();
  });

  it("a local group that comes between two attempts is not joined, and its members stay", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person()];
    await tenant.bring(grace);
    tenant.nextcloud.faults.add(answers(500, "POST user_oidc"));
    await expect(tenant.bring(ada)).rejects.toThrow(Failure);
    tenant.nextcloud.addGroup("eng");
    tenant.nextcloud.addMember("eng", grace.id);
    await tenant.bring(ada);
    await tenant.bring(grace);
    expect(tenant.nextcloud.group("eng")?.members).toEqual([grace.id]);
  });

  it("a group that another container makes at this moment is not taken for a local one", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const [ada, grace] = [tenant.person({}, ["eng"]), tenant.person({}, ["eng"])];
    let first = true;
    const ledger: Ledger = {
      ...tenant.ledger,
      claims: {
        ...tenant.ledger.claims,
        async group(origin, gid) {
          const read = await tenant.ledger.claims.group(origin, gid);
          if (first) {
            first = false;
            await tenant.bring(grace);
          }
          return read;
        },
      },
    };
    expect(await tenant.container({ ledger })(tenant.job(ada))).toMatchObject({ notes: [] });
    expect(tenant.nextcloud.group("eng")?.members).toEqual([ada.id, grace.id].sort());
  });

  it("a local group is joined where `always` names it, by those too whose Clavex group is called the same", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, groups: { always: ["staff"] } });
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

  it("a Database account under our id is a conflict, and nothing of it is touched", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
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
    expect(tenant.writesSince(0)).toEqual([]);
  });

  it("a conflict that an administrator has ended is forgotten with the next success", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { slug } = tenant.organization;
    const ada = tenant.person();
    tenant.nextcloud.addLocalUser({ id: ada.id });
    await refusalOf(tenant.bring(ada));
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toMatchObject({
      reason: "account-conflict",
      attempts: 1,
    });
    await tenant.administer("DELETE", `cloud/users/${ada.id}`);
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied" });
    expect(await tenant.ledger.deadLetters.get(slug, ada.id)).toBeUndefined();
  });

  it("accounts that no subject has are never asked for nor written", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    tenant.nextcloud.addLocalUser({ id: "service" });
    const ada = tenant.person({}, ["eng"]);
    tenant.person({ is_active: false });
    await tenant.bring(ada);
    tenant.clavex.deleteUser(tenant.organization.slug, ada.id);
    await tenant.bring(ada);
    const ids = new Set(tenant.requestsSince(0).flatMap(({ name, id }) => (name.endsWith("group") ? [] : (id ?? []))));
    expect([...ids]).toEqual([ada.id]);
  });
});
