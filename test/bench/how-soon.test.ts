import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { monthlyCost, PRICES, TICK, WATCH } from "../../bench/aws-cost.ts";
import { watchRequests } from "../../bench/rows/how-soon.ts";
import { lookAt } from "../../functions/core/group-watch.ts";
import { DEFAULT_INTERVALS, TICK_MS } from "../../functions/core/schedule.ts";

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

  it("costs on AWS what docs/deploy.md says, at the prices that it states", () => {
    const { call, second, write, read: readPrice } = PRICES;
    expect(costs).toContain(`calls ${(call * 1e6).toFixed(2)} per million, function time ${second} per GB-second`);
    expect(costs).toContain(`table writes ${write * 1e6} and reads ${readPrice * 1e6} per million`);
    expect(costs).toContain(
      `0.04 = ${(monthlyCost(TICK) + monthlyCost(WATCH)).toFixed(2)}, and ${monthlyCost(WATCH).toFixed(2)} more`,
    );
    expect(costs).toContain(`\`watch\` \`false\` leaves ${monthlyCost(TICK).toFixed(2)} of it`);
  });
});
