import { ATTRIBUTES, type Profile } from "../core/account.ts";
import type { DesiredAccount, DesiredGroup } from "../core/desired.ts";
import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { type GroupMap, type Person, unknownGroups } from "../core/person.ts";
import { groupsJoinedBy } from "../core/plan.ts";
import { quotaText } from "../core/quota.ts";
import type { Claims } from "../ledger/claims.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { createGroupLookup } from "../provision/group-lookup.ts";
import type { DoctorContext } from "./context.ts";
import {
  canReadWhitelist,
  claimsOf,
  groupsTakenAway,
  type LoginAccount,
  type LoginRefusal,
  loginAccount,
  socialLoginAccount,
  withUserinfo,
} from "./login.ts";

/** One property of the account: what the login would make of it, and what the pipeline makes. */
export interface Comparison {
  property: string;
  /** Undefined: the login leaves it as the pipeline made it. */
  login: string | undefined;
  pipeline: string;
  differs: boolean;
}

/** A first login and the pipeline, side by side. */
export interface Rehearsal {
  subject: string;
  state: DesiredAccount["state"];
  comparisons: Comparison[];
  /** Why the login would be refused, if it would. */
  refused: string | undefined;
  /** What could not be considered, one sentence each. */
  notes: string[];
}

export interface RehearsalOptions {
  person: Person;
  /** The groups of the directory. */
  map: GroupMap;
  /** Nextcloud has `enrich_login_id_token_with_userinfo`, so the claims of /userinfo count too. */
  userinfo: boolean;
}

/** The provider's settings are not visible, so nobody can tell what a login would do. */
class ProviderNotVisible extends PipelineFailure {
  constructor() {
    super(
      "configuration",
      "provider-not-visible",
      "Nextcloud does not show the login provider's settings",
      "organization",
      {
        fix: 'Look: occ user_oidc:provider, and compare with "identity" by hand.',
      },
    );
  }
}

/**
 * Compares what a person's first login would make with what the pipeline makes. Only reads.
 *
 * @throws {ProviderNotVisible} when Nextcloud does not show the provider
 */
export async function rehearse(context: DoctorContext, options: RehearsalOptions): Promise<Rehearsal> {
  const { organization, ocs, pipeline } = context;
  const { person, map } = options;
  const { subject } = person;
  const directory = { person, groups: map.of(subject), ...unknownGroups(map) };
  const decision = await createGroupLookup(pipeline.ledger?.claims ?? NO_CLAIMS, Date.now).evaluate(
    {
      organization,
      subject,
      directory,
      account: undefined,
      record: undefined,
      mayPurge: false,
      skeletonIsEmpty: false,
      now: Date.now(),
    },
    { ocs, nextcloudOrigin: organization.nextcloud.baseUrl },
    map.names,
  );
  const { desired, plan } = decision;
  const notes = plan.refusal === undefined ? [...plan.notes] : [plan.refusal.message];
  const rehearsal = { subject, state: desired.state, comparisons: [], refused: undefined, notes };
  if (desired.state !== "active") return rehearsal;
  const whitelist = await unreadableWhitelist(context);
  const groupsAreUnknown = whitelist !== undefined;
  if (groupsAreUnknown) {
    notes.push(
      `the provider's whitelist ${whitelist} cannot be evaluated outside PHP: which groups a login sets is not compared`,
    );
  }
  const login = await expectedLogin(context, options, desired.accountId, groupsAreUnknown, notes);
  if ("refused" in login) return { ...rehearsal, refused: login.refused };
  const joined = groupsJoinedBy(plan.operations);
  const takenAway = await takenAwayBy(context, login, login.id === desired.accountId ? joined : []);
  const rows = compare(login, desired.accountId, desired.profile, joined, takenAway);
  return { ...rehearsal, comparisons: rows.filter(({ property }) => property !== "groups" || !groupsAreUnknown) };
}

/** The whitelist of a provider that sets groups at login, where it cannot be read here. */
async function unreadableWhitelist(context: DoctorContext): Promise<string | undefined> {
  const provider = await context.provider();
  if (!provider?.settings.groupProvisioning || canReadWhitelist(provider)) return undefined;
  return provider.settings.groupWhitelistRegex;
}

