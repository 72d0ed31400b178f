import { describe, expect, it } from "vitest";
import { type About, type Blame, type CallMemory, failed, NO_CALLS, succeeded } from "../../functions/core/blame.ts";

const MINUTE = 60_000;

/** Plays calls, a second apart; `+ada` succeeds and `-ada eng` fails. Returns whose fault the last one is. */
function blameAfter(calls: string, ageMs = 1_000): Blame | undefined {
  let memory: CallMemory = NO_CALLS;
  let blame: Blame | undefined;
  let now = 0;
  for (const call of calls.split(", ")) {
    const about: About = call.slice(1).split(" ");
    now += ageMs;
    if (call.startsWith("+")) memory = succeeded(memory, about, now);
    else ({ memory, blame } = failed(memory, about, now));
  }
  return blame;
}

describe("whose fault a failing call is", () => {
  it.each<[string, string, Blame]>([
    ["a first failure tells nothing", "-ada", "unclear"],
    ["successes before the first failure tell nothing: the server may have failed since", "+grace, -ada", "unclear"],
    ["a second failure of the same person tells nothing", "-ada, -ada", "unclear"],
    ["it is theirs when it has succeeded for somebody else since", "-ada, +grace, -ada", "theirs"],
    ["so it is when another failed before that", "-linus, +grace, -ada", "theirs"],
    ["their own success since tells nothing", "-ada, +ada, -ada", "unclear"],
    ["it is everybody's when it fails for another, and succeeds for nobody", "-ada, -grace", "everybodys"],
    ["so it stays for as long as it lasts", "-ada, -grace, -linus, -ada", "everybodys"],
    ["and it is over with the first success", "-ada, -grace, +linus, -ada", "theirs"],
    ["a success counts for one failure only", "-ada, +grace, -ada, -grace", "everybodys"],
    ["many successes of the same person are one", "-ada, +ada, +ada, +ada, -ada", "unclear"],
    ["a person in two groups may be odd, or both groups", "-ada eng, -ada ops", "unclear"],
    ["a group of two people may be odd", "-ada eng, -grace eng", "unclear"],
    ["two people in two groups are no coincidence", "-ada eng, -grace ops", "everybodys"],
    ["another group of the same person speaks for the server", "-ada eng, +ada ops, -ada eng", "theirs"],
  ])("%s (%s)", (_name, calls, expected) => {
    expect(blameAfter(calls)).toBe(expected);
  });

  it("a success that is older than the longest wait says nothing", () => {
    expect(blameAfter("-ada, +grace, -ada", 14 * MINUTE)).toBe("theirs");
    expect(blameAfter("-ada, +grace, -ada", 15 * MINUTE)).toBe("unclear");
  });
});
