import { describe, expect, test } from "vitest";
import { aboutWhom } from "../../functions/core/job.ts";
import { LOCK_MS } from "../../functions/core/schedule.ts";
import { createWatch, type Watch, type WatchRun } from "../../functions/reconcile/watch.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Choices, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const MINUTE = 60_000;
const { build } = useOrganizations();

/** A company whose people are provisioned and whose groups have been watched once. */
async function watched(choices: Choices = {}) {
  const company = withPipeline(await build(choices));
  const [ada, grace, linus] = [company.person({}, ["eng"]), company.person({}, ["eng", "ops"]), company.person()];
  await company.settle();
  const watch = createWatch(company.dependencies);
  await watch(company.slug);
  company.clavex.requests.length = 0;
  return { company, watch, ada, grace, linus };
}

async function look(company: Company, watch: Watch): Promise<WatchRun> {
  company.clock.now += MINUTE;
  company.sent.length = 0;
  company.clavex.requests.length = 0;
  return watch(company.slug);
}

const sent = (company: Company): string[] => company.sent.map(aboutWhom).sort();
const ids = (...people: ClavexUser[]): string[] => people.map(({ id }) => id).sort();
const paths = (company: Company): string[] =>
  company.clavex.requests.map(({ path }) =>
    path.replace(/^.*\/organizations\/[^/]+/, "").replace(/[0-9a-f-]{36}/, "ID"),
  );

describe("a look at the groups", () => {
  test("the first one only remembers: nobody is sent for", async () => {
    const company = withPipeline(await build());
    company.people(5, ["eng"]);
    await company.settle();
    const run = await createWatch(company.dependencies)(company.slug);
    expect(run).toEqual({ result: "done", groups: 1, read: 1, unread: 0, sent: 0 });
    expect(company.sent).toEqual([]);
  });

  test("costs one request for each 200 groups while no count changes", async () => {
    const company = withPipeline(await build());
    for (let index = 0; index < 450; index += 1) company.clavex.addGroup(company.slug, `group ${index}`);
    const watch = createWatch(company.dependencies);
    for (let first = 0; first < 3; first += 1) await look(company, watch);
    await look(company, watch);
    expect(paths(company)).toEqual(["/groups?limit=200", "/groups?limit=200&after=ID", "/groups?limit=200&after=ID"]);
  });

  test("costs one request more for each group whose count changed", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng", "ops");
    await look(company, watch);
    expect(paths(company)).toEqual(["/groups?limit=200", "/groups/ID/members", "/groups/ID/members"]);
  });

  test("sends a membership job for whoever joined or left, once each, and for nobody else", async () => {
    const { company, watch, ada, grace, linus } = await watched();
    company.assign(linus, "eng", "ops");
    company.unassign(ada, "eng");
    company.unassign(grace, "ops");
    // In "eng" one left and one joined, in "ops" as well: only another count shows that, here of a third group.
    company.assign(grace, "new");
    await look(company, watch);
    expect(sent(company)).toEqual(ids(grace));
    company.assign(grace, "ops");
    company.unassign(grace, "eng");
    expect(await look(company, watch)).toMatchObject({ sent: 3 });
    expect(sent(company)).toEqual(ids(ada, grace, linus));
    expect(company.sent.map(({ kind, trigger }) => [kind, trigger])).toEqual(
      Array(3).fill(["person", { kind: "reconcile", reason: "membership" }]),
    );
    expect(await look(company, watch)).toMatchObject({ read: 0, sent: 0 });
  });

  test("a membership arrives in Nextcloud after one look, without any webhook, and its end after the next", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng");
    await look(company, watch);
    await company.work();
    expect(company.groupsOf(linus)).toEqual(["eng"]);
    company.unassign(linus, "eng");
    await look(company, watch);
    await company.work();
    expect(company.groupsOf(linus)).toEqual([]);
  });

  test("a member who leaves while another joins changes no count: the hourly reading finds both", async () => {
    const { company, watch, ada, linus } = await watched();
    company.unassign(ada, "eng");
    company.assign(linus, "eng");
    for (let minute = 1; minute < 54; minute += 1)
      expect(await look(company, watch)).toMatchObject({ read: 0, sent: 0 });
    let sentIn = 54;
    while (company.sent.length === 0 && sentIn <= 60) {
      await look(company, watch);
      sentIn += 1;
    }
    expect(sentIn).toBeLessThanOrEqual(60);
    expect(sent(company)).toEqual(ids(ada, linus));
    await company.work();
    expect([company.groupsOf(ada), company.groupsOf(linus)]).toEqual([[], ["eng"]]);
  });

  test("a group that is new or deleted is a change for all its members", async () => {
    const { company, watch, ada, grace, linus } = await watched();
    company.assign(linus, "new");
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
    company.clavex.deleteGroup(company.slug, company.clavex.groupByName(company.slug, "eng")?.id ?? "");
    await look(company, watch);
    expect(sent(company)).toEqual(ids(ada, grace));
    expect(await look(company, watch)).toMatchObject({ read: 0, sent: 0, groups: 2 });
  });

  test("people that the ledger does not know are left to their own event, those who are gone keep what they have", async () => {
    const { company, watch, ada } = await watched();
    company.clavex.suspend(company.slug, ada.id);
    await company.light();
    await company.work();
    company.unassign(ada, "eng");
    company.person({}, ["ops"]);
    expect(await look(company, watch)).toMatchObject({ read: 2, sent: 0 });
  });

  test("groups that do not matter are not read", async () => {
    const { company, watch, linus } = await watched({ groups: { managed: ["eng"] } });
    company.assign(linus, "ops");
    expect(await look(company, watch)).toMatchObject({ groups: 1, read: 0, sent: 0 });
  });

  test("an organization without an API key is left out", async () => {
    const company = withPipeline(await build({ apiKey: false }));
    expect(await createWatch(company.dependencies)(company.slug)).toEqual({ result: "unreadable" });
    expect(company.clavex.requests).toEqual([]);
  });
});

