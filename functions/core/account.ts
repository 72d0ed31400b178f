import { PipelineFailure } from "./failure.ts";
import { type Quota, quotaText } from "./quota.ts";
import { printable, withoutAddresses } from "./text.ts";

/** What an account is made with. Empty texts are not sent: Nextcloud would ignore them. */
export interface Profile {
  displayName: string;
  email: string;
  /** Undefined when no rule gives one: then the account's own is left alone. */
  quota: Quota | undefined;
}

/** One attribute of a profile: how it is compared, sent and shown. A new one is a row here, a rule and the names Nextcloud has for it. */
export interface Attribute {
  /** Nextcloud's key for it, as plans and logs show it. */
  key: string;
  /** What people call it. */
  label: string;
  /** The value as Nextcloud takes it; undefined when none is desired, which leaves the account's own alone. */
  text(profile: Profile): string | undefined;
  /** Whether Nextcloud would store the same for both: what is desired, and what an account has. */
  equal(desired: Profile, actual: Profile): boolean;
}

export const ATTRIBUTES: Readonly<Record<keyof Profile, Attribute>> = {
  displayName: {
    key: "displayname",
    label: "name",
    text: ({ displayName }) => displayName || undefined,
    equal: (desired, actual) => desired.displayName === actual.displayName,
  },
  email: {
    key: "email",
    label: "e-mail",
    text: ({ email }) => email || undefined,
    // Nextcloud stores addresses in lower case.
    equal: (desired, actual) => desired.email.toLowerCase() === actual.email.toLowerCase(),
  },
  quota: {
    key: "quota",
    label: "quota",
    text: ({ quota }) => (quota === undefined ? undefined : quotaText(quota)),
    // A value that Nextcloud does not show cannot be compared, and is not rewritten on every job.
    equal: (desired, actual) => desired.quota === actual.quota || actual.quota === undefined,
  },
};

/** The attributes that are desired and that the account does not have. */
export function differingAttributes(desired: Profile, actual: Profile): Attribute[] {
  return Object.values(ATTRIBUTES).filter(
    (attribute) => !attribute.equal(desired, actual) && attribute.text(desired) !== undefined,
  );
}

/** An account as Nextcloud holds it. `quota` is undefined when the answer shows none that can be compared. */
export interface ActualAccount extends Profile {
  id: string;
  enabled: boolean;
  /** `Database` for a local account, `user_oidc` for one that belongs to an OIDC provider. */
  backend: string;
  /** Whether somebody has logged in to it, as far as Nextcloud tells; then there are files of theirs in it. */
  hasLoggedIn: boolean;
  /** The bytes in its home, where Nextcloud tells. */
  used: number | undefined;
  groups: string[];
  /** Whether `groups` are all: of what cannot be read nobody knows which group it is. */
  showsAllGroups: boolean;
}

/** An account of this id exists that is not the person's: nothing of it may be touched. */
export class AccountConflict extends PipelineFailure {
  constructor(message: string) {
    super("permanent", "account-conflict", message, "subject");
  }
}

/**
 * Nextcloud finds an account in any letter case, in some databases with spaces at the id's end, and from 32 on by its e-mail
 * address (docs/facts/nextcloud.md 1): what it shows under a person's id may be somebody else's.
 */
export function anotherAccount(asked: string, shown: string): AccountConflict {
  return new AccountConflict(
    `Nextcloud shows the account ${printable(withoutAddresses(shown))} where ${printable(asked)} was asked for; nothing of it was touched`,
  );
}

/** The person's data is beyond what Nextcloud can hold. */
export class ProfileRefused extends PipelineFailure {
  constructor(message: string) {
    super("permanent", "profile-refused", message, "subject");
  }
}

/** What a person's account can be brought to. */
export type SubjectState = "active" | "suspended" | "deleted" | "outOfScope";
