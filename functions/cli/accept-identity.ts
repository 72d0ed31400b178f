import { Command } from "commander";
import { identityFingerprint } from "../core/identity.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { print } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  yes?: boolean;
  dryRun?: boolean;
}

/** `accept-identity`: lets an organization continue after its `identity` was changed. */
export function acceptIdentityCommand(): Command {
  return withConnection(new Command("accept-identity"))
    .description("Accepts that an organization's identity was changed, which gives everybody a new account id.")
    .option("--organization <slug>", "the organization; needed where there are several")
    .option("--dry-run", "only say whether it has changed")
    .option("--yes", "do not ask")
    .action(acceptIdentity);
}

async function acceptIdentity(options: Options): Promise<void> {
  const connection = await connect(options);
  try {
    const organization = await oneOrganization(connection.organizations, options.organization);
    const fingerprint = identityFingerprint(organization.identity);
    const made = await connection.ledger.identities.get(organization.slug);
    if (made === undefined || made.fingerprint === fingerprint) {
      return print(`The identity of ${organization.slug} is the one its accounts were made with, or will be.`);
    }
    print(`The identity of ${organization.slug} is not the one its accounts were made with.`);
    if (options.dryRun) return;
    await confirm("Everybody gets a second, empty account under the new id; the old ones stay. Accept?", options.yes);
    await connection.ledger.identities.accept(organization.slug, fingerprint);
    print("Accepted. Jobs that wait for it go on with their next attempt.");
  } finally {
    await connection.close();
  }
}
