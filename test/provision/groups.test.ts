import { describe, expect, it } from "vitest";
import type { Claims } from "../../functions/ledger/claims.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

describe("the ledger", () => {
  it("the ledger is asked about each group once a minute, however many people are in it", async () => {
    const tenant = await build({ groups: { always: ["everybody"] } });
    tenant.nextcloud.addGroup("everybody");
    const asked: string[] = [];
    const group: Claims["group"] = (origin, gid) => {
      asked.push(gid);
      return tenant.ledger.claims.group(origin, gid);
    };
    const run = tenant.container({ ledger: { ...tenant.ledger, claims: { ...tenant.ledger.claims, group } } });
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
  ])("groups that are no longer managed (%j) are released: nobody leaves them", async (groups) => {
    for (const identity of [IDENTITIES.hashed, IDENTITIES.raw]) {
      const tenant = await build({ identity });
      const ada = tenant.person({}, ["eng"]);
      await tenant.bring(ada);
      tenant.configure({ groups });
      tenant.unassign(ada, "eng");
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
      expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "unchanged" });
      expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("eng")]);
    }
  });

  it("adopted groups that are no longer managed are released too", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } });
    tenant.nextcloud.addGroup("board");
    const ada = tenant.person({}, ["board"]);
    await tenant.bring(ada);
    tenant.configure({ groups: { managed: ["eng"], adopt: ["board"] } });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.groups).toEqual(["board"]);
  });

  it("groups that are managed again are ours again", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.configure({ groups: { never: ["eng"] } });
    tenant.unassign(ada, "eng");
    await tenant.bring(ada);
    tenant.configure({});
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["leave eng"] });
  });
});

describe("groups that were deleted in Nextcloud", () => {
  it.each([
    "hashed",
    "raw",
  ] as const)("a group that was deleted in Nextcloud is made again, by its first member and by others (%s ids)", async (name) => {
    const tenant = await build({ identity: IDENTITIES[name] });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    await tenant.administer("DELETE", `cloud/groups/${tenant.groupId("eng")}`);
    const mark = tenant.mark();
    const grace = tenant.person({}, ["eng"]);
    await tenant.bring(grace);
    await tenant.bring(ada);
    expect(tenant.writesSince(mark)).toEqual([
      "POST user_oidc",
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
