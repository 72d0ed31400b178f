import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { identityFingerprint } from "../../functions/core/identity.ts";
import { openDatabase } from "../../functions/database.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { createReconcile } from "../../functions/reconcile/reconcile.ts";
import { judgeNamed } from "../../functions/reconcile/unknown.ts";
import type { Tenant } from "../support/organization.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

let company: Company;

beforeEach(async () => {
  company = withPipeline(await build());
});

/** Full runs with an empty ledger, over these organizations. */
function withoutMemory(...tenants: Tenant[]) {
  const database = openDatabase(undefined);
  company.atEnd(database.close);
  const ledger = createLedger(sqliteTable(database));
  const organizations = fixedOrganizations(tenants.map(({ organization }) => organization));
  const dependencies = { ...company.dependencies, organizations, ledger };
  const reconcile = createReconcile(dependencies);
  const full = async (tenant: Tenant = company) => {
    const run = await reconcile(tenant.slug, "full");
    return run.result === "done" ? run.unknown : expect.fail(run.result);
  };
  return { dependencies, ledger, full };
}

/** What is said of accounts that an operator has named. */
async function judged(of: Company, ids: string[]) {
  const { organization, slug } = of;
  // A person has to be there: a directory that shows nobody makes no list.
  of.person();
  const found = await judgeNamed(of.dependencies, organization, ids);
  return "listed" in found ? expect.fail(`${slug}: ${found.reason}`) : found;
}

/** Somebody who had an account, was deleted in Clavex, and whom nothing remembers. */
async function forgotten(tenant: Company | Tenant, logsIn = true) {
  const person = tenant.person({ first_name: "Grace", last_name: "Hopper" });
  await tenant.bring(person);
  if (logsIn) tenant.logIn(person);
  tenant.clavex.deleteUser(tenant.slug, person.id);
  return person;
}

describe("a full run of which every account is somebody's", () => {
  test("reads the ledger once", async () => {
    await company.bring(company.person());
    const { ledger } = company.dependencies;
    let readings = 0;
    const all: typeof ledger.subjects.all = (organization) => {
      readings += 1;
      return ledger.subjects.all(organization);
    };
    const subjects = { ...ledger.subjects, all };
    const run = await createReconcile({ ...company.dependencies, ledger: { ...ledger, subjects } })(
      company.slug,
      "full",
    );
    expect(run).toMatchObject({ result: "done", unknown: { listed: true, accounts: [], unread: 0 } });
    expect(readings).toBe(1);
  });
});

