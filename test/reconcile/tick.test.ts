import { describe, expect, test } from "vitest";
import type { Organizations } from "../../functions/config/organizations.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { aboutWhom } from "../../functions/core/job.ts";
import { DEFAULT_INTERVALS, type Intervals, LOCK_MS, type RunKind, TICK_MS } from "../../functions/core/schedule.ts";
import { createReconcile } from "../../functions/reconcile/reconcile.ts";
import { createReport, createScheduledRun, createTick, type TickDependencies } from "../../functions/reconcile/tick.ts";
import { createWatch } from "../../functions/reconcile/watch.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const { build } = useOrganizations();

/** The schedule of a company, as one process has it. `began` is what it began, in order. */
function scheduleOf(
  company: Company,
  changes: Partial<TickDependencies> = {},
  intervals: Intervals = DEFAULT_INTERVALS,
) {
  const { dependencies } = company;
  const began: RunKind[] = [];
  const run = createScheduledRun({
    ...dependencies,
    reconcile: createReconcile(dependencies),
    watch: createWatch(dependencies),
  });
  const tick = createTick({
    ...dependencies,
    intervals,
    report: createReport(dependencies),
    run: async (slug, kind) => {
      began.push(kind);
      await run(slug, kind);
    },
    ...changes,
  });
  return { tick, began };
}

/** Ticks once a minute for so long. */
async function ticking(company: Company, tick: () => Promise<void>, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += TICK_MS) {
    company.clock.now += TICK_MS;
    await tick();
  }
}

const done = (company: Company, kind: RunKind): number =>
  company.lines.filter(({ message, fields }) => message === "reconcile" && fields.mode === kind).length;

describe("a tick", () => {
  test("runs at once what is due at the start, and nothing twice", async () => {
    const company = withPipeline(await build());
    const ada = company.person({}, ["eng"]);
    const { tick, began } = scheduleOf(company);
    await tick();
    expect(began).toEqual(["full", "watch"]);
    await company.work();
    expect(company.groupsOf(ada)).toEqual(["eng"]);
    await tick();
    expect(began).toEqual(["full", "watch"]);
    const { full } = await company.ledger.runs.of(company.slug);
    expect(full).toMatchObject({ result: "done", doneAt: full?.beganAt });
  });

  test("a minute later: a membership arrives without any webhook", async () => {
    const company = withPipeline(await build());
    const ada = company.person();
    const { tick, began } = scheduleOf(company);
    await tick();
    await company.work();
    company.assign(ada, "eng");
    began.length = 0;
    await ticking(company, tick, MINUTE);
    expect(began).toEqual(["watch"]);
    await company.work();
    expect(company.groupsOf(ada)).toEqual(["eng"]);
  });

  test("within the hour: a member who left while another joined", async () => {
    const company = withPipeline(await build());
    const [ada, grace] = [company.person({}, ["eng"]), company.person()];
    const { tick } = scheduleOf(company, {}, { ...DEFAULT_INTERVALS, lightMinutes: 0 });
    await tick();
    await company.work();
    company.unassign(ada, "eng");
    company.assign(grace, "eng");
    company.sent.length = 0;
    await ticking(company, tick, HOUR);
    expect(company.sent.map(aboutWhom).sort()).toEqual([ada.id, grace.id].sort());
  });

  test("runs every kind at its interval, and the full run in place of a light one", async () => {
    const company = withPipeline(await build());
    const { tick, began } = scheduleOf(company, {}, { watchSeconds: 0, lightMinutes: 10, fullHours: 1 });
    await tick();
    await ticking(company, tick, 2 * HOUR);
    const hour = ["light", "light", "light", "light", "light", "full"];
    expect(began).toEqual(["full", ...hour, ...hour]);
  });

  test("two schedules of one deployment make each full run once, and lose none", async () => {
    const company = withPipeline(await build());
    const intervals = { watchSeconds: 0, lightMinutes: 0, fullHours: 24 };
    const [one, two] = [scheduleOf(company, {}, intervals), scheduleOf(company, {}, intervals)];
    await Promise.all([one.tick(), two.tick()]);
    for (let day = 1; day <= 3; day += 1) {
      company.clock.now += DAY - HOUR;
      await ticking(company, () => Promise.all([one.tick(), two.tick()]).then(() => undefined), HOUR + MINUTE);
    }
    expect(done(company, "full")).toBe(4);
  });

  test("a restart every day, at any time of the day, keeps the daily full run", async () => {
    const company = withPipeline(await build());
    for (let day = 0; day < 4; day += 1) {
      const { tick } = scheduleOf(company);
      await tick();
      await ticking(company, tick, 3 * MINUTE);
      expect(done(company, "full")).toBe(day + 1);
      company.clock.now += DAY - 3 * MINUTE;
    }
  });

  test("a run that finds another one is logged and counted, and tried again by the next tick", async () => {
    const company = withPipeline(await build());
    const { tick, began } = scheduleOf(company, {}, { ...DEFAULT_INTERVALS, watchSeconds: 0 });
    const { now } = company.clock;
    const release = await company.ledger.locks.take(company.slug, "reconcile", now, now + LOCK_MS.full);
    await tick();
    expect(company.counted).toEqual(["ReconcileBusy"]);
    expect(company.lines).toEqual([
      { level: "info", message: "reconcile busy", fields: expect.objectContaining({ mode: "full" }) },
    ]);
    expect(await company.ledger.runs.of(company.slug)).toEqual({});
    await release?.();
    await ticking(company, tick, MINUTE);
    expect(began).toEqual(["full", "full"]);
    expect(done(company, "full")).toBe(1);
  });

  test("a run that was killed is made up for when its lock is over", async () => {
    const company = withPipeline(await build());
    const { tick, began } = scheduleOf(company, {}, { watchSeconds: 0, lightMinutes: 0, fullHours: 24 });
    await company.ledger.locks.take(company.slug, "reconcile", company.clock.now, company.clock.now + LOCK_MS.full);
    company.clock.now += 1;
    await company.ledger.runs.put(company.slug, "full", { beganAt: company.clock.now });
    await ticking(company, tick, LOCK_MS.full - MINUTE);
    expect(began).toEqual([]);
    await ticking(company, tick, 2 * MINUTE);
    expect(done(company, "full")).toBe(1);
    expect(company.counted).toEqual([]);
  });
});

