import { OrganizationUnknown } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { isNearItsEnd } from "../queue/limits.ts";
import type { Outcome, ReceivedJob } from "./outcome.ts";

/** How long the jobs of an organization that is not configured are reported: it may be a mistake. */
const REPORTED_MS = 24 * 60 * 60_000;

/**
 * Whether a job fails because its organization was removed, for so long that its operator knows it: it waits in silence. Else
 * the alarms would hide every other problem until the queue gives the job up.
 *
 * @param sentAt when the job was sent (milliseconds since the epoch)
 */
export function isOfRemoved(error: unknown, sentAt: number, now: number): boolean {
  return error instanceof OrganizationUnknown && now - sentAt >= REPORTED_MS;
}

/**
 * Does a job. One of an organization that was removed is not renewed for ever: in the end it becomes a dead letter, which is seen
 * again when the organization is back. A group hint is not kept: a full run finds everything it would have done.
 */
export async function untilRemoved<J extends Job>(
  { deadLetters }: Pick<Ledger, "deadLetters">,
  received: ReceivedJob<J>,
  now: () => number,
  work: () => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OrganizationUnknown && isNearItsEnd(received, now()))) throw error;
    const { job, receiveCount: attempts } = received;
    if (job.kind === "groups") return { result: "ignored", why: error.message };
    const { organization, subject } = job;
    const { code: reason, message } = error;
    await deadLetters.park({ organization, subject, job, reason, message, attempts, lastAt: now() });
    return { result: "ignored", why: `${message}: kept as a dead letter, which is seen when its file is back` };
  }
}
