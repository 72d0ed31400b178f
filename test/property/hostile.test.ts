import { createHash, randomUUID } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { messageGroupId, type PersonJob } from "../../functions/core/job.ts";
import { terminalLog } from "../../functions/local/terminal-log.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";
import { createWorker, type Worker } from "../../functions/provision/worker.ts";
import type { Message } from "../../functions/queue/queue.ts";
import { runs, SEED } from "../support/chance.ts";
import { fc } from "../support/fast-check.ts";
import { done } from "../support/jobs.ts";
import { IDENTITIES, type Tenant, useOrganizations } from "../support/organization.ts";

/** What moves a terminal's cursor, breaks a line or turns its direction. */
const UNPRINTABLE = /[\p{Cc}\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** Names that somebody may give a group in Clavex, and whether Nextcloud can hold it as a raw id, or under a hashed one. */
const GROUPS: { name: string; raw: boolean; hashed: boolean }[] = [
  { name: "..", raw: false, hashed: true },
  { name: ".", raw: false, hashed: true },
  { name: "0", raw: false, hashed: false },
  { name: " ", raw: false, hashed: false },
  { name: "admin", raw: false, hashed: true },
  { name: "a/../../b", raw: true, hashed: true },
  { name: "x/users", raw: true, hashed: true },
  { name: "x/users/details", raw: true, hashed: true },
  { name: "c++", raw: true, hashed: true },
  { name: "a%2Fb%00", raw: true, hashed: true },
  { name: "a?b&c=d#e;f", raw: true, hashed: true },
  { name: "back\\slash 'and' \"quotes\"", raw: true, hashed: true },
  { name: "名前 🏢 Größe", raw: true, hashed: true },
  { name: "__proto__", raw: true, hashed: true },
  { name: "constructor", raw: true, hashed: true },
  { name: "toString", raw: true, hashed: true },
  { name: "ada@acme.example", raw: true, hashed: true },
  { name: "<script>alert(1)</script>", raw: true, hashed: true },
  { name: "-rf *", raw: true, hashed: true },
  { name: "\u202eevil", raw: true, hashed: true },
  { name: "x".repeat(64), raw: true, hashed: true },
  { name: "🏢".repeat(64), raw: true, hashed: true },
  { name: "x".repeat(65), raw: true, hashed: true },
  { name: "y".repeat(256), raw: false, hashed: false },
  { name: "\u0000", raw: false, hashed: false },
  { name: "bell\u0007 \u001b[2Jcleared", raw: false, hashed: false },
  { name: "two\r\nlines", raw: false, hashed: false },
  { name: "\u009b31mred", raw: false, hashed: false },
  { name: "half an emoji \ud83c", raw: false, hashed: false },
];

/** Names and addresses that somebody may give a person, and the display name that comes of them; undefined when refused. */
const PEOPLE: { first: string; last: string; email?: string; shown: string | undefined }[] = [
  { first: "__proto__", last: "constructor", shown: "__proto__ constructor" },
  { first: "../../etc/passwd", last: "%2e%2e%2f", shown: "../../etc/passwd %2e%2e%2f" },
  { first: "<b>Ada</b>", last: "'; DROP TABLE users; --", shown: "<b>Ada</b> '; DROP TABLE users; --" },
  { first: "Ada\u0000", last: "\u001b]0;owned\u0007Lovelace", shown: "Ada ]0;owned Lovelace" },
  { first: "two\r\n", last: "lines\u2028", shown: "two lines" },
  { first: "\u202eadA", last: "\u009b31m", shown: "adA 31m" },
  { first: "\u0007", last: "\u0000", email: "bell@acme.example", shown: "bell@acme.example" },
  { first: "👩🏽‍💻", last: "مرحبا", shown: "👩🏽‍💻 مرحبا" },
  { first: "Ada", last: "x".repeat(251), shown: `Ada ${"x".repeat(251)}` },
  { first: "Ada", last: "x".repeat(252), shown: undefined },
  { first: "Ada", last: "x".repeat(100_000), shown: undefined },
];

/** Quota attributes that say nothing that Nextcloud would understand as it was meant. */
const QUOTAS: unknown[] = [
  "5 GiB",
  "-1",
  "1e309",
  "9".repeat(400),
  "\u0000",
  "5\u0007GB",
  "NaN",
  { toString: "5 GB" },
  ["5 GB"],
  true,
  null,
];

let terminal: string[];
beforeEach(() => {
  terminal = [];
});

/** A worker that logs to a terminal, all levels; `work` runs one job through it as a queue message. */
function workerOf(tenant: Tenant) {
  const provision = tenant.container();
  let outcome: Outcome | undefined;
  const worker: Worker = createWorker({
    async provision({ job }) {
      outcome = await provision(job);
      return outcome;
    },
    followGroups: () => Promise.reject(new Error("there is no hint about groups")),
    countFailure: async () => 1,
    queue: { setVisibility: async () => undefined, send: async () => undefined },
    retryDelay: () => 30,
    log: terminalLog((line) => terminal.push(line), "debug"),
    counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
    concurrency: 1,
  });
  return async (job: PersonJob): Promise<Outcome> => {
    outcome = undefined;
    expect(await worker([messageOf(job)], new AbortController().signal), terminal.at(-1)).toEqual([]);
    if (outcome === undefined) throw new Error("the worker did not call provision");
    return outcome;
  };
}

function messageOf(job: PersonJob): Message {
  const id = randomUUID();
  const body = JSON.stringify(job);
  return { id, receipt: id, body, group: messageGroupId(job), sentAt: 1_785_000_000_000, receiveCount: 1 };
}

function checkTerminal(): void {
  expect(terminal.length).toBeGreaterThan(0);
  for (const line of terminal) expect(line).not.toMatch(UNPRINTABLE);
}

describe("hostile names", () => {
  const { build } = useOrganizations();

  test.each([
    { ids: "hashed", identity: IDENTITIES.hashed },
    { ids: "raw", identity: IDENTITIES.raw },
  ] as const)("a group that Nextcloud cannot hold ($ids ids) is skipped and reported, the rest is provisioned", async ({
    ids,
    identity,
  }) => {
    const tenant = await build({ identity, quota: { byGroup: { constructor: "7 GB" } } });
    const { nextcloud } = tenant;
    const before = nextcloud.groups();
    const ada = tenant.person(
      {},
      GROUPS.map(({ name }) => name),
    );
    const work = workerOf(tenant);
    const { result, notes } = done(await work(tenant.job(ada)));
    expect(result).toBe("applied");

    const held = GROUPS.filter((group) => group[ids]).map(({ name }) => name);
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    const gid = (name: string) =>
      ids === "hashed" ? sha256(`1_0_${name}`) : [...name].length > 64 ? sha256(name) : name;
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada Lovelace",
      groups: held.map(gid).sort(),
      quota: 7 * 1024 ** 3,
    });
    expect(nextcloud.groups()).toHaveLength(before.length + held.length);
    for (const group of before) expect(nextcloud.group(group.gid)).toEqual(group);
    for (const name of held) expect(nextcloud.group(gid(name))).toMatchObject({ displayName: name });
    expect(notes).toHaveLength(GROUPS.length - held.length);
    for (const note of notes) expect(note).toMatch(/^group .* is skipped: \w+ .*\w+$/s);
    checkTerminal();

    // And again there is nothing to do; taken away, nothing is left.
    expect(await work(tenant.job(ada))).toMatchObject({ result: "unchanged" });
    tenant.unassign(ada, ...GROUPS.map(({ name }) => name));
    await work(tenant.job(ada));
    expect(tenant.account(ada)?.groups).toEqual([]);
    checkTerminal();
  });

  test.each([
    "with an API key",
    "without an API key",
  ])("a person is provisioned under a harmless name, or ends in the dead letters with a sentence (%s)", async (mode) => {
    const tenant = await build({ apiKey: mode === "with an API key", quota: { default: "5 GB" } });
    const work = workerOf(tenant);
    for (const { first, last, email, shown } of PEOPLE) {
      const person = tenant.person({ first_name: first, last_name: last, ...(email === undefined ? {} : { email }) });
      const outcome = await work(tenant.webhook(person, "user.created"));
      if (shown === undefined) {
        expect(outcome).toMatchObject({ result: "parked", reason: "profile-refused" });
        expect(await tenant.ledger.deadLetters.get(tenant.organization.slug, person.id)).toMatchObject({
          message: `the display name has ${first.length + 1 + last.length} characters, Nextcloud holds at most 255`,
        });
        expect(tenant.account(person)).toBeUndefined();
      } else {
        expect(tenant.account(person)).toMatchObject({ displayName: shown, quota: 5 * 1024 ** 3 });
        expect(await work(tenant.webhook(person, "user.updated"))).toMatchObject({ result: "unchanged" });
      }
    }
    checkTerminal();
  });

  test("a quota that nobody can understand is passed over and reported, the person is provisioned", async () => {
    const tenant = await build({ quota: { default: "5 GB" } });
    const work = workerOf(tenant);
    for (const quota of QUOTAS) {
      const person = tenant.person();
      const metadata = JSON.parse(
        JSON.stringify({ nextcloud_quota: quota }).replace("{", '{"__proto__":{"nextcloud_quota":"1 PB"},'),
      ) as Record<string, unknown>;
      tenant.clavex.setAttributes(tenant.organization.slug, person.id, metadata);
      const { result, notes } = done(await work(tenant.job(person)));
      expect(result).toBe("applied");
      expect(tenant.account(person)).toMatchObject({ quota: 5 * 1024 ** 3 });
      // One that is not set, or empty, is none; everything else that is no quota is noted, whatever its JSON type.
      const none = quota === null || quota === undefined || (typeof quota === "string" && quota.trim() === "");
      expect(notes, JSON.stringify(quota)).toHaveLength(none ? 0 : 1);
    }
    checkTerminal();
  });

  test("what Nextcloud says of a refusal is kept without addresses, and shown without control characters", async () => {
    const tenant = await build();
    const said = "No \u001b[31mplace\u009b2J for\r\nada@acme.example\u202e";
    const body = JSON.stringify({ ocs: { meta: { status: "failure", statuscode: 101, message: said }, data: [] } });
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, match: ({ method }) => method === "POST" });
    const ada = tenant.person();
    const outcome = await workerOf(tenant)(tenant.job(ada));
    expect(outcome).toMatchObject({ result: "parked", reason: "nextcloud-ocs-101" });
    const letter = await tenant.ledger.deadLetters.get(tenant.organization.slug, ada.id);
    expect(letter?.message).toMatch(/^Nextcloud refuses POST .*place.*\(OCS 101\)$/s);
    expect(letter?.message).not.toContain("ada@");
    expect(terminal.join("\n")).not.toContain("ada@");
    checkTerminal();
  });

  test("whatever people and groups are called, a job ends, a second one finds nothing to do, and no line is forged", async () => {
    const tenants = [await build(), await build({ identity: IDENTITIES.raw })];
    const workers = tenants.map(workerOf);
    const text = fc.oneof(fc.string({ unit: "binary", maxLength: 80 }), fc.string({ unit: "grapheme", maxLength: 20 }));
    const counts = { people: 0, parked: 0, skipped: 0, groups: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1),
        text,
        text,
        fc.uniqueArray(fc.string({ unit: "binary", minLength: 1, maxLength: 70 }), { maxLength: 3 }),
        async (which, first_name, last_name, groups) => {
          const tenant = tenants[which] as Tenant;
          const work = workers[which] as (job: PersonJob) => Promise<Outcome>;
          const foreign = tenant.nextcloud.group("admin");
          const person = tenant.person({ first_name, last_name }, groups);
          const outcome = await work(tenant.job(person));
          counts.people += 1;
          counts.groups += groups.length;
          expect(["applied", "parked"]).toContain(outcome.result);
          if (outcome.result === "parked") counts.parked += 1;
          else {
            counts.skipped += done(outcome).notes.length;
            expect(await work(tenant.job(person))).toMatchObject({ result: "unchanged" });
          }
          expect(tenant.nextcloud.group("admin")).toEqual(foreign);
          checkTerminal();
          // Every job reads all groups and members: with those of all cases before, each would take longer than the last.
          const { clavex, slug } = tenant;
          for (const name of groups) clavex.deleteGroup(slug, clavex.groupByName(slug, name)?.id ?? "");
        },
      ),
      { numRuns: runs(120) },
    );
    console.log(
      `hostile names: seed ${SEED}, ${counts.people} people, ${counts.parked} refused, ${counts.groups} groups, ` +
        `${counts.skipped} skipped, ${terminal.length} log lines`,
    );
  });
});
