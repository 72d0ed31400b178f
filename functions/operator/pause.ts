import type { Organization } from "../core/organization.ts";
import type { AskPaused, Pauses } from "../ledger/pause.ts";

/**
 * Pauses or resumes an organization that is not paused or resumed already: a second resume would start another full run.
 *
 * @returns whether anything was changed
 * @throws {LedgerUnavailable}
 */
export async function setPaused(
  { pauses, isPaused, now }: { pauses: Pauses; isPaused: AskPaused; now: () => number },
  organization: Organization,
  paused: boolean,
): Promise<boolean> {
  if ((await isPaused(organization)) === paused) return false;
  await pauses.put(organization.slug, { paused, at: now() });
  return true;
}

/** What a pause, or its end, will change; that depends on whether changes made meanwhile can be read afterwards. */
export function effectOfPause({ clavex }: Organization, paused: boolean): string {
  const readable = clavex.apiKey !== undefined;
  if (paused)
    return readable
      ? "nobody gets or loses access until resume; deliveries are accepted but not acted on, and a full reconciliation after resume catches up"
      : "nobody gets or loses access until resume; without clavex.apiKey deliveries wait in the queue meanwhile: resume within ten days";
  return readable
    ? "a full reconciliation starts within a minute, where scheduled ones are on, and everybody is provisioned as plan shows it"
    : "what waits in the queue is worked on within twenty minutes";
}
