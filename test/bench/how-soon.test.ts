import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { monthlyCost, PRICES, TICK, WATCH } from "../../bench/aws-cost.ts";
import { benchOrganization, benchSecrets } from "../../bench/organization.ts";
import { NO_COUNTERS, QUIET_LOG } from "../../bench/quiet.ts";
import { watchRequests } from "../../bench/rows/how-soon.ts";
import { createClients } from "../../functions/clients.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { lookAt } from "../../functions/core/group-watch.ts";
import { DEFAULT_INTERVALS, NEVER, TICK_MS } from "../../functions/core/schedule.ts";
import { openDatabase } from "../../functions/database.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import type { Table } from "../../functions/ledger/table.ts";
import { createTick } from "../../functions/reconcile/tick.ts";
import { createWatch } from "../../functions/reconcile/watch.ts";
import { startSimulatedClavex } from "../../functions/simulated/clavex.ts";

const read = (page: string): string => readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");
const table = read("README.md").split("## How soon")[1]?.split("\n## ")[0] ?? "";
const costs = read("docs/deploy.md").split("## What it costs")[1]?.split("\n## ")[0]?.replaceAll(/\s+/g, " ") ?? "";

const MINUTE = 60_000;

describe("README's table How soon", () => {
  const row = (beginning: string): string => table.split("\n").find((line) => line.startsWith(`| ${beginning}`)) ?? "";

  it("says how often memberships are looked at, and how late the watch sees one that changes no count", () => {
    expect(row("group membership")).toMatch(/about a minute .*within the hour/);
    expect(DEFAULT_INTERVALS.watchSeconds * 1000).toBe(TICK_MS);
    expect(TICK_MS).toBe(MINUTE);
    const group = { id: "g", name: "eng", count: 3, readAt: 0 };
    const listed = { id: "g", name: "eng", memberCount: 3 };
    const reads = (minutes: number) => lookAt([group], [listed], minutes * MINUTE).read;
    expect(reads(1)).toEqual([]);
    expect(reads(60)).toEqual([listed]);
  });

  it("says what the group watch costs on AWS", () => {
    expect(table.replaceAll(/\s+/g, " ")).toContain(`on AWS it costs ${monthlyCost(WATCH).toFixed(2)} dollars a month`);
  });

  it("says how often reconciliations run", () => {
    expect(row("attributes")).toContain(`${DEFAULT_INTERVALS.lightMinutes} minutes`);
    expect(row("something changed in Nextcloud itself")).toContain(`${DEFAULT_INTERVALS.fullHours} hours`);
  });
});

describe("the group watch", () => {
  it.each([
    [10, { idle: 1, changed: 6, light: 12 }],
    [200, { idle: 1, changed: 6, light: 202 }],
    [201, { idle: 2, changed: 7, light: 204 }],
  ])("of %i groups costs Clavex one request a minute for each 200, and one for each group that changed", async (groups, requests) => {
    expect(await watchRequests(groups)).toEqual(requests);
  });

  it("reads and writes the table as often as is counted for AWS", async () => {
    expect(await ledgerCallsOfAMinute()).toEqual({
      reads: WATCH.reads + TICK.reads,
      writes: WATCH.writes + TICK.writes,
    });
  });

  it("costs on AWS what docs/deploy.md says, at the prices that it states", () => {
    const { call, second, write, read: readPrice } = PRICES;
    expect(costs).toContain(`calls ${(call * 1e6).toFixed(2)} per million, function time ${second} per GB-second`);
    expect(costs).toContain(`table writes ${write * 1e6} and reads ${readPrice * 1e6} per million`);
    expect(costs).toContain(
      `0.046 = ${(monthlyCost(TICK) + monthlyCost(WATCH)).toFixed(2)}, and ${monthlyCost(WATCH).toFixed(2)} more`,
    );
    expect(costs).toContain(`\`watch\` \`false\` leaves ${monthlyCost(TICK).toFixed(2)} of it`);
  });
});

/** How often a tick, and the watch that it starts, call the table for an organization that was resumed and where nothing changes. */
async function ledgerCallsOfAMinute(): Promise<{ reads: number; writes: number }> {
  const clavex = await startSimulatedClavex();
  const organization = benchOrganization({ clavex: clavex.url, nextcloud: "http://127.0.0.1:9" });
  const { slug } = organization;
  const database = openDatabase(undefined);
  const calls = { reads: 0, writes: 0 };
  const clients = createClients({ secrets: benchSecrets(), nextcloudConnections: 1 });
  let clock = Date.now();
  const dependencies = {
    organizations: fixedOrganizations([organization]),
    clients,
    ledger: createLedger(counted(sqliteTable(database), calls)),
    startsPaused: true,
    queue: { sendAll: async () => undefined },
    log: QUIET_LOG,
    counters: NO_COUNTERS,
    now: () => clock,
  };
  try {
    clavex.addGroup(slug, "Engineering");
    await dependencies.ledger.pauses.put(slug, { paused: false, at: clock });
    const watch = createWatch(dependencies);
    const run = async (): Promise<void> => void (await watch(slug));
    const intervals = { ...NEVER, watchSeconds: DEFAULT_INTERVALS.watchSeconds };
    const tick = createTick({ ...dependencies, intervals, run, report: () => undefined });
    await tick();
    clock += MINUTE;
    Object.assign(calls, { reads: 0, writes: 0 });
    await tick();
    return calls;
  } finally {
    await clients.close();
    database.close();
    await clavex.close();
  }
}

function counted(table: Table, calls: { reads: number; writes: number }): Table {
  const counting = <P extends unknown[], R>(kind: "reads" | "writes", call: (...parameters: P) => R) => {
    return (...parameters: P): R => {
      calls[kind] += 1;
      return call(...parameters);
    };
  };
  return {
    get: counting("reads", table.get),
    put: counting("writes", table.put),
    delete: counting("writes", table.delete),
    query: counting("reads", table.query),
    count: counting("reads", table.count),
  };
}
