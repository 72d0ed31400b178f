import { type Dispatcher, Pool } from "undici";
import { sideBySide } from "../../functions/side-by-side.ts";
import { DEFAULT_ORGANIZATION } from "../../functions/simulated/clavex.ts";
import { DEFAULT_APP_PASSWORD } from "../../functions/simulated/nextcloud.ts";
import type { Place } from "./reconcile-process.ts";

const { id, slug, apiKey } = DEFAULT_ORGANIZATION;
const CLAVEX_PAGE = 200;
const IDS_PAGE = 500;
const DETAILS_PAGE = 200;

/** The parts of the servers' pages that lead to the next one; nothing is checked. */
interface ClavexPage {
  items: { id: string }[];
  next_cursor?: string;
}
interface NextcloudPage {
  ocs: { data: { users: object } };
}
interface LedgerPage {
  LastEvaluatedKey?: unknown;
}

/**
 * Reads what a full reconciliation reads, page after page, and drops it: the bare loop that reconciliation is measured
 * against.
 *
 * @param groupsAtOnce how many groups' members are read at a time
 */
export async function readEverything({ servers, endpoints }: Place, groupsAtOnce: number): Promise<void> {
  const [clavex, nextcloud, dynamodb] = [servers.clavex, servers.nextcloud, endpoints.dynamodb].map(
    (url) => new Pool(url, { connections: groupsAtOnce }),
  ) as [Pool, Pool, Pool];
  try {
    await readLedger(dynamodb, endpoints.tableName);
    const get = <Page>(path: string) =>
      read<Page>(clavex, "GET", `/api/v1/organizations/${id}${path}`, { "x-api-key": apiKey });
    const groups: { id: string }[] = [];
    for await (const { items } of clavexPages((path) => get(path), "/groups")) groups.push(...items);
    await sideBySide(groups, groupsAtOnce, async (group) => void (await get(`/groups/${group.id}/members`)));
    for await (const _page of clavexPages((path) => get(path), "/users"));
    await readNextcloud(nextcloud, "cloud/users", IDS_PAGE);
    await readNextcloud(nextcloud, "cloud/users/details", DETAILS_PAGE);
  } finally {
    await Promise.all([clavex.close(), nextcloud.close(), dynamodb.close()]);
  }
}

async function read<Page>(
  server: Dispatcher,
  method: "GET" | "POST",
  path: string,
  headers: Record<string, string>,
  body: string | null = null,
): Promise<Page> {
  const answer = await server.request({ method, path, headers, body });
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode} for ${path}`);
  return (await answer.body.json()) as Page;
}

async function* clavexPages(get: (path: string) => Promise<ClavexPage>, path: string): AsyncGenerator<ClavexPage> {
  let after = "";
  do {
    const page = await get(`${path}?limit=${CLAVEX_PAGE}${after}`);
    yield page;
    after = page.next_cursor === undefined ? "" : `&after=${page.next_cursor}`;
  } while (after !== "");
}

async function readNextcloud(server: Dispatcher, path: string, limit: number): Promise<void> {
  const authorization = `Basic ${Buffer.from(`provisioner:${DEFAULT_APP_PASSWORD}`).toString("base64")}`;
  const headers = { authorization, "ocs-apirequest": "true", accept: "application/json" };
  for (let offset = 0, count = 1; count > 0; offset += limit) {
    const query = `format=json&limit=${limit}&offset=${offset}`;
    const page = await read<NextcloudPage>(server, "GET", `/ocs/v2.php/${path}?${query}`, headers);
    count = Object.keys(page.ocs.data.users).length;
  }
}

/** The ledger's query without the SDK. The embedded table looks at the form of a signature only. */
async function readLedger(dynamodb: Dispatcher, table: string): Promise<void> {
  const signature = "Credential=local/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
  const headers = {
    authorization: `AWS4-HMAC-SHA256 ${signature}`,
    "content-type": "application/x-amz-json-1.0",
    "x-amz-date": "20260101T000000Z",
    "x-amz-target": "DynamoDB_20120810.Query",
  };
  const query = {
    TableName: table,
    ConsistentRead: true,
    KeyConditionExpression: "#partition = :partition AND begins_with(sort, :prefix)",
    ExpressionAttributeNames: { "#partition": "partition" },
    ExpressionAttributeValues: { ":partition": { S: slug }, ":prefix": { S: "subject#" } },
  };
  for (let start: unknown, first = true; first || start !== undefined; first = false) {
    const body = JSON.stringify({ ...query, ...(start === undefined ? {} : { ExclusiveStartKey: start }) });
    const page = await read<LedgerPage>(dynamodb, "POST", "/", headers, body);
    start = page.LastEvaluatedKey;
  }
}
