import { type Activity, type ActivityFilter, activitySchema, matchesActivity } from "../core/activity.ts";
import type { Database } from "../database.ts";
import type { ActivityLog, RecordActivity } from "./activity-log.ts";

/** What happened lately, in the state file. */
export interface ActivityRing extends ActivityLog {
  record: RecordActivity;
  /** Hands what waits in memory to the state file; closing that writes it. */
  flush(): void;
}

export interface RingOptions {
  /** How many are kept. */
  size?: number;
  /** The maximum kept in memory while the state file cannot be written. */
  mostWaiting?: number;
}

const SIZE = 50_000;
const MOST_WAITING = 10_000;
/** How long they are collected into one write: a transaction for each would wait for the disk every time. */
const WRITE_AFTER_MS = 250;
/** The oldest are deleted in batches: each deletion costs a look-up at the other end of the table. */
const TRIM_EVERY = 500;
/** Activities per page. */
const PAGE = 1_000;

const ADD = "INSERT INTO activity (organization, subject, result, item) VALUES (?, ?, ?, ?)";
const TRIM = "DELETE FROM activity WHERE sequence <= (SELECT max(sequence) FROM activity) - ?";
const END = "SELECT coalesce(max(sequence), 0) AS sequence FROM activity";

/** The activities of the pipeline on one machine. Several processes may add to them and read them. */
export function createActivityRing(database: Database, options: RingOptions = {}): ActivityRing {
  const { size = SIZE, mostWaiting = MOST_WAITING } = options;
  let waiting: Activity[] = [];
  let timer: NodeJS.Timeout | undefined;
  let untrimmed = TRIM_EVERY;

  function insert(activities: readonly Activity[]): void {
    const add = database.prepare(ADD);
    for (const activity of activities)
      add.run(activity.organization, activity.subject ?? null, activity.result, JSON.stringify(activity));
    untrimmed += activities.length;
    if (untrimmed < TRIM_EVERY) return;
    database.prepare(TRIM).run(size);
    untrimmed = 0;
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const batch = waiting;
    waiting = [];
    if (batch.length === 0) return;
    database
      .write(() => insert(batch))
      // The state file cannot be written: queue and ledger suffer more from that, and report it.
      .catch(() => {
        waiting = [...batch, ...waiting].slice(-mostWaiting);
      });
  }

  return {
    record(activity) {
      waiting.push(activity);
      timer ??= setTimeout(flush, WRITE_AFTER_MS).unref();
    },
    flush,
    async last(filter, most) {
      const since = filter.since ?? Number.NEGATIVE_INFINITY;
      const end = Number(database.read(() => database.prepare(END).get())?.sequence);
      const found: Activity[] = [];
      for (let before = end + 1; found.length < most; ) {
        const rows = select(database, filter, "older", before, Math.min(PAGE, most - found.length));
        const known = rows.flatMap(({ activity }) => activity ?? []);
        found.push(...known.filter(({ at }) => at >= since));
        const last = rows.at(-1);
        if (last === undefined || known.some(({ at }) => at < since)) break;
        before = last.sequence;
      }
      return { activities: found.reverse(), next: String(end) };
    },
    async after(next, filter) {
      const rows = select(database, filter, "newer", Number(next), PAGE);
      const known = rows.flatMap(({ activity }) => activity ?? []);
      const activities = known.filter((each) => matchesActivity(filter, each));
      return { activities, next: String(rows.at(-1)?.sequence ?? next) };
    },
  };
}

interface Row {
  sequence: number;
  /** Undefined for one that a newer version wrote in another form. */
  activity: Activity | undefined;
}

/** @param which those before this one, the newest first, or those after it, the oldest first */
function select(
  database: Database,
  filter: ActivityFilter,
  which: "older" | "newer",
  sequence: number,
  most: number,
): Row[] {
  const columns = ["organization", "subject", "result"] as const;
  // Only what is asked for: a condition that may be without effect would keep SQLite from using an index.
  const chosen = columns.flatMap((column) => (filter[column] === undefined ? [] : [{ column, value: filter[column] }]));
  const [comparison, order] = which === "older" ? ["<", "DESC"] : [">", "ASC"];
  const conditions = [...chosen.map(({ column }) => `${column} = ?`), `sequence ${comparison} ?`].join(" AND ");
  const sql = `SELECT sequence, item FROM activity WHERE ${conditions} ORDER BY sequence ${order} LIMIT ?`;
  const rows = database.read(() => database.prepare(sql).all(...chosen.map(({ value }) => value), sequence, most));
  return rows.map(({ sequence: number, item }) => ({
    sequence: Number(number),
    activity: activitySchema.safeParse(JSON.parse(String(item))).data,
  }));
}
