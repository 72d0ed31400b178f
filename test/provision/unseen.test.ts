import { describe, expect, test } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import type { NextcloudVersion } from "../../functions/simulated/nextcloud-version.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

/** Disables the app user_oidc, as an upgrade does, while something happens; its accounts are not seen meanwhile. */
async function withoutApp<T>({ nextcloud: { apps } }: Company, work: () => Promise<T>): Promise<T> {
  const version = apps.get("user_oidc") ?? "";
  apps.delete("user_oidc");
  try {
    return await work();
  } finally {
    apps.set("user_oidc", version);
  }
}

/** @param version before 34 the acting account is one of core, which sees the others while user_oidc is disabled */
async function company(people = 2, version?: NextcloudVersion): Promise<{ company: Company; people: ClavexUser[] }> {
  const made = withPipeline(await build(version === undefined ? {} : { version }));
  const all = made.people(people);
  await made.settle();
  return { company: made, people: all };
}

const removed = (made: Company, person: ClavexUser) =>
  made.administer("DELETE", `apps/user_oidc/api/v1/user/${made.accountId(person)}`);

describe("an account that Nextcloud does not show", () => {
  test.each([
    "suspended",
    "deleted",
  ] as const)("of a person who is %s while user_oidc is disabled is disabled when the app is back", async (how) => {
    const { company: acme, people } = await company();
    const [ada] = people as [ClavexUser];
    await withoutApp(acme, async () => {
      if (how === "suspended") acme.clavex.suspend(acme.slug, ada.id);
      else acme.clavex.deleteUser(acme.slug, ada.id);
      await acme.light();
      await acme.attempt();
      expect(acme.lines).toContainEqual(
        expect.objectContaining({
          message: "job failed",
          fields: expect.objectContaining({ class: "configuration", fix: expect.stringContaining("user_oidc") }),
        }),
      );
    });
    expect(acme.account(ada)?.enabled).toBe(true);
    await acme.work();
    expect(acme.account(ada)?.enabled).toBe(false);
    expect(await acme.record(ada)).toMatchObject({ state: how, disabledByUs: true });
  });

  test("of a leaver is looked at again until a full run finds it gone", async () => {
    const { company: acme, people } = await company();
    const [ada] = people as [ClavexUser];
    await removed(acme, ada);
    acme.clavex.suspend(acme.slug, ada.id);
    await acme.light();
    await acme.attempt();
    await acme.attempt();
    expect(await acme.queued()).toBe(1);
    expect(acme.lines.at(-1)?.fields).toMatchObject({ code: "account-unseen", class: "transient" });
    expect((await acme.full()).sent).toBe(0);
    await acme.work();
    expect(await acme.record(ada)).toMatchObject({ state: "suspended", groups: [], disabledByUs: false });
    expect((await acme.light()).sent).toBe(0);
  });

  test("of nobody at all is no proof of anything: a full run says that user_oidc is disabled", async () => {
    const { company: acme, people } = await company();
    const [ada] = people as [ClavexUser];
    await withoutApp(acme, async () => {
      acme.clavex.suspend(acme.slug, ada.id);
      await expect(acme.full()).rejects.toMatchObject({
        failureClass: "configuration",
        fix: expect.stringContaining("occ app:enable user_oidc"),
      });
    });
    expect(await acme.record(ada)).toMatchObject({ state: "active" });
    await acme.settle();
    expect(acme.account(ada)?.enabled).toBe(false);
  });

  test("is no proof of anything either while just accounts of another backend are shown", async () => {
    const { company: acme, people } = await company(2, 32);
    const [ada, grace] = people as [ClavexUser, ClavexUser];
    await removed(acme, grace);
    acme.nextcloud.addLocalUser({ id: acme.accountId(grace) });
    await withoutApp(acme, async () => {
      acme.clavex.suspend(acme.slug, ada.id);
      await expect(acme.full()).rejects.toMatchObject({ fix: expect.stringContaining("occ app:enable user_oidc") });
    });
    expect(await acme.record(ada)).toMatchObject({ state: "active" });
  });

  test.each([
    "suspended",
    "deleted",
  ] as const)("in any list, because one before it was deleted meanwhile, of somebody %s of whom no webhook told, is asked for and disabled", async (how) => {
    const { company: acme, people } = await company(3);
    const [ada, grace] = people as [ClavexUser, ClavexUser];
    const id = acme.accountId(ada);
    acme.nextcloud.faults.add({
      kind: "changed",
      match: ({ path }) => /cloud\/users(\/details)?\?/.test(path),
      change: (answer) => ({ ...answer, body: (answer.body ?? "").replaceAll(id, "somebody-else") }),
    });
    if (how === "suspended") acme.clavex.suspend(acme.slug, ada.id);
    else acme.clavex.deleteUser(acme.slug, ada.id);
    await removed(acme, grace);
    acme.clavex.suspend(acme.slug, grace.id);
    await acme.full();
    await acme.work();
    expect(acme.account(ada)?.enabled).toBe(false);
    expect(await acme.record(grace)).toMatchObject({ state: "suspended", disabledByUs: false });
  });

  test("of somebody who never had one, or is to keep it, is nothing to do", async () => {
    const tenant = await build({ deprovision: { suspended: "keep" } });
    const [ada, grace] = [tenant.person({ is_active: false }), tenant.person()];
    expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged" });
    await tenant.bring(grace);
    await tenant.administer("DELETE", `apps/user_oidc/api/v1/user/${tenant.accountId(grace)}`);
    tenant.clavex.suspend(tenant.slug, grace.id);
    expect(await tenant.bring(grace)).toMatchObject({ result: "unchanged", state: "suspended" });
  });

  test("is gone without an API key when it is not seen twice while the app is enabled", async () => {
    const tenant = await build({ apiKey: false });
    const ada = tenant.person();
    await tenant.provisionNow(tenant.webhook(ada));
    await tenant.administer("DELETE", `apps/user_oidc/api/v1/user/${tenant.accountId(ada)}`);
    expect(await tenant.provisionNow(tenant.webhook(ada, "user.deleted"))).toMatchObject({ state: "deleted" });
  });
});

