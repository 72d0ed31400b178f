import { hash } from "node:crypto";
import * as z from "zod";

/** Why a job was sent. */
export const triggerSchema = z.object({
  kind: z.enum(["webhook", "reconcile", "replay", "manual"]),
  event: z.string().optional(),
  deliveryId: z.string().optional(),
  occurredAt: z.string().optional(),
});

/** The body of a queue message: "bring this subject up to date". */
export const jobSchema = z.object({
  version: z.literal(1),
  organization: z.string(),
  subject: z.string(),
  trigger: triggerSchema,
  /** The webhook's user data; only there when the organization has no API key to read the truth with. */
  snapshot: z.record(z.string(), z.unknown()).optional(),
});

export type Job = z.output<typeof jobSchema>;

/**
 * The subject of a job that says "some group changed". They are all in one FIFO group, and each looks at all groups, so that
 * one look covers every hint that was sent before it.
 */
export const GROUPS_SUBJECT = "groups";

/** The FIFO group: jobs of one person are worked on in order, those of different people at the same time. */
export function messageGroupId(job: Pick<Job, "organization" | "subject">): string {
  return `${job.organization}#${job.subject}`;
}

/**
 * The deduplication id. SQS drops a second message with the same one for five minutes.
 *
 * @param source what makes two jobs of one subject the same: the delivery's id, or the run's
 */
export function deduplicationId(source: string, subject: string): string {
  return hash("sha256", `${source}#${subject}`);
}
