import { Command, InvalidArgumentError } from "commander";
import { type Clients, createClients } from "../clients.ts";
import type { Organization } from "../core/organization.ts";
import { counted, printable } from "../core/text.ts";
import { type ForeignAccount, listForeignAccounts, setAccountEnabled } from "../nextcloud/accounts.ts";
import { Candidates, judgeNamed, type Named, type UnknownAccounts, unknownAccounts } from "../reconcile/unknown.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { atServers, NoOrganization, requireOrganization } from "./organizations.ts";
import { personLabel } from "./people.ts";
import { type Connection, connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { CommandError } from "./report.ts";
import { print, printJson, time } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  limit: number;
  json?: boolean;
  yes?: boolean;
  dryRun?: boolean;
}

const CONNECTIONS = 4;
const MOST = 1_000;

/** `unknown list|disable`: enabled accounts of user_oidc that no organization computes or claims. */
export function unknownCommand(): Command {
  const command = new Command("unknown").description(
    "Accounts of user_oidc that no organization computes or claims, such as after a lost ledger: list them, disable some.",
  );
  const withNextcloud = (sub: Command) =>
    withConnection(sub)
      .option("--organization <slug>", "the Nextcloud of this organization; needed where there are several")
      .option("--json", "print JSON");
  command.addCommand(
    withNextcloud(new Command("list"))
      .description("Lists them with their last login.")
      .option("--limit <number>", "ask about at most this many accounts", parseLimit, MOST)
      .action((options: Options) => withClients(options, (...found) => list(options, ...found))),
  );
  command.addCommand(
    withNextcloud(new Command("disable"))
      .argument("<id...>", "account ids, as list shows them", parseIds)
      .description(
        "Disables the accounts with these ids. Their files stay. Refuses an account that belongs to somebody.",
      )
      .option("--dry-run", "only show which accounts it would disable")
      .option("--yes", "do not ask")
      .action((ids: string[], options: Options) => withClients(options, (...found) => disable(ids, options, ...found))),
  );
  return command;
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1) throw new InvalidArgumentError("must be a number from 1 upwards");
  return limit;
}

function parseIds(id: string, before: string[] = []): string[] {
  if (id.trim() === "") throw new InvalidArgumentError("must be an account id");
  return [...before, id];
}

type Found = [dependencies: Connection & { clients: Clients }, organization: Organization];

/** Opens what is needed, and finds the Nextcloud that is meant. */
async function withClients(options: Options, work: (...found: Found) => Promise<void>): Promise<void> {
  const connection = await connect(options);
  const clients = createClients({ secrets: connection.secrets, nextcloudConnections: CONNECTIONS });
  try {
    const organization = await organizationOf(connection, options);
    await atServers(organization, () => work({ ...connection, clients }, organization));
  } finally {
    await clients.close();
    await connection.close();
  }
}

/** An organization on the Nextcloud that is meant. */
async function organizationOf({ organizations }: Connection, { organization: slug }: Options): Promise<Organization> {
  if (slug !== undefined) return requireOrganization(organizations, slug);
  const byNextcloud = new Map<string, Organization>();
  for (const each of await organizations.slugs()) {
    const organization = await requireOrganization(organizations, each);
    if (!byNextcloud.has(organization.nextcloud.baseUrl)) byNextcloud.set(organization.nextcloud.baseUrl, organization);
  }
  const [only, ...others] = byNextcloud.values();
  if (only === undefined) throw new NoOrganization();
  if (others.length > 0) {
    const choices = [only, ...others].map(({ slug }) => `--organization ${slug}`).join(", ");
    throw new CommandError(`there are several Nextclouds, name an organization of one: ${choices}`);
  }
  return only;
}

async function list(options: Options, ...[dependencies, organization]: Found): Promise<void> {
  const candidates = new Candidates();
  await listForeignAccounts(dependencies.clients.of(organization).ocs, candidates);
  const unknown = await unknownAccounts(dependencies, organization, candidates, options.limit);
  if (!unknown.listed) throw new CommandError(notListed(unknown.reason));
  if (options.json) return printJson(unknown);
  for (const account of unknown.accounts) print(unknownLine(account));
  const lines = describeUnknown(unknown, [DISABLE]);
  for (const line of lines.length > 0 ? lines : ["There are no unknown accounts."]) print(line);
}

async function disable(ids: string[], options: Options, ...[dependencies, organization]: Found): Promise<void> {
  const named = await judgeNamed(dependencies, organization, ids);
  if ("reason" in named) throw new CommandError(notListed(named.reason));
  const meant = named.flatMap(({ account, refusal }) => (account && refusal === undefined ? [account] : []));
  const refused = named.flatMap(({ id, refusal }) => (refusal === undefined ? [] : [{ id, refusal }]));
  if (refused.length > 0) process.exitCode = EXIT.failed;
  if (!options.json) showNamed(meant, refused);
  const { dryRun = false } = options;
  const disabled: string[] = [];
  if (!dryRun && meant.length > 0) {
    await confirm(`Disable ${counted(meant.length, "account")} in ${organization.nextcloud.baseUrl}?`, options.yes);
    const { ocs } = dependencies.clients.of(organization);
    for (const { accountId } of meant) {
      await setAccountEnabled(ocs, accountId, false);
      disabled.push(accountId);
      if (!options.json) print(`disabled ${printable(accountId)}`);
    }
  }
  if (options.json) printJson({ dryRun, unknown: meant, disabled, refused });
  else if (dryRun) print(`${counted(meant.length, "account")} would be disabled. Nothing was changed.`);
}

function showNamed(meant: ForeignAccount[], refused: Pick<Named, "id" | "refusal">[]): void {
  for (const account of meant) print(`- ${unknownLine(account)}`);
  for (const { id, refusal } of refused) print(`! ${printable(id)}: left as it is: ${printable(refusal ?? "")}`);
}

const notListed = (reason: string): string =>
  `unknown accounts cannot be listed: ${reason}. Every organization on that Nextcloud must be read completely.`;

/** One account for people: the name, its whole id, and when it was last used. */
export function unknownLine({ accountId, displayName, lastLogin }: ForeignAccount): string {
  const used =
    lastLogin === undefined ? "last login unknown" : lastLogin === 0 ? "never used" : `last login ${time(lastLogin)}`;
  return `${personLabel({ subject: accountId, name: displayName })}  ${used}`;
}

const DISABLE = "npx clavex-nextcloud unknown disable ID...";

/**
 * What was found, in a sentence or two; empty where nothing was.
 *
 * @param commands which commands to name
 */
export function describeUnknown(
  unknown: UnknownAccounts,
  commands: string[] = ["npx clavex-nextcloud unknown list", DISABLE],
): string[] {
  if (!unknown.listed) return [`Unknown accounts are not listed: ${printable(unknown.reason)}.`];
  const { accounts, unread } = unknown;
  return [
    ...(accounts.length > 0
      ? [
          `${counted(accounts.length, "unknown account")}: enabled, of user_oidc, and no organization computes or claims ${accounts.length === 1 ? "it" : "them"}. See: ${commands.join(", ")}`,
        ]
      : []),
    ...(unread > 0
      ? [
          `${counted(unread, "more account was", "more accounts were")} not asked about, or could not be read. See: npx clavex-nextcloud unknown list --limit N`,
        ]
      : []),
  ];
}
