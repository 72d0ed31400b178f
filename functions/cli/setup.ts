import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { parseEnv } from "node:util";
import { SSMClient } from "@aws-sdk/client-ssm";
import { Command, InvalidArgumentError } from "commander";
import { CLAVEX_TIMEOUTS } from "../clavex/admin-api.ts";
import { createManagementApi } from "../clavex/management-api.ts";
import { environmentSecrets, parameterSecrets, type Secrets } from "../config/secrets.ts";
import { ConfigurationError } from "../core/failure.ts";
import { type Organization, parseOrganization } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { examine } from "../doctor/doctor.ts";
import { createPool } from "../http.ts";
import type { Running } from "../local/running.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS } from "../nextcloud/ocs.ts";
import type { Answers, SetupContext } from "../setup/context.ts";
import { recordFile } from "../setup/record.ts";
import { applySetup, planSetup, removeSetup, setupSteps } from "../setup/setup.ts";
import { environmentStore, fixedStore, parameterStore, type SecretStore } from "../setup/store.ts";
import { DEMO_WEBHOOK_SECRET, demoOrganization, demoSecrets } from "../simulated/demo.ts";
import {
  ADMIN_TOKEN,
  adminToken,
  completeWebhookUrl,
  doctorOptions,
  type OpenPipeline,
  openPipeline,
} from "./doctor.ts";
import { type ConnectOptions, withConnection } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { confirm, print } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  organizationId?: string;
  clavexUrl?: string;
  nextcloudUrl?: string;
  username?: string;
  webhookUrl?: string;
  providerId?: number;
  auditSink?: boolean;
  disableLocalLogin?: boolean;
  remove?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** Where secrets are put on one machine; `npm start` reads it. */
const ENVIRONMENT_FILE = ".env";
const APP_PASSWORD = "NEXTCLOUD_APP_PASSWORD";

/** `setup`: connects an organization's Clavex and Nextcloud. Running it again changes nothing. */
export function setupCommand(): Command {
  return withConnection(new Command("setup"))
    .description("Connects an organization's Clavex and Nextcloud: shows what it will do, asks, and does it.")
    .option("--organization <slug>", "the organization's slug in Clavex")
    .option("--organization-id <uuid>", "the organization's UUID in Clavex")
    .option("--clavex-url <url>", "Clavex's address, without the slug")
    .option("--nextcloud-url <url>", "Nextcloud's address")
    .option("--username <name>", "the administrator account for the pipeline in Nextcloud")
    .option("--webhook-url <url>", "the public address of the pipeline, that Clavex posts to")
    .option("--provider-id <number>", "the id of a provider that user_oidc has already", parseId)
    .option("--audit-sink", "also make an audit sink, for hints about SCIM and groups")
    .option("--disable-local-login", "switch Nextcloud's own login off, when doctor finds nothing wrong")
    .option("--remove", "take back what setup made")
    .option("--dry-run", "only show what would be done")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      `\nSecrets are never arguments, which shells remember: an administrator's token of Clavex comes from the environment variable ${ADMIN_TOKEN}, Nextcloud's app password from ${APP_PASSWORD}, or they are asked for. The token is not kept.`,
    )
    .action(setup);
}

function parseId(text: string): number {
  const id = Number(text);
  if (Number.isInteger(id) && id > 0) return id;
  throw new InvalidArgumentError("must be a number from 1 upwards");
}

