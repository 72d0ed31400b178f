import { createHash } from "node:crypto";
import type { Mapper } from "../clavex/management-api.ts";
import type { Person } from "../core/person.ts";
import { isQuota, type Quota, quotaAtLogin } from "../core/quota.ts";
import type { OidcProvider } from "../nextcloud/providers.ts";

/*
 * What a first login would make, computed as user_oidc does: from the provider's settings in Nextcloud and the claims that the
 * client's mappers put into the id token. Nothing here uses what the pipeline computes ids or accounts with, so that a
 * mistake there shows as a difference here; only how Nextcloud reads a quota's text is shared.
 */

/** What Nextcloud would hold after somebody's login. Undefined: the login leaves it as it is. */
export interface LoginAccount {
  id: string;
  displayName: string | undefined;
  email: string | undefined;
  quota: Quota | undefined;
  /** The ids of exactly the groups the person is in afterwards; undefined without group provisioning. */
  groups: string[] | undefined;
}

/** A login that Nextcloud ends with an error, and why. */
export interface LoginRefusal {
  refused: string;
}

/** The mappers that Clavex honours, by claim; without `add_to_access_token` it skips them everywhere (docs/facts/clavex.md 8). */
export function idTokenClaims(mappers: readonly Mapper[]): Map<string, Mapper> {
  return new Map(mappers.filter((each) => each.add_to_access_token).map((each) => [each.claim_name, each]));
}

/**
 * The claims of a person's id token: the subject, and what the mappers add. By default it has no name, e-mail or groups;
 * `user_property` knows e-mail, first and last name and subject only.
 */
export function claimsOf(user: Person, groups: readonly string[], mappers: readonly Mapper[]): Record<string, unknown> {
  const properties: Record<string, string> = {
    email: user.email,
    first_name: user.firstName,
    last_name: user.lastName,
    sub: user.subject,
  };
  const claims: Record<string, unknown> = { sub: user.subject };
  for (const [claim, mapper] of idTokenClaims(mappers)) {
    const { attribute_name: attribute, claim_value: fixed } = mapper;
    if (mapper.mapper_type === "user_property" && attribute && attribute in properties)
      claims[claim] = properties[attribute];
    if (mapper.mapper_type === "user_attribute" && attribute && Object.hasOwn(user.attributes, attribute)) {
      claims[claim] = user.attributes[attribute];
    }
    if (mapper.mapper_type === "hardcoded" && typeof fixed === "string") claims[claim] = fixed;
    if (mapper.mapper_type === "group_membership") claims[claim] = [...groups].sort();
  }
  return claims;
}

/**
 * The claims with what /userinfo adds where `enrich_login_id_token_with_userinfo` is on: name, e-mail and groups always
 * (docs/facts/clavex.md 8).
 */
export function withUserinfo(
  claims: Record<string, unknown>,
  user: Person,
  groups: readonly string[],
): Record<string, unknown> {
  const name = `${user.firstName} ${user.lastName}`.trim();
  return { email: user.email, groups: [...groups].sort(), ...(name === "" ? {} : { name }), ...claims };
}

/**
 * What user_oidc does with the claims of a login (docs/facts/nextcloud.md 1 and 7).
 *
 * @param accounts the ids of existing accounts: one with the raw subject is adopted, regardless of the settings
 * @param hashesLongGroups whether this Nextcloud can hold groups over 64 characters, as it does from 32 on
 */
export function loginAccount(
  provider: OidcProvider,
  claims: Record<string, unknown>,
  accounts: ReadonlySet<string>,
  hashesLongGroups: boolean,
): LoginAccount | LoginRefusal {
  const { settings } = provider;
  const uid = text(claims[settings.mappingUid || "sub"]);
  if (uid === undefined) return { refused: `the id token has no claim ${settings.mappingUid}` };
  const local = localId(provider, uid);
  const own = Buffer.byteLength(local) > 64 ? sha256(local) : local;
  const id = accounts.has(uid) ? uid : own;

  const quotaClaim = text(claims[settings.mappingQuota || "quota"]);
  const quota = quotaClaim === undefined ? undefined : quotaAtLogin(quotaClaim);
  if (quotaClaim !== undefined && quota === undefined)
    return { refused: `the quota claim ${JSON.stringify(quotaClaim)} cannot be read: HTTP 500` };
  const named = settings.groupProvisioning ? groupIds(provider, claims[settings.mappingGroups || "groups"]) : undefined;
  const groups = hashesLongGroups ? named?.map((gid) => (isTooLong(gid) ? sha256(gid) : gid)).sort() : named;
  const tooLong = groups?.find(isTooLong);
  if (tooLong !== undefined) return { refused: `the group id ${tooLong} is longer than 64 characters: HTTP 500` };
  return {
    id,
    displayName: text(claims[settings.mappingDisplayName || "name"]),
    email: text(claims[settings.mappingEmail || "email"]),
    quota,
    groups,
  };
}

