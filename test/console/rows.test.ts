import { BatchWriteCommand, DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newRecord, subjectItem } from "../../functions/core/record.ts";
import { openDatabase } from "../../functions/database.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger, type Ledger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { ALWAYS, type Item, type Key, TABLE_KEYS, type Table } from "../../functions/ledger/table.ts";
import { createMetrics } from "../../functions/local/metrics.ts";
import type { Answer } from "../../functions/simulated/server.ts";
import { type Desk, openDesk } from "../support/console.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { buildInMemory, type Tenant } from "../support/organization.ts";

const PEOPLE = 10_000;
const MOST_ROWS = 200;
/** Of one organization; dead letters are counted. */
const MOST_ROWS_OF_METRICS = 1_100;
const GROUPS = 40;

/** A ledger's table that many items can be put into at once. */
interface Storage {
  table: Table;
  putAll(items: { key: Key; item: Item }[]): Promise<void>;
  close(): Promise<unknown>;
}

async function sqlite(): Promise<Storage> {
  const database = openDatabase(undefined);
  const table = sqliteTable(database);
  const putAll = async (items: { key: Key; item: Item }[]) => {
    for (const { key, item } of items) await table.put(key, item, ALWAYS);
  };
  return { table, putAll, close: async () => database.close() };
}

async function dynamoDb(): Promise<Storage> {
  const { clients, endpoints, stop }: Embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  const { tableName } = endpoints;
  const documents = DynamoDBDocumentClient.from(clients.dynamodb, {
    marshallOptions: { removeUndefinedValues: true },
  });
  const putAll = async (items: { key: Key; item: Item }[]) => {
    for (let from = 0; from < items.length; from += 25) {
      const requests = items.slice(from, from + 25).map(({ key: { partition, sort }, item }) => {
        return { PutRequest: { Item: { ...item, [TABLE_KEYS.partition]: partition, [TABLE_KEYS.sort]: sort } } };
      });
      await documents.send(new BatchWriteCommand({ RequestItems: { [tableName]: requests } }));
    }
  };
  return { table: dynamoDbTable(clients.dynamodb, tableName), putAll, close: stop };
}

/** Counts what is read, wherever it is. */
class Rows {
  read = 0;

  of(plain: Table): Table {
    return {
      ...plain,
      get: async (key) => {
        this.read += 1;
        return plain.get(key);
      },
      query: (partition, prefix, pageSize) => this.#pages(plain.query(partition, prefix, pageSize)),
      count: async (partition, prefix, options) => {
        const count = await plain.count(partition, prefix, options);
        // A filter reads what it leaves out as well.
        this.read += options?.having ? await plain.count(partition, prefix) : count;
        return count;
      },
    };
  }

  async *#pages<T>(pages: AsyncGenerator<T[]>): AsyncGenerator<T[]> {
    for await (const page of pages) {
      this.read += page.length;
      yield page;
    }
  }

  /** Users, groups and members that a simulated server has answered with. */
  served(answer: Answer): Answer {
    const body: unknown = answer.body?.startsWith("{") || answer.body?.startsWith("[") ? JSON.parse(answer.body) : {};
    const { items, ocs } = body as { items?: unknown[]; ocs?: { data?: { users?: object; groups?: object } } };
    const list = Array.isArray(body) ? body : (items ?? ocs?.data?.users ?? ocs?.data?.groups);
    this.read += list === undefined ? 1 : Object.keys(list).length;
    return answer;
  }
}

