/**
 * The kinds of credentials for the acting account (docs/facts/nextcloud.md 4), best first: an app password of a service account
 * that belongs to user_oidc, which is never asked to confirm a password; an administrator's login password, whose session is
 * kept and renewed; an administrator's app password, with which core takes writes up to Nextcloud 33.
 */
export type CredentialKind = "service account" | "login password" | "app password";

/** The forms of app passwords: 72 characters of `occ` and apps, five groups of five of the browser. */
const APP_PASSWORD = /^(?:[A-Za-z0-9]{72}|[A-Za-z0-9]{5}(?:-[A-Za-z0-9]{5}){4})$/;

/** No call tells an app password from a login password without doing something: its form does. */
export function credentialKind(backend: string, password: string): CredentialKind {
  if (backend !== "Database") return "service account";
  return APP_PASSWORD.test(password) ? "app password" : "login password";
}

/** A kind in words. */
export const KINDS: Readonly<Record<CredentialKind, string>> = {
  "service account": "the app password of a service account of user_oidc",
  "login password": "an administrator's login password",
  "app password": "an administrator's app password",
};
