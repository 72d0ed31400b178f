import { randomUUID } from "node:crypto";
import type { Job, Trigger } from "../../functions/core/job.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";

/** One trigger of each kind that is no webhook. */
export const TRIGGERS = {
  reconcile: { kind: "reconcile", reason: "drift" },
  manual: { kind: "manual" },
  replay: { kind: "replay", of: { kind: "manual" } },
} as const satisfies Record<string, Trigger>;

/** The trigger that the receiver makes of a webhook. */
export function webhookTrigger(event = "user.updated", deliveryId: string = randomUUID()) {
  const about = event === "user.deleted" ? "deletion" : event.startsWith("group.") ? "membership" : "user";
  return { kind: "webhook", event, deliveryId, occurredAt: "2026-07-23T08:00:00.000000000Z", about } as const;
}

/** A job that brings one person up to date. */
export function personJob(organization: string, subject: string, trigger: Trigger = TRIGGERS.manual) {
  return { version: 2, kind: "person", organization, subject, trigger } satisfies Job;
}

type Done = Extract<Outcome, { operations: string[] }>;

/** The outcome of a job that was carried out to its end; throws for every other one. */
export function done(outcome: Outcome): Done {
  if (outcome.result === "applied" || outcome.result === "unchanged") return outcome;
  throw new Error(`the job was not carried out: ${JSON.stringify(outcome)}`);
}
