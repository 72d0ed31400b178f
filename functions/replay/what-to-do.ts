/**
 * What to do about a dead letter, by its reason: the one list of the codes that a job is parked or given up with
 * (docs/operations.md has the same ones). A key that ends in a hyphen stands for all that begin with it.
 */
export const WHAT_TO_DO: Readonly<Record<string, string>> = {
  "account-conflict":
    "Its id cannot be changed: delete that account if nobody needs it (occ user:delete ID), and transfer its files first if somebody does (docs/existing-people.md). Then replay.",
  "profile-refused": "Correct in Clavex what the reason names: the change sends a new job by itself.",
  "nextcloud-ocs-": "Correct in Clavex, or in Nextcloud, what its message names. Then replay.",
  "nextcloud-read-fails": "Look into Nextcloud's log, or that of the proxy which the reason names. Then replay.",
  "nextcloud-write-fails": "Look into Nextcloud's log, or that of the proxy which the reason names. Then replay.",
  "clavex-read-fails": "Look into Clavex's log, or that of the proxy which the reason names. Then replay.",
  "given-up": "Replay when the cause is gone; doctor shows what is wrong now.",
  "organization-unknown":
    "Its organization had been removed when the queue was about to give it up. Replay, or drop it: a full reconciliation finds what it was about, unless there is no clavex.apiKey.",
  "job-unreadable": "Drop it: nothing can be done with it, and a full reconciliation finds what it was about.",
};

/** What to do about a dead letter with this reason. */
export function whatToDo(reason: string): string {
  const matches = (code: string): boolean => (code.endsWith("-") ? reason.startsWith(code) : reason === code);
  const found = Object.entries(WHAT_TO_DO).find(([code]) => matches(code));
  return found?.[1] ?? "Remove the cause that the reason names. Then replay.";
}
