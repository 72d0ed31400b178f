import { randomUUID } from "node:crypto";
import { Failure } from "../../functions/core/failure.ts";
import type { Job, Trigger } from "../../functions/core/job.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";

/** One trigger of each kind other than webhook. */
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

/** Why a job did not succeed: thrown, or parked. Throws when it was done. */
export async function refusalOf(
  run: Promise<Outcome>,
): Promise<{ code: string; failureClass: string; message: string }> {
  try {
    const outcome = await run;
    if (outcome.result !== "parked") throw new Error(`the job was done: ${JSON.stringify(outcome)}`);
    return { code: outcome.reason, failureClass: "permanent", message: outcome.problem };
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** How a job ended: its result, or the code of what was thrown. */
export async function resultOf(run: Promise<Outcome>): Promise<string> {
  try {
    return (await run).result;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}
