import * as z from "zod";
import { briefly } from "../core/problems.ts";
import {
  AUDIT_GROUP_ACTIONS,
  AUDIT_USER_ACTIONS,
  DELETIONS,
  MEMBER_EVENTS,
  SENT_EVENTS,
  USER_EVENTS,
} from "./contract.ts";
import { ClavexFailure } from "./errors.ts";
import { timestampSchema, uuidSchema } from "./user.ts";

/** A delivery whose body is not what Clavex sends; the message names each problem, without values. */
export class MalformedDelivery extends ClavexFailure {
  constructor(problem: string) {
    super("permanent", "delivery-malformed", problem, "subject");
  }
}

/** A delivery for another organization than the one whose address it was posted to. */
export class ForeignOrganization extends ClavexFailure {
  constructor() {
    super("permanent", "delivery-foreign", "the delivery is for another organization", "subject");
  }
}

interface Delivered {
  /** The event's name, or the audit action's. */
  event: string;
  /** The same over all retries and for every subscription: what to deduplicate by. */
  deliveryId: string;
  /** When it happened, normalised. */
  occurredAt: string;
}

/** What of a person may have changed. A deletion is believed only where the directory cannot be read. */
export type About = "user" | "deletion" | "membership";

/**
 * What a delivery asks for. `subject`: one person's account may be out of date (`data` is the payload, in which a user may
 * be found). `group`: a group changed, and with it all its members. `ignored`: nothing to do with provisioning.
 */
export type Hint =
  | (Delivered & { concerns: "subject"; about: About; subject: string; data: unknown })
  | (Delivered & { concerns: "group"; about: "membership"; group: { id?: string; name?: string } })
  | (Delivered & { concerns: "ignored"; reason: string });

const name = z.string().min(1).max(200);
const envelopeSchema = z.object({
  id: name,
  event: name,
  occurred_at: timestampSchema,
  data: z.unknown().optional(),
});
const cloudEventSchema = z.object({
  specversion: z.string(),
  id: name,
  time: timestampSchema,
  orgid: uuidSchema,
  data: z.object({ action: name, status: z.string().nullish(), resource_id: z.string().nullish() }),
});

/**
 * Reads the body of a verified delivery: a webhook envelope or an audit sink's CloudEvent.
 *
 * @param body the raw bytes
 * @param organizationId the UUID of the organization it was posted to
 * @throws {MalformedDelivery} when it is neither, or names no valid subject where its event must have one
 * @throws {ForeignOrganization} when it names another organization
 */
export function parseDelivery(body: Uint8Array, organizationId: string): Hint {
  const json = parseJson(body);
  return typeof json === "object" && json !== null && "specversion" in json
    ? fromCloudEvent(check(cloudEventSchema, json), organizationId)
    : fromEnvelope(check(envelopeSchema, json), organizationId);
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(body));
  } catch {
    throw new MalformedDelivery("the body is not JSON in UTF-8");
  }
}

function check<T>(schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json, { error: briefly });
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    (issue) => `${issue.path.map(String).join(".") || "body"}: ${issue.message}`,
  );
  throw new MalformedDelivery(problems.join("; "));
}

function fromEnvelope(envelope: z.output<typeof envelopeSchema>, organizationId: string): Hint {
  const { event } = envelope;
  const data = asRecord(envelope.data);
  const delivered = { event, deliveryId: envelope.id, occurredAt: envelope.occurred_at };
  const isUserEvent = USER_EVENTS.has(event);
  if (typeof data.org_id === "string") requireOrganization(data.org_id, organizationId);
  else if (SENT_EVENTS.has(event)) throw new MalformedDelivery("data.org_id: is missing");
  if (!isUserEvent && !MEMBER_EVENTS.has(event)) {
    return { ...delivered, concerns: "ignored", reason: `event ${event} does not concern provisioning` };
  }

  const subject = isUserEvent ? (data.user_id ?? data.id) : memberOf(data);
  if (subject != null) {
    const checked = uuidSchema.safeParse(subject);
    if (!checked.success) throw new MalformedDelivery("data: the user's id is not a UUID");
    const about = DELETIONS.has(event) ? "deletion" : event.startsWith("group.") ? "membership" : "user";
    return { ...delivered, concerns: "subject", about, subject: checked.data, data };
  }
  if (isUserEvent) throw new MalformedDelivery("data.id: is missing");
  if (event.startsWith("group.")) {
    return { ...delivered, concerns: "group", about: "membership", group: groupOf(data.group_id, data.group_name) };
  }
  return { ...delivered, concerns: "ignored", reason: `event ${event} names no user` };
}

function asRecord(data: unknown): Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data) ? (data as Record<string, unknown>) : {};
}

/** Clavex declares the membership and role events but does not send them yet: their payload's form is open. */
function memberOf(data: Record<string, unknown>): unknown {
  const user = data.user;
  return (
    data.user_id ?? data.member_id ?? (typeof user === "object" && user !== null && "id" in user ? user.id : undefined)
  );
}

function fromCloudEvent(cloudEvent: z.output<typeof cloudEventSchema>, organizationId: string): Hint {
  const { action, status, resource_id: resource } = cloudEvent.data;
  const delivered = { event: action, deliveryId: cloudEvent.id, occurredAt: cloudEvent.time };
  requireOrganization(cloudEvent.orgid, organizationId);
  if (status != null && status !== "success") {
    return { ...delivered, concerns: "ignored", reason: `audit action ${action} did not succeed` };
  }
  if (AUDIT_USER_ACTIONS.has(action)) {
    const subject = uuidSchema.safeParse(resource);
    if (!subject.success) throw new MalformedDelivery("data.resource_id: is not a user's UUID");
    const about = DELETIONS.has(action) ? "deletion" : "user";
    return { ...delivered, concerns: "subject", about, subject: subject.data, data: undefined };
  }
  if (AUDIT_GROUP_ACTIONS.has(action)) {
    // group.created names the group, the others give its id.
    const group = action === "group.created" ? groupOf(undefined, resource) : groupOf(resource, undefined);
    return { ...delivered, concerns: "group", about: "membership", group };
  }
  return { ...delivered, concerns: "ignored", reason: `audit action ${action} does not concern provisioning` };
}

function groupOf(id: unknown, groupName: unknown): { id?: string; name?: string } {
  const uuid = uuidSchema.safeParse(id);
  return {
    ...(uuid.success ? { id: uuid.data } : {}),
    ...(typeof groupName === "string" && groupName !== "" ? { name: groupName } : {}),
  };
}

function requireOrganization(named: string, organizationId: string): void {
  if (named.toLowerCase() !== organizationId) throw new ForeignOrganization();
}
