import * as z from "zod";
import type { Person } from "../core/person.ts";
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
const neededSchema = z.object({
  id: uuidSchema,
  org_id: uuidSchema,
  is_active: z.boolean(),
  is_email_verified: anySchema,
  email: anySchema,
  first_name: anySchema,
  last_name: anySchema,
  metadata: anySchema,
  updated_at: anySchema,
});
const nameSchema = z.string().nullish();
const restSchema = z.object({
  email: z.string(),
  first_name: nameSchema,
  last_name: nameSchema,
  metadata: z.record(z.string(), z.unknown()).nullish(),
  updated_at: timestampSchema,
});
const readableRestSchema = restSchema.partial();
type Rest = z.output<typeof readableRestSchema>;

/**
 * A user as the Admin API and the webhooks show it, cut to what provisioning needs. `metadata` is free, `null` included; names may
 * be missing. What cannot be read of the rest is named in `odd`, and stops nobody from being disabled.
 */
export const userSchema = neededSchema.transform((user): ClavexUser => {
  const { rest, odd } = readableRest(user);
  const { email = "", updated_at: updatedAt = "" } = rest;
  return {
    subject: user.id,
    organizationId: user.org_id,
    email,
    emailVerified: user.is_email_verified === true,
    firstName: rest.first_name ?? "",
    lastName: rest.last_name ?? "",
    active: user.is_active,
    erased: isErased(email),
    attributes: attributes(rest.metadata),
    updatedAt,
    ...(odd.length > 0 ? { odd } : {}),
  };
});

/** What can be read beside the needed fields, and the names of those fields that cannot. */
function readableRest(user: Record<string, unknown>): { rest: Rest; odd: string[] } {
  const { data, error } = restSchema.safeParse(user);
  if (data) return { rest: data, odd: NONE_ODD };
  const odd = [...new Set(error.issues.map(({ path }) => String(path[0])))];
  const readable = Object.entries(user).filter(([field]) => !odd.includes(field));
  return { rest: readableRestSchema.parse(Object.fromEntries(readable)), odd };
}

const NONE_ODD: string[] = [];

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