/** What logins make of the quota claims that are no quotas, a part of a sentence each; none where all are. */
export function harmOfQuotaClaims(claims: readonly { subject: string; value: string }[]): string[] {
  const wrong = Map.groupBy(
    claims.filter(({ value }) => !isQuota(value)),
    ({ value }) => (quotaAtLogin(value) === undefined ? "refused" : "misread"),
  );
  const subjects = (kind: "refused" | "misread") => wrong.get(kind)?.map(({ subject }) => subject);
  const [misread, refused] = [subjects("misread"), subjects("refused")];
  return [
    ...(misread
      ? [`to Nextcloud it is another size, as 5 GiB is 5 bytes (27: HTTP 500), for ${misread.join(", ")}`]
      : []),
    ...(refused ? [`every login ends with HTTP 500 for ${refused.join(", ")}`] : []),
  ];
}

/** What the sociallogin app creates: only the id is known, because its settings are not visible from outside. */
export function socialLoginAccount(providerName: string, subject: string): LoginAccount {
  const profile = subject.split("/").at(-1) ?? "";
  const plain = `${providerName}-${profile}`;
  const fits = plain.length <= 64 && /^[\w.@-]+$/.test(profile);
  const id = fits ? plain : `${providerName}-${createHash("md5").update(profile).digest("hex")}`;
  return { id, displayName: undefined, email: undefined, quota: undefined, groups: undefined };
}

/**
 * The groups that a login takes the person out of: all that are not in the claim, `admin` and local ones included. Spared are
 * those whose id, as Nextcloud has it, the whitelist does not match (docs/facts/nextcloud.md 7).
 *
 * @param current the ids of the groups that the person is in before
 */
export function groupsTakenAway(provider: OidcProvider, login: LoginAccount, current: readonly string[]): string[] {
  if (login.groups === undefined) return [];
  const kept = new Set(login.groups);
  const whitelist = whitelistOf(provider);
  return current.filter((gid) => !kept.has(gid) && (whitelist?.test(gid) ?? true)).sort();
}

/** The whitelist is matched against the names of the claim; an absent claim is an empty one. */
function groupIds(provider: OidcProvider, claim: unknown): string[] {
  const names =
    typeof claim === "string"
      ? claim.split(",")
      : Array.isArray(claim)
        ? claim.filter((each) => typeof each === "string")
        : [];
  const whitelist = whitelistOf(provider);
  const allowed = names.filter((name) => whitelist?.test(name) ?? true);
  return allowed.map((name) => localId(provider, name)).sort();
}

const isTooLong = (gid: string): boolean => [...gid].length > 64;

/** Whether the whitelist can be read here: some regular expressions are only PHP's, such as `/(?i)^eng/`. */
export function canReadWhitelist(provider: OidcProvider): boolean {
  try {
    whitelistOf(provider);
    return true;
  } catch {
    return false;
  }
}

/**
 * Which groups the provider deals with; undefined: all. PHP writes a regular expression between delimiters.
 *
 * @throws {SyntaxError} when it is none of JavaScript's; see `canReadWhitelist`
 */
function whitelistOf({ settings: { groupWhitelistRegex: expression } }: OidcProvider): RegExp | undefined {
  if (expression === "") return undefined;
  const [, inner = expression, flags = ""] = /^\/(.*)\/([a-z]*)$/s.exec(expression) ?? [];
  return new RegExp(inner, flags.replace(/[^imsu]/g, ""));
}

function localId(provider: OidcProvider, value: string): string {
  const { uniqueUid, providerBasedId } = provider.settings;
  if (uniqueUid) return sha256(`${provider.id}_0_${value}`);
  return providerBasedId ? `${provider.identifier ?? ""}-${value}` : value;
}

/** An empty claim counts as none. */
function text(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

const sha256 = (value: string): string => createHash("sha256").update(value).digest("hex");
