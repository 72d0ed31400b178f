import { ANYBODY, accountId, groupId, schemeOf } from "./identity.ts";
import type { Organization } from "./organization.ts";

/** One document among several: the organization in it, or what is wrong with it. */
export interface Found {
  /** Where it was found, for messages. */
  source: string;
  /** The name by which it is asked for, also while it is wrong. */
  slug: string;
  /** Undefined exactly when there are problems. */
  organization: Organization | undefined;
  /** Each with its place. */
  problems: string[];
}

/** Two organizations whose accounts could have the same ids. */
export interface Conflict {
  organizations: readonly [Organization, Organization];
  problem: string;
}

/**
 * Looks at all documents together. Those that cannot stand beside each other are refused, both of them, and no other; each
 * of the rest learns which groups of the Nextcloud that they share are somebody else's.
 */
export function together(found: readonly Found[]): Found[] {
  const problems = new Map(found.map((each) => [each, [...each.problems]]));
  const usable = found.filter((each) => each.organization !== undefined);
  const sources = new Map(usable.map((each) => [each.organization, each]));
  for (const [each, problem] of [...duplicates(usable), ...meetings(usable, sources)])
    problems.get(each)?.push(problem);
  const organizations = usable.flatMap(({ organization }) => organization ?? []);
  return found.map((each) => {
    const all = problems.get(each) ?? [];
    const organization = all.length > 0 ? undefined : each.organization;
    return {
      ...each,
      problems: all,
      organization: organization && {
        ...organization,
        reservedPrefixes: reservedPrefixes(organization, organizations),
        sharesIds: neighbours(organization, organizations).some((other) => idsMeet(organization, other)),
        actingAccounts: neighbours(organization, organizations).map(({ nextcloud }) => nextcloud.username),
      },
    };
  });
}

function duplicates(usable: readonly Found[]): [Found, string][] {
  const holders = new Map<string, Found[]>();
  for (const each of usable) {
    const { slug, organizationId } = each.organization ?? {};
    for (const key of [`slug ${slug}`, `organizationId ${organizationId}`])
      holders.set(key, [...(holders.get(key) ?? []), each]);
  }
  return Array.from(holders).flatMap(([key, holding]) =>
    holding.flatMap((each): [Found, string][] => {
      const other = holding.find((one) => one !== each);
      return other ? [[each, `${each.source}: ${key} is also that of ${other.source}`]] : [];
    }),
  );
}

function meetings(usable: readonly Found[], sources: ReadonlyMap<Organization | undefined, Found>): [Found, string][] {
  const organizations = usable.flatMap(({ organization }) => organization ?? []);
  return conflicts(organizations).flatMap(({ organizations: both, problem }) =>
    both.flatMap((organization, index): [Found, string][] => {
      const own = sources.get(organization);
      const other = sources.get(both[1 - index]);
      return own && other ? [[own, `${own.source}: identity: ${problem} (see ${other.source})`]] : [];
    }),
  );
}

/**
 * The pairs of organizations on one Nextcloud whose account ids could be the same: with one provider, with raw ids on both
 * sides, or with the same prefix before them. Subjects of different Clavex servers are no secret, and whoever runs one
 * chooses them; only within one Clavex, read with API keys, is a subject one person.
 */
export function conflicts(organizations: readonly Organization[]): Conflict[] {
  const found: Conflict[] = [];
  for (const [index, first] of organizations.entries()) {
    for (const second of organizations.slice(index + 1)) {
      if (!sharesNextcloud(first, second) || !idsMeet(first, second) || sharesDirectory(first, second)) continue;
      const problem =
        `${first.slug} and ${second.slug} could have accounts of the same id in ${first.nextcloud.baseUrl}; ` +
        "give each a provider of its own with unique user ids, or let both have one clavex.baseUrl and API keys";
      found.push({ organizations: [first, second], problem });
    }
  }
  return found;
}

function sharesNextcloud(first: Organization, second: Organization): boolean {
  return first.nextcloud.baseUrl === second.nextcloud.baseUrl;
}

function sharesDirectory({ clavex: first }: Organization, { clavex: second }: Organization): boolean {
  return first.baseUrl === second.baseUrl && first.apiKey !== undefined && second.apiKey !== undefined;
}

function idsMeet({ identity: first }: Organization, { identity: second }: Organization): boolean {
  const [one, other] = [schemeOf(first).making, schemeOf(second).making];
  // One provider has one set of settings, even if the two documents disagree.
  if (one.by === "user_oidc" && other.by === "user_oidc" && one.providerId === other.providerId) return true;
  // Nextcloud finds an account in any letter case.
  return accountId(first, ANYBODY).toLowerCase() === accountId(second, ANYBODY).toLowerCase();
}

/**
 * The beginnings of group ids that belong to other organizations on the same Nextcloud: their provider's identifier, and
 * their `groups.prefix`. Of two that begin alike the longer one is the narrower, and holds: what the organization's own
 * ids begin with is not reserved for others. Hashed ids begin with nothing.
 */
function reservedPrefixes(organization: Organization, organizations: readonly Organization[]): string[] {
  const own = namespaces(organization).at(-1);
  if (own === undefined) return [];
  const reserved = neighbours(organization, organizations)
    .flatMap(namespaces)
    .filter((begin) => !own.startsWith(begin));
  return [...new Set(reserved)].sort();
}

/** The other organizations on the same Nextcloud. */
function neighbours(organization: Organization, organizations: readonly Organization[]): Organization[] {
  return organizations.filter((other) => other !== organization && sharesNextcloud(organization, other));
}

/** What an organization's group ids begin with: the identifier, then that with the prefix. None where they are hashed. */
function namespaces({ identity, groups }: Organization): string[] {
  if (schemeOf(identity).hashesGroupIds) return [];
  return [groupId(identity, ""), groupId(identity, groups.prefix)];
}
