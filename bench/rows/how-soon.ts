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

const PEOPLE = 12;
const GROUPS_EACH = 3;
const GROUP_COUNTS = [10, 200] as const;
/** Groups that somebody joins before a look. */
const CHANGED = 5;
const MINUTE = 60_000;
const { slug } = DEFAULT_ORGANIZATION;

/**
 * How soon a change is in Nextcloud, and what that costs. A new person: from the delivery until the account is as it should be,
 * with Nextcloud as slow as the measured one, against its calls alone. A membership: the watch's interval, and then the same. The
 * watch: its requests to Clavex, against the light reconciliation that it spares, and its dollars on AWS.
 */
export async function howSoon({ onProgress }: BenchOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const profile of ["27", "34"] as const) {
    onProgress(`${PEOPLE} new people, one by one, with Nextcloud ${profile}`);
    results.push(webhookLine(profile, await webhook(profile)));
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

interface Soon {
  /** Seconds from the delivery until the account is right, and those of the calls alone. */
  pipeline: number;
  calls: number;
}

async function webhook(profile: ProfileName): Promise<Soon> {
  const systems = startProcess<SystemsServices>("systems-process.ts");
  try {
    const urls = await systems.open(profile, 1);
    const people = await systems.hire(PEOPLE, GROUPS_EACH, GROUPS_EACH);
    const organization = benchOrganization(urls);
    const pipeline = await startPipeline({
      organizations: fixedOrganizations([organization]),
      secrets: benchSecrets(),
      log: QUIET_LOG,
      port: 0,
      intervals: NEVER,
    });
    try {
      const url = `${pipeline.url}/webhooks/clavex/${slug}`;
      const seconds: number[] = [];
      // The first one makes the groups.
      for (const [index] of people.slice(0, PEOPLE / 2).entries()) seconds.push(await systems.arrive(url, index));
      const server = { url: urls.nextcloud, username: "provisioner", password: DEFAULT_APP_PASSWORD };
      const { call, close } = connect(server, bareLoop);
      const alone: number[] = [];
      for (const person of people.slice(PEOPLE / 2)) {
        const started = performance.now();
        await bareLoop.callsFor(call, person);
        alone.push((performance.now() - started) / 1000);
      }
      await close();
      return { pipeline: median(seconds.slice(1)), calls: median(alone) };
    } finally {
      await pipeline.stop();
    }
  } finally {
    await systems.stop();
  }
}

function webhookLine(profile: ProfileName, { pipeline, calls }: Soon): Result {
  const watched = DEFAULT_INTERVALS.watchSeconds + pipeline;
  return {
    row: "how-soon",
    measured: `new person with ${GROUPS_EACH} groups, Nextcloud ${profile}`,
    figures: `${pipeline.toFixed(2)} s after the webhook; a membership at most ${watched.toFixed(0)} s`,
    baseline: `its calls alone: ${calls.toFixed(2)} s`,
    ratio: pipeline / calls,
    target: { atMost: 2 },
    numbers: { seconds: pipeline, calls, membershipAtMost: watched },
  };
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
