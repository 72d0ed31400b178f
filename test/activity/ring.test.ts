import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createActivityRing } from "../../functions/activity/ring.ts";
import type { Activity } from "../../functions/core/activity.ts";
import { type Database, openDatabase } from "../../functions/database.ts";
import { openState } from "../../functions/local/state.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
});
afterAll(() => rm(folder, { recursive: true }));

const activity = (at: number, fields: Partial<Activity> = {}): Activity => ({
  at,
  organization: "acme",
  kind: "job",
  result: "applied",
  cause: "manual",
  ...fields,
});
const several = (from: number, to: number, fields: Partial<Activity> = {}): Activity[] =>
  Array.from({ length: to - from }, (_, index) => activity(from + index, fields));
const times = ({ activities }: { activities: Activity[] }): number[] => activities.map(({ at }) => at);
const written = (database: Database): Promise<void> => database.write(() => undefined);
const rows = (database: Database): number =>
  Number(database.prepare("SELECT count(*) AS count FROM activity").get()?.count);

describe("the ring of activities", () => {
  it("gives the newest, the oldest of them first", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database);
    for (const each of several(0, 30)) ring.record(each);
    ring.flush();
    await written(database);
    expect(times(await ring.last({}, 3))).toEqual([27, 28, 29]);
    database.close();
  });

  it("goes on where a look ended", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database);
    ring.record(activity(1));
    ring.flush();
    await written(database);
    const first = await ring.last({}, 10);
    const nothing = await ring.after(first.next, {});
    expect([times(first), times(nothing)]).toEqual([[1], []]);
    ring.record(activity(2));
    ring.record(activity(3));
    ring.flush();
    await written(database);
    const later = await ring.after(nothing.next, {});
    expect(times(later)).toEqual([2, 3]);
    expect(times(await ring.after(later.next, {}))).toEqual([]);
    database.close();
  });

  it("finds those of one person, organization or result among all that are kept, and none before a time", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database);
    ring.record(activity(1, { subject: "ada", result: "parked" }));
    for (const each of several(2, 3_000, { organization: "north" })) ring.record(each);
    ring.record(activity(3_000, { subject: "ada" }));
    ring.flush();
    await written(database);
    expect(times(await ring.last({ subject: "ada" }, 10))).toEqual([1, 3_000]);
    expect(times(await ring.last({ organization: "acme", result: "parked" }, 10))).toEqual([1]);
    expect(times(await ring.last({ since: 2_998 }, 10))).toEqual([2_998, 2_999, 3_000]);
    expect(times(await ring.last({ organization: "north" }, 2_000))).toHaveLength(2_000);
    expect(times(await ring.after("0", { subject: "ada" }))).toEqual([1, 3_000]);
    database.close();
  });

  it("keeps as many as it is to keep, and goes in steps", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database, { size: 1_000 });
    for (let from = 0; from < 5_000; from += 100) {
      for (const each of several(from, from + 100)) ring.record(each);
      ring.flush();
      await written(database);
      expect(rows(database)).toBeLessThanOrEqual(1_500);
    }
    const kept = times(await ring.last({}, 10_000));
    expect([kept.at(0), kept.at(-1)]).toEqual([expect.any(Number), 4_999]);
    expect(kept.length).toBeGreaterThanOrEqual(1_000);
    database.close();
  });

  it("loses nothing while the file cannot be written, up to a bound, and disturbs nobody", async () => {
    const database = openDatabase(undefined);
    let works = false;
    const broken: Database = {
      ...database,
      write: (work) => (works ? database.write(work) : Promise.reject(new Error("the disk is full"))),
    };
    const ring = createActivityRing(broken, { mostWaiting: 3 });
    for (const each of several(0, 5)) ring.record(each);
    ring.flush();
    await new Promise((resolve) => setImmediate(resolve));
    expect(times(await ring.last({}, 10))).toEqual([]);
    works = true;
    ring.record(activity(5));
    ring.flush();
    await written(database);
    expect(times(await ring.last({}, 10))).toEqual([2, 3, 4, 5]);
    database.close();
  });

  it("passes over what a newer version wrote in another form", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database);
    await database.write(() =>
      database
        .prepare("INSERT INTO activity (organization, result, item) VALUES ('acme', 'exploded', ?)")
        .run(JSON.stringify({ ...activity(1), result: "exploded" })),
    );
    ring.record(activity(2));
    ring.flush();
    await written(database);
    expect([times(await ring.last({}, 10)), times(await ring.after("0", {}))]).toEqual([[2], [2]]);
    database.close();
  });

  it("is in the state file when that is closed, and another process reads it", async () => {
    const state = openState(folder);
    state.activities.record(activity(7));
    state.close();
    const [one, other] = [openState(folder), openState(folder)];
    expect(times(await one.activities.last({}, 10))).toEqual([7]);
    const { next } = await other.activities.last({}, 10);
    one.activities.record(activity(8));
    one.close();
    expect(times(await other.activities.after(next, {}))).toEqual([8]);
    other.close();
  });
});
