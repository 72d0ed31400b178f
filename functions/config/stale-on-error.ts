import { coalesced } from "../coalesced.ts";
import { Failure } from "../core/failure.ts";

/** After a failure the source is asked again only when this time is over. */
const TROUBLE_MS = 5_000;

/**
 * Keeps what was read from a source outside this process. While the source fails for now (a transient failure) the
 * last value stays in use; after a failure of another kind, such as "does not exist", it does not.
 *
 * @returns a function that takes the earliest acceptable time of the reading (milliseconds since the epoch)
 */
export function staleOnError<T>(read: () => Promise<T>, now: () => number): (notBefore: number) => Promise<T> {
  let last: { value: T } | undefined;
  let failedAt: number | undefined;
  const get = coalesced(async (): Promise<{ value: T } | { error: unknown }> => {
    try {
      last = { value: await read() };
      failedAt = undefined;
      return last;
    } catch (error) {
      failedAt = now();
      if (!(error instanceof Failure && error.failureClass === "transient")) last = undefined;
      return last ?? { error };
    }
  }, now);

  return async (notBefore) => {
    const result = (await get(failedAt === undefined ? notBefore : Math.max(notBefore, now() - TROUBLE_MS))).value;
    if ("error" in result) throw result.error;
    return result.value;
  };
}
