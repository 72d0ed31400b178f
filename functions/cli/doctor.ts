import { existsSync } from "node:fs";
import { join } from "node:path";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { Command } from "commander";
import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import type { Organization } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { hasFailures, type Result } from "../doctor/check.ts";
import type { DoctorOptions, PipelineView } from "../doctor/context.ts";
import { examine } from "../doctor/doctor.ts";
import { createDocumentClient } from "../ledger/client.ts";
import { createLedger } from "../ledger/ledger.ts";
import { localClients, startTable } from "../local/embedded.ts";
import { findPipeline, type Running } from "../local/running.ts";
import { QueueUnavailable } from "../queue/errors.ts";
import { DEFAULT_ADMIN_TOKEN } from "../simulated/clavex.ts";
import { type ConnectOptions, openSources, stackOutputs, withConnection } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { print, printJson } from "./terminal.ts";

export interface DoctorCliOptions extends ConnectOptions {
  organization?: string;
  webhookUrl?: string;
  json?: boolean;
}

/** The environment variable with an administrator's token of Clavex; never an argument, which shells remember. */
export const ADMIN_TOKEN = "CLAVEX_ADMIN_TOKEN";

/** `doctor`: everything that can be wrong, one line for each check. Only reads. */
export function doctorCommand(): Command {
  return withConnection(new Command("doctor"))
    .description("Checks Clavex, Nextcloud and the pipeline between them. Only reads. Exit code 1 when a check fails.")
    .option("--organization <slug>", "only this organization")
    .option("--webhook-url <url>", "where Clavex posts to, when this cannot know it")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nWith an administrator's token in the environment variable ${ADMIN_TOKEN} it also reads the webhook subscription, the OIDC client and its mappers.`,
    )
    .action(doctor);
}

async function doctor(options: DoctorCliOptions): Promise<void> {
  const sources = await openSources(options);
  const pipeline = await openPipeline(options);
  try {
    const examined = await examineOrganizations(options, sources, pipeline);
    if (options.json) printJson(examined);
    else for (const { organization, results } of examined) showResults(organization, results);
    if (examined.some(({ results }) => hasFailures(results))) process.exitCode = 1;
  } finally {
    await pipeline.close();
  }
}

async function examineOrganizations(
  options: DoctorCliOptions,
  { organizations, secrets }: { organizations: Organizations; secrets: Secrets },
  pipeline: OpenPipeline,
): Promise<{ organization: string; results: Result[] }[]> {
  const slugs = await organizations.slugs();
  if (options.organization !== undefined && !slugs.includes(options.organization)) {
    throw new CommandError(`there is no organization ${options.organization}`);
  }
  const all: Organization[] = [];
  for (const slug of slugs) {
    const organization = await organizations.get(slug);
    if (organization) all.push(organization);
  }
  const chosen = all.filter(({ slug }) => options.organization === undefined || slug === options.organization);
  const examined = [];
  for (const organization of chosen) {
    const others = all.filter((each) => each !== organization);
    const given = doctorOptions(organization, others, secrets, pipeline, options.webhookUrl);
    examined.push({ organization: organization.slug, results: await examine(given) });
  }
  return examined;
}

/** What doctor is run with for one organization, from this machine's environment and the pipeline that was found. */
export function doctorOptions(
  organization: Organization,
  others: Organization[],
  secrets: Secrets,
  pipeline: OpenPipeline,
  webhookUrl: string | undefined,
): DoctorOptions {
  return {
    organization,
    others,
    secrets,
    adminToken: adminToken(organization, pipeline.running),
    webhookUrl: completeWebhookUrl(
      webhookUrl ?? pipeline.webhookBaseUrl(organization.clavex.baseUrl),
      organization.slug,
    ),
    ownAuthorities: (process.env.NODE_EXTRA_CA_CERTS ?? "") !== "",
    pipeline: pipeline.view,
  };
}

/** The administrator's token of the environment; the demo's simulated Clavex has a fixed one that protects nothing. */
export function adminToken(organization: Organization, running: Running | undefined): string | undefined {
  if (process.env[ADMIN_TOKEN]) return process.env[ADMIN_TOKEN];
  return running?.demo?.clavexUrl === organization.clavex.baseUrl ? DEFAULT_ADMIN_TOKEN : undefined;
}

/** An organization's webhook URL, from it or from what comes before the slug in it. */
export function completeWebhookUrl(url: string | undefined, slug: string): string | undefined {
  if (url === undefined) return undefined;
  if (!URL.canParse(url)) throw new CommandError(`--webhook-url: ${url} is not a URL`);
  const { origin, pathname } = new URL(url);
  const path = pathname.replace(/\/+$/, "");
  const route = "/webhooks/clavex";
  if (path.endsWith(`${route}/${slug}`)) return `${origin}${path}`;
  return path.endsWith(route) ? `${origin}${path}/${slug}` : `${origin}${path}${route}/${slug}`;
}

