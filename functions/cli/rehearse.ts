import { Command } from "commander";
import { createClients } from "../clients.ts";
import { printable } from "../core/text.ts";
import { createContext } from "../doctor/context.ts";
import { type Rehearsal, rehearse } from "../doctor/rehearsal.ts";
import { doctorOptions } from "./doctor-options.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { atServers, oneOrganization } from "./organizations.ts";
import { findPerson, namedPerson, personLabel, requireDirectory, USER_HELP, USER_OPTION } from "./people.ts";
import { openPipeline } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { openSources } from "./sources.ts";
import { print, printJson, table } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user: string;
  userinfo?: boolean;
  json?: boolean;
}

/** `rehearse`: what a person's first login would make, beside what the pipeline makes. */
export function rehearseCommand(): Command {
  return withConnection(new Command("rehearse"))
    .description(
      "Shows what a person's first login would create beside what the pipeline creates. Changes nothing. Exit code 1 when they differ.",
    )
    .option("--organization <slug>", "the organization; needed where there are several")
    .requiredOption(USER_OPTION, USER_HELP)
    .option(
      "--userinfo",
      "Nextcloud's config.php has enrich_login_id_token_with_userinfo: count the claims of /userinfo",
    )
    .option("--json", "print JSON")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { organizations, secrets } = await openSources(options);
  const organization = await oneOrganization(organizations, options.organization);

  const pipeline = await openPipeline(options);
  const context = createContext(await doctorOptions(organization, [], secrets, pipeline, undefined));
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  try {
    const { directory } = requireDirectory(clients.of(organization), organization.slug);
    const { rehearsal, person } = await atServers(organization, async () => {
      const { subject, person } = await findPerson(directory, options.user);
      if (!person) throw new CommandError(`--user: Clavex has nobody with the id ${subject}`);
      const { value: map } = await directory.groups(Number.NEGATIVE_INFINITY);
      return { person, rehearsal: await rehearse(context, { person, map, userinfo: options.userinfo ?? false }) };
    });
    if (options.json) printJson(rehearsal);
    else show(rehearsal, personLabel(namedPerson(person)));
    if (rehearsal.refused !== undefined || rehearsal.comparisons.some(({ differs }) => differs))
      process.exitCode = EXIT.failed;
  } finally {
    await clients.close();
    await context.close();
    await pipeline.close();
  }
}

function show({ state, comparisons, refused, notes }: Rehearsal, person: string): void {
  if (state !== "active") print(`${person} is ${state}: the pipeline creates no account, and Clavex lets nobody in.`);
  if (refused !== undefined) print(printable(`The login would be refused: ${refused}`));
  if (comparisons.length > 0) {
    const rows = comparisons.map(({ property, login, pipeline, differs }) => [
      property,
      ...[login ?? "(leaves ours)", pipeline].map((text) => text.replaceAll("\n", ", ")),
      differs ? "DIFFERS" : "the same",
    ]);
    print(table(["", "A first login creates", "The pipeline creates", ""], rows));
  }
  for (const note of notes) print(printable(`Note: ${note}`));
}
