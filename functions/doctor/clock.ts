import { type Finding, fail, ok, skipped } from "./check.ts";

/** How far two clocks may be apart: as much as token checks usually allow. */
const TOLERANCE_MS = 60_000;

/**
 * Compares a server's clock with ours.
 *
 * @param date the `Date` header of one of its answers, empty when there was none
 * @param now our clock (milliseconds since the epoch)
 */
export function clockFinding(server: string, date: string, now: number): Finding {
  const theirs = Date.parse(date);
  if (Number.isNaN(theirs)) return skipped(`${server} does not tell its time (no Date header)`);
  const apart = Math.abs(theirs - now);
  if (apart <= TOLERANCE_MS) return ok();
  return fail(
    `${server}'s clock and ours are ${Math.round(apart / 1000)} s apart; logins fail when tokens seem to come from the future`,
    `Let ${server} and this machine synchronise their clocks (timedatectl set-ntp true).`,
  );
}
