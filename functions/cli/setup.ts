import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { CLAVEX_TIMEOUTS } from "../clavex/admin-api.ts";
import { getDiscovery, parseDiscovery } from "../clavex/discovery.ts";
import { createManagementApi } from "../clavex/management-api.ts";
import { parseEnvironmentFile } from "../config/environment.ts";
import { environmentSecrets, type Secrets } from "../config/secrets.ts";
import type { Organization } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { makeStateFolder } from "../database.ts";
import { examine } from "../doctor/doctor.ts";
import { createPool } from "../http.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS } from "../nextcloud/ocs.ts";
import { type Answers, NO_WEBHOOK, type SetupContext } from "../setup/context.ts";
import { type KeptAnswers, keptAnswers } from "../setup/kept-answers.ts";
import { MADE_IN_WORDS, recordFile } from "../setup/record.ts";
import { applySetup, planSetup, removeSetup, setupSteps } from "../setup/setup.ts";
import type { Step } from "../setup/step.ts";
import { environmentStore, fixedStore, referencesOf, type SecretStore } from "../setup/store.ts";
import { demo, demoOf } from "./demo-organization.ts";
import { ADMIN_EMAIL, ADMIN_PASSWORD, ADMIN_TOKEN, doctorOptions } from "./doctor-options.ts";
import { withConnection } from "./options.ts";
import { atServers } from "./organizations.ts";
import { type OpenPipeline, openPipeline } from "./pipeline.ts";
import { canAsk, confirm } from "./prompt.ts";
import { CommandError, Interrupted } from "./report.ts";
import {
  APP_PASSWORD,
  collect,
  ENVIRONMENT_FILE,
  type Given,
  isForAnother,
  readConfigured,
  type SetupOptions,
} from "./setup-answers.ts";
import { converse } from "./setup-dialogue.ts";
import { complain, print, printAsIs, printJson, printWrapped } from "./terminal.ts";

/** `setup`: connects an organization's Clavex and Nextcloud. Running it again changes nothing. */
export function setupCommand(): Command {
  return withConnection(new Command("setup"))
    .description("Connects an organization's Clavex and Nextcloud: shows what it will do, asks, and does it.")
    .option("--organization <slug>", "the organization's slug in Clavex")
    .option("--organization-id <uuid>", "the organization's UUID in Clavex")
    .option("--clavex-url <url>", "Clavex's address, without the slug")
    .option("--nextcloud-url <url>", "Nextcloud's address")
    .option("--username <name>", "the administrator account for the pipeline in Nextcloud")
    .option("--webhook-url <url>", "the public address of the pipeline, that Clavex posts to; none without one")
    .option("--provider-id <number>", "the id of a provider that user_oidc has already", parseId)
    .option("--admin-organization <slug>", "the administrator's own organization in Clavex, when it is another one")
    .option("--audit-sink", "also create an audit sink, for hints about SCIM and groups")
    .option("--disable-local-login", "switch Nextcloud's own login off, when doctor finds nothing wrong")
    .addOption(
      new Option("--erased <what>", "what happens to the account of a person who is erased in Clavex (GDPR)").choices([
        "disable",
        "anonymise",
      ]),
    )
    .option("--remove", "remove what setup created")
    .option("--dry-run", "only show what would be done")
    .option("--yes", "do not ask")
    .option("--json", "print JSON: the steps, and what became of each")
    .addHelpText(
      "after",
      `\nSecrets are never arguments, which shells remember. Setup logs in to Clavex as an administrator: with ${ADMIN_EMAIL} and ${ADMIN_PASSWORD} of the environment, or what it asks for; or it uses the token in ${ADMIN_TOKEN}. Nothing of that is kept. Nextcloud's app password comes from ${APP_PASSWORD}, or is asked for.`,
    )
    .action(setup);
}

function parseId(text: string): number {
  const id = Number(text);
  if (Number.isInteger(id) && id > 0) return id;
  throw new InvalidArgumentError("must be a number from 1 upwards");
}

