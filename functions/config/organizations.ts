import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { GetParametersByPathCommand, type SSMClient } from "@aws-sdk/client-ssm";
import { ConfigurationError } from "../core/failure.ts";
import {
  isSlug,
  type Organization,
  type OrganizationDocument,
  parseOrganization,
  parseOrganizations,
} from "../core/organization.ts";
import { parametersUnavailable } from "./parameters.ts";
import { staleOnError } from "./stale-on-error.ts";

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
 * Reads and validates every `*.json` file of a folder. An empty or missing folder gives none.
 *
 * @throws {ConfigurationError} with all problems of all files
 */
export async function organizationsFromFolder(folder: string): Promise<Organization[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new ConfigurationError("organizations-unreadable", [`${folder}: cannot be read (${error.code})`], {
      cause: error,
    });
  });
  const documents = names
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map(async (name): Promise<OrganizationDocument> => {
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

const FRESH_MS = 5 * 60_000;
const UNKNOWN_RECHECK_MS = 60_000;

/** The path below which a stage's organizations are SSM parameters, one document each. */
export function organizationsPath(stage: string): string {
  return `/clavex-nextcloud/${stage}/organizations/`;
}

/**
 * The organizations of a stage, from SSM. All documents are read together and kept for five minutes; a slug that is not
 * among them leads to a new reading at most once a minute, so that a flood of made-up slugs costs nothing and a new
 * organization is known soon. While SSM does not answer, what was read last stays in use.
 */
export function organizationsFromParameters(
  ssm: SSMClient,
  stage: string,
  now: () => number = Date.now,
): Organizations {
  const path = organizationsPath(stage);
  const read = staleOnError(() => readParameters(ssm, path), now);
  const within = (milliseconds: number) => read(now() - milliseconds);

  return {
    async get(slug) {
      if (!isSlug(slug)) return undefined;
      const found = (await within(FRESH_MS)).get(slug) ?? (await within(UNKNOWN_RECHECK_MS)).get(slug);
      if (found instanceof ConfigurationError) throw found;
      return found;
    },
    slugs: async () => [...(await within(FRESH_MS)).keys()].sort(),
  };
}

async function readParameters(ssm: SSMClient, path: string): Promise<Map<string, Organization | ConfigurationError>> {
  const organizations = new Map<string, Organization | ConfigurationError>();
  let token: string | undefined;
  do {
    const page = await ssm
      .send(new GetParametersByPathCommand({ Path: path, ...(token === undefined ? {} : { NextToken: token }) }))
      .catch((error) => {
        throw parametersUnavailable(path, error);
      });
    for (const { Name: name = "", Value: text = "" } of page.Parameters ?? []) {
      const slug = name.slice(path.length);
      const parsed = parseOrganization({ source: name, text }, "ssm");
      const { organization } = parsed;
      const problems = [...(parsed.problems ?? [])];
      if (organization && organization.slug !== slug) problems.push(`${name}: slug: is not ${slug}`);
      const usable = organization && problems.length === 0;
      organizations.set(slug, usable ? organization : new ConfigurationError("organization-invalid", problems));
    }
    token = page.NextToken;
  } while (token !== undefined);
  return organizations;
}