async function setup(options: Options): Promise<void> {
  const pipeline = await openPipeline(options);
  const closers: (() => Promise<void>)[] = [pipeline.close];
  try {
    const context = await createContext(options, pipeline, closers);
    const steps = setupSteps(context);
    if (options.remove) return await remove(context, steps, options);
    print(`Looking at ${context.answers.slug}: nothing is changed yet.\n`);
    const planned = await planSetup(steps);
    for (const { step, inspection } of planned) {
      if (inspection.state === "to do") show("to do", step.title, [inspection.what]);
      else if (inspection.state === "by hand") show("by hand", step.title, inspection.lines);
      else show("there", step.title, inspection.what === undefined ? [] : [inspection.what]);
    }
    if (!planned.some(({ inspection }) => inspection.state === "to do")) return print("\nThere is nothing to do.");
    if (options.dryRun) return;
    print();
    if (options.disableLocalLogin) {
      print("Without local login nobody gets in while Clavex is away, but at /login?direct=1 with a local account.\n");
    }
    await confirm("Do this now?", options.yes);
    await applySetup(steps, ({ title, state, lines }) => show(state, title, lines));
    print("\nNext: clavex-nextcloud doctor");
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

async function remove(
  { record, answers }: SetupContext,
  steps: ReturnType<typeof setupSteps>,
  options: Options,
): Promise<void> {
  const made = Object.keys(await record.read());
  if (made.length === 0) return print(`Setup made nothing for ${answers.slug}.`);
  print(`Setup made for ${answers.slug}: ${made.join(", ")}`);
  if (options.dryRun) return;
  await confirm("Take it back? Accounts and groups stay.", options.yes);
  await removeSetup(steps, (title, what) => show("removed", title, [what]));
}

function show(state: string, title: string, lines: string[]): void {
  const [first, ...rest] = lines;
  print(printable(`  ${state.padEnd(14)} ${title}${first === undefined ? "" : `: ${first}`}`));
  for (const line of rest) print(`                 ${printable(line)}`);
}

async function createContext(
  options: Options,
  pipeline: OpenPipeline,
  closers: (() => Promise<void>)[],
): Promise<SetupContext> {
  const folder = options.stage === undefined ? options.organizations : join("organizations", options.stage);
  const scheme = options.stage === undefined ? "env" : "ssm";
  const configured = await readConfigured(folder, scheme, options.organization);
  const demo = configured === undefined && !isForAnother(options) ? demoOf(pipeline.running) : undefined;
  const answers = await ask(options, configured ?? demo, pipeline);
  validate(answers);

  const { store, secrets } = await openStore(options, answers.slug, demo !== undefined, closers);
  const token = await findToken(options, answers, demo, pipeline.running);
  const givenAppPassword =
    process.env[APP_PASSWORD] ||
    ((await store.read("appPassword")) ? undefined : await askSecret(options, "Nextcloud app password", APP_PASSWORD));
  const clavexPool = createPool(answers.clavexUrl, 2, CLAVEX_TIMEOUTS);
  const nextcloudPool = createPool(answers.nextcloudUrl, 2, NEXTCLOUD_TIMEOUTS);
  closers.push(
    () => clavexPool.close(),
    () => nextcloudPool.close(),
  );
  const { clavexUrl: baseUrl, organizationId } = answers;
  const path = join(folder, `${answers.slug}.json`);
  return {
    answers,
    management:
      token === undefined
        ? undefined
        : createManagementApi({ baseUrl, organizationId, pool: clavexPool, token: async () => token }),
    ocs: createOcs({
      baseUrl: answers.nextcloudUrl,
      username: answers.username,
      password: async () => givenAppPassword ?? (await store.read("appPassword")) ?? "",
      pool: nextcloudPool,
    }),
    givenAppPassword,
    store,
    // Beside the organization's file, under a name that is not taken for one; the demo has no file.
    record: recordFile(demo ? join(options.state, "demo.setup") : join(folder, `${answers.slug}.setup`)),
    organizationFile: demo ? undefined : path,
    configured: configured ?? demo,
    async doctor() {
      const organization = demo ?? (await readConfigured(folder, scheme, answers.slug));
      if (!organization) throw new CommandError(`${path} is not there yet: run setup again`);
      const given = doctorOptions(organization, [], await secrets(), pipeline, answers.webhookUrl);
      return examine({ ...given, adminToken: token });
    },
    passing: {},
  };
}

/** Whether the options name another organization than the demo's. */
function isForAnother({ clavexUrl, nextcloudUrl, organizationId, stage }: Options): boolean {
  return [clavexUrl, nextcloudUrl, organizationId, stage].some((each) => each !== undefined);
}

function demoOf(running: Running | undefined): Organization | undefined {
  return running?.demo && demoOrganization(running.demo.clavexUrl, running.demo.nextcloudUrl);
}

/** The organization's file, if there is a right one: the named one, or the only one. */
async function readConfigured(
  folder: string,
  scheme: "env" | "ssm",
  slug: string | undefined,
): Promise<Organization | undefined> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".json"));
  const name = slug === undefined && names.length === 1 ? names[0] : names.find((each) => each === `${slug}.json`);
  if (name === undefined) return undefined;
  const source = join(folder, name);
  return parseOrganization({ source, text: await readFile(source, "utf8") }, scheme).organization;
}