describe("a tick, for the alarms", () => {
  const ages = ({ measured }: Company) => measured.filter(([name]) => name === "ReconcileAge").map(([, age]) => age);

  test("says how long ago a reconciliation began that came to its end", async () => {
    const company = withPipeline(await build());
    const { tick } = scheduleOf(company);
    await tick();
    expect(ages(company)).toEqual([]);
    await ticking(company, tick, 5 * MINUTE);
    expect(ages(company)).toEqual([60, 120, 180, 240, 300]);
    company.clavex.faults.add({ kind: "status", status: 503 });
    await ticking(company, tick, 2 * HOUR);
    expect(Math.max(...ages(company))).toBeGreaterThanOrEqual(2 * 60 * 60);
  });

  test("says nothing of an organization that is paused, or was resumed just now", async () => {
    const company = withPipeline(await build());
    const { tick } = scheduleOf(company);
    await tick();
    await company.ledger.pauses.put(company.slug, { paused: true, at: company.clock.now });
    await ticking(company, tick, 3 * HOUR);
    expect(ages(company)).toEqual([]);
    await company.ledger.pauses.put(company.slug, { paused: false, at: company.clock.now });
    await ticking(company, tick, MINUTE);
    expect(Math.max(...ages(company))).toBeLessThanOrEqual(60);
  });
});

