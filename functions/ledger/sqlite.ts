import { setImmediate } from "node:timers/promises";
import type { Database } from "../database.ts";
import { LedgerUnavailable } from "./errors.ts";
import type { Condition, Item, Key, Table } from "./table.ts";

/** Items per page of a query. */
const PAGE = 200;

const GET = "SELECT sort, item FROM ledger WHERE partition = ? AND sort = ?";
const PUT =
  "INSERT INTO ledger (partition, sort, item) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET item = excluded.item";
const DELETE = "DELETE FROM ledger WHERE partition = ? AND sort = ?";
// The byte FF is in no UTF-8 text: after the prefix it is more than everything that begins with the prefix.
const BELOW_PREFIX = "FROM ledger WHERE partition = ? AND sort >= ? AND sort < ? || CAST(x'ff' AS TEXT)";
const QUERY = `SELECT sort, item ${BELOW_PREFIX} ORDER BY sort LIMIT ?`;
/** A limit of -1 is none. */
const count = (rows: string): string => `SELECT count(*) AS count FROM (SELECT 1 ${rows} LIMIT ?)`;
const COUNT = count(BELOW_PREFIX);
const COUNT_HAVING = count(`${BELOW_PREFIX} AND item ->> ? = ?`);

/** The ledger's table in the state file; each item is one JSON text. */
export function sqliteTable(database: Database): Table {
  async function read<T>(work: () => T): Promise<T> {
    try {
      return database.read(work);
    } catch (error) {
      return unavailable(error);
    }
  }

  function stored({ partition, sort }: Key): Item | undefined {
    const row = database.prepare(GET).get(partition, sort);
    return row && withItem(row).item;
  }

  /** Judges the condition and makes the change in one transaction. */
  function change(key: Key, condition: Condition, make: () => void): Promise<boolean> {
    const judgeAndMake = () => {
      if (condition.when !== "always" && !holds(condition, stored(key))) return false;
      make();
      return true;
    };
    return database.write(judgeAndMake).catch(unavailable);
  }

  return {
    get: (key) => read(() => stored(key)),
    async put(key, item, condition) {
      const json = JSON.stringify(item);
      return change(key, condition, () => database.prepare(PUT).run(key.partition, key.sort, json));
    },
    delete: (key, condition) => change(key, condition, () => database.prepare(DELETE).run(key.partition, key.sort)),
    async *query(partition, prefix, pageSize = PAGE) {
      for (let from = prefix; ; ) {
        const page = await read(() => database.prepare(QUERY).all(partition, from, prefix, pageSize).map(withItem));
        yield page;
        const last = page.at(pageSize - 1);
        if (last === undefined) return;
        // No text lies between one and the same with NUL after it.
        from = `${last.sort}\0`;
        // Reading is synchronous: a long listing must let others work in between.
        await setImmediate();
      }
    },
    count: (partition, prefix, { having, most = -1 } = {}) =>
      read(() => {
        const below = [partition, prefix, prefix];
        const row = having
          ? database.prepare(COUNT_HAVING).get(...below, having.field, having.value, most)
          : database.prepare(COUNT).get(...below, most);
        return Number(row?.count);
      }),
  };
}

function withItem({ sort, item }: Record<string, unknown>): { sort: string; item: Item } {
  return { sort: String(sort), item: JSON.parse(String(item)) };
}

function holds(condition: Exclude<Condition, { when: "always" }>, item: Item | undefined): boolean {
  if (condition.when === "absent") return item === undefined;
  const found = item?.[condition.field];
  if (condition.when === "equal") return found === condition.value;
  if (condition.when === "absent-or-outside" && item === undefined) return true;
  if (typeof found !== "number") return false;
  return condition.when === "at-most" ? found <= condition.value : found < condition.low || found > condition.high;
}

function unavailable(error: unknown): never {
  throw new LedgerUnavailable(error);
}
