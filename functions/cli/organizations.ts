import type { Organizations } from "../config/organizations.ts";
import { Failure, fixOf, messageAt } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { CommandError, report } from "./report.ts";
import { clearReading, complain } from "./terminal.ts";

/**
 * The organization of this slug.
 *
 * @throws {CommandError} when no organization has it
 * @throws {ConfigurationError} when its document is wrong
 */
export async function requireOrganization(organizations: Organizations, slug: string): Promise<Organization> {
  return (await organizations.get(slug)) ?? unknown(slug, await organizations.slugs());
}

/**
 * The slugs that a command works on: the one that was asked for, else all. Their documents are not read.
 *
 * @throws {CommandError} when the requested one does not exist, or no organization does: that is not "nothing to do"
 */
export async function chosenSlugs(organizations: Organizations, asked: string | undefined): Promise<string[]> {
  const slugs = await organizations.slugs();
  if (asked !== undefined) return slugs.includes(asked) ? [asked] : unknown(asked, slugs);
  if (slugs.length > 0) return slugs;
  throw new NoOrganization();
}

/** Nothing is configured. */
export class NoOrganization extends CommandError {
  constructor() {
    super(
      "there is no organization yet: write its file (docs/configuration.md), and for a stage deploy it (docs/deploy.md)",
    );
  }
}

/**
 * Checks that the organization that a command is limited to exists, if it is limited to one.
 *
 * @throws {CommandError} when it is not
 */
export async function requireKnown(organizations: Organizations, asked: string | undefined): Promise<void> {
  if (asked !== undefined) await chosenSlugs(organizations, asked);
}

function unknown(slug: string, others: readonly string[]): never {
  if (others.length === 0) throw new NoOrganization();
  throw new CommandError(
    `there is no organization ${slug}`,
    `There ${others.length === 1 ? "is" : "are"}: ${others.join(", ")}`,
  );
}

/**
 * The organization that a command works on: the one that was asked for, else the only one.
 *
 * @throws {CommandError} when it is not there, or none was asked for and there are several
 */
export async function oneOrganization(organizations: Organizations, asked: string | undefined): Promise<Organization> {
  if (asked !== undefined) return requireOrganization(organizations, asked);
  const slugs = await organizations.slugs();
  const [only, ...others] = slugs;
  if (only === undefined) throw new NoOrganization();
  if (others.length > 0)
    throw new CommandError(
      `there are several organizations, name one: ${slugs.map((slug) => `--organization ${slug}`).join(", ")}`,
    );
  return requireOrganization(organizations, only);
}

/** What went wrong at a server, with its address. */
export class ServerTrouble extends CommandError {
  override name = "ServerTrouble";
}

/**
 * Does something with the servers of an organization. What goes wrong at one of them names its address: an organization has two,
 * and a command may work on several organizations.
 *
 * @throws {ServerTrouble} in place of a server's failure, and any other error of the work
 */
export async function atServers<T>(organization: Parameters<typeof messageAt>[1], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure) || error.origin === "pipeline") throw error;
    throw new ServerTrouble(messageAt(error, organization), fixOf(error));
  }
}

/** What could not be done for an organization. */
export interface OrganizationFailure {
  organization: string;
  error: string;
}

/**
 * Does something for each organization. One that fails is reported on stderr and makes the exit code 1; the others go on.
 *
 * @throws {CommandError} when there is no organization of this slug
 */
export async function eachOrganization(
  slugs: string[],
  organizations: Organizations,
  work: (organization: Organization) => Promise<void>,
): Promise<OrganizationFailure[]> {
  const failures: OrganizationFailure[] = [];
  for (const slug of slugs) {
    try {
      const organization = await requireOrganization(organizations, slug);
      await atServers(organization, () => work(organization));
    } catch (error) {
      if (!(error instanceof Failure || error instanceof ServerTrouble)) throw error;
      clearReading();
      complain(`${slug}:`);
      report(error);
      failures.push({ organization: slug, error: error.message });
    }
  }
  return failures;
}
