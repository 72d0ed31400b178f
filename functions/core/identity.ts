import { hash } from "node:crypto";
import { PipelineFailure } from "./failure.ts";

/**
 * How Nextcloud turns a subject (the OIDC `sub` claim) and a group name into ids: the `identity` of an organization.
 * `user_oidc` mirrors the settings of the provider in Nextcloud; `database` and `sociallogin` are for core accounts.
 */
export type Identity =
  | {
      scheme: "user_oidc";
      providerId: number;
      uniqueUserIds: boolean;
      providerBasedIds: boolean;
      providerIdentifier?: string | undefined;
    }
  | { scheme: "database" }
  | { scheme: "sociallogin"; providerName: string };

/** user_oidc computes user and group ids from a claim's value like this (with uniqueUid and providerBasedId). */
function userOidcId(identity: Identity & { scheme: "user_oidc" }, value: string): string {
  if (identity.uniqueUserIds) return hash("sha256", `${identity.providerId}_0_${value}`);
  return identity.providerBasedIds ? `${identity.providerIdentifier ?? ""}-${value}` : value;
}

/**
 * The id of the Nextcloud account that this subject's login opens.
 *
 * user_oidc hashes an id of more than 64 bytes once more; sociallogin puts the provider's name before the subject and
 * takes the subject's md5 when the result is longer than 64 or has characters that a core account cannot have.
 */
export function accountId(identity: Identity, subject: string): string {
  switch (identity.scheme) {
    case "database":
      return subject;
    case "sociallogin": {
      const profile = subject.slice(subject.lastIndexOf("/") + 1);
      const id = `${identity.providerName}-${profile}`;
      return id.length > 64 || !/^[a-z0-9_.@-]+$/i.test(profile)
        ? `${identity.providerName}-${hash("md5", profile)}`
        : id;
    }
    case "user_oidc": {
      const id = userOidcId(identity, subject);
      return Buffer.byteLength(id) > 64 ? hash("sha256", id) : id;
    }
  }
}

/** True when group ids are hashes of group names, so that an id cannot collide with a group that somebody else made. */
export function hashesGroupIds(identity: Identity): boolean {
  return identity.scheme === "user_oidc" && identity.uniqueUserIds;
}

/**
 * The id of the Nextcloud group for a group name (already with the organization's prefix). The same as for users, but
 * ids are not shortened: user_oidc fails for a group id over 64 characters (see `groupProblem`).
 */
export function groupId(identity: Identity, name: string): string {
  switch (identity.scheme) {
    case "database":
      return name;
    case "sociallogin":
      return `${identity.providerName}-${name}`;
    case "user_oidc":
      return userOidcId(identity, name);
  }
}

/**
 * The fingerprint of what decides ids: when it changes, every account id would change. Settings that decide nothing, such as
 * a provider's identifier that is not used, are not in it.
 */
export function identityFingerprint(identity: Identity): string {
  const subject = "00000000-0000-4000-8000-000000000000";
  return hash("sha256", `${accountId(identity, subject)}\n${groupId(identity, "group")}`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Why Nextcloud cannot hold this group, as a sentence, or undefined when it can. Measured limits: ids of up to 64
 * characters, not empty and not `0`; `.` and `..` cannot be addressed by path.
 */
export function groupProblem(gid: string, displayName: string): string | undefined {
  if (gid.trim() === "" || gid === "0") return "Nextcloud refuses a group with this id";
  if (displayName.trim() === "" || displayName === "0") return "Nextcloud refuses a group with this name";
  if (gid === "." || gid === "..") return "a path to this group cannot be written";
  if (CONTROL.test(gid) || CONTROL.test(displayName)) return "the name has control characters";
  if ([...gid].length > 64) return "the group id would be longer than Nextcloud's 64 characters";
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
        fix: "Every account id would change and everybody would get a second account. Restore the old identity, or accept the new one.",
      },
    );
  }
}

/** Nextcloud made an account under another id than the one this organization's `identity` gives. */
export class IdentityMismatch extends PipelineFailure {
  /** @param account what became of the account that was made under the wrong id */
  constructor(expected: string, made: string, account: "removed" | "still there" | "not tried") {
    const rest = account === "still there" ? ", and delete the account that was made under the wrong id" : "";
    super(
      "configuration",
      "identity-mismatch",
      `user_oidc uses the account id ${made} where identity gives ${expected}`,
      "organization",
      {
        fix: `Make identity (providerId, uniqueUserIds, providerBasedIds, providerIdentifier) equal to the provider's settings in Nextcloud${rest}.`,
      },
    );
  }
}
