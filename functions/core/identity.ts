import { hash } from "node:crypto";
import * as z from "zod";
import { PipelineFailure } from "./failure.ts";
import { database, databaseSchema } from "./identity/database.ts";
import type { Scheme } from "./identity/scheme.ts";
import { socialLogin, socialLoginSchema } from "./identity/sociallogin.ts";
import { userOidc, userOidcSchema } from "./identity/user-oidc.ts";

const SCHEMES = { user_oidc: userOidc, database, sociallogin: socialLogin };

/** An organization's `identity`: how Nextcloud makes the ids of its people and groups. */
export const identitySchema = z.discriminatedUnion("scheme", [userOidcSchema, databaseSchema, socialLoginSchema]);
export type Identity = z.output<typeof identitySchema>;

/** The scheme of an identity, with its settings filled in. */
export function schemeOf(identity: Identity) {
  // A scheme and its settings belong together, which the type of a look-up by name does not say.
  const scheme = SCHEMES[identity.scheme] as Scheme<Identity>;
  return {
    making: scheme.making(identity),
    backend: scheme.backend,
    longestName: scheme.longestName,
    hashesGroupIds: scheme.hashesGroupIds(identity),
    formula: () => scheme.formula(identity),
  };
}

/** The id of the Nextcloud account that this subject's login opens. */
export function accountId(identity: Identity, subject: string): string {
  return (SCHEMES[identity.scheme] as Scheme<Identity>).accountId(identity, subject);
}

/** Whether account ids are the subjects themselves: then any organization could have the same ones. */
export function hasRawIds(identity: Identity): boolean {
  return accountId(identity, ANYBODY) === ANYBODY;
}

/** Every id is a prefix and a subject, or the hash of that: those of one subject tell for all. */
export const ANYBODY = "00000000-0000-4000-8000-000000000000";

/** The longest id of a group, in characters. */
const LONGEST_GROUP_ID = 64;

/**
 * The id of the Nextcloud group for a group name (already with the organization's prefix); see `groupProblem`. One that would
 * be too long is hashed, as Nextcloud does itself from 32 on (docs/facts/nextcloud.md 5).
 */
export function groupId(identity: Identity, name: string): string {
  const id = unshortenedGroupId(identity, name);
  return [...id].length > LONGEST_GROUP_ID ? hash("sha256", id) : id;
}

/** The same before it is hashed for its length: this tells whose namespace a group lies in. */
export function unshortenedGroupId(identity: Identity, name: string): string {
  return (SCHEMES[identity.scheme] as Scheme<Identity>).groupId(identity, name);
}

/**
 * The fingerprint of what decides ids: when it changes, every account id would change. Settings that decide nothing, such as
 * a provider's identifier that is not used, are not in it.
 */
export function identityFingerprint(identity: Identity): string {
  return hash("sha256", `${accountId(identity, ANYBODY)}\n${groupId(identity, "group")}`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Why Nextcloud cannot hold this group, as a sentence, or undefined when it can. Measured limits: ids not empty
 * and not `0`; `.` and `..` cannot be addressed by path.
 */
export function groupProblem(gid: string, displayName: string): string | undefined {
  if (gid.trim() === "" || gid === "0") return "Nextcloud refuses a group with this id";
  if (displayName.trim() === "" || displayName === "0") return "Nextcloud refuses a group with this name";
  if (gid === "." || gid === "..") return "a path to this group cannot be written";
  if (CONTROL.test(gid) || CONTROL.test(displayName)) return "the name has control characters";
  // Neither a path nor a database can hold half of a surrogate pair.
  if (!displayName.isWellFormed()) return "the name has half a character";
  if ([...displayName].length > 255) return "the name is longer than Nextcloud's 255 characters";
  return undefined;
}

/** `identity` differs from the one the organization's accounts were made with. */
export class IdentityChanged extends PipelineFailure {
  constructor(organization: string) {
    super(
      "configuration",
      "identity-changed",
      `the identity of organization ${organization} has changed`,
      "organization",
      {
        fix: `Every account id would change and everybody would get a second account. Restore the old identity, or accept the new one: npx clavex-nextcloud accept-identity --organization ${organization}`,
      },
    );
  }
}

/** Nextcloud made an account under another id than the one this organization's `identity` gives. */
export class IdentityMismatch extends PipelineFailure {
  /** @param account what became of the account that was created under the wrong id */
  constructor(expected: string, made: string, account: "removed" | "still there" | "not tried") {
    const rest = account === "still there" ? ", and delete the account that was created under the wrong id" : "";
    super(
      "configuration",
      "identity-mismatch",
      `user_oidc uses the account id ${made} where identity gives ${expected}`,
      "identity",
      {
        fix: `Make identity (providerId, uniqueUserIds, providerBasedIds, providerIdentifier) equal to the provider's settings in Nextcloud${rest}.`,
      },
    );
  }
}
