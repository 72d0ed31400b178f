import { GetParametersByPathCommand, type SSMClient } from "@aws-sdk/client-ssm";
import { ConfigurationError } from "../core/failure.ts";
import { isSlug, type Organization, parseOrganization } from "../core/organization.ts";
import { type Found, together } from "../core/together.ts";
import type { Organizations } from "./organizations.ts";
import { parametersUnavailable } from "./parameters.ts";
import { staleOnError } from "./stale-on-error.ts";

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
  const found: Found[] = [];
  let token: string | undefined;
  do {
    const page = await ssm
      .send(new GetParametersByPathCommand({ Path: path, ...(token === undefined ? {} : { NextToken: token }) }))
      .catch((error) => {
        throw parametersUnavailable(path, error);
      });
    for (const { Name = "", Value = "" } of page.Parameters ?? []) found.push(parameter(path, Name, Value));
    token = page.NextToken;
  } while (token !== undefined);
  return new Map(
    together(found).map(({ slug, organization, problems }) => [
      slug,
      organization ?? new ConfigurationError("organization-invalid", problems),
    ]),
  );
}

/** A parameter is asked for by its own name, whatever slug its document has. */
function parameter(path: string, name: string, text: string): Found {
  const slug = name.slice(path.length);
  const { organization, problems = [] } = parseOrganization({ source: name, text }, "ssm");
  if (!organization) return { source: name, slug, organization, problems };
  if (organization.slug === slug) return { source: name, slug, organization, problems };
  return { source: name, slug, organization: undefined, problems: [`${name}: slug: is not ${slug}`] };
}
