import type { GroupMap } from "../clavex/group-map.ts";
import { groupsHash } from "../core/desired.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Queue } from "../queue/queue.ts";

/** What is applied where no group matters to the organization: nobody's groups are read then. */
const NO_GROUPS = groupsHash([]);

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
  { ledger, queue }: { ledger: Ledger; queue: Pick<Queue, "sendAll"> },
  source: string,
): Promise<number> {
  const trigger = { kind: "reconcile", event: "group.changed" } as const;
  let sent = 0;
  for await (const page of ledger.subjects(organization.slug)) {
    const changed = page.filter(
      ({ subject, state, groupsHash: applied = NO_GROUPS }) =>
        // Whoever is suspended or gone keeps what they have; for the others scope and quota may hang on groups too.
        (state === "active" || state === "outOfScope") && applied !== groupsHash(map.of(subject)),
    );
    for (let index = 0; index < changed.length; index += 10) {
      const batch = changed.slice(index, index + 10);
      const jobs = batch.map(({ subject }): Job => ({ version: 1, organization: organization.slug, subject, trigger }));
      await queue.sendAll(jobs, source);
      sent += jobs.length;
    }
  }
  return sent;
}
