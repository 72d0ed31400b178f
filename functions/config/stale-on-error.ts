import { coalesced } from "../coalesced.ts";
import { Failure } from "../core/failure.ts";

/** After a failure the source is asked again only when this time is over. */
const TROUBLE_MS = 5_000;
/** The same while there is nothing to stay in use: Clavex sends a delivery again after one second and after four more. */
const EMPTY_MS = 2_000;

/**
 * Keeps what was read from a source outside this process. While the source fails for now (a transient failure) the
 * last value stays in use; after a failure of another kind, such as "does not exist", it does not.
 *
 * @returns a function that takes the earliest acceptable time of the reading (milliseconds since the epoch)
 */
export function staleOnError<T>(read: () => Promise<T>, now: () => number): (notBefore: number) => Promise<T> {
  let last: { value: T } | undefined;
  let failed: { at: number; waitMs: number } | undefined;
  const get = coalesced(async (): Promise<{ value: T } | { error: unknown }> => {
    try {
      last = { value: await read() };
      failed = undefined;
      return last;
    } catch (error) {
      const passes = error instanceof Failure && error.failureClass === "transient";
      if (!passes) last = undefined;
      failed = { at: now(), waitMs: passes && !last ? EMPTY_MS : TROUBLE_MS };
      return last ?? { error };
    }
  }, now);

  return async (notBefore) => {
    const result = (await get(failed === undefined ? notBefore : Math.max(notBefore, now() - failed.waitMs))).value;
    if ("error" in result) throw result.error;
    return result.value;
  };
}
