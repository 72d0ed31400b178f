import { hash } from "node:crypto";
import type { GroupsJob, Job, OriginalTrigger, PersonJob, Trigger } from "./job-schema.ts";

export type { GroupsJob, Job, PersonJob, Trigger };

/** The trigger that came first: a replay's is that of its dead letter. */
export function originOf(trigger: Trigger): OriginalTrigger {
  return trigger.kind === "replay" ? trigger.of : trigger;
}

/** The name of the event that a job goes back to, if it goes back to one. */
export function eventOf({ trigger }: Pick<Job, "trigger">): string | undefined {
  const original = originOf(trigger);
  return original.kind === "webhook" ? original.event : undefined;
}

/** The same job, sent again because an operator replays its dead letter. */
export function replayOf<J extends Job>(job: J): J {
  return { ...job, trigger: { kind: "replay", of: originOf(job.trigger) } };
}

/** A job for somebody who may be in other groups of the directory than before. */
export function membershipJob(organization: string, subject: string): PersonJob {
  return { version: 2, kind: "person", organization, subject, trigger: { kind: "reconcile", reason: "membership" } };
}

/** Whom a job is about, as one word: the subject, or `groups`. */
export function aboutWhom(job: Job): string {
  return job.kind === "groups" ? job.kind : job.subject;
}

/** The FIFO group: jobs of one person are worked on in order, those of different people at the same time. */
export function messageGroupId(job: Job): string {
  return `${job.organization}#${aboutWhom(job)}`;
}

/**
 * The deduplication id. SQS drops a second message with the same one for five minutes.
 *
 * @param source what makes two jobs of one subject the same: the delivery's id, or the run's
 */
export function deduplicationId(source: string, job: Job): string {
  return hash("sha256", `${source}#${aboutWhom(job)}`);
}