describe("nothing is changed, and the next look finds it all", () => {
  test("an empty list of groups is held", async () => {
    const { company, watch, ada, linus } = await watched();
    company.assign(linus, "eng");
    company.unassign(ada, "eng");
    company.assign(ada, "ops");
    company.clavex.faults.add({ kind: "status", status: 200, body: '{"items":[],"has_more":false}', times: 1 });
    expect(await look(company, watch)).toEqual({ result: "held" });
    expect(company.lines.at(-1)).toMatchObject({ level: "warn", message: "group watch held" });
    expect(company.sent).toEqual([]);
    await look(company, watch);
    expect(sent(company)).toEqual(ids(ada));
  });

  test("a list that cannot be read", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng");
    company.clavex.faults.add({ kind: "status", status: 503 });
    await expect(look(company, watch)).rejects.toMatchObject({ code: "clavex-unavailable" });
    company.clavex.faults.clear();
    expect((await company.ledger.runs.of(company.slug)).watch).toMatchObject({ result: "clavex-unavailable" });
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
  });

  test("one group that cannot be read does not keep the others waiting", async () => {
    const { company, watch, ada, linus } = await watched();
    company.assign(ada, "ops");
    company.assign(linus, "eng");
    company.clavex.faults.add({
      kind: "status",
      status: 500,
      match: ({ path }) => path.endsWith("/members"),
      times: 1,
    });
    expect(await look(company, watch)).toMatchObject({ read: 1, unread: 1, sent: 1 });
    const first = sent(company);
    expect(await look(company, watch)).toMatchObject({ read: 1, unread: 0, sent: 1 });
    expect([...first, ...sent(company)].sort()).toEqual(ids(ada, linus));
  });

  test("an empty list of members, of a group that is said to have some", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng");
    company.clavex.faults.add({
      kind: "status",
      status: 200,
      body: "[]",
      match: ({ path }) => path.endsWith("/members"),
      times: 1,
    });
    expect(await look(company, watch)).toMatchObject({ read: 0, unread: 1, sent: 0 });
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
  });

  test("jobs that the queue does not take", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng");
    const { onSend } = company;
    company.onSend = () => Promise.reject(new Error("not taken"));
    await expect(look(company, watch)).rejects.toThrow("not taken");
    company.onSend = onSend;
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
  });

  test("another look of the same organization is under way", async () => {
    const { company, watch, linus } = await watched();
    const { now } = company.clock;
    const release = await company.ledger.locks.take(company.slug, "watch", now, now + LOCK_MS.watch);
    company.assign(linus, "eng");
    expect(await look(company, watch)).toEqual({ result: "busy" });
    await release?.();
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
  });

  test("its time is over", async () => {
    const { company, watch, linus } = await watched();
    company.assign(linus, "eng");
    await expect(watch(company.slug, { deadline: AbortSignal.abort() })).rejects.toMatchObject({
      code: "reconcile-over-time",
    });
    await look(company, watch);
    expect(sent(company)).toEqual(ids(linus));
  });
});
