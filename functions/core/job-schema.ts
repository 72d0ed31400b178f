import * as z from "zod";

/* Apart from job.ts: who only sends jobs, such as the receiver, does not need the schemas, which take a tenth of its cold start. */

/** What a webhook or audit event is about; decided once, where the event is read. */
const aboutSchema = z.enum(["user", "deletion", "membership"]);

const webhookSchema = z.object({
  kind: z.literal("webhook"),
  /** The event's name, or the audit action's. */
  event: z.string(),
  /** The same over all retries of a delivery. */
  deliveryId: z.string(),
  /** When it happened, normalised. */
  occurredAt: z.string(),
  about: aboutSchema,
});
const reconcileSchema = z.object({
  kind: z.literal("reconcile"),
  /** `drift`: a run found a difference. `membership`: a group hint, or the group watch, found other groups. */
  reason: z.enum(["drift", "membership"]),
  /** When the run had read all that the difference was found in (milliseconds since the epoch). */
  foundAt: z.number().optional(),
});
const manualSchema = z.object({ kind: z.literal("manual") });
const originalSchema = z.discriminatedUnion("kind", [webhookSchema, reconcileSchema, manualSchema]);

/** Why a job was sent; a replay keeps why its dead letter was sent first. */
const triggerSchema = z.union([originalSchema, z.object({ kind: z.literal("replay"), of: originalSchema })]);
export type Trigger = z.output<typeof triggerSchema>;
export type OriginalTrigger = z.output<typeof originalSchema>;

const common = {
  version: z.literal(2),
  organization: z.string(),
  trigger: triggerSchema,
  /** The sha256 of the organization document that the job was planned with. */
  configuration: z.string().optional(),
};
// It is hashed into account ids and, with some schemes, is one: nothing but a UUID may be.
const subject = z.guid().toLowerCase();

const currentSchema = z.discriminatedUnion("kind", [
  z.object({
    ...common,
    kind: z.literal("person"),
    subject,
    /** The webhook's user data; only there when the organization has no API key to read the directory with. */
    snapshot: z.record(z.string(), z.unknown()).optional(),
  }),
  z.object({ ...common, kind: z.literal("purge"), subject }),
  z.object({ ...common, kind: z.literal("groups") }),
]);

/**
 * The body of a queue message. `person`: bring this subject up to date. `purge`: delete their account, the grace period is
 * over. `groups`: some group changed, look for everybody whose groups are others now.
 */
export type Job = z.output<typeof currentSchema>;
export type PersonJob = Extract<Job, { kind: "person" | "purge" }>;
export type GroupsJob = Extract<Job, { kind: "groups" }>;

const firstVersionSchema = z.object({
  version: z.literal(1),
  organization: z.string(),
  subject: z.union([subject, z.literal("groups")]),
  trigger: z.object({
    kind: z.enum(["webhook", "reconcile", "replay", "manual"]),
    event: z.string().optional(),
    deliveryId: z.string().optional(),
    occurredAt: z.string().optional(),
  }),
  snapshot: z.record(z.string(), z.unknown()).optional(),
});
type FirstVersion = z.output<typeof firstVersionSchema>;

/** A job as JSON holds it; messages and dead letters of version 1 are read as version 2. */
export const jobSchema = z.union([currentSchema, firstVersionSchema.transform(upgrade)]);

const FIRST_VERSION_DELETIONS = new Set(["user.deleted", "scim.user.delete"]);
const FIRST_VERSION_PURGE = "grace.over";

/** Messages live for 14 days and dead letters for ever, so those of version 1 are still there after an update. */
function upgrade({ organization, subject: whom, trigger, snapshot }: FirstVersion): Job {
  const base = { version: 2 as const, organization, trigger: upgradeTrigger(trigger) };
  if (whom === "groups") return { ...base, kind: "groups" };
  if (trigger.event === FIRST_VERSION_PURGE) return { ...base, kind: "purge", subject: whom };
  return { ...base, kind: "person", subject: whom, ...(snapshot === undefined ? {} : { snapshot }) };
}

function upgradeTrigger({ kind, event, deliveryId, occurredAt }: FirstVersion["trigger"]): Trigger {
  const reconcile = { kind: "reconcile", reason: event === "group.changed" ? "membership" : "drift" } as const;
  if (kind === "reconcile") return reconcile;
  if (kind === "manual") return { kind };
  const about = FIRST_VERSION_DELETIONS.has(event ?? "")
    ? "deletion"
    : event?.startsWith("group.")
      ? "membership"
      : "user";
  const original: OriginalTrigger =
    event === undefined || event === FIRST_VERSION_PURGE
      ? reconcile
      : { kind: "webhook", event, deliveryId: deliveryId ?? "", occurredAt: occurredAt ?? "", about };
  return kind === "webhook" ? original : { kind, of: original };
}
