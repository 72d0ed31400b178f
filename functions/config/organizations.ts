import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError } from "../core/failure.ts";
import { type Organization, type OrganizationDocument, readOrganizations } from "../core/organization.ts";
import type { Found } from "../core/together.ts";
import { systemWords } from "../system-errors.ts";

/** What a job was planned with. */
export interface Planned {
  /** The sha256 of the organization's document. */
  configuration: string;
  /** When the job was sent, in milliseconds since the epoch. */
  at: number;
}

/** The organizations that are configured. */
export interface Organizations {
  /**
   * The organization of this slug, or undefined when it does not exist.
   *
   * @param planned a document that was read before that job was sent, and is another, is read again
   * @throws {ConfigurationError} when its document exists but is invalid; an invalid document does not affect the others
   */
  get(slug: string, planned?: Planned): Promise<Organization | undefined>;
  /** The slugs of all documents, wrong ones included, sorted. */
  slugs(): Promise<string[]>;
}

/** An organization whose document is wrong, or that cannot stand beside another. */
export interface Refused {
  slug: string;
  error: ConfigurationError;
}

/** What a folder holds. */
export interface FolderContent {
  organizations: Organization[];
  refused: Refused[];
}

/** Organizations that are already read. One that is refused touches no other. */
export function fixedOrganizations(organizations: Organization[], refused: readonly Refused[] = []): Organizations {
  const bySlug = new Map<string, Organization | ConfigurationError>([
    ...refused.map(({ slug, error }) => [slug, error] as const),
    ...organizations.map((organization) => [organization.slug, organization] as const),
  ]);
  return {
    async get(slug) {
      const found = bySlug.get(slug);
      if (found instanceof ConfigurationError) throw found;
      return found;
    },
    slugs: async () => [...bySlug.keys()].sort(),
  };
}

/**
 * The names of the `*.json` files of a folder, sorted; none when it is missing.
 *
 * @throws {ConfigurationError} when it cannot be read
 */
export async function organizationFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new ConfigurationError("organizations-unreadable", [`${folder}: cannot be read (${systemWords(error)})`], {
      fix: "Name the right folder with --organizations, or let this user read it.",
      cause: error,
    });
  });
  return names.filter((name) => name.endsWith(".json")).sort();
}

/**
 * Checks that a folder which somebody has named holds organization files.
 *
 * @throws {ConfigurationError} when it does not, or cannot be read
 */
export async function requireOrganizationFiles(folder: string): Promise<void> {
  if ((await organizationFiles(folder)).length === 0) throw organizationsMissing([noOrganizationFiles(folder)]);
}

/** That a folder holds no organization files. */
export function noOrganizationFiles(folder: string): string {
  return existsSync(folder)
    ? `${folder}: there are no organization files (*.json)`
    : `${folder}: there is no such folder`;
}

/** There is nothing to work with. */
export function organizationsMissing(problems: string[]): ConfigurationError {
  return new ConfigurationError("organizations-missing", problems, {
    fix: 'Name the right folder with --organizations, configure an organization with "npx clavex-nextcloud setup", or look at the demo with "npm start -- --demo".',
  });
}

/** What to do about a file of the configuration that cannot be read. */
export const UNREADABLE_FILE =
  "Make it a file that this user can read, or run this as the user that runs the pipeline.";

/**
 * Reads one file of a folder.
 *
 * @throws {ConfigurationError} when it cannot be read
 */
export async function readDocument(folder: string, name: string): Promise<OrganizationDocument> {
  const source = join(folder, name);
  const text = await readFile(source, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ConfigurationError("organizations-unreadable", [`${source}: cannot be read (${systemWords(error)})`], {
      fix: UNREADABLE_FILE,
      cause: error,
    });
  });
  return { source, text };
}

/**
 * Reads and validates every `*.json` file of a folder. An empty or missing folder gives none. A wrong file stops its own
 * organization only.
 *
 * @throws {ConfigurationError} with all problems of all files when no organization can work
 */
export async function organizationsFromFolder(folder: string): Promise<FolderContent> {
  const documents = (await organizationFiles(folder)).map((name) => readDocument(folder, name));
  const found = readOrganizations(await Promise.all(documents), "env");
  const organizations = found.flatMap(({ organization }) => organization ?? []);
  const problems = found.flatMap((each) => each.problems);
  if (organizations.length === 0 && problems.length > 0)
    throw new ConfigurationError("organizations-invalid", problems);
  return { organizations, refused: refusals(found) };
}

/** The refused documents, by name. */
export function refusals(found: readonly Found[]): Refused[] {
  const problems = new Map<string, string[]>();
  for (const each of found)
    if (!each.organization) problems.set(each.slug, [...(problems.get(each.slug) ?? []), ...each.problems]);
  return Array.from(problems, ([slug, of]) => ({ slug, error: new ConfigurationError("organization-invalid", of) }));
}
