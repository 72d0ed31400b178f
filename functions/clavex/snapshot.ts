import { type DirectoryUser, userSchema } from "./user.ts";

/** The events after which a user is gone for good; they carry no user data. */
const DELETIONS = new Set(["user.deleted", "scim.user.delete"]);

/** Whether an event says that its user was deleted. Believed only where the truth cannot be read. */
export function isDeletion(event: string | undefined): boolean {
  return event !== undefined && DELETIONS.has(event);
}

/**
 * The user in a delivery's `data`, cut to the fields that provisioning needs, or undefined when there is none. For
 * organizations without an API key: their jobs carry it through the queue.
 *
 * @param attribute the only one of the user's attributes that is kept
 */
export function snapshotOf(data: unknown, attribute: string): Record<string, unknown> | undefined {
  const parsed = userSchema.safeParse(data);
  if (!parsed.success) return undefined;
  const user = parsed.data;
  const value = user.attributes[attribute];
  return {
    id: user.subject,
    org_id: user.organizationId,
    email: user.email,
    first_name: user.firstName,
    last_name: user.lastName,
    is_active: user.active,
    updated_at: user.updatedAt,
    ...(value === undefined ? {} : { metadata: { [attribute]: value } }),
  };
}

/** Reads a job's snapshot back; undefined when it is not one. */
export function parseSnapshot(snapshot: unknown): DirectoryUser | undefined {
  const parsed = userSchema.safeParse(snapshot);
  return parsed.success ? parsed.data : undefined;
}
