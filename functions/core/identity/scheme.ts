/**
 * One way in which Nextcloud turns a subject (the OIDC `sub` claim) and a group name into ids, and in which accounts come into
 * being there. A new scheme is one such object with its schema, named in core/identity.ts.
 */
export interface Scheme<Settings> {
  /** The id of the account that this subject's login opens. */
  accountId(settings: Settings, subject: string): string;
  /** The id of the group for a group name (already with the organization's prefix). */
  groupId(settings: Settings, name: string): string;
  /** Whether group ids are hashes of group names, so that an id cannot collide with a group that somebody else made. */
  hashesGroupIds(settings: Settings): boolean;
  /** The call that makes an account: user_oidc's pre-provisioning endpoint for a provider, or core's. */
  making(settings: Settings): { by: "user_oidc"; providerId: number } | { by: "core" };
  /** The backend that accounts must belong to; undefined where any will do. */
  backend: string | undefined;
  /** The longest display name, in characters, that the call takes. */
  longestName: number;
  /** How the account id is computed, for people to read. */
  formula(settings: Settings): string;
}
