import { clockProblem } from "../clocks.ts";
import type { Server } from "../core/failure.ts";
import { type Finding, fail, ok, skipped } from "./check.ts";

/**
 * Compares a server's clock with ours.
 *
 * @param date the `Date` header of one of its answers, empty when there was none
 * @param now our clock (milliseconds since the epoch)
 */
export function clockFinding(server: Server, date: string, now: number): Finding {
  const theirs = Date.parse(date);
  if (Number.isNaN(theirs)) return skipped("it does not tell its time (no Date header)");
  const wrong = clockProblem(server, theirs - now);
  return wrong ? fail(wrong.problem, wrong.fix) : ok();
}