describe("after the ledger was lost, a full run lists unknown accounts", () => {
  test("those of people who left meanwhile, with their last login, and nobody else's", async () => {
    const ada = company.person();
    const joiner = company.person();
    const grace = await forgotten(company);
    const lastLogin = Math.floor(company.clock.now / 1000) * 1000;
    const linus = await forgotten(company, false);
    await company.bring(ada);
    company.logIn(joiner);
    await company.administer("POST", "cloud/users", { userid: "local", password: "a-long-passw0rd" });
    const { full } = withoutMemory(company);
    const mark = company.mark();
    const unknown = await full();
    expect(unknown).toMatchObject({ listed: true, unread: 0 });
    expect(
      unknown?.listed && unknown.accounts.toSorted((a, b) => (b.lastLogin ?? 0) - (a.lastLogin ?? 0)),
    ).toMatchObject([
      {
        accountId: company.accountId(grace),
        displayName: "Grace Hopper",
        lastLogin,
      },
      { accountId: company.accountId(linus), lastLogin: 0 },
    ]);
    expect(company.writesSince(mark), "they are listed, and nothing is done").toEqual([]);
    expect(company.counted.filter((counter) => counter === "UnknownAccounts")).toHaveLength(1);
    const line = company.lines.find(({ message }) => message === "unknown accounts");
    expect(line).toMatchObject({
      level: "warn",
      fields: { accounts: 2, problem: expect.stringContaining("unknown list") },
    });
  });

  test("not those that are disabled, and with the ledger in place none", async () => {
    company.person();
    const grace = await forgotten(company);
    expect((await company.full()).unknown).toEqual({ listed: true, accounts: [], unread: 0 });
    await company.work();
    expect(company.account(grace)?.enabled).toBe(false);
    expect(await withoutMemory(company).full()).toMatchObject({ listed: true, accounts: [] });
  });

  test("not one that a configured organization has claimed, nor one that the pipeline works with", async () => {
    company.person();
    const [grace, acting] = [await forgotten(company), await forgotten(company)];
    const { full, ledger } = withoutMemory(company);
    await ledger.claims.claimAccount(company.nextcloud.url, company.accountId(grace), company.slug);
    await ledger.claims.claimAccount(company.nextcloud.url, company.accountId(acting), "gone");
    const unknown = await full();
    expect(unknown).toMatchObject({ listed: true, accounts: [{ accountId: company.accountId(acting) }] });
  });

  test("the old accounts after accept-identity, which nobody computes any more: of whoever leaves nothing else would show theirs", async () => {
    const [ada, grace] = company.people(2);
    if (!ada || !grace) return expect.fail();
    await company.settle();
    const old = [ada, grace].map(company.accountId).sort();
    company.configure({ identity: IDENTITIES.oddlyNamed });
    await company.ledger.identities.accept(company.slug, identityFingerprint(company.organization.identity));
    await company.settle();
    company.clavex.deleteUser(company.slug, grace.id);
    await company.settle();
    const { unknown } = await company.full();
    const shown = unknown?.listed ? unknown.accounts.map(({ accountId: id }) => id).sort() : unknown;
    expect(shown).toEqual(old);
    const [named] = await judged(company, [company.accountId(ada), ...old]);
    expect(named).toMatchObject({ refusal: expect.stringContaining(`it is of ${company.slug}`) });
    expect(await judged(company, old)).toMatchObject(old.map((id) => ({ id, refusal: undefined })));
  });

  test("an odd answer about a foreign account is counted and stops nothing", async () => {
    company.person();
    await forgotten(company);
    const grace = await forgotten(company);
    company.nextcloud.faults.add({
      kind: "status",
      status: 500,
      match: ({ path }) => path.split("?")[0]?.endsWith(`cloud/users/${company.accountId(grace)}`) ?? false,
    });
    expect(await withoutMemory(company).full()).toMatchObject({ listed: true, accounts: [{}], unread: 1 });
  });

  test("for no more than a hundred of them a request is sent, and the rest is counted", async () => {
    company.person();
    const subjects = Array.from({ length: 103 }, () => ({ id: randomUUID() }));
    for (const { id } of subjects) company.nextcloud.simulateLogin({ providerId: 1, sub: id, claims: {} });
    const ids = new Set(subjects.map(company.accountId));
    const mark = company.mark();
    const unknown = await withoutMemory(company).full();
    expect(unknown).toMatchObject({ listed: true, unread: 3 });
    const asked = company.requestsSince(mark).filter(({ id = "" }) => ids.has(id));
    expect(asked).toHaveLength(100);
    expect(unknown?.listed && unknown.accounts).toHaveLength(100);
  });
});

describe("several organizations on one Nextcloud", () => {
  test("list the unknown accounts in one run, and only when each directory was read to its end", async () => {
    const other = company.neighbour({ identity: { ...IDENTITIES.raw } });
    const theirs = other.person();
    await other.bring(theirs);
    const [grace, barbara] = [await forgotten(company), await forgotten(other)];
    company.person();
    const { full, dependencies } = withoutMemory(company, other);
    const first = await full(company);
    expect(first?.listed && first.accounts.map(({ accountId }) => accountId).toSorted()).toEqual(
      [company.accountId(grace), other.accountId(barbara)].toSorted(),
    );
    expect(await full(other), "the first one's run has listed them").toBeUndefined();
    expect(
      await judgeNamed(dependencies, company.organization, [
        other.accountId(theirs),
        other.accountId(barbara),
        company.organization.nextcloud.username,
        "nobody",
      ]),
    ).toMatchObject([
      { refusal: `it is of ${other.slug}, whose reconciliation decides about it` },
      { refusal: undefined },
      { refusal: "the pipeline works with this account" },
      { refusal: "Nextcloud has no account of exactly this id" },
    ]);
    for (const { id } of [theirs]) company.clavex.deleteUser(other.slug, id);
    expect(await full(company)).toEqual({ listed: false, reason: `the directory of ${other.slug} shows nobody` });
    expect(await judgeNamed(dependencies, company.organization, [company.accountId(grace)])).toEqual({
      listed: false,
      reason: `the directory of ${other.slug} shows nobody`,
    });
  });

  test("one without an API key, or with a wrong document, makes the list impossible and nothing else", async () => {
    company.person();
    await forgotten(company);
    const other = company.neighbour({ identity: IDENTITIES.raw, apiKey: false });
    expect(await withoutMemory(company, other).full()).toEqual({
      listed: false,
      reason: `${other.slug} has no clavex.apiKey to read its people with`,
    });
    const error = new ConfigurationError("organization-invalid", ["other.json: slug: is missing"]);
    const { dependencies } = withoutMemory(company);
    const organizations = fixedOrganizations([company.organization], [{ slug: "other", error }]);
    expect(await createReconcile({ ...dependencies, organizations })(company.slug, "full")).toMatchObject({
      result: "done",
      unknown: { listed: false, reason: "the configuration of other cannot be read" },
    });
  });
});
