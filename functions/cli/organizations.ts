import type { Organizations } from "../config/organizations.ts";
import { Failure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { CommandError, report } from "./report.ts";

/**
 * The organization of this slug.
 *
 * @throws {CommandError} when there is none
 * @throws {ConfigurationError} when its document is wrong
 */
export async function requireOrganization(organizations: Organizations, slug: string): Promise<Organization> {
  return (await organizations.get(slug)) ?? unknown(slug);
}

/**
 * The slugs that a command works on: the one that was asked for, else all. Their documents are not read.
 *
 * @throws {CommandError} when the one that was asked for is not there
 */
export async function chosenSlugs(organizations: Organizations, asked: string | undefined): Promise<string[]> {
  const slugs = await organizations.slugs();
  if (asked === undefined) return slugs;
  return slugs.includes(asked) ? [asked] : unknown(asked);
}

function unknown(slug: string): never {
  throw new CommandError(`there is no organization ${slug}`);
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
      await work(await requireOrganization(organizations, slug));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      clearReading();
      console.error(`${slug}:`);
      report(error);
      failures.push({ organization: slug, error: error.message });
    }
  }
  return failures;
}

/** Shows on stderr how far the reading is, where that is a terminal. */
export function reading(slug: string): (phase: string, count: number) => void {
  return (phase, count) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${slug}: ${phase}: ${count}`);
  };
}

/** Clears that line for what comes next. */
export function clearReading(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
