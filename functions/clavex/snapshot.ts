import { type ClavexUser, userSchema } from "./user.ts";

/**
 * The user in a delivery's `data`, cut to the fields that provisioning needs, or undefined when it holds no usable one. For
 * organizations without an API key: their jobs carry it through the queue.
 *
 * @param attribute the only one of the user's attributes that is kept
 */
export function snapshotOf(data: unknown, attribute: string): Record<string, unknown> | undefined {
  const user = parseSnapshot(data);
  if (!user) return undefined;
  const value = user.attributes[attribute];
  return {
    id: user.subject,
    org_id: user.organizationId,
    email: user.email,
    is_email_verified: user.emailVerified,
    first_name: user.firstName,
    last_name: user.lastName,
    is_active: user.active,
    updated_at: user.updatedAt,
    ...(value === undefined ? {} : { metadata: { [attribute]: value } }),
  };
}

/** Reads a job's snapshot back; undefined when it is not one. */
export function parseSnapshot(snapshot: unknown): ClavexUser | undefined {
  const { data: user } = userSchema.safeParse(snapshot);
  return user && isUsable(user) ? user : undefined;
}

/**
 * Without the Admin API nobody can look again, and only its time orders it; but for somebody who is not active nothing else
 * is needed to disable them.
 */
function isUsable({ active, odd = [] }: ClavexUser): boolean {
  return odd.length === 0 || (!active && !odd.includes("updated_at"));
}
