import { hash } from "node:crypto";
import { GetParametersByPathCommand, type SSMClient } from "@aws-sdk/client-ssm";
import { isWithin } from "../core/clock.ts";
import { ConfigurationError } from "../core/failure.ts";
import { isSlug, type Organization, parseOrganization } from "../core/organization.ts";
import { type Found, together } from "../core/together.ts";
import type { Organizations, Planned } from "./organizations.ts";
import { parametersUnavailable } from "./parameters.ts";
import { staleOnError } from "./stale-on-error.ts";

const FRESH_MS = 5 * 60_000;
const UNKNOWN_RECHECK_MS = 60_000;
const OTHER_RECHECK_MS = 60_000;

/** The path below which a stage's organizations are SSM parameters, one document each. */
export function organizationsPath(stage: string): string {
  return `/clavex-nextcloud/${stage}/organizations/`;
}

/** The organizations of a stage, with their documents as they were deployed. */
export interface DeployedOrganizations extends Organizations {
  /** The organization's document, or undefined when no document has this slug. */
  document(slug: string): Promise<string | undefined>;
}

/** What was found in SSM: each document with what it says, or why it cannot be used. */
type Documents = Map<string, { text: string; organization: Organization | ConfigurationError }>;

/**
 * The organizations of a stage, from SSM. All documents are read together and kept for five minutes; a slug that is not
 * among them leads to a new reading at most once a minute, so that a flood of made-up slugs costs nothing and a new
 * organization is known soon. A job that was planned with another document than the one that is kept leads to a new reading too,
 * unless it is older than the reading: a deployment is known at once. While SSM does not answer, what was read last stays in use.
 */
export function organizationsFromParameters(
  ssm: SSMClient,
  stage: string,
  now: () => number = Date.now,
): DeployedOrganizations {
  const path = organizationsPath(stage);
  const read = staleOnError(() => readParameters(ssm, path), now);
  const within = (milliseconds: number) => read(now() - milliseconds);
  const looks = new Map<string, { at: number; ended: Promise<unknown> }>();

  const find = async (slug: string, planned?: Planned) => {
    if (!isSlug(slug)) return undefined;
    const kept = (await within(FRESH_MS)).get(slug) ?? (await within(UNKNOWN_RECHECK_MS)).get(slug);
    if (planned === undefined || kept === undefined || planned.configuration === sha256(kept.text)) return kept;
    // One look for each other document: senders that are themselves behind would lead to a reading for each of their jobs.
    const key = `${slug} ${planned.configuration}`;
    const before = looks.get(key);
    if (!isWithin(before?.at, OTHER_RECHECK_MS, now()))
      looks.set(key, { at: now(), ended: read(Math.min(planned.at, now())) });
    // Also for the other jobs of the same batch: else they would be worked on with the document of before.
    await looks.get(key)?.ended;
    return (await within(FRESH_MS)).get(slug);
  };

  return {
    async get(slug, planned) {
      const { organization } = (await find(slug, planned)) ?? {};
      if (organization instanceof ConfigurationError) throw organization;
      return organization;
    },
    slugs: async () => [...(await within(FRESH_MS)).keys()].sort(),
    document: async (slug) => (await find(slug))?.text,
  };
}

/**
 * The sha256 of each organization's document, for jobs to be stamped with. One that cannot be read now is not known: a job
 * goes without.
 */
export function configurationsOf({ document }: Pick<DeployedOrganizations, "document">) {
  return async (slug: string): Promise<string | undefined> => {
    const text = await document(slug).catch(() => undefined);
    return text === undefined ? undefined : sha256(text);
  };
}

/**
 * The same organizations, but one whose document was handed over: nothing has to be read for it.
 *
 * @param handed the document that holds now, by slug
 */
export function withDocuments(
  others: DeployedOrganizations,
  handed: ReadonlyMap<string, string>,
): DeployedOrganizations {
  return {
    async get(slug, planned) {
      const text = handed.get(slug);
      if (text === undefined) return others.get(slug, planned);
      const { organization, problems = [] } = parseOrganization({ source: slug, text }, "ssm");
      if (!organization) throw new ConfigurationError("organization-invalid", problems);
      return organization;
    },
    slugs: others.slugs,
    document: async (slug) => handed.get(slug) ?? others.document(slug),
  };
}

const sha256 = (text: string): string => hash("sha256", text);

async function readParameters(ssm: SSMClient, path: string): Promise<Documents> {
  const found: Found[] = [];
  const texts = new Map<string, string>();
  let token: string | undefined;
  do {
    const page = await ssm
      .send(new GetParametersByPathCommand({ Path: path, ...(token === undefined ? {} : { NextToken: token }) }))
      .catch((error) => {
        throw parametersUnavailable(path, error);
      });
    for (const { Name = "", Value = "" } of page.Parameters ?? []) {
      found.push(parameter(path, Name, Value));
      texts.set(Name.slice(path.length), Value);
    }
    token = page.NextToken;
  } while (token !== undefined);
  return new Map(
    together(found).map(({ slug, organization, problems }) => [
      slug,
      {
        text: texts.get(slug) ?? "",
        organization: organization ?? new ConfigurationError("organization-invalid", problems),
      },
    ]),
  );
}

/** A parameter is read by its own name, even if its document has another slug. */
function parameter(path: string, name: string, text: string): Found {
  const slug = name.slice(path.length);
  const { organization, problems = [] } = parseOrganization({ source: name, text }, "ssm");
  if (!organization) return { source: name, slug, organization, problems };
  if (organization.slug === slug) return { source: name, slug, organization, problems };
  return { source: name, slug, organization: undefined, problems: [`${name}: slug: is not ${slug}`] };
}