async function setup(options: SetupOptions): Promise<void> {
  const report = options.json ? createJsonReport(options) : PRINTED;
  const pipeline = await openPipeline(options);
  const closers: (() => Promise<void>)[] = [pipeline.close];
  try {
    const kept = keptAnswers(join(options.state.path, "setup-answers.json"));
    const context = await createContext(options, pipeline, kept, closers);
    // Only the demo has no file.
    if (context.organizationFile === undefined) report.say(DEMO);
    const steps = setupSteps(context);
    const { clavexUrl, nextcloudUrl } = context.answers;
    await atServers({ clavex: { baseUrl: clavexUrl }, nextcloud: { baseUrl: nextcloudUrl } }, async () => {
      if (!options.remove) await lookAndApply(context, steps, options, report);
      else if (await remove(context, steps, options, report)) await kept.forget();
    });
    report.end(context.answers.slug);
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

const DEMO =
  "This sets up the demo that runs here. To connect your own Clavex and Nextcloud, end the demo first (Ctrl-C where it runs).\n";

/** Says what setup finds and does: to people as it happens, or as one JSON document at the end. */
interface Report {
  say(line: string): void;
  found(state: string, title: string, lines: string[]): void;
  done(state: string, title: string, lines: string[]): void;
  end(organization: string): void;
}

const PRINTED: Report = { say: print, found: show, done: show, end: () => undefined };

function createJsonReport({ dryRun = false }: SetupOptions): Report {
  const [found, done]: [object[], object[]] = [[], []];
  return {
    say: () => undefined,
    found: (state, title, lines) => void found.push({ state, title, lines }),
    done: (state, title, lines) => void done.push({ state, title, lines }),
    end: (organization) => printJson({ organization, dryRun, found, done }),
  };
}

/** Shows what there is to do, asks, and does it. */
async function lookAndApply(
  { answers }: SetupContext,
  steps: Step[],
  options: SetupOptions,
  report: Report,
): Promise<void> {
  report.say(`Looking at ${answers.slug}: nothing is changed yet.\n`);
  const planned = await planSetup(steps);
  for (const { step, inspection } of planned) {
    if (inspection.state === "to do") report.found("to do", step.title, [inspection.what]);
    else if (inspection.state === "by hand") report.found("by hand", step.title, inspection.lines);
    else report.found("there", step.title, inspection.what === undefined ? [] : [inspection.what]);
  }
  if (!planned.some(({ inspection }) => inspection.state === "to do")) return report.say("\nThere is nothing to do.");
  if (options.dryRun) return;
  report.say("");
  if (options.disableLocalLogin) {
    report.say(
      "Without local login nobody gets in while Clavex is away, but at /login?direct=1 with a local account.\n",
    );
  }
  await confirm("Do this now?", options.yes);
  const complete = await applyUntilInterrupted(steps, report);
  report.say(complete ? "\nNext: npx clavex-nextcloud doctor" : "\nNext: that, then npx clavex-nextcloud setup again");
}

/**
 * Applies the steps. Ctrl-C lets the one that is under way come to its end, because half of it would leave things that nobody has
 * written down; a second Ctrl-C does not.
 *
 * @throws {Interrupted} when it was stopped
 */
async function applyUntilInterrupted(steps: Step[], report: Report): Promise<boolean> {
  let stopped = false;
  const onInterrupt = () => {
    stopped = true;
    complain("Setup stops after this step; run it again and it goes on from there.");
  };
  process.once("SIGINT", onInterrupt);
  const complete = await applySetup(
    steps,
    ({ title, state, lines }) => report.done(state, title, lines),
    () => stopped,
  ).finally(() => process.off("SIGINT", onInterrupt));
  if (stopped) throw new Interrupted();
  return complete;
}

/** @returns whether everything that setup created is gone */
async function remove(
  { record, answers }: SetupContext,
  steps: ReturnType<typeof setupSteps>,
  options: SetupOptions,
  report: Report,
): Promise<boolean> {
  const recorded = Object.keys(await record.read()) as (keyof typeof MADE_IN_WORDS)[];
  const made = recorded.flatMap((name) => MADE_IN_WORDS[name] ?? []);
  if (made.length === 0) report.say(`Setup has created nothing for ${answers.slug}.`);
  for (const each of made) report.found("created", each, []);
  if (options.dryRun) return false;
  if (made.length === 0) return true;
  await confirm("Take it back? Accounts and groups stay.", options.yes);
  await removeSetup(steps, (title, what) => report.done("removed", title, [what]));
  return true;
}

/** Where the lines of a step begin. Those for occ begin with spaces: they are to be copied, and are never broken. */
const INDENT = " ".repeat(17);

function show(state: string, title: string, lines: string[]): void {
  const [first, ...rest] = lines;
  printWrapped(printable(`  ${state.padEnd(14)} ${title}${first === undefined ? "" : `: ${first}`}`), INDENT);
  for (const line of rest) {
    const text = `${INDENT}${printable(line)}`;
    if (line.startsWith(" ")) printAsIs(text);
    else printWrapped(text, INDENT);
  }
}

async function createContext(
  options: SetupOptions,
  pipeline: OpenPipeline,
  kept: KeptAnswers,
  closers: (() => Promise<void>)[],
): Promise<SetupContext> {
  const folder = options.stage === undefined ? options.organizations.path : join("organizations", options.stage);
  const scheme = options.stage === undefined ? "env" : "ssm";
  const configured = await readConfigured(folder, scheme, options.organization);
  const demoOrganization =
    configured === undefined && !isForAnother(options) ? await demoOf(pipeline.running) : undefined;
  const known = configured ?? demoOrganization;
  let opened: OpenStore | undefined;
  const open = async (slug: string) =>
    (opened ??= await openStore(options, slug, await readConfigured(folder, scheme, slug), demoOrganization, closers));
  const isDemo = demoOrganization !== undefined;
  const given: Given = { options, known, isDemo, pipeline, storeFor: async (slug) => (await open(slug)).store };
  const asksNobody = isDemo || options.yes === true || !canAsk();
  const { answers, token, appPassword: givenAppPassword } = await (asksNobody ? collect(given) : converse(given, kept));
  const { store, secrets } = await open(answers.slug);
  const clavexPool = createPool(answers.clavexUrl, 2, CLAVEX_TIMEOUTS);
  closers.push(() => clavexPool.close());
  const { organizationId } = answers;
  const nextcloudPool = createPool(answers.nextcloudUrl, 2, NEXTCLOUD_TIMEOUTS);
  closers.push(() => nextcloudPool.close());
  const { clavexUrl: baseUrl } = answers;
  const path = join(folder, `${answers.slug}.json`);
  return {
    answers,
    management:
      token === undefined
        ? undefined
        : createManagementApi({ baseUrl, organizationId, pool: clavexPool, token: async () => token }),
    async signingAlgorithms() {
      const document = parseDiscovery(await getDiscovery(clavexPool, baseUrl, answers.slug));
      return document.id_token_signing_alg_values_supported;
    },
    ocs: createOcs({
      baseUrl: answers.nextcloudUrl,
      username: answers.username,
      password: async () => givenAppPassword ?? (await store.read("appPassword")) ?? "",
      pool: nextcloudPool,
    }),
    givenAppPassword,
    store,
    skeletons: pipeline.parts?.ledger.skeletons,
    // Beside the organization's file, under a name that is not taken for one; the demo has no file.
    record: demoOrganization
      ? recordFile(join(options.state.path, "demo.setup"), makeStateFolder)
      : recordFile(join(folder, `${answers.slug}.setup`)),
    organizationFile: demoOrganization ? undefined : path,
    configured: known,
    async doctor() {
      const organization = demoOrganization ?? (await readConfigured(folder, scheme, answers.slug));
      if (!organization) throw new CommandError(`${path} is not there yet: run setup again`);
      const given = await doctorOptions(organization, [], await secrets(), pipeline, postedTo(answers));
      return examine({ ...given, adminToken: token });
    },
    passing: {},
  };
}

/** Where Clavex posts to, if it does. */
function postedTo({ webhookUrl }: Answers): string | undefined {
  return webhookUrl === NO_WEBHOOK ? undefined : webhookUrl;
}

interface OpenStore {
  store: SecretStore;
  secrets: () => Promise<Secrets>;
}

async function openStore(
  options: SetupOptions,
  slug: string,
  configured: Organization | undefined,
  demoOrganization: Organization | undefined,
  closers: (() => Promise<void>)[],
): Promise<OpenStore> {
  const chosen = configured && referencesOf(configured);
  if (options.stage !== undefined) {
    const { stageStore } = await import("./stage.ts");
    const { store, secrets, close } = stageStore(options.stage, slug, chosen);
    closers.push(async () => close());
    return { store, secrets: async () => secrets };
  }
  if (demoOrganization) return openDemoStore(demoOrganization);
  return {
    store: environmentStore(ENVIRONMENT_FILE, slug, process.env, chosen),
    async secrets() {
      const kept = parseEnvironmentFile(await readFile(ENVIRONMENT_FILE, "utf8").catch(() => ""));
      return environmentSecrets({ ...kept, ...process.env });
    },
  };
}

async function openDemoStore(organization: Organization) {
  const { demoSecrets } = await demo();
  const secrets = demoSecrets();
  const [[webhook = ""], apiKey, appPassword] = await Promise.all([
    secrets.webhook(organization),
    secrets.api(organization, organization.clavex.apiKey ?? ""),
    secrets.api(organization, organization.nextcloud.password),
  ]);
  return { store: fixedStore({ webhook, apiKey, appPassword }), secrets: async () => secrets };
}
