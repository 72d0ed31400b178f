import * as z from "zod";
import type { Person } from "../core/person.ts";
import { quick } from "../core/quick.ts";
import { normaliseTimestamp } from "./timestamp.ts";

/** A UUID in the form Clavex writes it, lower case: it is hashed into the account id, so its letter case matters. */
export const uuidSchema = z.guid().toLowerCase();

/** A time of Clavex, normalised so that two of them compare as text. */
export const timestampSchema = z.string().transform((text, context) => {
  const normalised = normaliseTimestamp(text);
  if (normalised !== undefined) return normalised;
  context.addIssue({ code: "custom", message: "is not an RFC 3339 time" });
  return z.NEVER;
});

/** Without these a user says nothing: who it is, and whether they are active. The rest may have any form. */
const anySchema = z.unknown().optional();
const neededSchema = quick(
  z.object({
    id: uuidSchema,
    org_id: uuidSchema,
    is_active: z.boolean(),
    is_email_verified: anySchema,
    email: anySchema,
    first_name: anySchema,
    last_name: anySchema,
    metadata: anySchema,
    updated_at: anySchema,
  }),
);

/**
 * A user as the Admin API and the webhooks show it, cut to what provisioning needs. `metadata` is free, `null` included; names may
 * be missing. What cannot be read of the rest is named in `odd`, and stops nobody from being disabled.
 */
export const userSchema = neededSchema.transform((user): ClavexUser => {
  const odd: string[] = [];
  /** What cannot be read is named, and left out. */
  const readable = <T>(field: keyof typeof user, read: (value: unknown) => T | undefined): T | undefined => {
    const value = read(user[field]);
    if (value === undefined) odd.push(field);
    return value;
  };
  const email = readable("email", text) ?? "";
  return {
    subject: user.id,
    organizationId: user.org_id,
    email,
    emailVerified: user.is_email_verified === true,
    firstName: readable("first_name", textIfAny) ?? "",
    lastName: readable("last_name", textIfAny) ?? "",
    active: user.is_active,
    erased: isErased(email),
    attributes: attributes(readable("metadata", fieldsIfAny)),
    updatedAt: readable("updated_at", time) ?? "",
    ...(odd.length > 0 ? { odd } : {}),
  };
});

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
const textIfAny = (value: unknown): string | undefined => text(value ?? "");
const time = (value: unknown): string | undefined =>
  typeof value === "string" ? normaliseTimestamp(value) : undefined;
const fieldsIfAny = (value: unknown): Record<string, unknown> | undefined => {
  const fields = value ?? {};
  return typeof fields === "object" && !Array.isArray(fields) ? (fields as Record<string, unknown>) : undefined;
};

/** A listed user exists even if they cannot be read. `subject` is undefined where not even that is readable. */
export type ListedUser = { user: ClavexUser } | { subject: string | undefined; organizationId: string | undefined };

const identifiedSchema = z.object({
  id: uuidSchema.optional().catch(undefined),
  org_id: uuidSchema.optional().catch(undefined),
});

/** Reads one item of a list of users. */
export function listedUser(item: unknown): ListedUser {
  const user = userSchema.safeParse(item);
  if (user.success) return { user: user.data };
  const { id, org_id } = identifiedSchema.safeParse(item).data ?? {};
  return { subject: id, organizationId: org_id };
}

export const listedUserSchema = z.unknown().transform(listedUser);

/** A person in Clavex. */
export interface ClavexUser extends Person {
  organizationId: string;
}

/**
 * The attributes in a user's metadata. Clavex's own SDK nests them under `attributes` by mistake, so both places are read;
 * the direct one wins. A value of another JSON type is kept as the name of that type, `(boolean)` for one: whoever uses the
 * attribute can say that it is useless.
 */
function attributes(metadata: Record<string, unknown> | null | undefined): Record<string, string> {
  const { attributes: nested, ...direct } = metadata ?? {};
  const merged = { ...(typeof nested === "object" ? nested : { attributes: nested }), ...direct };
  return Object.fromEntries(
    Object.entries(merged).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[name, attributeText(value)]],
    ),
  );
}

function attributeText(value: unknown): string {
  if (typeof value === "string" || typeof value === "number") return String(value);
  return Array.isArray(value) ? "(array)" : `(${typeof value})`;
}

/** Whether a user was erased under the GDPR: the row stays, with an e-mail address that says so. */
function isErased(email: string): boolean {
  return /^erased_[0-9a-f]{16}@gdpr\.invalid$|^anon-[0-9a-f-]{36}@gdpr\.deleted$/i.test(email);
}
