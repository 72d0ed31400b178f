import { describe, expect, test } from "vitest";
import { openDatabase } from "../../functions/database.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createPace } from "../../functions/reconcile/pace.ts";
import { personJob, TRIGGERS } from "../support/jobs.ts";
import { useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();
const subjects = (jobs: readonly object[]): unknown[] => jobs.map((job) => "subject" in job && job.subject);

/** A queue with so many jobs of an organization, and what happens at each second that somebody waits for room. */
async function queueWith(jobs: number, slug = "acme") {
  const database = openDatabase(undefined);
  const queue = createSqliteQueue(database, { visibilitySeconds: 600 });
  const all = Array.from({ length: jobs }, () => personJob(slug, crypto.randomUUID(), TRIGGERS.reconcile));
  await queue.sendAll(all, "test");
  return { queue, close: database.close };
}

describe("a run in the schedule", () => {
  test.each([
    "light",
    "full",
  ] as const)("%s: queues people who join, leave or change groups before those whose quota changed", async (mode) => {
    const company = withPipeline(await build({ quota: { default: "5 GB" } }));
    const people = company.people(13);
    const [leaver, mover] = people;
    await company.settle();
    company.configure({ quota: { default: "6 GB" } });
    company.clavex.suspend(company.slug, leaver?.id ?? "");
    const group = company.clavex.addGroup(company.slug, "eng");
    company.clavex.addMember(company.slug, group.id, mover?.id ?? "");
    const newcomer = company.person();
    company.clock.now += 60_000;
    const asked: [number, number][] = [];
    const run = await company[mode]({ pace: async (jobs) => void asked.push([jobs, company.sent.length]) });
    expect(run.sent).toBe(14);
    expect(new Set(subjects(company.sent.slice(0, 3)))).toEqual(new Set([leaver?.id, mover?.id, newcomer.id]));
    // Only the others wait for room, each time before they are sent.
    expect(asked).toEqual([
      [10, 3],
      [1, 13],
    ]);
  });

  test("leaves quotas for which its time is over to the next run, and holds nobody", async () => {
    const company = withPipeline(await build({ quota: { default: "5 GB" } }));
    company.people(25);
    await company.settle();
    company.configure({ quota: { default: "6 GB" } });
    const over = new AbortController();
    const pace = async () => void (company.sent.length >= 10 && over.abort());
    expect(await company.light({ deadline: over.signal, pace })).toMatchObject({ sent: 10, held: undefined });
    expect(await company.light()).toMatchObject({ sent: 15, waiting: 10 });
  });
});

describe("the pace of jobs that are not urgent", () => {
  /** Sends as many as there is room for, in tens, while a worker does some each second. */
  async function sendAt(queue: Queue, tens: number, doneEachSecond: number) {
    let seconds = 0;
    let most = 0;
    const pace = createPace(queue, "acme", async () => {
      seconds += 1;
      if (doneEachSecond > 0) await queue.done(await queue.receive({ most: doneEachSecond, waitSeconds: 0 }));
    });
    for (let ten = 0; ten < tens; ten += 1) {
      await pace(10);
      const jobs = Array.from({ length: 10 }, () => personJob("acme", crypto.randomUUID(), TRIGGERS.reconcile));
      await queue.sendAll(jobs, `${ten}`);
      most = Math.max(most, (await queue.counts()).waiting);
    }
    return { seconds, most };
  }

  test("is that of the workers: no more than 100 wait at any time", async () => {
    const { queue, close } = await queueWith(0);
    expect(await sendAt(queue, 100, 50)).toEqual({ seconds: 18, most: 100 });
    close();
  });

  test("is at least 100 in ten seconds: what waits may be another organization's", async () => {
    const { queue, close } = await queueWith(500);
    expect((await sendAt(queue, 20, 0)).seconds).toBe(20);
    close();
  });

  test("does not wait for another organization's jobs on one machine", async () => {
    const { queue, close } = await queueWith(500, "globex");
    expect((await sendAt(queue, 10, 0)).seconds).toBe(0);
    close();
  });

  test("ends with the time of the run", async () => {
    const { queue, close } = await queueWith(500);
    const pace = createPace(queue, "acme", async () => expect.unreachable("it waits although its time is over"));
    await pace(10, AbortSignal.abort());
    close();
  });
});
