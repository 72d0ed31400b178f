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

/**
 * A user as the Admin API and the webhooks show it, cut to what provisioning needs. `metadata` is free, `null` included;
 * names may be missing.
 */
export const userSchema = z
  .object({
    id: uuidSchema,
    org_id: uuidSchema,
    email: z.string(),
    first_name: z.string().nullish(),
    last_name: z.string().nullish(),
    is_active: z.boolean(),
    metadata: z.record(z.string(), z.unknown()).nullish(),
    updated_at: timestampSchema,
  })
  .transform(
    (user): ClavexUser => ({
      subject: user.id,
      organizationId: user.org_id,
      email: user.email,
      firstName: user.first_name ?? "",
      lastName: user.last_name ?? "",
      active: user.is_active,
      erased: isErased(user.email),
      attributes: attributes(user.metadata),
      updatedAt: user.updated_at,
    }),
  );

/** A person in Clavex. */
export interface ClavexUser extends Person {
  organizationId: string;
}

/**
 * The attributes in a user's metadata. Clavex's own SDK nests them under `attributes` by mistake, so both places are read;
 * the direct one wins. A value of another JSON type is kept as the name of that type, `(boolean)` for one: whoever uses the
 * attribute can say that it is of no use.
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
