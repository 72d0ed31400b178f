import { isWithin } from "../core/clock.ts";
import { createNames, type Names } from "../operator/names.ts";
import type { ConsoleDependencies } from "./dependencies.ts";
import { PATIENCE_MS, within } from "./patience.ts";

/** How long a name is believed, and for how long nobody asks again who had no name. */
const FRESH_MS = 60_000;

/**
 * The names of people, kept for a minute: a page that renews itself must not ask Clavex for each of them every time. A Clavex that
 * does not answer soon keeps no page waiting: without their names people are shown by their ids.
 */
export function recentNames(dependencies: ConsoleDependencies): () => Names {
  const { now = Date.now, patienceMs = PATIENCE_MS } = dependencies;
  let names: Names | undefined;
  let since = 0;
  return () => {
    if (names === undefined || !isWithin(since, FRESH_MS, now())) {
      const looking = createNames(dependencies);
      since = now();
      names = {
        learn: (people) => within("Clavex", looking.learn(people), patienceMs / 2).catch(() => undefined),
        of: looking.of,
      };
    }
    return names;
  };
}
