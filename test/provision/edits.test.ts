import { describe, expect, it } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { done } from "../support/jobs.ts";
import { IDENTITIES, type Tenant, useOrganizations } from "../support/organization.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;
const MINUTE = 60_000;

/** Somebody who has an account, has logged in, and has made its files their own. */
async function colleague(tenant: Tenant, groups: string[] = []): Promise<ClavexUser> {
  const person = tenant.person({}, groups);
  await tenant.bring(person);
  tenant.logIn(person);
  const files = tenant.nextcloud.files(tenant.accountId(person));
  files.set("Readme.md", "mine");
  files.delete("Documents/");
  return person;
}
const grant = (tenant: Tenant, { id }: ClavexUser, quota: string) =>
  tenant.clavex.setAttributes(tenant.slug, id, { nextcloud_quota: quota });
const filesOf = (tenant: Tenant, person: ClavexUser) =>
  Object.fromEntries(tenant.nextcloud.files(tenant.accountId(person)));

describe("files of people", () => {
  it.each([
    [27, ["PATCH user", "PUT user", "PUT user"]],
    [32, ["PATCH user", "PUT user", "PUT user"]],
    [34, ["PATCH user"]],
  ] as const)("are not overwritten by a changed e-mail address and quota (Nextcloud %d)", async (version, writes) => {
    const tenant = await build({ version });
    const ada = await colleague(tenant);
    grant(tenant, ada, "6 GB");
    tenant.clavex.updateUser(tenant.slug, ada.id, { email: "new@acme.example" });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["edit email", "edit quota"], notes: [] });
    expect(tenant.writesSince(mark)).toEqual(writes);
    expect(tenant.account(ada)).toMatchObject({ email: "new@acme.example", quota: 6 * GB });
    expect(filesOf(tenant, ada)).toEqual({ "Readme.md": "mine" });
    // That it has no PATCH is known by now.
    grant(tenant, ada, "7 GB");
    await tenant.bring(ada);
    expect(tenant.writesSince(mark).slice(writes.length)).toEqual(version === 34 ? ["PATCH user"] : ["PUT user"]);
  });

  it("are not overwritten by a changed name: it stays, and a note says what to do", async () => {
    const tenant = await build({ version: 34 });
    const ada = await colleague(tenant);
    tenant.clavex.updateUser(tenant.slug, ada.id, { last_name: "King" });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({
      result: "unchanged",
      notes: [expect.stringMatching(/name cannot be written.*skeletondirectory/)],
    });
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  it("are not touched where the skeleton is empty: everything goes by POST, without a limit", async () => {
    const tenant = await build({ version: 34, skeleton: "empty" });
    const ada = await colleague(tenant);
    grant(tenant, ada, "6 GB");
    tenant.clavex.updateUser(tenant.slug, ada.id, { last_name: "King" });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["upsert displayname+quota"], notes: [] });
    expect(tenant.writesSince(mark)).toEqual(["POST user_oidc"]);
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada King", quota: 6 * GB });
    expect(filesOf(tenant, ada)).toEqual({ "Readme.md": "mine" });
  });

  it("are not overwritten where the ledger knows better than the document that says empty", async () => {
    const tenant = await build({ version: 34 });
    const ada = await colleague(tenant);
    tenant.configure({ skeleton: "empty" });
    await tenant.ledger.skeletons.put(tenant.nextcloud.url, { empty: false, at: tenant.clock.now });
    grant(tenant, ada, "6 GB");
    expect(await tenant.container()(tenant.job(ada))).toMatchObject({ operations: ["edit quota"] });
    expect(filesOf(tenant, ada)).toEqual({ "Readme.md": "mine" });
  });
});

describe("a new person", () => {
  it("is called by their name in address book and contacts menu before the first login", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const ada = tenant.person();
    await tenant.bring(ada);
    expect(tenant.nextcloud.card(tenant.accountId(ada))).toBe("Ada Lovelace");
    expect(tenant.account(ada)).toMatchObject({ displayName: "Ada Lovelace", email: ada.email, quota: 5 * GB });
  });

  it("whose second POST failed is called by their name as well", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const ada = tenant.person();
    let posts = 0;
    const second = (request: Parameters<ReturnType<typeof named>>[0]) =>
      named("POST user_oidc")(request) && ++posts === 2;
    tenant.nextcloud.faults.add({ kind: "reset", match: second });
    await expect(tenant.bring(ada)).rejects.toThrow();
    expect(await tenant.bring(ada)).toMatchObject({ result: "applied" });
    expect(tenant.nextcloud.card(tenant.accountId(ada))).toBe("Ada Lovelace");
    expect(tenant.account(ada)).toMatchObject({ quota: 5 * GB });
  });
});

