import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createCounters } from "../../functions/telemetry/metrics.ts";

const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
  // Powertools then writes to the console that a test can listen to.
  vi.stubEnv("POWERTOOLS_DEV", "true");
  vi.stubEnv("POWERTOOLS_METRICS_DISABLED", "false");
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const collected = () => ({ counters: createCounters("prod"), entries: () => lines.map((line) => JSON.parse(line)) });

it("writes what was counted as one line of CloudWatch's embedded metric format", () => {
  const { counters, entries } = collected();
  const before = Date.now();
  for (const counter of ["JobsApplied", "JobsParked", "JobsApplied"] as const) counters.count(counter);
  counters.measure("JobAge", 12.5);
  counters.flush();
  const [entry, ...others] = entries();
  expect(others).toEqual([]);
  const { Timestamp } = entry._aws;
  expect(entry).toEqual({
    _aws: {
      Timestamp,
      CloudWatchMetrics: [
        {
          Namespace: "ClavexNextcloud",
          Dimensions: [["service", "stage"]],
          Metrics: [
            { Name: "JobsApplied", Unit: "Count" },
            { Name: "JobsParked", Unit: "Count" },
            { Name: "JobAge", Unit: "Seconds" },
          ],
        },
      ],
    },
    service: "pipeline",
    stage: "prod",
    JobsApplied: 2,
    JobsParked: 1,
    JobAge: 12.5,
  });
  expect(Timestamp).toBeGreaterThanOrEqual(before);
  expect(Timestamp).toBeLessThanOrEqual(Date.now());
});

it("writes the largest of what was measured, and begins anew with each invocation", () => {
  const { counters, entries } = collected();
  for (const seconds of [3, 40, 5]) counters.measure("ReconcileAge", seconds);
  counters.flush();
  counters.measure("ReconcileAge", 4);
  counters.flush();
  expect(entries().map(({ ReconcileAge }) => ReconcileAge)).toEqual([40, 4]);
});

it("writes nothing when nothing was counted", () => {
  const { counters, entries } = collected();
  counters.flush();
  counters.count("Ticks");
  counters.flush();
  counters.flush();
  expect(entries()).toHaveLength(1);
});