describe("whose account an answer is about", () => {
  test.each([
    ["letter case", (id: string) => id.toUpperCase()],
    ["an e-mail address", () => "boss"],
    ["a space at its end", (id: string) => `${id} `],
    ["nothing at all", () => ""],
  ])("is compared before anything is written or deleted: %s", async (_what, shown) => {
    const tenant = await build({ identity: IDENTITIES.raw, deprovision: { suspended: "disable" } });
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    const data = { id: shown(ada.id), enabled: true, backend: "user_oidc", email: "x@acme.example", groups: ["eng"] };
    const body = JSON.stringify({ ocs: { meta: { statuscode: 200 }, data } });
    const headers = { "content-type": "application/json" };
    const match = ({ method, path }: { method: string; path: string }) => method === "GET" && path.includes(ada.id);
    tenant.nextcloud.faults.add({ kind: "status", status: 200, headers, body, match });
    const mark = tenant.mark();
    tenant.clavex.updateUser(tenant.slug, ada.id, { last_name: "King", is_active: true });
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", reason: "account-conflict" });
    tenant.clavex.suspend(tenant.slug, ada.id);
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", reason: "account-conflict" });
    expect(tenant.writesSince(mark)).toEqual([]);
  });

  test.each([
    ["letter case", (id: string) => id.toUpperCase()],
    ["an e-mail address that somebody has", () => "boss"],
    ["a space at its end", (id: string) => `${id} `],
  ])("of user_oidc's POST stops this person alone: %s", async (_what, shown) => {
    const tenant = await build({ identity: IDENTITIES.raw });
    tenant.nextcloud.addLocalUser({ id: "boss", email: "boss@acme.example" });
    await tenant.bring(tenant.person());
    const ada = tenant.person();
    const body = JSON.stringify({ ocs: { meta: { statuscode: 200 }, data: { user_id: shown(ada.id) } } });
    const headers = { "content-type": "application/json" };
    const match = ({ method, body: sent }: { method: string; body: string }) =>
      method === "POST" && sent.includes(ada.id);
    tenant.nextcloud.faults.add({ kind: "status", status: 200, headers, body, match });
    const mark = tenant.mark();
    expect(await tenant.bring(ada)).toMatchObject({ result: "parked", reason: "account-conflict" });
    expect(tenant.since(mark)).not.toContain("DELETE user_oidc");
    expect(await tenant.bring(tenant.person())).toMatchObject({ result: "applied" });
  });
});

describe("an empty skeleton", () => {
  test("is not believed any more when a full run finds files in an account that we made since and nobody has used", async () => {
    const acme = withPipeline(await build({ version: 34, skeleton: "empty", quota: { default: "5 GB" } }));
    const [ada] = acme.people(2) as [ClavexUser];
    await acme.settle();
    acme.logIn(ada);
    expect(await acme.full()).toMatchObject({ report: { filesInNewAccount: false } });
    acme.nextcloud.skeleton.set("Readme.md", "the skeleton's");
    acme.person();
    await acme.light();
    await acme.work();
    expect(await acme.full()).toMatchObject({ report: { filesInNewAccount: true } });
    expect(await acme.ledger.skeletons.get(acme.nextcloud.url)).toMatchObject({ empty: false });
    acme.nextcloud.files(acme.accountId(ada)).set("Readme.md", "mine");
    acme.clock.now += 61_000;
    acme.clavex.setAttributes(acme.slug, ada.id, { nextcloud_quota: "7 GB" });
    await acme.light();
    await acme.work();
    expect(acme.account(ada)?.quota).toBe(7 * 1024 ** 3);
    expect(acme.nextcloud.files(acme.accountId(ada)).get("Readme.md")).toBe("mine");
    // What setup measures again holds, whatever is in accounts that are older.
    await acme.ledger.skeletons.put(acme.nextcloud.url, { empty: true, at: acme.clock.now });
    expect(await acme.full()).toMatchObject({ report: { filesInNewAccount: false } });
  });
});
