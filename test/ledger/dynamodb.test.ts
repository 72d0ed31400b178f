import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { newRecord } from "../../functions/core/record.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
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

describe("a write whose answer is lost, and that the SDK sends again", () => {
  /** A ledger whose next put is carried out, but not answered. */
  function forgetful() {
    const { dynamodb, destroy } = localClients(embedded.endpoints);
    onTestFinished(destroy);
    const state = { lose: false, meanwhile: async () => undefined as unknown };
    dynamodb.middlewareStack.add(
      (next) => async (parameters) => {
        const answer = await next(parameters);
        if (!state.lose) return answer;
        state.lose = false;
        await state.meanwhile();
        throw Object.assign(new Error("no answer"), { name: "TimeoutError" });
      },
      { step: "deserialize" },
    );
    return { ...createLedger(dynamoDbTable(dynamodb, embedded.endpoints.tableName)), state };
  }
  const others = () => createLedger(dynamoDbTable(embedded.clients.dynamodb, embedded.endpoints.tableName));
  const NOW = Date.UTC(2026, 10, 26);

  test("is no conflict with itself: the lock is taken, and can be given back", async () => {
    const { locks, state } = forgetful();
    state.lose = true;
    const release = await locks.take("acme", "reconcile", NOW, NOW + 60_000);
    expect(release).toBeDefined();
    expect(await others().locks.take("acme", "reconcile", NOW, NOW + 60_000)).toBeUndefined();
    await release?.();
    expect(await others().locks.take("acme", "reconcile", NOW, NOW + 60_000)).toBeDefined();
  });

  test("is no conflict with itself: an entry is written once", async () => {
    const { subjects, state } = forgetful();
    state.lose = true;
    const record = {
      ...newRecord("6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", "ada"),
      groups: ["eng"],
      goneSince: undefined,
    };
    const written = await subjects.put("acme", record);
    expect(written.revision).toBe(1);
    expect(await subjects.get("acme", record.subject)).toEqual(written);
  });

  test("is one with another's write that came in between", async () => {
    const { subjects, state } = forgetful();
    const record = newRecord("0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10", "grace");
    const first = await subjects.put("acme", record);
    state.lose = true;
    state.meanwhile = async () => {
      const now = await others().subjects.get("acme", record.subject);
      return others().subjects.put("acme", { ...(now ?? record), groups: ["theirs"] });
    };
    await expect(subjects.put("acme", { ...first, groups: ["ours"] })).rejects.toMatchObject({
      code: "ledger-conflict",
    });
    expect(await others().subjects.get("acme", record.subject)).toMatchObject({ groups: ["theirs"], revision: 3 });
  });
});
