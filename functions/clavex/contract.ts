/*
 * What the pipeline and Clavex have agreed on by name; where each name comes from is in docs/facts/clavex.md.
 */

/** Webhook events about a user. Clavex declares all of these; those it sends are below. */
export const USER_EVENTS = new Set([
  "user.created",
  "user.updated",
  "user.deleted",
  "user.suspended",
  "user.reactivated",
  "user.email.verified",
  "scim.user.provisioned",
  "scim.user.deprovisioned",
]);
/** Those of them that Clavex sends today: their payload is known, and names the organization. */
export const SENT_EVENTS = new Set(["user.created", "user.updated", "user.deleted"]);
/** Declared, never sent by today's Clavex; accepted as hints. */
export const MEMBER_EVENTS = new Set([
  "org.member.added",
  "org.member.removed",
  "org.member.joined_via_domain",
  "org.member.joined_via_invite",
  "group.member.added",
  "group.member.removed",
  "role.assigned",
  "role.unassigned",
  "invitation.accepted",
]);
/** Actions of the audit log that change a user. */
export const AUDIT_USER_ACTIONS = new Set([
  "scim.user.create",
  "scim.user.update",
  "scim.user.deactivate",
  "scim.user.delete",
]);
/** Actions of the audit log that change a group; memberships have none. */
export const AUDIT_GROUP_ACTIONS = new Set(["group.created", "group.deleted", "group.updated"]);

/** Those after which a user is gone for good; they carry no user data. */
export const DELETIONS = new Set(["user.deleted", "scim.user.delete"]);

/** What the webhook is subscribed to: the events that Clavex sends and the pipeline acts on. */
export const WEBHOOK_EVENTS = [...SENT_EVENTS];
/** What the audit sink is subscribed to. */
export const AUDIT_ACTIONS = [...AUDIT_USER_ACTIONS, ...AUDIT_GROUP_ACTIONS];
/** What the pipeline's API key needs, and all it should have. */
export const API_KEY_PERMISSIONS = ["users:read", "groups:read"];
/** What setup itself needs: to set things up, and the permissions of the key that it mints: nobody can grant others. */
export const SETUP_PERMISSIONS = [
  "security:write",
  "webhooks:write",
  "clients:write",
  "audit:write",
  ...API_KEY_PERMISSIONS,
];
/** The name that setup gives to what it makes in Clavex. */
export const MADE_BY_SETUP = "clavex-nextcloud";
