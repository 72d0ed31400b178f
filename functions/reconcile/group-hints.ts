import { GroupsEmpty } from "../core/brake.ts";
import { believed } from "../core/clock.ts";
import { groupsHash } from "../core/desired.ts";
import { membershipJob, originOf } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { GroupMap } from "../core/person.ts";
import { followsGroups } from "../core/record.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Guards } from "../provision/guards.ts";
import { whilePaused } from "../provision/pause.ts";
import { untilRemoved } from "../provision/removed.ts";
import type { FollowGroups } from "../provision/worker.ts";
import type { Sender } from "../queue/queue.ts";

export interface FollowGroupsDependencies {
  guards: Guards;
  ledger: Pick<Ledger, "subjects" | "deadLetters">;
  queue: Pick<Sender, "sendAll">;
  now?: () => number;
}

/** What is applied where no group matters to the organization: nobody's groups are read then. */
const NO_GROUPS = groupsHash([]);

/**
 * Some group has changed: queues a job for each person to whom that makes a difference. All hints of an organization are in
 * one FIFO group, and each look is at all groups, so one look covers every hint that was sent before it.
 */
export function createFollowGroups(dependencies: FollowGroupsDependencies): FollowGroups {
  const { guards, ledger, now = Date.now } = dependencies;
  /** When the groups were read that the last look was made with, by organization. */
  const followed = new Map<string, number>();

  const follow: FollowGroups = async ({ job, sentAt }) => {
    const entered = await guards.enter(job, sentAt);
    const { organization } = entered;
    if (entered.paused) return whilePaused(entered, job);
    const unreadable = { result: "ignored", why: "without clavex.apiKey no groups can be read" } as const;
    return guards.run(entered, async ({ directory }) => {
      if (directory.mode === "snapshots") return unreadable;
      if ((believed(followed.get(organization.slug), now()) ?? Number.NEGATIVE_INFINITY) > sentAt)
        return { result: "superseded", accountId: undefined };
      const kept = await directory.directory.groups(Math.min(sentAt, now()));
      // No groups at all may be an odd answer: what was kept is not taken for the next attempt's, too.
      const { value: map, readAt } = kept.value.isEmpty ? await directory.directory.groups(now()) : kept;
      if (map.isEmpty && (await hasMemberships(ledger, organization.slug))) throw new GroupsEmpty(organization.slug);
      const origin = originOf(job.trigger);
      const source = `groups#${origin.kind === "webhook" ? origin.deliveryId : sentAt}`;
      const queued = await sendGroupChanges(organization, map, dependencies, source);
      followed.set(organization.slug, readAt);
      return { result: "followed", queued };
    });
  };
  return (received) => untilRemoved(ledger, received, now, () => follow(received));
}

/** Whether anybody is in a group by us. */
async function hasMemberships({ subjects }: Pick<Ledger, "subjects">, organization: string): Promise<boolean> {
  for await (const page of subjects.all(organization))
    if (page.some((record) => followsGroups(record) && record.groups.length > 0)) return true;
  return false;
}

/**
 * Sends a job for each person whose groups in the directory are not those that were applied last. People that the ledger
 * does not know yet are left to their own event, or to reconciliation.
 *
 * @param map the groups, read after the hint was sent
 * @param source what the jobs are deduplicated by
 * @returns how many jobs were sent
 */
export async function sendGroupChanges(
  organization: Organization,
  map: GroupMap,
  { ledger, queue }: Pick<FollowGroupsDependencies, "ledger" | "queue">,
  source: string,
): Promise<number> {
  let sent = 0;
  for await (const page of ledger.subjects.all(organization.slug)) {
    const changed = page.filter(
      (record) =>
        followsGroups(record) && (record.applied?.groupsHash ?? NO_GROUPS) !== groupsHash(map.of(record.subject)),
    );
    const jobs = changed.map(({ subject }) => membershipJob(organization.slug, subject));
    await queue.sendAll(jobs, source);
    sent += jobs.length;
  }
  return sent;
}
