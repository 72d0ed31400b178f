import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ResourceInUseException,
} from "@aws-sdk/client-dynamodb";
import { CreateQueueCommand, SQSClient, type SQSClientConfig } from "@aws-sdk/client-sqs";
import dynalite from "dynalite";
import { startFauxqs } from "fauxqs";
import { TABLE_KEYS } from "../../functions/ledger/table.ts";
import { QUEUE_LIMITS } from "../../functions/queue/limits.ts";

/** Where the embedded services listen, and the names of queues and table: everything another process needs. */
export interface Endpoints {
  sqs: string;
  dynamodb: string;
  queueUrl: string;
  deadLetterQueueUrl: string;
  tableName: string;
}

/** SQS and DynamoDB in this process, reached through the real AWS SDK. */
export interface Embedded {
  endpoints: Endpoints;
  clients: LocalClients;
  stop(): Promise<void>;
}

export interface LocalClients {
  sqs: SQSClient;
  dynamodb: DynamoDBClient;
  destroy(): void;
}

const HOST = "127.0.0.1";
const REGION = "eu-central-1";
const QUEUE = "clavex-nextcloud-jobs.fifo";
const DEAD_LETTER_QUEUE = "clavex-nextcloud-dead.fifo";
const TABLE = "clavex-nextcloud-ledger";

/** The credentials are not secret: the embedded services accept any. */
const COMMON = { region: REGION, credentials: { accessKeyId: "local", secretAccessKey: "local" } };

/** What an SQS client needs to reach the embedded queue. */
export function localSqs(endpoints: Pick<Endpoints, "sqs">): SQSClientConfig {
  // Queue URLs are persisted with the port of an earlier run: the endpoint, not the URL, says where the queue is.
  return { ...COMMON, endpoint: endpoints.sqs, useQueueUrlAsEndpoint: false };
}

/** AWS SDK clients for embedded services. */
export function localClients(endpoints: Pick<Endpoints, "sqs" | "dynamodb">): LocalClients {
  const sqs = new SQSClient(localSqs(endpoints));
  const dynamodb = new DynamoDBClient({ ...COMMON, endpoint: endpoints.dynamodb });
  return {
    sqs,
    dynamodb,
    destroy() {
      sqs.destroy();
      dynamodb.destroy();
    },
  };
}

export interface EmbeddedOptions {
  /** Where queue and ledger survive restarts; undefined keeps them in memory. */
  stateFolder: string | undefined;
  visibilitySeconds: number;
}

/**
 * Starts the embedded queue (fauxqs, SQLite) and table (dynalite, LevelDB), and creates the queues and the table where they are missing.
 */
export async function startEmbedded({ stateFolder, visibilitySeconds }: EmbeddedOptions): Promise<Embedded> {
  const folder = stateFolder === undefined ? undefined : join(stateFolder, "queue");
  if (folder !== undefined) await mkdir(folder, { recursive: true });
  const ledgerFolder = stateFolder === undefined ? undefined : join(stateFolder, "ledger");
  const table = await startDynalite(ledgerFolder);
  const queue = await startFauxqs({
    port: 0,
    logger: false,
    host: HOST,
    defaultRegion: REGION,
    ...(folder === undefined ? {} : { dataDir: folder }),
  });
  const addresses = { sqs: `http://${HOST}:${queue.port}`, dynamodb: table.address };
  const clients = localClients(addresses);
  try {
    const urls = await createQueues(clients.sqs, visibilitySeconds);
    await createTable(clients.dynamodb);
    return {
      endpoints: { ...addresses, ...urls, tableName: TABLE },
      clients,
      async stop() {
        clients.destroy();
        await queue.stop();
        await table.stop();
      },
    };
  } catch (error) {
    clients.destroy();
    await queue.stop();
    await table.stop();
    throw error;
  }
}

async function createQueues(sqs: SQSClient, visibilitySeconds: number) {
  const create = async (name: string, attributes: Record<string, string>): Promise<string> => {
    const common = { FifoQueue: "true", MessageRetentionPeriod: String(QUEUE_LIMITS.retentionSeconds) };
    const { QueueUrl } = await sqs.send(
      new CreateQueueCommand({ QueueName: name, Attributes: { ...common, ...attributes } }),
    );
    if (QueueUrl === undefined) throw new Error(`queue ${name} was not made`);
    return QueueUrl;
  };
  const deadLetterQueueUrl = await create(DEAD_LETTER_QUEUE, {});
  const queueUrl = await create(QUEUE, {
    VisibilityTimeout: String(visibilitySeconds),
    RedrivePolicy: JSON.stringify({
      deadLetterTargetArn: `arn:aws:sqs:${REGION}:000000000000:${DEAD_LETTER_QUEUE}`,
      maxReceiveCount: QUEUE_LIMITS.maxReceiveCount,
    }),
  });
  return { queueUrl, deadLetterQueueUrl };
}

async function createTable(dynamodb: DynamoDBClient): Promise<void> {
  const create = new CreateTableCommand({
    TableName: TABLE,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: Object.values(TABLE_KEYS).map((name) => ({ AttributeName: name, AttributeType: "S" })),
    KeySchema: [
      { AttributeName: TABLE_KEYS.partition, KeyType: "HASH" },
      { AttributeName: TABLE_KEYS.sort, KeyType: "RANGE" },
    ],
  });
  await dynamodb.send(create).catch((error) => {
    if (!(error instanceof ResourceInUseException)) throw error;
  });
  for (;;) {
    const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName: TABLE }));
    if (Table?.TableStatus === "ACTIVE") return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function startDynalite(folder: string | undefined): Promise<{ address: string; stop(): Promise<void> }> {
  const server = dynalite({ createTableMs: 0, ...(folder === undefined ? {} : { path: folder }) });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, HOST, () => resolve());
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the embedded table has no port");
  const stop = () =>
    new Promise<void>((resolve, reject) => {
      server.close((error) => (error ? reject(error) : resolve()));
      server.closeAllConnections();
    });
  return { address: `http://${HOST}:${address.port}`, stop };
}