describe("failures", () => {
  test("of a run are logged and counted; it is tried again, and light runs go on", async () => {
    const company = withPipeline(await build());
    const { tick, began } = scheduleOf(company, {}, { ...DEFAULT_INTERVALS, watchSeconds: 0 });
    company.person();
    await company.nextcloud.down();
    await tick();
    expect(company.counted).toEqual(["ReconcileFailures"]);
    expect(company.lines.at(-1)).toMatchObject({
      level: "error",
      message: "reconcile failed",
      fields: { mode: "full", code: "nextcloud-unavailable" },
    });
    await company.nextcloud.up();
    await ticking(company, tick, HOUR + MINUTE);
    expect([began.slice(0, 2), began.filter((kind) => kind === "full").length]).toEqual([["full", "light"], 2]);
    expect(done(company, "full")).toBe(1);
  });

  test("of a watch are a warning, counted apart: they raise no alarm", async () => {
    const company = withPipeline(await build());
    const { tick } = scheduleOf(company, {}, { watchSeconds: 60, lightMinutes: 0, fullHours: 0 });
    company.clavex.faults.add({ kind: "status", status: 503 });
    await tick();
    company.clavex.faults.clear();
    expect(company.counted).toEqual(["WatchFailures"]);
    expect(company.lines).toMatchObject([{ level: "warn", message: "reconcile failed", fields: { mode: "watch" } }]);
    await ticking(company, tick, MINUTE);
    expect((await company.ledger.runs.of(company.slug)).watch).toMatchObject({ result: "done" });
  });

  test("of a broken document are reported as often as its runs would be, not every minute", async () => {
    const company = withPipeline(await build());
    const broken: Organizations = {
      slugs: async () => [company.slug],
      get: () => Promise.reject(new ConfigurationError("organization-invalid", ["slug: is missing"])),
    };
    const { tick, began } = scheduleOf(company, { organizations: broken });
    await tick();
    await ticking(company, tick, 30 * MINUTE);
    expect(began).toEqual([]);
    expect(new Set(company.counted)).toEqual(new Set(["ConfigurationErrors"]));
    expect(company.counted.length).toBeLessThanOrEqual(5);
  });

  test("of the list of organizations are reported, and the next tick goes on", async () => {
    const company = withPipeline(await build());
    let failing = true;
    const organizations: Organizations = {
      ...company.dependencies.organizations,
      slugs: async () =>
        failing ? Promise.reject(new ConfigurationError("organizations-unreadable", ["no"])) : [company.slug],
    };
    const { tick, began } = scheduleOf(company, { organizations });
    await tick();
    expect([began, company.counted]).toEqual([[], ["ConfigurationErrors"]]);
    failing = false;
    await tick();
    expect(began).toEqual(["full", "watch"]);
  });
});

describe("several organizations", () => {
  /** So many organizations with the same clients; what is due is only noted. */
  async function several(slugs: string[], run: TickDependencies["run"]) {
    const company = withPipeline(await build());
    const named = (slug: string) => `${company.slug}-${slug}`;
    const organizations: Organizations = {
      slugs: async () => slugs.map(named),
      get: async (slug) => ({ ...company.organization, slug }),
    };
    return scheduleOf(company, { organizations, run: (slug, kind) => run(slug.replace(`${company.slug}-`, ""), kind) });
  }

  test("a slow one holds no other up, and they are worked on four at a time", async () => {
    const events: string[] = [];
    let release = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    let [underWay, most] = [0, 0];
    const { tick } = await several(["a", "b", "c", "d", "e", "f", "g", "h"], async (slug, kind) => {
      if (kind === "watch") return;
      underWay += 1;
      most = Math.max(most, underWay);
      if (slug === "a") await slow;
      await new Promise((resolve) => setImmediate(resolve));
      events.push(slug);
      underWay -= 1;
      if (slug === "h") release();
    });
    await tick();
    expect(events.at(-1)).toBe("a");
    expect(events.toSorted()).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
    expect(most).toBeLessThanOrEqual(4);
  });

  test("one whose ledger cannot be read is reported, the others are looked at", async () => {
    const company = withPipeline(await build());
    const slugs = ["a", "b"].map((name) => `${company.slug}-${name}`);
    const organizations: Organizations = {
      slugs: async () => slugs,
      get: async (slug) => ({ ...company.organization, slug }),
    };
    const ran: string[] = [];
    const { tick } = scheduleOf(company, {
      organizations,
      run: async (slug) => void ran.push(slug),
      ledger: {
        ...company.ledger,
        runs: {
          ...company.ledger.runs,
          of: (slug) => (slug === slugs[0] ? Promise.reject(new Error("broken")) : company.ledger.runs.of(slug)),
        },
      },
    });
    await tick();
    expect(new Set(ran)).toEqual(new Set([slugs[1]]));
    expect(company.lines.find(({ level }) => level === "error")).toMatchObject({
      message: "reconcile failed",
      fields: { mode: "tick", organization: slugs[0], code: "unexpected", problem: "Error" },
    });
  });
});
