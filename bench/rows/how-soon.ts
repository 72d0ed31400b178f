import { setTimeout as sleep } from "node:timers/promises";
import { createClients } from "../../functions/clients.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { MOST_READ } from "../../functions/core/group-watch.ts";
import { DEFAULT_INTERVALS, NEVER } from "../../functions/core/schedule.ts";
import { openDatabase } from "../../functions/database.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { startPipeline } from "../../functions/local/pipeline.ts";
import { createReconcile } from "../../functions/reconcile/reconcile.ts";
import { createWatch } from "../../functions/reconcile/watch.ts";
import { DEFAULT_ORGANIZATION, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { DEFAULT_APP_PASSWORD } from "../../functions/simulated/nextcloud.ts";
import { monthlyCost, TICK, WATCH } from "../aws-cost.ts";
import { bareLoop, connect } from "../loops.ts";
import type { ProfileName } from "../nextcloud-times.ts";
import { benchOrganization, benchSecrets } from "../organization.ts";
import { startProcess } from "../process.ts";
import { NO_COUNTERS, QUIET_LOG } from "../quiet.ts";
import { type BenchOptions, median, type Result } from "../report.ts";
import type { SystemsServices } from "../systems-process.ts";

/** New people of each kind: by a webhook, by the audit sink, and by their calls alone. */
const PEOPLE = 3;
/** Who join a group together, right after a look of the watch: they wait for a whole interval. */
const JOINERS = [1, 2, 3];
const WATCH_SECONDS = 1;
const GROUPS_EACH = 3;
const GROUP_COUNTS = [10, 200] as const;
/** Groups that somebody joins before a look. */
const CHANGED = 5;
const MINUTE = 60_000;
const { slug } = DEFAULT_ORGANIZATION;

/**
 * How soon a change is in Nextcloud, and what that costs. A new person: from the delivery, by webhook or audit sink, until the
 * account is as it should be, with Nextcloud as slow as the measured one, against its calls alone. A membership, at the worst
 * moment: right after the watch has looked. The watch: its requests to Clavex, against the light reconciliation that it spares,
 * and its dollars on AWS.
 */
export async function howSoon({ onProgress }: BenchOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const profile of ["27", "34"] as const) {
    onProgress(`new people and members, one by one, with Nextcloud ${profile}`);
    results.push(...soonLines(profile, await soon(profile)));
  }
  for (const groups of GROUP_COUNTS) {
    onProgress(`a look at ${groups} groups`);
    results.push(watchLine(groups, await watchRequests(groups)));
  }
  const [watch, tick] = [monthlyCost(WATCH), monthlyCost(TICK)];
  results.push({
    row: "how-soon",
    measured: "group watch on AWS",
    figures: `${watch.toFixed(2)} dollars a month for each organization`,
    baseline: `the tick, for all: ${tick.toFixed(2)} dollars`,
    ratio: watch / tick,
    numbers: { watch, tick },
  });
  return results;
}

/** Medians, in seconds until the account is right. */
interface Soon {
  /** From the delivery of a webhook, and of an audit sink. */
  webhook: number;
  sink: number;
  /** The calls of a new person alone. */
  calls: number;
  /** From a membership's change right after a look. */
  membership: number;
}

async function soon(profile: ProfileName): Promise<Soon> {
  const systems = startProcess<SystemsServices>("systems-process.ts");
  const clients = createClients({ secrets: benchSecrets(), nextcloudConnections: 1 });
  try {
    const urls = await systems.open(profile, 1);
    // The first one makes the groups.
    const people = await systems.hire(1 + 3 * PEOPLE, GROUPS_EACH, GROUPS_EACH);
    const organizations = fixedOrganizations([benchOrganization(urls)]);
    const pipeline = await startPipeline({
      organizations,
      secrets: benchSecrets(),
      log: QUIET_LOG,
      port: 0,
      intervals: NEVER,
    });
    try {
      const url = `${pipeline.url}/webhooks/clavex/${slug}`;
      await systems.arrive(url, 0);
      const arrive = (index: number) => systems.arrive(url, index);
      const webhook = await medianOf(1, PEOPLE, arrive);
      const sink = await medianOf(1 + PEOPLE, PEOPLE, (index) => systems.arrive(url, index, "audit sink"));
      const { call, close } = connect(
        { url: urls.nextcloud, username: "provisioner", password: DEFAULT_APP_PASSWORD },
        bareLoop,
      );
      const calls = await medianOf(1 + 2 * PEOPLE, PEOPLE, async (index) => {
        const started = performance.now();
        const person = people[index];
        if (person) await bareLoop.callsFor(call, person);
        return (performance.now() - started) / 1000;
      });
      await close();
      const watch = createWatch({ ...pipeline, organizations, clients, log: QUIET_LOG });
      const join = async (joiners: number[], seconds: number) => {
        await watch(slug);
        const joined = joiners.map((index) => systems.join(index));
        await sleep(seconds * 1000);
        await watch(slug);
        return median(await Promise.all(joined));
      };
      // The first one makes the group.
      await join([0], 0);
      return { webhook, sink, calls, membership: await join(JOINERS, WATCH_SECONDS) };
    } finally {
      await pipeline.stop();
    }
  } finally {
    await clients.close();
    await systems.stop();
  }
}

