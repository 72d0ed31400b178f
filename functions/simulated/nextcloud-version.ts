/** The major versions of Nextcloud that the simulator speaks, each as it was recorded. */
export type NextcloudVersion = 27 | 32 | 34;

/** In what the versions differ (docs/facts/nextcloud.md 2 to 6). */
export interface Traits {
  /** The release that was recorded, and those of the apps with it. */
  release: string;
  apps: { provisioning_api: string; user_oidc: string };
  /** Errors from outside the controllers are JSON wherever the client asked for it, and carry OCS codes. */
  jsonErrors: boolean;
  /** OCS codes of refused edits. */
  codes: { notEditable: number; noPassword: number; badValue: number };
  /** What the texts of refusals call an account's id. */
  noun: string;
  /** An app password of a Database admin passes password confirmation when sent like this. */
  appPasswordConfirms: { basic: boolean; bearer: boolean };
  /** What the failed logins of an address lead to. */
  bruteForce: "delays, then 500" | "429";
  /** The highest `limit` of a list; before 34 it is unlimited. */
  highestLimit: number;
  /** A parameter that is missing or of a wrong JSON type. */
  wrongType: 400 | 500;
  /** A group's name over 64 characters is kept as the sha256 of it, as its id. */
  longGroupNames: boolean;
  /** Of two rows of one id, look-ups see this backend's. */
  firstBackend: "Database" | "user_oidc";
  /** What user_oidc makes of a quota below zero. */
  negativeQuota: "0 B" | "none";
  /** `users/disabled`, `users/{id}/groups/details`, all five numbers of a quota before there is a home. */
  newFields: boolean;
}

const SINCE_32 = {
  jsonErrors: true,
  codes: { notEditable: 113, noPassword: 112, badValue: 101 },
  noun: "Login",
  bruteForce: "429",
  longGroupNames: true,
  firstBackend: "Database",
  negativeQuota: "none",
  newFields: true,
} as const;

export const TRAITS: Readonly<Record<NextcloudVersion, Traits>> = {
  27: {
    release: "27.1.0",
    apps: { provisioning_api: "1.17.0", user_oidc: "6.4.0" },
    jsonErrors: false,
    codes: { notEditable: 103, noPassword: 103, badValue: 102 },
    noun: "username",
    appPasswordConfirms: { basic: true, bearer: false },
    bruteForce: "delays, then 500",
    highestLimit: Number.POSITIVE_INFINITY,
    wrongType: 500,
    longGroupNames: false,
    firstBackend: "user_oidc",
    negativeQuota: "0 B",
    newFields: false,
  },
  32: {
    ...SINCE_32,
    release: "32.0.2",
    apps: { provisioning_api: "1.22.0", user_oidc: "8.10.1" },
    appPasswordConfirms: { basic: true, bearer: true },
    highestLimit: Number.POSITIVE_INFINITY,
    wrongType: 500,
  },
  34: {
    ...SINCE_32,
    release: "34.0.1",
    apps: { provisioning_api: "1.24.0", user_oidc: "8.10.1" },
    appPasswordConfirms: { basic: false, bearer: false },
    highestLimit: 500,
    wrongType: 400,
  },
};
