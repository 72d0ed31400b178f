/**
 * Whom a call is about: a person, a group, or a person and a group. Two calls of one kind always have the same number of parts.
 */
export type About = readonly string[];

/** What is remembered of one kind of call at one server: `GET user`, `POST membership`, ... */
export interface CallMemory {
  /** Whom the last failing calls were about, between which none succeeded; the newest first, the most that are needed. */
  failed: readonly About[];
  /** Calls that have succeeded since then, about different people: two are enough. Times in milliseconds since the epoch. */
  succeeded: readonly { about: About; at: number }[];
}

/**
 * Whose fault a failing call is. `theirs`: the same kind of call has succeeded for somebody else since the last failure.
 * `everybodys`: it failed for somebody else and has succeeded for nobody since. `unclear`: nothing is known either way.
 */
export type Blame = "theirs" | "everybodys" | "unclear";

export const NO_CALLS: CallMemory = { failed: [], succeeded: [] };

/** A success stops counting once the longest wait of a job has passed. */
const SUCCESS_MS = 15 * 60_000;

/** A call has succeeded. */
export function succeeded({ failed, succeeded: before }: CallMemory, about: About, now: number): CallMemory {
  const others = before.filter((each) => differs(each.about, about));
  return { failed, succeeded: [{ about, at: now }, ...others].slice(0, 2) };
}

const MOST_FAILED = 4;

/** A call has failed in a way that may be the server's fault: whose it is, and what is remembered from now on. */
export function failed(memory: CallMemory, about: About, now: number): { memory: CallMemory; blame: Blame } {
  const before = memory.succeeded.length > 0 ? [] : memory.failed.filter((each) => differs(each, about));
  return {
    memory: { failed: [about, ...before].slice(0, MOST_FAILED), succeeded: [] },
    blame: blameOf(memory, about, now),
  };
}

function blameOf({ failed: before, succeeded: since }: CallMemory, about: About, now: number): Blame {
  if (before.length === 0) return "unclear";
  if (since.some((each) => differs(each.about, about) && isFresh(each.at, now))) return "theirs";
  // One person in two groups, and two people in one group, may be one and the same odd person or group.
  const others = before.some((each) => !each.some((part) => about.includes(part)));
  return since.length === 0 && others ? "everybodys" : "unclear";
}

/** Whether a success still counts. */
function isFresh(time: number, now: number): boolean {
  return time <= now && now - time < SUCCESS_MS;
}

function differs(one: About, other: About): boolean {
  return one.some((part, index) => part !== other[index]);
}
