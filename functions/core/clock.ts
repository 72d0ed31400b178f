/**
 * Times that were written down are read with the clock of another day, and often of another machine. One that is later than
 * now comes from a clock that was ahead: if it were believed, what depends on it could wait for years. All times here are
 * milliseconds since the epoch.
 */

/** How much later than ours the clock of another process may be. */
export const SKEW_MS = 2 * 60_000;

/** A time at which something has happened, if it can be believed. */
export function believed(time: number | undefined, now: number): number | undefined {
  return time !== undefined && time <= now + SKEW_MS ? time : undefined;
}

/** Whether something happened less than this long ago. */
export function isWithin(time: number | undefined, milliseconds: number, now: number): boolean {
  const happened = believed(time, now);
  return happened !== undefined && now - happened < milliseconds;
}

/**
 * Whether an end is still to come.
 *
 * @param longest the furthest that it can have lain ahead when it was set; a later end is not believed
 */
export function isAhead(end: number | undefined, longest: number, now: number): boolean {
  return end !== undefined && now < end && end <= now + longest + SKEW_MS;
}
