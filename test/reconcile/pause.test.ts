import { describe, expect, test } from "vitest";
import { DEFAULT_INTERVALS } from "../../functions/core/schedule.ts";
import { openDatabase } from "../../functions/database.ts";
import { createSqliteDeadLetterQueue } from "../../functions/queue/sqlite.ts";
import { createReport, createScheduledRun, createTick } from "../../functions/reconcile/tick.ts";
import { createWatch } from "../../functions/reconcile/watch.ts";
import { createDeadLetters } from "../../functions/replay/dead-letters.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { refusal } from "../support/requests.ts";

const { build } = useOrganizations();
const MINUTE = 60_000;

function tickOf(company: Company): () => Promise<void> {
  const { dependencies } = company;
  return createTick({
    ...dependencies,
    intervals: DEFAULT_INTERVALS,
    report: createReport(dependencies),
    run: createScheduledRun({ ...dependencies, watch: createWatch(dependencies), reconcile: company.reconcile }),
  });
}

const say = (company: Company, paused: boolean): Promise<void> =>
  company.ledger.pauses.put(company.slug, { paused, at: company.clock.now });

const NOTHING_QUEUED = { status: 202, said: { status: "ignored", reason: "the organization is paused" } };

describe("a new organization on AWS", () => {
  test("is left alone after the first deployment until resume, which starts a full run", async () => {
    const company = withPipeline(await build(), true);
    const ada = company.person();
    const tick = tickOf(company);
    await tick();
    expect(await company.deliver(company.clavex.delivery("user.created", ada))).toEqual(NOTHING_QUEUED);
    expect(await company.reconcile(company.slug, "full")).toEqual({ result: "paused" });
    expect([company.sent, company.clavex.requests, company.nextcloud.requests]).toEqual([[], [], []]);

    company.clock.now += MINUTE;
    await say(company, false);
    await tick();
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true });
  });

  test("is not paused by an upgrade of a stage that has worked before", async () => {
    const company = withPipeline(await build());
    await company.settle();
    const ada = company.person();
    await company.deliver(company.clavex.delivery("user.created", ada));
    await company.work();
    const upgraded = withPipeline(company, true);
    const grace = upgraded.person();
    expect(await upgraded.deliver(upgraded.clavex.delivery("user.created", grace))).toMatchObject({
      said: { status: "queued" },
    });
    await upgraded.work();
    expect(upgraded.account(grace)).toMatchObject({ enabled: true });
  });
});

describe("a pause", () => {
  test("keeps everybody as they are, also by jobs that were queued before, and resume brings up what happened meanwhile", async () => {
    const company = withPipeline(await build());
    const [ada, grace] = [company.person(), company.person()];
    await company.settle();
    company.clavex.suspend(company.slug, ada.id);
    // Its job is marked as waiting in the ledger, and is in the queue when the pause begins.
    await company.full();
    expect(company.sent).toHaveLength(1);
    await say(company, true);
    await company.work();
    const renamed = company.clavex.updateUser(company.slug, grace.id, { last_name: "King" });
    expect(await company.deliver(company.clavex.delivery("user.updated", renamed))).toEqual(NOTHING_QUEUED);
    await tickOf(company)();
    expect(company.account(ada)).toMatchObject({ enabled: true });
    expect(await company.queued()).toBe(0);
    expect(company.counted).not.toContain("ConfigurationErrors");

    company.clock.now += MINUTE;
    await say(company, false);
    await tickOf(company)();
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: false });
  });

  test("keeps a dead letter that is sent back on its way until resume", async () => {
    const company = withPipeline(await build());
    await company.settle();
    const ada = company.person();
    company.nextcloud.faults.add({ kind: "status", status: 400, body: refusal(101, "not this one") });
    await company.deliver(company.clavex.delivery("user.created", ada));
    await company.work();
    company.nextcloud.faults.clear();
    const { ledger, queue, organizations } = company.dependencies;
    const database = openDatabase(undefined);
    company.atEnd(database.close);
    const deadLetterQueue = createSqliteDeadLetterQueue(database);
    const deadLetters = createDeadLetters({
      ledger,
      queue,
      deadLetterQueue,
      slugs: organizations.slugs,
      now: () => company.clock.now,
    });
    await say(company, true);
    expect(await deadLetters.replay({})).toMatchObject({ done: 1 });
    await company.attempt();
    expect([await company.queued(), company.account(ada)]).toEqual([1, undefined]);
    expect(
      company.lines.filter(({ level, fields }) => level === "error" && fields.code === "organization-paused"),
    ).toEqual([]);
    await say(company, false);
    company.clock.now += 20 * MINUTE;
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true });
    expect(await deadLetters.list({})).toEqual([]);
  });

  test("without an API key keeps the jobs in the queue, counts no failure of theirs, and resume loses none", async () => {
    const company = withPipeline(await build({ apiKey: false }));
    await say(company, true);
    const ada = company.person();
    expect(await company.deliver(company.clavex.delivery("user.created", ada))).toMatchObject({
      status: 202,
      said: { status: "queued" },
    });
    await company.attempt();
    expect([await company.queued(), company.account(ada), company.nextcloud.requests]).toEqual([1, undefined, []]);
    expect(company.counted.filter((each) => each !== "DeliveriesQueued")).toEqual([]);
    expect(company.measured).toEqual([]);
    expect(company.lines.filter(({ level }) => level === "error")).toEqual([]);
    await say(company, false);
    company.clock.now += 20 * MINUTE;
    await company.work();
    expect(company.account(ada)).toMatchObject({ enabled: true });
  });
});