async function openStore(
  options: Options,
  slug: string,
  demo: boolean,
  closers: (() => Promise<void>)[],
): Promise<{ store: SecretStore; secrets: () => Promise<Secrets> }> {
  if (options.stage !== undefined) {
    const { stage } = options;
    const ssm = new SSMClient();
    closers.push(async () => ssm.destroy());
    return { store: parameterStore(ssm, stage, slug), secrets: async () => parameterSecrets(ssm, stage) };
  }
  if (demo) {
    const secrets = demoSecrets();
    const organization = demoOrganization("http://127.0.0.1", "http://127.0.0.1");
    const [apiKey, appPassword] = await Promise.all([
      secrets.api(organization, organization.clavex.apiKey ?? ""),
      secrets.api(organization, organization.nextcloud.password),
    ]);
    return { store: fixedStore({ webhook: DEMO_WEBHOOK_SECRET, apiKey, appPassword }), secrets: async () => secrets };
  }
  return {
    store: environmentStore(ENVIRONMENT_FILE, slug, process.env),
    async secrets() {
      const kept = parseEnv(await readFile(ENVIRONMENT_FILE, "utf8").catch(() => ""));
      return environmentSecrets({ ...kept, ...process.env });
    },
  };
}

/** The answers: from the options, else what is configured, else asked for, where there is somebody to ask. */
async function ask(options: Options, known: Organization | undefined, pipeline: OpenPipeline): Promise<Answers> {
  const missing: string[] = [];
  const answer = async (
    given: string | undefined,
    flag: string,
    question: string,
    suggestion = "",
  ): Promise<string> => {
    if (given !== undefined) return given;
    const reply = canAsk(options) ? await askFor(`${question}${suggestion && ` [${suggestion}]`}: `) : suggestion;
    const value = reply === "" ? suggestion : reply;
    if (value === "") missing.push(flag);
    return value;
  };
  const slug = await answer(
    options.organization ?? known?.slug,
    "--organization",
    "Slug of the organization in Clavex",
  );
  const organizationId = await answer(
    options.organizationId ?? known?.organizationId,
    "--organization-id",
    "UUID of the organization in Clavex",
  );
  const clavexUrl = await answer(
    options.clavexUrl ?? known?.clavex.baseUrl,
    "--clavex-url",
    "Address of Clavex, without the slug",
  );
  const nextcloudUrl = await answer(
    options.nextcloudUrl ?? known?.nextcloud.baseUrl,
    "--nextcloud-url",
    "Address of Nextcloud",
  );
  const username = await answer(
    options.username ?? known?.nextcloud.username,
    "--username",
    "Administrator account for the pipeline in Nextcloud",
    "provisioner",
  );
  if (missing.length > 0) throw new CommandError(`setup needs ${missing.join(", ")}`);
  const clavex = clavexUrl.replace(/\/+$/, "");
  const webhookBase = options.webhookUrl ?? (URL.canParse(clavex) ? pipeline.webhookBaseUrl(clavex) : undefined);
  return {
    slug,
    organizationId: organizationId.toLowerCase(),
    clavexUrl: clavex,
    nextcloudUrl: nextcloudUrl.replace(/\/+$/, ""),
    username,
    webhookUrl: completeWebhookUrl(webhookBase, slug),
    providerId: options.providerId,
    auditSink: options.auditSink ?? false,
    disableLocalLogin: options.disableLocalLogin ?? false,
  };
}

/** Every problem of the answers at once, in the words of the organization's schema. */
function validate({ slug, organizationId, clavexUrl, nextcloudUrl, username }: Answers): void {
  const document = {
    slug,
    organizationId,
    clavex: { baseUrl: clavexUrl, webhookSecrets: ["env:NAME"] },
    nextcloud: { baseUrl: nextcloudUrl, username, password: "env:NAME" },
    identity: { scheme: "user_oidc", providerId: 1 },
  };
  const { problems } = parseOrganization({ source: "setup", text: JSON.stringify(document) }, "env");
  if (problems) throw new ConfigurationError("setup-answers", problems, { fix: "Run setup again with other answers." });
}

async function findToken(
  options: Options,
  { clavexUrl }: Answers,
  demo: Organization | undefined,
  running: Running | undefined,
): Promise<string | undefined> {
  const given = demo ? adminToken(demo, running) : process.env[ADMIN_TOKEN];
  if (given) return given;
  if (!canAsk(options)) return undefined;
  print(
    `An administrator's token of ${clavexUrl} does the steps in Clavex. It is not kept. Leave it empty to do them by hand.`,
  );
  return (await hidden("Clavex administrator's token: ")) || undefined;
}

async function askSecret(options: Options, what: string, variable: string): Promise<string> {
  const value = canAsk(options) ? await hidden(`${what}: `) : "";
  if (value !== "") return value;
  throw new CommandError(`${what} is missing: put it into the environment variable ${variable}`);
}

const canAsk = ({ yes }: Options): boolean => !yes && process.stdin.isTTY === true;

async function askFor(text: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(text)).trim();
  } finally {
    terminal.close();
  }
}

/** Reads a secret without showing it. */
async function hidden(text: string): Promise<string> {
  process.stderr.write(text);
  const nowhere = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return (await terminal.question("")).trim();
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}
