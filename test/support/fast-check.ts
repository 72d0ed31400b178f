import fc from "fast-check";
import { SEED } from "./chance.ts";

// Without a seed of its own every property would try other cases in each run, and a rare fault would stop somebody else's change.
fc.configureGlobal({ seed: SEED });

export { fc };

/** What the ids of a case are made of (`uuidOf`): each case has its own, and has them again when it is repeated or shrunk. */
export const salts = fc.noShrink(fc.nat());