describe("edits of accounts", () => {
  it("wait for their turn when 50 were sent in ten minutes, and no 429 is met", async () => {
    const tenant = await build({ version: 34 });
    const people = await Promise.all(Array.from({ length: 53 }, () => colleague(tenant, ["eng"])));
    for (const person of people) grant(tenant, person, "6 GB");
    for (const person of people.slice(50)) tenant.unassign(person, "eng");
    const outcomes = [];
    for (const person of people) outcomes.push(done(await tenant.bring(person)));
    const waiting = outcomes.filter(({ notes }) => notes.some((note) => note.includes("will be written later")));
    expect(waiting).toHaveLength(3);
    // All else of theirs is done.
    for (const { operations } of waiting) expect(operations).toEqual(["leave eng"]);
    expect(people.map((person) => tenant.account(person)?.quota === 6 * GB).filter(Boolean)).toHaveLength(50);
    const last = people.at(-1) as ClavexUser;
    expect(await tenant.record(last)).toMatchObject({ pendingEdit: expect.any(Number), state: "active" });
    tenant.clock.now += 10 * MINUTE;
    expect(await tenant.bring(last)).toMatchObject({ operations: ["edit quota"], notes: [] });
    expect((await tenant.record(last))?.pendingEdit).toBeUndefined();
    expect(tenant.account(last)?.quota).toBe(6 * GB);
  });

  it("keep no suspension, join or leave waiting", async () => {
    const tenant = await build({ version: 34 });
    const people = await Promise.all(Array.from({ length: 52 }, () => colleague(tenant, ["old"])));
    for (const person of people) grant(tenant, person, "6 GB");
    for (const person of people.slice(0, 50)) await tenant.bring(person);
    const [leaver, mover] = people.slice(50) as [ClavexUser, ClavexUser];
    tenant.clavex.suspend(tenant.slug, leaver.id);
    tenant.unassign(mover, "old");
    tenant.assign(mover, "new");
    expect(await tenant.bring(leaver)).toMatchObject({ operations: ["disable"], notes: [] });
    expect(await tenant.bring(mover)).toMatchObject({ operations: ["leave old", "join new"] });
    expect(await tenant.record(leaver)).toMatchObject({ pendingEdit: undefined });
    expect(tenant.account(mover)).toMatchObject({ groups: [tenant.groupId("new")] });
  });

  it("wait a minute after a 429, because somebody else edits with the same account", async () => {
    const tenant = await build({ version: 34 });
    const [ada, grace] = [await colleague(tenant), await colleague(tenant)];
    for (const person of [ada, grace]) grant(tenant, person, "6 GB");
    tenant.nextcloud.faults.add({ kind: "status", status: 429, match: named("PATCH user"), times: 1 });
    const mark = tenant.mark();
    for (const person of [ada, grace])
      expect(await tenant.bring(person)).toMatchObject({
        notes: [expect.stringContaining("quota will be written later")],
      });
    expect(tenant.writesSince(mark)).toEqual(["PATCH user"]);
    tenant.clock.now += MINUTE;
    for (const person of [ada, grace]) expect(await tenant.bring(person)).toMatchObject({ operations: ["edit quota"] });
  });

  it("that Nextcloud refuses by PATCH become a dead letter with its words, without the address", async () => {
    const tenant = await build({ version: 34 });
    const ada = await colleague(tenant);
    tenant.clavex.updateUser(tenant.slug, ada.id, { email: "not an address" });
    expect(await tenant.bring(ada)).toMatchObject({
      result: "parked",
      reason: "nextcloud-ocs-422",
      problem: expect.stringContaining("email: Invalid email address"),
    });
  });

  it("of core accounts go by PATCH too, the name included", async () => {
    const tenant = await build({ version: 34, identity: IDENTITIES.database, quota: { default: "5 GB" } });
    const ada = tenant.person();
    await tenant.bring(ada);
    tenant.clavex.updateUser(tenant.slug, ada.id, { last_name: "King", email: "king@acme.example" });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ operations: ["edit displayname", "edit email"] });
    expect(tenant.requestsSince(mark)).toMatchObject([
      { name: "GET user" },
      { name: "PATCH user", parameters: { displayName: "Ada King", email: "king@acme.example" } },
    ]);
  });

  it("without an API key go back into the queue with their message, after all else", async () => {
    const tenant = await build({ version: 34, apiKey: false, quota: { default: "5 GB" } });
    const people = Array.from({ length: 51 }, () => tenant.person());
    for (const person of people) {
      await tenant.provisionNow(tenant.webhook(person));
      tenant.logIn(person);
    }
    tenant.configure({ apiKey: false, quota: { default: "6 GB" } });
    const last = people.pop() as ClavexUser;
    for (const person of people) await tenant.provisionNow(tenant.webhook(person));
    await expect(tenant.provisionNow(tenant.webhook(last))).rejects.toMatchObject({
      code: "edit-waits",
      failureClass: "transient",
    });
    tenant.clock.now += 10 * MINUTE;
    expect(await tenant.provisionNow(tenant.webhook(last))).toMatchObject({ operations: ["edit quota"] });
  });

  it("answered by another account than the one that was asked for are a conflict", async () => {
    const tenant = await build({ version: 34 });
    const ada = await colleague(tenant);
    grant(tenant, ada, "6 GB");
    const body = JSON.stringify({
      ocs: { meta: { status: "ok", statuscode: 200, message: "OK" }, data: { id: "boss" } },
    });
    const headers = { "content-type": "application/json" };
    tenant.nextcloud.faults.add({ kind: "status", status: 200, headers, body, match: named("PATCH user") });
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", reason: "account-conflict" });
  });
});
