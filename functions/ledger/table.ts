import type * as z from "zod";
import { LedgerUnreadable } from "./errors.ts";

/** A stored item, without its key. */
export type Item = Record<string, unknown>;

/** Where an item is: its partition, and its place in it. */
export interface Key {
  partition: string;
  sort: string;
}

/** When an item may be written or deleted: judged against what is stored at that moment, in one step with the change. */
export type Condition =
  | { when: "always" }
  | { when: "absent" }
  | { when: "equal"; field: string; value: string | number }
  | { when: "at-most"; field: string; value: number }
  | { when: "absent-or-outside"; field: string; low: number; high: number };

/**
 * One table with a partition key and a sort key: all that an adapter of the ledger has to be. Reads are consistent. Every
 * method throws LedgerUnavailable.
 */
export interface Table {
  get(key: Key): Promise<Item | undefined>;
  /** Replaces the item; fields that are undefined are not stored. Returns false when the condition does not hold. */
  put(key: Key, item: Item, condition: Condition): Promise<boolean>;
  /** Returns false when the condition does not hold. */
  delete(key: Key, condition: Condition): Promise<boolean>;
  /**
   * All items of a partition whose sort key begins with the prefix, page by page, in the order of their sort keys.
   *
   * @param pageSize the most items of a page; the adapter's own where it is left out
   */
  query(partition: string, prefix: string, pageSize?: number): AsyncGenerator<{ sort: string; item: Item }[]>;
  /**
   * How many of these items there are, or have this value in a field: each of them is read for it.
   *
   * @param most ends the count: it is the answer where there are as many or more
   */
  count(partition: string, prefix: string, options?: CountOptions): Promise<number>;
}

export interface CountOptions {
  having?: { field: string; value: string };
  most?: number | undefined;
}

/** The names of the key attributes in the stored table. */
export const TABLE_KEYS = { partition: "partition", sort: "sort" } as const;

export const ALWAYS: Condition = { when: "always" };
export const ABSENT: Condition = { when: "absent" };

/** The condition for writing on top of the revision that was read; 0 when there was no item. */
export function onTopOf(revision: number): Condition {
  return revision === 0 ? ABSENT : { when: "equal", field: "revision", value: revision };
}

/** @throws {LedgerUnreadable} when the item has another form */
export function read<T>(schema: z.ZodType<T>, key: Key, item: Item): T {
  const result = schema.safeParse(item);
  if (result.success) return result.data;
  throw new LedgerUnreadable(`${key.partition} ${key.sort}`);
}

/** Reads one item, or undefined. */
export async function getItem<T>(table: Table, key: Key, schema: z.ZodType<T>): Promise<T | undefined> {
  const item = await table.get(key);
  return item === undefined ? undefined : read(schema, key, item);
}

/**
 * The fields of an item that this version has no name for: a newer one wrote them, and they outlive a rewrite.
 *
 * @param schema of what this version knows
 */
export function foreignFields(schema: z.ZodObject, item: Item = {}): Item {
  return Object.fromEntries(Object.entries(item).filter(([name]) => !Object.hasOwn(schema.shape, name)));
}

/** Reads the items below a prefix, page by page. */
export async function* queryItems<T>(
  table: Table,
  partition: string,
  prefix: string,
  schema: z.ZodType<T>,
  pageSize?: number,
): AsyncGenerator<{ sort: string; value: T }[]> {
  for await (const page of table.query(partition, prefix, pageSize))
    yield page.map(({ sort, item }) => ({ sort, value: read(schema, { partition, sort }, item) }));
}

/** Writes the item if it does not exist yet, and returns the stored one. */
export async function putOnce<T extends object>(
  table: Table,
  key: Key,
  value: T,
  schema: z.ZodType<T>,
): Promise<{ value: T; written: boolean }> {
  if (await table.put(key, value as Item, ABSENT)) return { value, written: true };
  const before: T | undefined = await getItem(table, key, schema);
  return { value: before ?? value, written: false };
}
