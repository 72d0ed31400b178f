import * as z from "zod";
import type { WatchedGroup, WatchedGroups } from "../core/group-watch.ts";
import { ALWAYS, getItem, type Key, queryItems, type Table } from "./table.ts";

const listSchema = z.object({
  groups: z.array(z.object({ id: z.string(), name: z.string(), count: z.number(), readAt: z.number() })),
  complete: z.boolean(),
});
const membersSchema = z.object({ subjects: z.array(z.string()) });

/** What the group watch remembers: the groups with their counts apart from their members, which are read only on a change. */
export interface GroupMemory {
  /** The groups; none, and not complete, before the first look. */
  groups(organization: string): Promise<WatchedGroups>;
  putGroups(organization: string, groups: WatchedGroups): Promise<void>;
  /** The subjects of a group's members; none for a group that is not remembered. */
  members(organization: string, id: string): Promise<string[]>;
  putMembers(organization: string, id: string, subjects: readonly string[]): Promise<void>;
  /** How many entries of the ledger hold this many members. */
  entriesOf(members: number): number;
  forgetMembers(organization: string, id: string): Promise<void>;
}

/** Far below the 400 KB that one item of DynamoDB may have. */
const MOST_BYTES = 250_000;
/** A subject is a UUID: 36 bytes, and three of packing. */
const SUBJECTS_PER_ITEM = 6_000;

export function createGroupMemory(table: Table): GroupMemory {
  const keyOf = (organization: string, prefix: string, chunk: number): Key => ({
    partition: organization,
    sort: `${prefix}${String(chunk).padStart(5, "0")}`,
  });

  /** Writes the chunks, and deletes those that an earlier, larger value left behind. */
  async function putChunks(organization: string, prefix: string, chunks: Record<string, unknown>[]): Promise<void> {
    for (const [index, chunk] of chunks.entries()) await table.put(keyOf(organization, prefix, index), chunk, ALWAYS);
    for (let index = chunks.length; ; index += 1) {
      const key = keyOf(organization, prefix, index);
      if ((await getItem(table, key, z.looseObject({}))) === undefined) return;
      await table.delete(key, ALWAYS);
    }
  }

  const LIST = "groups#";
  const membersOf = (id: string): string => `members#${id}#`;
  return {
    async groups(organization) {
      const list: WatchedGroups = { groups: [], complete: false };
      for await (const page of queryItems(table, organization, LIST, listSchema)) {
        for (const { value } of page) {
          list.groups.push(...value.groups);
          list.complete = value.complete;
        }
      }
      return list;
    },
    putGroups: (organization, { groups, complete }) =>
      putChunks(
        organization,
        LIST,
        bySize(groups).map((chunk) => ({ groups: chunk, complete })),
      ),
    async members(organization, id) {
      const subjects: string[] = [];
      for await (const page of queryItems(table, organization, membersOf(id), membersSchema))
        for (const { value } of page) for (const subject of value.subjects) subjects.push(subject);
      return subjects;
    },
    async putMembers(organization, id, subjects) {
      const chunks = Array.from({ length: entriesOf(subjects.length) }, (_, index) => ({
        subjects: subjects.slice(index * SUBJECTS_PER_ITEM, (index + 1) * SUBJECTS_PER_ITEM),
      }));
      await putChunks(organization, membersOf(id), chunks);
    },
    entriesOf,
    forgetMembers: (organization, id) => putChunks(organization, membersOf(id), []),
  };
}

function entriesOf(members: number): number {
  return Math.ceil(members / SUBJECTS_PER_ITEM);
}

/** Cut so that each part fits into one item; one part at least, to remember that there was a look. */
function bySize(groups: readonly WatchedGroup[]): WatchedGroup[][] {
  const chunks: WatchedGroup[][] = [[]];
  let bytes = 0;
  for (const group of groups) {
    const size = Buffer.byteLength(JSON.stringify(group));
    if (bytes + size > MOST_BYTES) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)?.push(group);
    bytes += size;
  }
  return chunks;
}