/** The groups that the login takes away, of those that the account is in and those that the pipeline puts it in. */
async function takenAwayBy(context: DoctorContext, login: LoginAccount, joined: DesiredGroup[]): Promise<string[]> {
  const provider = login.groups === undefined ? undefined : await context.provider();
  if (provider === undefined) return [];
  const account = await getAccount(context.ocs, login.id);
  const current = new Set(joined.map(({ gid }) => gid));
  // Nextcloud also finds accounts by their e-mail address.
  if (account?.id === login.id) for (const gid of account.groups) current.add(gid);
  return groupsTakenAway(provider, login, [...current]);
}

/** Where the ledger is not open nothing is known of who claimed what. */
const NO_CLAIMS: Pick<Claims, "group" | "claimGroup"> = {
  group: async () => undefined,
  claimGroup: async (_origin, _gid, claim) => ({ claim, written: true }),
};

async function expectedLogin(
  context: DoctorContext,
  { person, map, userinfo }: RehearsalOptions,
  accountId: string,
  groupsAreUnknown: boolean,
  notes: string[],
): Promise<LoginAccount | LoginRefusal> {
  const { identity }: Organization = context.organization;
  const groups = map.of(person.subject);
  if (identity.scheme === "sociallogin") {
    notes.push("sociallogin's settings cannot be read from outside: only the account id is compared");
    return socialLoginAccount(identity.providerName, person.subject);
  }
  const provider = await context.provider();
  if (provider === undefined) throw new ProviderNotVisible();
  if (provider.identifier === undefined && provider.settings.providerBasedId && identity.scheme === "user_oidc") {
    notes.push("this user_oidc does not show the provider's identifier: that of identity is taken");
    provider.identifier = identity.providerIdentifier;
  }
  if (context.management === undefined) {
    notes.push("the client's mappers cannot be read without an administrator's token: no claims of theirs are assumed");
  }
  const claims = claimsOf(person, groups, await context.mappers());
  const raw = await getAccount(context.ocs, person.subject);
  const accounts = new Set([accountId, ...(raw?.id === person.subject ? [raw.id] : [])]);
  const hashesLongGroups = Number((await context.status()).version.split(".")[0]) >= 32;
  const { settings } = provider;
  const read = groupsAreUnknown ? { ...provider, settings: { ...settings, groupProvisioning: false } } : provider;
  return loginAccount(read, userinfo ? withUserinfo(claims, person, groups) : claims, accounts, hashesLongGroups);
}

function compare(
  login: LoginAccount,
  accountId: string,
  profile: Profile,
  groups: DesiredGroup[],
  takenAway: readonly string[],
): Comparison[] {
  const row = (property: string, theirs: string | undefined, ours: string, same = theirs === ours): Comparison => ({
    property,
    login: theirs,
    pipeline: ours,
    differs: theirs !== undefined && !same,
  });
  const names = new Map(groups.map(({ gid, displayName }) => [gid, displayName]));
  // By name for people; a group that only the login would join, or that is not the pipeline's, is shown by its id.
  const named = (gids: readonly string[]): string[] => gids.map((gid) => names.get(gid) ?? gid);
  const shown = (gids: readonly string[]): string => named(gids).join("\n") || "none";
  const afterwards = login.groups && [shown(login.groups), ...named(takenAway).map((name) => `taken away: ${name}`)];
  const gids = [...names.keys()].sort();
  const sameGroups = login.groups?.join("\n") === gids.join("\n");
  const quota = ATTRIBUTES.quota.text(profile) ?? "left alone";
  return [
    row("account id", login.id, accountId),
    row("name", login.displayName, profile.displayName),
    row("e-mail", login.email, profile.email, login.email?.toLowerCase() === profile.email.toLowerCase()),
    row("quota", login.quota === undefined ? undefined : quotaText(login.quota), quota),
    row("groups", afterwards?.join("\n"), shown(gids), sameGroups && takenAway.length === 0),
  ];
}