describe.each([
  ["SQLite", sqlite],
  ["DynamoDB", dynamoDb],
])("10,000 people, the ledger on %s", (_name, open) => {
  const rows = new Rows();
  let storage: Storage;
  let tenant: Tenant;
  let desk: Desk;
  let ledger: Ledger;
  let close: () => Promise<void>;
  let paths: string[];
  let one: string;

  beforeAll(async () => {
    storage = await open();
    ({ tenant, close } = await buildInMemory());
    ledger = createLedger(rows.of(storage.table));
    desk = await openDesk(tenant, { ledger });
    const everybody = tenant.people(PEOPLE);
    const { slug } = tenant;
    for (const person of everybody) tenant.assign(person, "Everybody");
    const partition = slug;
    const ofPeople = everybody.flatMap(({ id }, index) => [
      {
        key: { partition, sort: `subject#${id}` },
        item: subjectItem({ ...newRecord(id, tenant.accountId({ id })), state: "active" }),
      },
      ...(index % 20 === 0
        ? [
            {
              key: { partition, sort: `dead#${id}` },
              item: {
                organization: slug,
                subject: id,
                job: tenant.job({ id }),
                reason: index % 40 === 0 ? "nextcloud-ocs-101" : "profile-refused",
                message: "refused",
                attempts: 1,
                firstAt: tenant.clock.now,
                lastAt: tenant.clock.now,
              },
            },
            { key: { partition, sort: `edit#${id}` }, item: {} },
          ]
        : []),
    ]);
    await storage.putAll(ofPeople);
    const groups = Array.from({ length: GROUPS }, (_, index) => ({ id: `group-${index}`, name: `Group ${index}` }));
    const subjects = everybody.map(({ id }) => id);
    for (const [index, { id }] of groups.entries())
      await ledger.groups.putMembers(slug, id, index === 0 ? subjects : subjects.slice(index * 200, index * 200 + 600));
    await ledger.groups.putGroups(slug, {
      groups: groups.map((group, index) => ({ ...group, count: index === 0 ? PEOPLE : 600, readAt: 1_000 })),
      complete: true,
    });
    for (const person of everybody.slice(0, 300))
      await desk.happened({
        at: tenant.clock.now,
        organization: slug,
        kind: "job",
        result: "applied",
        subject: person.id,
        cause: "manual",
      });
    const [somebody] = everybody;
    if (!somebody) throw new Error("people were made");
    one = `/people/${slug}/${somebody.id}`;
    paths = [
      "/",
      "/people",
      `/people?q=${encodeURIComponent(somebody.email)}`,
      "/people?q=example",
      `/people?q=${"0".repeat(64)}`,
      one,
      `${one}/rehearsal`,
      "/plan",
      "/dead-letters",
      "/dead-letters?reason=profile-refused",
      "/dead-letters?reason=none-of-this-kind",
      "/activity",
      "/activity/events?result=parked",
      "/checks",
      "/checks?run=yes",
    ];
    for (const server of [tenant.clavex, tenant.nextcloud])
      server.faults.add({ kind: "changed", change: (answer) => rows.served(answer) });
  });
  afterAll(async () => {
    await close();
    await storage.close();
  });

  const rowsOf = async (path: string): Promise<number> => {
    rows.read = 0;
    await desk.get(path);
    return rows.read;
  };

  it("no page but Plan reads more than 200 rows of ledger, Clavex and Nextcloud together", async () => {
    const counts: [path: string, rows: number][] = [];
    for (const path of paths) counts.push([path, await rowsOf(path)]);
    expect(counts.filter(([, count]) => count > MOST_ROWS)).toEqual([]);
  });

  it("a scrape of the metrics reads a bounded number of rows, however many people there are", async () => {
    const metrics = createMetrics();
    const { queue } = desk;
    const { organizations } = tenant;
    const sources = {
      organizations,
      ledger,
      queue,
      deadLetterQueue: { count: async () => 0 },
      guards: { circuits: async () => [] },
    };
    for (const _scrape of [1, 2]) {
      rows.read = 0;
      const text = await metrics.text(sources);
      expect(text).toContain(`clavex_nextcloud_dead_letters{organization="${tenant.slug}"} ${PEOPLE / 20}\n`);
      expect(text).toContain(`clavex_nextcloud_leavers_still_enabled{organization="${tenant.slug}"} 0\n`);
      expect(rows.read).toBeLessThan(MOST_ROWS_OF_METRICS);
    }
    metrics.close();
  });

  it("the counting sees it when all members of a group are read, which happens only when asked for", async () => {
    expect(await rowsOf(`${one}?fresh=yes`)).toBeGreaterThan(PEOPLE);
  });
});
