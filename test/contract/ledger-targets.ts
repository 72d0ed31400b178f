import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../functions/database.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import type { Table } from "../../functions/ledger/table.ts";
import { localClients, startEmbedded } from "../support/embedded.ts";

/** One table of one adapter, opened twice, as two processes do. */
export interface LedgerTarget {
  table: Table;
  other: Table;
  close(): Promise<void>;
}

/** DynamoDB as dynalite plays it, through the real SDK. */
export async function dynamoDbTarget(): Promise<LedgerTarget> {
  const { clients, endpoints, stop } = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  const others = localClients(endpoints);
  return {
    table: dynamoDbTable(clients.dynamodb, endpoints.tableName),
    other: dynamoDbTable(others.dynamodb, endpoints.tableName),
    async close() {
      others.destroy();
      await stop();
    },
  };
}

export async function sqliteTarget(): Promise<LedgerTarget> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const [database, other] = [openDatabase(folder), openDatabase(folder)];
  return {
    table: sqliteTable(database),
    other: sqliteTable(other),
    async close() {
      database.close();
      other.close();
      await rm(folder, { recursive: true });
    },
  };
}
