import { createHash } from "node:crypto";

/**
 * Where everything that tests draw by chance begins, so that a run can be repeated: CLAVEX_NEXTCLOUD_SEED, a fixed number
 * when it is not set.
 */
export const SEED = fromEnvironment("CLAVEX_NEXTCLOUD_SEED", 20260723);

/** How many times as many cases the properties try as they usually do: CLAVEX_NEXTCLOUD_RUNS of a thousand. */
export const TIMES = fromEnvironment("CLAVEX_NEXTCLOUD_RUNS", 1_000) / 1_000;

/**
 * How many cases a property tries this time.
 *
 * @param usual how many it tries when CLAVEX_NEXTCLOUD_RUNS is not set
 */
export const runs = (usual: number): number => Math.ceil(usual * TIMES);

function fromEnvironment(name: string, usual: number): number {
  const number = Number(process.env[name] ?? usual);
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`${name} is a whole number above 0`);
  return number;
}

/** A pseudorandom number in [0, 1) for each call, the same ones for the same seed (mulberry32). */
export function randomNumbers(seed = SEED): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same UUID for the same name: ids decide the order of lists, so a case is repeated only with the ids that it had. */
export function uuidOf(name: string): string {
  const hex = createHash("sha256").update(name).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
