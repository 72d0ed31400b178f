import { describe, expect, it } from "vitest";
import type { Job } from "../../functions/core/job.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { createWorker } from "../../functions/provision/worker.ts";
import { createFollowGroups } from "../../functions/reconcile/group-hints.ts";
import { createDeadLetters } from "../../functions/replay/dead-letters.ts";
import { whatToDo } from "../../functions/replay/what-to-do.ts";
import { personJob, TRIGGERS } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";

const { build } = useOrganizations();
const DAY = 24 * 60 * 60_000;

/** A worker whose configuration has the organization, or not any more. */
function workerOf(tenant: Tenant) {
  const { ledger, clock, organization } = tenant;
  const now = () => clock.now;
  const state = { removed: true };
  const sent: { job: Job; source: string }[] = [];
  const lines: string[] = [];
  const counted: string[] = [];
  const organizations = {
    get: async (slug: string) => (slug === organization.slug && !state.removed ? organization : undefined),
    slugs: async () => (state.removed ? [] : [organization.slug]),
  };
  const queue = {
    setVisibility: async () => undefined,
    send: async (job: Job, source: string) => void sent.push({ job, source }),
    sendAll: async () => undefined,
  };
  const guards = createGuards({ organizations, clients: tenant.newClients(), breakerDelay: () => 30, ledger, now });
  const log =
    (level: string) =>
    (text: string, fields: object = {}) =>
      void lines.push(`${level} ${text} ${JSON.stringify(fields)}`);
  const worker = createWorker({
    provision: createProvision({ guards, ledger, now }),
    followGroups: createFollowGroups({ guards, ledger, queue, now }),
    countFailure: async () => undefined,
    queue,
    retryDelay: () => 30,
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    counters: {
      count: (name) => void counted.push(name),
      measure: (name) => void counted.push(name),
      flush: () => undefined,
    },
    concurrency: 1,
    now,
  });
  const work = async (job: Job, { sentAt = clock.now, receiveCount = 1 } = {}) => {
    lines.length = counted.length = 0;
    const body = JSON.stringify(job);
    const message = { id: "1", receipt: "1", body, group: "group", sentAt, receiveCount };
    return (await worker([message], new AbortController().signal)).length === 0 ? "done" : "stays";
  };
  const deadLetterQueue = {
    count: async () => 0,
    hold: async function* () {},
    giveBack: async () => undefined,
    remove: async () => undefined,
  };
  const deadLetters = createDeadLetters({ ledger, queue, deadLetterQueue, slugs: organizations.slugs, now });
  return { state, sent, lines, counted, work, deadLetters };
}

describe("a job whose organization was removed", () => {
  it("waits, and is reported for a day: it may be a mistake; after that it hides no other problem", async () => {
    const tenant = await build();
    const { work, counted, lines } = workerOf(tenant);
    const job = personJob(tenant.slug, tenant.person().id, TRIGGERS.manual);
    const sentAt = tenant.clock.now;
    tenant.clock.now += DAY - 1;
    expect(await work(job, { sentAt })).toBe("stays");
    expect(counted).toEqual(["ConfigurationErrors", "JobAge"]);
    expect(lines).toEqual([expect.stringMatching(/^error job failed .*organization-unknown.*removed on purpose/)]);
    tenant.clock.now += 1;
    expect(await work(job, { sentAt, receiveCount: 90 })).toBe("stays");
    expect(counted).toEqual([]);
    expect(lines).toEqual([expect.stringMatching(/^debug job failed .*organization-unknown/)]);
  });

  it("is done when the organization is back", async () => {
    const tenant = await build();
    const { work, state } = workerOf(tenant);
    const ada = tenant.person({}, ["eng"]);
    const job = personJob(tenant.slug, ada.id, TRIGGERS.manual);
    const sentAt = tenant.clock.now;
    tenant.clock.now += 5 * DAY;
    expect(await work(job, { sentAt })).toBe("stays");
    state.removed = false;
    expect(await work(job, { sentAt })).toBe("done");
    expect(tenant.account(ada)?.enabled).toBe(true);
  });

  it.each([
    ["after twelve days", 12 * DAY, 20],
    ["after 900 receives", 11 * DAY, 900],
  ])("is not renewed for ever: %s it is kept as a dead letter, which is replayed when the organization is back", async (_, age, receiveCount) => {
    const tenant = await build();
    const { work, state, sent, deadLetters, counted } = workerOf(tenant);
    const ada = tenant.person({}, ["eng"]);
    const job = personJob(tenant.slug, ada.id, TRIGGERS.manual);
    const sentAt = tenant.clock.now;
    tenant.clock.now += age;
    expect(await work(job, { sentAt, receiveCount })).toBe("done");
    expect(sent).toEqual([]);
    expect(counted).toEqual(["JobsUnchanged"]);
    state.removed = false;
    const letters = await deadLetters.list({});
    expect(letters).toMatchObject([{ subject: ada.id, reason: "organization-unknown", attempts: receiveCount }]);
    expect(whatToDo("organization-unknown")).toMatch(/^Its organization had been removed/);
    expect(await deadLetters.replay({})).toMatchObject({ done: 1, stayed: [] });
    const [replayed] = sent;
    expect(replayed && (await work(replayed.job))).toBe("done");
    expect(tenant.account(ada)?.enabled).toBe(true);
    expect(await deadLetters.list({})).toEqual([]);
  });

  it("about groups ends without a dead letter: a full run finds everything that it would have done", async () => {
    const tenant = await build();
    const { work, deadLetters, state, sent } = workerOf(tenant);
    const job: Job = { version: 2, kind: "groups", organization: tenant.slug, trigger: TRIGGERS.manual };
    const sentAt = tenant.clock.now;
    tenant.clock.now += 12 * DAY;
    expect(await work(job, { sentAt })).toBe("done");
    state.removed = false;
    expect([await deadLetters.list({}), sent]).toEqual([[], []]);
  });
});
