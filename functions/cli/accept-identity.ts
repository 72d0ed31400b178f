import { Command } from "commander";
import { identityFingerprint } from "../core/identity.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  yes?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `accept-identity`: lets an organization continue after its `identity` was changed. */
export function acceptIdentityCommand(): Command {
  return withConnection(new Command("accept-identity"))
    .description("Accepts that an organization's identity was changed, which gives everybody a new account id.")
    .option("--organization <slug>", "the organization; needed where there are several")
    .option("--dry-run", "only say whether it has changed")
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .action(acceptIdentity);
}

async function acceptIdentity({ organization: slug, json, dryRun = false, yes, ...options }: Options): Promise<void> {
  const connection = await connect(options);
  const tell = json ? () => undefined : print;
  try {
    const organization = await oneOrganization(connection.organizations, slug);
    const fingerprint = identityFingerprint(organization.identity);
    const made = await connection.ledger.identities.get(organization.slug);
    const changed = made !== undefined && made.fingerprint !== fingerprint;
    const accepts = changed && !dryRun;
    tell(
      changed
        ? `The identity of ${organization.slug} is not the one its accounts were created with.`
        : `The identity of ${organization.slug} is the one its accounts were created with, or will be.`,
    );
    if (accepts) {
      await confirm("Everybody gets a second, empty account under the new id; the old ones stay. Accept?", yes);
      await connection.ledger.identities.accept(organization.slug, fingerprint);
      tell("Accepted. Jobs that wait for it go on with their next attempt.");
      tell("Nothing looks after the old accounts now; list those that are enabled: npx clavex-nextcloud unknown list");
    }
    if (json) printJson({ organization: organization.slug, dryRun, changed, accepted: accepts });
  } finally {
    await connection.close();
  }
}
