import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError } from "../core/failure.ts";
import { type Organization, type OrganizationDocument, parseOrganizations } from "../core/organization.ts";

/** The organizations that are configured. */
export interface Organizations {
  /**
   * The organization of this slug, or undefined when there is none.
   *
   * @throws {ConfigurationError} when its document is there but wrong; a wrong document does not touch the others
   */
  get(slug: string): Promise<Organization | undefined>;
  /** The slugs of all documents, wrong ones included, sorted. */
  slugs(): Promise<string[]>;
}

/** Organizations that are already validated. */
export function fixedOrganizations(organizations: Organization[]): Organizations {
  const bySlug = new Map(organizations.map((organization) => [organization.slug, organization]));
  return {
    get: async (slug) => bySlug.get(slug),
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
    throw new ConfigurationError("organizations-unreadable", [`${folder}: cannot be read (${error.code})`], {
      cause: error,
    });
  });
  return names.filter((name) => name.endsWith(".json")).sort();
}

/**
 * Reads and validates every `*.json` file of a folder. An empty or missing folder gives none.
 *
 * @throws {ConfigurationError} with all problems of all files
 */
export async function organizationsFromFolder(folder: string): Promise<Organization[]> {
  const documents = (await organizationFiles(folder)).map(async (name): Promise<OrganizationDocument> => {
    const source = join(folder, name);
    const text = await readFile(source, "utf8").catch((error: NodeJS.ErrnoException) => {
      throw new ConfigurationError("organizations-unreadable", [`${source}: cannot be read (${error.code})`], {
        cause: error,
      });
    });
    return { source, text };
  });
  return parseOrganizations(await Promise.all(documents), "env");
}
