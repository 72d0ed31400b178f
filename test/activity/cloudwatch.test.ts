import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createCloudWatchActivities } from "../../functions/activity/cloudwatch.ts";
import { recording } from "../../functions/activity/recorder.ts";
import { type Activity, activityInWords } from "../../functions/core/activity.ts";
import { jsonLog } from "../../functions/telemetry/log.ts";
import { type Logs, startLogs } from "../support/logs.ts";

const NOW = Date.UTC(2026, 10, 26, 14);
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const ADA = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const [RECEIVE, PROVISION] = ["/clavex-nextcloud/dev/receive", "/clavex-nextcloud/dev/provision"];

let logs: Logs;
let now = NOW;
beforeAll(async () => {
  logs = await startLogs();
});
afterAll(() => logs.close());
beforeEach(() => {
  logs.asked.length = 0;
});

/** Each test has log groups of its own. */
let stages = 0;
function stage() {
  stages += 1;
  const name = String(stages);
  const groups = [`${RECEIVE}${name}`, `${PROVISION}${name}`] as const;
  return {
    groups,
    activities: createCloudWatchActivities(logs.client, groups, () => now),
    /** A line as the function's log writes it. */
    put(which: 0 | 1, at: number, message: string, fields: Record<string, unknown>, level: "info" | "debug" = "info") {
      const log = jsonLog("clavex-nextcloud-test", (line) => logs.put(groups[which], at, line), "debug");
      log[level](message, { organization: "acme", ...fields });
    },
  };
}
const shown = ({ activities }: { activities: Activity[] }) =>
  activities.map((each) => `${(NOW - each.at) / MINUTE} ${each.result} ${activityInWords(each)}`);

describe("the activities of a stage", () => {
  it("are what the functions' logs tell, of all functions, in the order of time", async () => {
    const { put, activities, groups } = stage();
    put(1, NOW - 2 * MINUTE, "job", {
      subject: ADA,
      event: "user.created",
      result: "applied",
      operations: ["disable"],
    });
    put(0, NOW - 3 * MINUTE, "delivery", { subject: ADA, event: "user.created", status: "queued" });
    logs.put(groups[1], NOW - MINUTE, "START RequestId: 1");
    logs.put(groups[1], NOW - MINUTE, "[1]");
    put(1, NOW - MINUTE, "job failed", { group: `acme#${ADA}`, problem: "a circuit is open" }, "debug");
    expect(shown(await activities.last({}, 10))).toEqual([
      "3 queued delivered and queued",
      "2 applied account disabled",
    ]);
  });

  it("are looked for step by step into the past, and only as far as needed", async () => {
    const { put, activities } = stage();
    put(1, NOW - 40 * MINUTE, "job", { subject: ADA, result: "unchanged" });
    put(1, NOW - 5 * MINUTE, "job", { subject: ADA, result: "unchanged" });
    expect(shown(await activities.last({}, 1))).toEqual(["5 unchanged in sync already"]);
    expect(Math.min(...logs.asked.map(({ from }) => from))).toBe(NOW - 10 * MINUTE);
    expect(shown(await activities.last({}, 2))).toEqual([
      "40 unchanged in sync already",
      "5 unchanged in sync already",
    ]);
    logs.asked.length = 0;
    await activities.last({}, 3);
    expect(Math.min(...logs.asked.map(({ from }) => from))).toBe(NOW - 30 * DAY);
    logs.asked.length = 0;
    await activities.last({ since: NOW - 7 * MINUTE }, 3);
    expect(logs.asked.map(({ from }) => from)).toEqual([NOW - 7 * MINUTE, NOW - 7 * MINUTE]);
  });

  it("of a person, an organization or a result are asked for as far as CloudWatch understands, and chosen here", async () => {
    const { put, activities } = stage();
    put(1, NOW - 3 * MINUTE, "job", { organization: "north", subject: ADA, result: "unchanged" });
    put(1, NOW - 2 * MINUTE, "job failed", { organization: undefined, group: `acme#${ADA}`, problem: "no answer" });
    put(1, NOW - MINUTE, "job", { subject: ADA, result: "applied", operations: ["enable"] });
    expect(shown(await activities.last({ organization: "acme", subject: ADA }, 10))).toEqual([
      "2 retried attempt 1 failed, next one in 0 s: no answer",
      "1 applied account enabled",
    ]);
    expect(logs.asked[0]?.pattern).toContain(`($.subject = "${ADA}" || $.group = "*#${ADA}")`);
    expect(logs.asked[0]?.pattern).toContain('($.organization = "acme" || $.group = "acme#*")');
    expect(shown(await activities.last({ result: "applied" }, 10))).toEqual(["1 applied account enabled"]);
  });

  it("that come late are found by the next look, and none twice", async () => {
    const { put, activities } = stage();
    put(1, NOW - MINUTE / 2, "job", { subject: ADA, result: "unchanged" });
    const first = await activities.last({}, 10);
    put(1, NOW - MINUTE / 2, "job", { subject: ADA, result: "applied", operations: ["enable"] });
    now = NOW + MINUTE / 4;
    const second = await activities.after(first.next, {});
    expect(shown(second)).toEqual(["0.5 applied account enabled"]);
    expect(shown(await activities.after(second.next, {}))).toEqual([]);
    now = NOW;
  });

  it("that cannot be read are an error which says what to allow", async () => {
    const { activities } = stage();
    logs.fault = "AccessDeniedException";
    await expect(activities.last({}, 10)).rejects.toMatchObject({
      message: "the functions' logs cannot be read from CloudWatch (AccessDeniedException)",
      fix: "Allow logs:FilterLogEvents on the stage's log groups.",
    });
    logs.fault = undefined;
  });
});

describe("the recorder", () => {
  it("takes the lines of a log that tell of something, and leaves every line as it was", () => {
    const lines: string[] = [];
    const recorded: Activity[] = [];
    const plain = jsonLog("test", (line) => lines.push(line), "debug");
    const log = recording(
      plain,
      (activity) => recorded.push(activity),
      () => 5,
    );
    log.info("job", { organization: "acme", subject: ADA, result: "unchanged" });
    log.debug("job failed", { group: `acme#${ADA}` });
    log.warn("group watch held", { organization: "acme" });
    log.error("job failed", { group: `acme#${ADA}`, problem: "no answer" });
    expect(lines).toHaveLength(4);
    expect(recorded.map(({ at, result }) => [at, result])).toEqual([
      [5, "unchanged"],
      [5, "retried"],
    ]);
  });
});
