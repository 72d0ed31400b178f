import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { ALWAYS, type Table } from "../../functions/ledger/table.ts";
import { type Embedded, localClients, startEmbedded } from "../support/embedded.ts";

let embedded: Embedded;
beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
});
afterAll(() => embedded.stop());

const KEY = { partition: "acme", sort: "subject#ada" };
const METHODS: [name: string, use: (table: Table) => Promise<unknown>][] = [
  ["get", (table) => table.get(KEY)],
  ["put", (table) => table.put(KEY, {}, ALWAYS)],
  ["a put on a condition", (table) => table.put(KEY, {}, { when: "equal", field: "revision", value: 1 })],
  ["delete", (table) => table.delete(KEY, ALWAYS)],
  ["query", (table) => table.query("acme", "subject#").next()],
  ["count", (table) => table.count("acme", "subject#", { having: { field: "state", value: "active" } })],
];

test("every read is a consistent one", async () => {
  const { dynamodb, destroy } = localClients(embedded.endpoints);
  const sent: object[] = [];
  dynamodb.middlewareStack.add(
    (next) => (parameters) => {
      sent.push(parameters.input);
      return next(parameters);
    },
    { step: "initialize" },
  );
  const table = dynamoDbTable(dynamodb, embedded.endpoints.tableName);
  await table.get(KEY);
  await table.query("acme", "subject#").next();
  await table.count("acme", "subject#", { having: { field: "state", value: "active" } });
  destroy();
  expect(sent).toHaveLength(3);
  for (const input of sent) expect(input).toMatchObject({ ConsistentRead: true });
});

describe.each(METHODS)("%s", (_name, use) => {
  test("on a table that is missing says that the stack has to be deployed", async () => {
    await expect(use(dynamoDbTable(embedded.clients.dynamodb, "no-such-table"))).rejects.toMatchObject({
      failureClass: "configuration",
      code: "ledger-unavailable",
      scope: "subject",
      message: "the ledger cannot be used (ResourceNotFoundException)",
      fix: expect.stringContaining("Deploy the stack again"),
    });
  });

  test("on a DynamoDB that cannot be reached is tried again later", async () => {
    const dynamodb = new DynamoDBClient({
      region: "eu-central-1",
      credentials: { accessKeyId: "local", secretAccessKey: "local" },
      // Nobody listens on this port.
      endpoint: "http://127.0.0.1:1",
      maxAttempts: 1,
    });
    const failed = use(dynamoDbTable(dynamodb, "ledger"));
    await expect(failed).rejects.toMatchObject({ failureClass: "transient", code: "ledger-unavailable" });
    await expect(failed).rejects.toHaveProperty("fix", undefined);
    dynamodb.destroy();
  });
});
