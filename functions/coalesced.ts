import type { Reading } from "./core/person.ts";

/**
 * Keeps the newest reading of something that is expensive to read, and shares one reading between all who wait for it.
 *
 * @param read reads it
 * @returns a function that takes the earliest acceptable start of the reading (milliseconds since the epoch; `-Infinity`
 *   for any) and resolves to the kept reading, the one under way, or a new one; a failed reading rejects for those who
 *   waited for it and keeps what was there
 */
export function coalesced<T>(
  read: () => Promise<T>,
  now: () => number = Date.now,
): (notBefore: number) => Promise<Reading<T>> {
  let newest: Reading<T> | undefined;
  let flight: { readAt: number; reading: Promise<Reading<T>> } | undefined;

  const start = (): Promise<Reading<T>> => {
    const readAt = now();
    const reading = read()
      .then((value) => {
        newest = { value, readAt };
        return newest;
      })
      .finally(() => {
        flight = undefined;
      });
    flight = { readAt, reading };
    return reading;
  };

  return async (notBefore) => {
    for (;;) {
      // A time later than now comes from a clock that was ahead: the reading would count as fresh until then.
      if (newest && newest.readAt >= notBefore && newest.readAt <= now()) return newest;
      if (!flight) return start();
      if (flight.readAt >= notBefore) return flight.reading;
      await flight.reading.catch(() => undefined);
    }
  };
}