/** The pipeline as far as this machine can see it. */
export interface OpenPipeline {
  view: PipelineView;
  running: Running | undefined;
  /** Where the Clavex at this address posts to, without the slug, when that is known. */
  webhookBaseUrl(clavexUrl: string): string | undefined;
  close(): Promise<void>;
}

/** Opens what there is of the pipeline; one that does not run is no error here. */
export async function openPipeline(options: ConnectOptions): Promise<OpenPipeline> {
  return options.stage === undefined ? openLocalPipeline(options) : openStage(options.stage);
}

async function openLocalPipeline({ state }: ConnectOptions): Promise<OpenPipeline> {
  const running = await findPipeline(state);
  if (running) {
    const { endpoints } = running;
    const { sqs, dynamodb, destroy } = localClients(endpoints);
    return {
      view: view(sqs, dynamodb, endpoints),
      running,
      // Only a Clavex on this machine can post to the address that the pipeline listens on.
      webhookBaseUrl: (clavexUrl) => (isLoopback(clavexUrl) ? `${running.url}/webhooks/clavex` : undefined),
      close: async () => destroy(),
    };
  }
  const stopped = {
    cause: `no pipeline runs on the state folder ${state}`,
    fix: 'Start it with "npm start", or name a --stage.',
  };
  // Looking must not make a state folder.
  if (!existsSync(join(state, "ledger"))) {
    return { view: { stopped }, running, webhookBaseUrl: () => undefined, close: async () => undefined };
  }
  const table = await startTable(state);
  const ledger = createLedger(createDocumentClient(table.dynamodb), table.tableName);
  return { view: { stopped, ledger }, running, webhookBaseUrl: () => undefined, close: table.stop };
}

async function openStage(stage: string): Promise<OpenPipeline> {
  let outputs: Awaited<ReturnType<typeof stackOutputs>>;
  try {
    outputs = await stackOutputs(stage);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const stopped = { cause: error.message, fix: "See docs/deploy.md." };
    return { view: { stopped }, running: undefined, webhookBaseUrl: () => undefined, close: async () => undefined };
  }
  const { QueueUrl, DeadLetterQueueUrl, TableName, WebhookBaseUrl } = outputs;
  if (QueueUrl === undefined || DeadLetterQueueUrl === undefined || TableName === undefined) {
    throw new CommandError(`the stack of stage ${stage} lacks its outputs: deploy it again`);
  }
  const [sqs, dynamodb] = [new SQSClient(), new DynamoDBClient()];
  return {
    view: view(sqs, dynamodb, { queueUrl: QueueUrl, deadLetterQueueUrl: DeadLetterQueueUrl, tableName: TableName }),
    running: undefined,
    webhookBaseUrl: () => WebhookBaseUrl,
    async close() {
      sqs.destroy();
      dynamodb.destroy();
    },
  };
}

function view(
  sqs: SQSClient,
  dynamodb: DynamoDBClient,
  { queueUrl, deadLetterQueueUrl, tableName }: { queueUrl: string; deadLetterQueueUrl: string; tableName: string },
): PipelineView {
  return {
    queue: () => counts(sqs, queueUrl),
    ledger: createLedger(createDocumentClient(dynamodb), tableName),
    givenUp: async () => (await counts(sqs, deadLetterQueueUrl)).waiting,
  };
}

async function counts(sqs: SQSClient, queueUrl: string) {
  const { Attributes = {} } = await sqs
    .send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ["All"] }))
    .catch((error) => {
      throw new QueueUnavailable(error);
    });
  return {
    waiting: Number(Attributes.ApproximateNumberOfMessages ?? 0),
    delayed: Number(Attributes.ApproximateNumberOfMessagesDelayed ?? 0),
    underWay: Number(Attributes.ApproximateNumberOfMessagesNotVisible ?? 0),
  };
}

function isLoopback(baseUrl: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(baseUrl).hostname);
}

const LABELS: Record<Result["status"], string> = { ok: "ok", warn: "WARN", fail: "FAIL", skipped: "-" };

/** One line for each check; below those that complain what to do, and where to read on. */
export function showResults(organization: string, results: Result[]): void {
  print(`${organization}:`);
  for (const { status, title, cause, fix, docs } of results) {
    print(printable(`  ${LABELS[status].padEnd(5)} ${title}${cause === undefined ? "" : `: ${cause}`}`));
    if (fix !== undefined) print(printable(`          ${fix}${status === "skipped" ? "" : ` (${docs})`}`));
  }
  const count = (status: Result["status"]) => results.filter((each) => each.status === status).length;
  print(
    `\n${results.length} checks: ${count("ok")} ok, ${count("fail")} failed, ${count("warn")} warnings, ${count("skipped")} left out\n`,
  );
}