async function medianOf(first: number, count: number, seconds: (index: number) => Promise<number>): Promise<number> {
  const measured: number[] = [];
  for (let index = first; index < first + count; index += 1) measured.push(await seconds(index));
  return median(measured);
}

function soonLines(profile: ProfileName, { webhook, sink, calls, membership }: Soon): Result[] {
  const atMost = DEFAULT_INTERVALS.watchSeconds + membership - WATCH_SECONDS;
  const line = { row: "how-soon", baseline: `its calls alone: ${calls.toFixed(2)} s` };
  const who = `new person with ${GROUPS_EACH} groups`;
  return [
    {
      ...line,
      measured: `${who}, Nextcloud ${profile}`,
      figures: `${webhook.toFixed(2)} s after the webhook`,
      ratio: webhook / calls,
      target: { atMost: 2 },
      numbers: { seconds: webhook, calls },
    },
    {
      ...line,
      measured: `${who}, audit sink, Nextcloud ${profile}`,
      figures: `${sink.toFixed(2)} s after the delivery`,
      ratio: sink / calls,
      target: { atMost: 2 },
      numbers: { seconds: sink, calls },
    },
    {
      row: "how-soon",
      measured: `membership, group watch each ${WATCH_SECONDS} s, Nextcloud ${profile}`,
      figures: `${membership.toFixed(2)} s when it changes right after a look; with the default ${DEFAULT_INTERVALS.watchSeconds} s at most ${atMost.toFixed(1)} s`,
      baseline: `the interval: ${WATCH_SECONDS} s`,
      ratio: membership / WATCH_SECONDS,
      numbers: { seconds: membership, atMost },
    },
  ];
}

/** Requests to Clavex of one look, and of the light reconciliation that would see the same. */
export interface WatchRequests {
  idle: number;
  changed: number;
  light: number;
}

/** Counts them, in an organization whose groups have one member each. */
export async function watchRequests(groups: number): Promise<WatchRequests> {
  const clavex = await startSimulatedClavex();
  const organization = benchOrganization({ clavex: clavex.url, nextcloud: "http://127.0.0.1:9" });
  const database = openDatabase(undefined);
  const clients = createClients({ secrets: benchSecrets(), nextcloudConnections: 1 });
  let clock = Date.now();
  const dependencies = {
    organizations: fixedOrganizations([organization]),
    clients,
    ledger: createLedger(sqliteTable(database)),
    queue: { sendAll: async () => undefined },
    log: QUIET_LOG,
    counters: NO_COUNTERS,
    now: () => clock,
  };
  try {
    const hire = (index: number) =>
      clavex.addUser(slug, { email: `${index}@bench.example`, first_name: "Ada", last_name: String(index) });
    const [first, second] = [hire(1), hire(2)];
    const made = Array.from({ length: groups }, (_, index) => clavex.addGroup(slug, `Bench ${index}`));
    for (const { id } of made) clavex.addMember(slug, id, first.id);
    const watch = createWatch(dependencies);
    const count = async (run: () => Promise<unknown>): Promise<number> => {
      clock += MINUTE;
      const before = clavex.requests.length;
      await run();
      return clavex.requests.length - before;
    };
    for (let read = 0; read < groups; read += MOST_READ) await count(() => watch(slug));
    const idle = await count(() => watch(slug));
    for (const { id } of made.slice(0, CHANGED)) clavex.addMember(slug, id, second.id);
    const changed = await count(() => watch(slug));
    clock += 2 * 60 * MINUTE;
    const light = await count(() => createReconcile(dependencies)(slug, "light"));
    return { idle, changed, light };
  } finally {
    await clients.close();
    database.close();
    await clavex.close();
  }
}

function watchLine(groups: number, requests: WatchRequests): Result {
  const { idle, changed, light } = requests;
  return {
    row: "how-soon",
    measured: `group watch of ${groups} groups, requests to Clavex`,
    figures: `${idle} a minute, ${changed} when ${CHANGED} groups have changed`,
    baseline: `light reconciliation, which reads all members: ${light}`,
    ratio: idle / light,
    numbers: { ...requests },
  };
}
