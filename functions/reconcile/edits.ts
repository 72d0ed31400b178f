import type { Organizations } from "../config/organizations.ts";
import { isWithin } from "../core/clock.ts";
import { type EditVerb, freeSlots } from "../core/edit-slots.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Sender } from "../queue/queue.ts";

export interface WaitingEditsDependencies {
  organizations: Pick<Organizations, "get">;
  ledger: Pick<Ledger, "edits" | "subjects">;
  queue: Pick<Sender, "sendAll">;
  now?: () => number;
}

/** The longest that a sent job is in progress; after that another one is sent. */
const SENT_MS = 10 * 60_000;

/**
 * Sends jobs for those whose accounts are still to be edited, as many as there are free slots; see core/edit-slots.ts.
 *
 * @returns how many jobs were sent
 */
export async function sendWaitingEdits(
  slug: string,
  { organizations, ledger, queue, now = Date.now }: WaitingEditsDependencies,
): Promise<number> {
  let organization: Organization | undefined;
  let free = 0;
  const due: string[] = [];
  for await (const page of ledger.edits.waiting(slug)) {
    if (page.length === 0) continue;
    if (organization === undefined) {
      organization = await organizations.get(slug);
      // Without an API key a job would know nothing about the person.
      if (organization?.clavex.apiKey === undefined) return 0;
      free = await freeSlotsOf(organization, ledger, now());
    }
    for (const { subject, sentAt } of page) {
      if (due.length >= free) break;
      if (isWithin(sentAt, SENT_MS, now())) free -= 1;
      else if ((await ledger.subjects.get(slug, subject))?.pendingEdit !== undefined) due.push(subject);
      // A process that was killed between the two writes.
      else await ledger.edits.done(slug, subject);
    }
    if (due.length >= free) break;
  }
  for (const subject of due) await ledger.edits.wait(slug, { subject, sentAt: now() });
  await queue.sendAll(
    due.map((subject) => jobOf(slug, subject)),
    `edits#${now()}`,
  );
  return due.length;
}

/** A server has only one of the two verbs in use: the slots of the other one are free, nearly all of them. */
async function freeSlotsOf(
  { nextcloud: { baseUrl: origin, username: account } }: Organization,
  { edits }: Pick<Ledger, "edits">,
  now: number,
): Promise<number> {
  const free = async (verb: EditVerb) => freeSlots((await edits.slots({ origin, account, verb })).slots, now);
  return Math.min(await free("PUT"), await free("PATCH"));
}

function jobOf(organization: string, subject: string): Job {
  return { version: 2, kind: "person", organization, subject, trigger: { kind: "reconcile", reason: "drift" } };
}
