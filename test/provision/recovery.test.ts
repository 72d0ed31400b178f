import { describe, expect, test } from "vitest";
import { createProbeDelay, createRetryDelay } from "../../functions/core/retry.ts";
import { openDatabase } from "../../functions/database.ts";
import { localProbeDelay, localRetryDelay, releaseOnRecovery } from "../../functions/local/recovery.ts";
import { createCountFailure } from "../../functions/provision/attempts.ts";
import { createGuards, type GuardsDependencies } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { createWorker, type WorkerDependencies } from "../../functions/provision/worker.ts";
import type { Queue, Releasable } from "../../functions/queue/queue.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";

/*
 * An outage, second by second on a clock that only the test moves. The queue is the one of one machine; where it is told
 * nothing of circuits, it does what SQS does: a job comes back when its own visibility timeout is over.
 */

const PEOPLE = 12;
/** How finely an outage is gone through: its end is seen that much later at the most. */
const STEP_SECONDS = 10;
const AWAY = { kind: "status", status: 503, headers: { "x-nextcloud-maintenance-mode": "1" } } as const;
const NEVER = new AbortController().signal;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const { build } = useOrganizations();

interface Running {
  tenant: Tenant;
  /** Some seconds pass (default: one), then every job that is visible is worked on once. */
  pass(seconds?: number): Promise<void>;
  left(): Promise<number>;
}

/** What differs between AWS and one machine. */
type Waiting = Pick<WorkerDependencies, "retryDelay"> & Pick<GuardsDependencies, "breakerDelay" | "onCircuitClose">;

/** The worst luck there is. */
const unlucky = () => 0.999_999;
const ON_AWS = (): Waiting => ({ retryDelay: createRetryDelay({ random: unlucky }), breakerDelay: createProbeDelay() });
const ON_ONE_MACHINE = (queue: Releasable): Waiting => ({
  retryDelay: localRetryDelay(undefined, unlucky),
  breakerDelay: localProbeDelay(),
  onCircuitClose: releaseOnRecovery(queue, silent),
});

async function start(waiting: (queue: Releasable) => Waiting): Promise<Running> {
  const tenant = await build();
  const { clock, ledger, organizations } = tenant;
  const now = () => clock.now;
  const database = openDatabase(undefined);
  tenant.atEnd(database.close);
  const queue: Queue & Releasable = createSqliteQueue(database, { visibilitySeconds: 30, now });
  const { retryDelay, ...circuits } = waiting(queue);
  const guards = createGuards({
    organizations,
    clients: tenant.newClients(),
    ledger,
    ...circuits,
    now,
  });
  const worker = createWorker({
    provision: createProvision({ guards, ledger, now }),
    followGroups: () => Promise.reject(new Error("there is no hint about groups")),
    countFailure: createCountFailure(organizations, ledger),
    queue,
    retryDelay,
    log: silent,
    counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
    concurrency: 4,
    now,
  });
  const people = Array.from({ length: PEOPLE }, () => tenant.person());
  await queue.sendAll(
    people.map((person) => tenant.job(person)),
    "run",
  );
  return {
    tenant,
    async pass(seconds = 1) {
      clock.now += seconds * 1_000;
      for (;;) {
        const messages = await queue.receive({ most: 10, waitSeconds: 0 });
        if (messages.length === 0) return;
        const stayed = new Set(await worker(messages, NEVER));
        await queue.done(messages.filter((message) => !stayed.has(message)));
      }
    },
    async left() {
      const { waiting, delayed, inFlight } = await queue.counts();
      return waiting + delayed + inFlight;
    },
  };
}

/** Nextcloud is away for so long, then answers again. Returns after how many seconds everybody is done. */
async function recover({ tenant, pass, left }: Running, outageSeconds: number): Promise<number> {
  tenant.nextcloud.faults.add(AWAY);
  for (let time = 0; time < outageSeconds; time += STEP_SECONDS) await pass(STEP_SECONDS);
  expect(await left()).toBe(PEOPLE);
  tenant.nextcloud.faults.clear();
  for (let time = 1; time <= 30 * 60; time += 1) {
    await pass();
    if ((await left()) === 0) return time;
  }
  return Number.POSITIVE_INFINITY;
}

describe("after an outage everybody is up to date", () => {
  test.each([
    ["60 seconds", 60, 120],
    ["40 minutes", 40 * 60, 120],
    ["two hours", 2 * 60 * 60, 20 * 60],
  ])("of %s (%i s), on SQS within %i s", async (_, outage, within) => {
    const running = await start(ON_AWS);
    expect(await recover(running, outage)).toBeLessThanOrEqual(within + STEP_SECONDS);
    const { nextcloud } = running.tenant;
    expect(nextcloud.users().filter(({ id }) => id !== nextcloud.username)).toHaveLength(PEOPLE);
  });

  test.each([
    ["60 seconds", 60],
    ["40 minutes", 40 * 60],
    ["two hours", 2 * 60 * 60],
  ])("of %s (%i s), on one machine within a minute", async (_, outage) => {
    const running = await start(ON_ONE_MACHINE);
    expect(await recover(running, outage)).toBeLessThanOrEqual(60);
  });

  test("while it lasts, the server is asked once a minute and no job waits longer for having been the probe", async () => {
    const running = await start(ON_AWS);
    const { tenant, pass } = running;
    tenant.nextcloud.faults.add(AWAY);
    for (let time = 0; time < 10 * 60; time += 1) await pass();
    // The first batch goes together; after that each probe is one request.
    expect(tenant.nextcloud.requests.length).toBeLessThanOrEqual(4 + 10);
    const records = [];
    for await (const page of tenant.ledger.subjects.all(tenant.organization.slug)) records.push(...page);
    expect(records.filter(({ failures }) => failures > 0)).toEqual([]);
  });
});
