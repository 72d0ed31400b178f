import type { DirectoryUser } from "../clavex/user.ts";
import { type DesiredAccount, desiredAccount } from "../core/desired.ts";
import type { Organization } from "../core/organization.ts";
import { quotaText } from "../core/quota.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import type { DoctorContext } from "./context.ts";
import {
  claimsOf,
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
  /** What could not be taken into account, one sentence each. */
  notes: string[];
}

export interface RehearsalOptions {
  user: DirectoryUser;
  /** The names of the person's groups in Clavex. */
  groups: readonly string[];
  /** Nextcloud has `enrich_login_id_token_with_userinfo`, so the claims of /userinfo count too. */
  userinfo: boolean;
}

/** The provider's settings are not visible, so nobody can tell what a login would do. */
export class ProviderNotVisible extends Error {
  override name = "ProviderNotVisible";
}

/**
 * Compares what a person's first login would make with what the pipeline makes. Only reads.
 *
 * @throws {ProviderNotVisible} when Nextcloud does not show the provider
 */
export async function rehearse(context: DoctorContext, options: RehearsalOptions): Promise<Rehearsal> {
  const { user, groups } = options;
  const desired = desiredAccount(context.organization, user.subject, { user, groups });
  const { state } = desired;
  const rehearsal = { subject: user.subject, state, comparisons: [], refused: undefined, notes: [...desired.notes] };
  if (state !== "active") return rehearsal;
  const login = await expectedLogin(context, options, desired, rehearsal.notes);
  return "refused" in login
    ? { ...rehearsal, refused: login.refused }
    : { ...rehearsal, comparisons: compare(login, desired) };
}

async function expectedLogin(
  context: DoctorContext,
  { user, groups, userinfo }: RehearsalOptions,
  desired: DesiredAccount,
  notes: string[],
): Promise<LoginAccount | LoginRefusal> {
  const { identity }: Organization = context.organization;
  if (identity.scheme === "sociallogin") {
    notes.push("sociallogin's settings cannot be read from outside: only the account id is compared");
    return socialLoginAccount(identity.providerName, user.subject);
  }
  const provider = await context.provider();
  if (provider === undefined) throw new ProviderNotVisible("Nextcloud does not show the login provider's settings");
  if (provider.identifier === undefined && provider.settings.providerBasedId && identity.scheme === "user_oidc") {
    notes.push("this user_oidc does not show the provider's identifier: that of identity is taken");
    provider.identifier = identity.providerIdentifier;
  }
  if (context.management === undefined) {
    notes.push("the client's mappers cannot be read without an administrator's token: no claims of theirs are assumed");
  }
  const claims = claimsOf(user, groups, await context.mappers());
  const raw = await getAccount(context.ocs, user.subject);
  const accounts = new Set([desired.accountId, ...(raw?.id === user.subject ? [raw.id] : [])]);
  return loginAccount(provider, userinfo ? withUserinfo(claims, user, groups) : claims, accounts);
}

function compare(login: LoginAccount, desired: DesiredAccount): Comparison[] {
  const row = (property: string, theirs: string | undefined, ours: string, same = theirs === ours): Comparison => ({
    property,
    login: theirs,
    pipeline: ours,
    differs: theirs !== undefined && !same,
  });
  const names = new Map(desired.groups.map(({ gid, displayName }) => [gid, displayName]));
  // By name for people; a group that only the login would join is shown by its id.
  const shown = (gids: readonly string[]): string => gids.map((gid) => names.get(gid) ?? gid).join("\n") || "none";
  const gids = [...names.keys()].sort();
  const quota = desired.quota === undefined ? "left alone" : quotaText(desired.quota);
  return [
    row("account id", login.id, desired.accountId),
    row("name", login.displayName, desired.displayName),
    row("e-mail", login.email, desired.email, login.email?.toLowerCase() === desired.email.toLowerCase()),
    row("quota", login.quota === undefined ? undefined : quotaText(login.quota), quota),
    row("groups", login.groups && shown(login.groups), shown(gids), login.groups?.join("\n") === gids.join("\n")),
  ];
}
