import { isDeepStrictEqual } from "node:util";
import { ConditionalCheckFailedException, type DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DeleteCommand, DynamoDBDocumentClient, GetCommand, PutCommand, QueryCommand } from "@aws-sdk/lib-dynamodb";
import { readAhead } from "../read-ahead.ts";
import { LedgerUnavailable } from "./errors.ts";
import { type Condition, type Item, type Key, TABLE_KEYS, type Table } from "./table.ts";

/** The ledger's table in DynamoDB. */
export function dynamoDbTable(dynamodb: DynamoDBClient, name: string): Table {
  const client = DynamoDBDocumentClient.from(dynamodb, { marshallOptions: { removeUndefinedValues: true } });
  // It copies each answer for a log that nobody keeps.
  client.middlewareStack.remove("loggerMiddleware");

  /** Sends a conditional write: "refused" when the condition does not hold, "unclear" when that was found by a second attempt. */
  async function write(command: PutCommand | DeleteCommand): Promise<"done" | "refused" | "unclear"> {
    try {
      // The client's overloads do not take a union.
      await client.send(command as PutCommand);
      return "done";
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) return unavailable(error);
      return (error.$metadata.attempts ?? 1) > 1 ? "unclear" : "refused";
    }
  }

  async function get(key: Key): Promise<Record<string, unknown> | undefined> {
    const command = new GetCommand({ TableName: name, Key: keyOf(key), ConsistentRead: true });
    return (await client.send(command).catch(unavailable)).Item;
  }

  async function* pages(partition: string, prefix: string, more: Partial<QueryCommand["input"]> = {}) {
    let start: Record<string, unknown> | undefined;
    do {
      const command = new QueryCommand({
        TableName: name,
        ConsistentRead: true,
        KeyConditionExpression: "#partition = :partition AND begins_with(#sort, :prefix)",
        ...more,
        ExpressionAttributeNames: {
          "#partition": TABLE_KEYS.partition,
          "#sort": TABLE_KEYS.sort,
          ...more.ExpressionAttributeNames,
        },
        ExpressionAttributeValues: { ":partition": partition, ":prefix": prefix, ...more.ExpressionAttributeValues },
        ...(start === undefined ? {} : { ExclusiveStartKey: start }),
      });
      const page = await client.send(command).catch(unavailable);
      yield page;
      start = page.LastEvaluatedKey;
    } while (start !== undefined);
  }

  return {
    async get(key) {
      const Item = await get(key);
      return Item === undefined ? undefined : withoutKey(Item).item;
    },
    async put(key, item, condition) {
      const Item = { ...item, ...keyOf(key) };
      const written = await write(new PutCommand({ TableName: name, Item, ...expression(condition) }));
      // The first attempt may have been carried out although its answer was lost: then it is what refuses the second.
      if (written === "unclear") return isDeepStrictEqual(await get(key), asStored(Item));
      return written === "done";
    },
    delete: async (key, condition) =>
      (await write(new DeleteCommand({ TableName: name, Key: keyOf(key), ...expression(condition) }))) === "done",
    async *query(partition, prefix, pageSize) {
      // Whoever asks for small pages may want only the first.
      const read =
        pageSize === undefined ? readAhead(pages(partition, prefix)) : pages(partition, prefix, { Limit: pageSize });
      for await (const { Items = [] } of read) yield Items.map(withoutKey);
    },
    async count(partition, prefix, { having, most } = {}) {
      let count = 0;
      // It limits what is read: of many that do not count, small pages would be read one after the other.
      const limit = most === undefined || having ? {} : { Limit: most };
      const filter = having && {
        FilterExpression: "#field = :value",
        ExpressionAttributeNames: { "#field": having.field },
        ExpressionAttributeValues: { ":value": having.value },
      };
      const counting = pages(partition, prefix, { Select: "COUNT", ...limit, ...filter });
      for await (const { Count = 0 } of counting) {
        count += Count;
        if (most !== undefined && count >= most) return most;
      }
      return count;
    },
  };
}

/** Without the fields that are undefined: items hold nothing that JSON does not. */
const asStored = (item: Item): unknown => JSON.parse(JSON.stringify(item));

function keyOf({ partition, sort }: Key): Record<string, string> {
  return { [TABLE_KEYS.partition]: partition, [TABLE_KEYS.sort]: sort };
}

function withoutKey(stored: Record<string, unknown>): { sort: string; item: Item } {
  const { [TABLE_KEYS.partition]: _, [TABLE_KEYS.sort]: sort, ...item } = stored;
  return { sort: String(sort), item };
}

function expression(condition: Condition) {
  if (condition.when === "always") return {};
  if (condition.when === "absent")
    return {
      ConditionExpression: "attribute_not_exists(#sort)",
      ExpressionAttributeNames: { "#sort": TABLE_KEYS.sort },
    };
  const { field } = condition;
  if (condition.when === "absent-or-outside")
    return {
      ConditionExpression: "attribute_not_exists(#sort) OR #field < :low OR #field > :high",
      ExpressionAttributeNames: { "#field": field, "#sort": TABLE_KEYS.sort },
      ExpressionAttributeValues: { ":low": condition.low, ":high": condition.high },
    };
  return {
    ConditionExpression: `#field ${condition.when === "equal" ? "=" : "<="} :value`,
    ExpressionAttributeNames: { "#field": field },
    ExpressionAttributeValues: { ":value": condition.value },
  };
}

function unavailable(error: unknown): never {
  throw new LedgerUnavailable(error);
}
