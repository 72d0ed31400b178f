import type { Organization } from "./organization.ts";

/** The operator's last word: that the organization is paused, or resumed. */
export interface Pause {
  paused: boolean;
  /** When that was said, in milliseconds since the epoch. */
  at: number;
}

/** What decides for an organization that nobody has paused or resumed yet. */
export interface Beginning {
  /** Whether organizations start paused here: on AWS, unless `autostart` says otherwise. */
  startsPaused: boolean;
  /** Whether the ledger knows the identity of its accounts: then it has worked before, and an upgrade must not pause it. */
  isKnown: boolean;
}

/**
 * Whether an organization is paused: nothing is provisioned or deprovisioned until somebody resumes it. One that is new starts
 * so, for an operator to look at `plan` first; without an API key there is no plan to look at, so it does not.
 */
export function isPaused(
  said: Pause | undefined,
  { clavex }: Pick<Organization, "clavex">,
  { startsPaused, isKnown }: Beginning,
): boolean {
  if (said !== undefined) return said.paused;
  return startsPaused && !isKnown && clavex.apiKey !== undefined;
}

/** When an organization was resumed, if that is the last that was said: its next full run is due since then. */
export function resumedAt(said: Pause | undefined): number | undefined {
  return said === undefined || said.paused ? undefined : said.at;
}
