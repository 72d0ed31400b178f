import { describe, expect, it } from "vitest";
import { done, refusalOf } from "../support/jobs.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();

describe("two organizations on one Nextcloud", () => {
  it("two organizations do not join each other's groups, and say so", async () => {
    const acme = await build({ identity: IDENTITIES.raw });
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

  it("two organizations do not join each other's groups of one provider, whose hashed ids are the same", async () => {
    const acme = await build();
    const globex = acme.neighbour();
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    await acme.bring(ada);
    expect(await globex.bring(hank)).toMatchObject({ notes: [expect.stringContaining("another organization owns")] });
    expect(acme.nextcloud.group(acme.groupId("eng"))?.members).toEqual([acme.accountId(ada)]);
  });

  it("memberships in another organization's group that somebody gave in Nextcloud are not ended", async () => {
    const acme = await build({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    await acme.bring(acme.person({}, ["eng"]));
    const hank = globex.person();
    await globex.bring(hank);
    acme.nextcloud.addMember("eng", hank.id);
    expect(await globex.bring(hank)).toMatchObject({ result: "unchanged", operations: [] });
    expect(acme.nextcloud.group("eng")?.members).toContain(hank.id);
  });

  it("nobody's access is taken by a delivery to another organization", async () => {
    for (const identity of [IDENTITIES.raw, IDENTITIES.hashed]) {
      const acme = await build({ identity });
      const globex = acme.neighbour({ identity });
      const hank = globex.person();
      await globex.bring(hank);
      acme.person();
      await refusalOf(acme.provisionNow(acme.webhook(hank, "user.deleted"))).catch(() => undefined);
      expect(globex.account(hank)?.enabled).toBe(true);
    }
  });

  it("nobody's access is taken by another organization where login had made the account and it needed no change", async () => {
    const acme = await build({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    const hank = globex.person();
    const name = `${hank.first_name} ${hank.last_name}`;
    globex.nextcloud.simulateLogin({
      providerId: IDENTITIES.raw.providerId,
      sub: hank.id,
      claims: { name, email: hank.email, quota: "5 GB" },
    });
    expect(await globex.bring(hank)).toMatchObject({ result: "unchanged", operations: [] });
    acme.person();
    expect(await acme.provisionNow(acme.webhook(hank, "user.deleted"))).toMatchObject({
      result: "parked",
      reason: "account-conflict",
    });
    expect(globex.account(hank)?.enabled).toBe(true);
  });

  it("two organizations have groups of their own with prefixes", async () => {
    const acme = await build({ identity: IDENTITIES.raw, groups: { prefix: "acme " } });
    const globex = acme.neighbour({ identity: IDENTITIES.raw, groups: { prefix: "globex " } });
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    expect(await acme.bring(ada)).toMatchObject({ notes: [] });
    expect(await globex.bring(hank)).toMatchObject({ notes: [] });
    expect(acme.nextcloud.group("acme eng")).toMatchObject({ displayName: "acme eng", members: [ada.id] });
    expect(acme.nextcloud.group("globex eng")).toMatchObject({ displayName: "globex eng", members: [hank.id] });
  });

  it("of two organizations that make a group at the same moment one has it, the other is told", async () => {
    const acme = await build({ identity: IDENTITIES.raw });
    const globex = acme.neighbour({ identity: IDENTITIES.raw });
    const [ada, hank] = [acme.person({}, ["eng"]), globex.person({}, ["eng"])];
    const outcomes = await Promise.all([acme.bring(ada), globex.bring(hank)]);
    const owner = (await acme.ledger.claims.group(acme.nextcloud.url, "eng"))?.owner;
    expect(acme.nextcloud.group("eng")?.members).toEqual([owner === acme.organization.slug ? ada.id : hank.id]);
    expect(outcomes.flatMap((outcome) => done(outcome).notes)).toHaveLength(1);
  });
});
