import { isAhead } from "../core/clock.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";

/**
 * Whether user_oidc's POST may be repeated for people who have logged in: the document says that the skeleton is empty, and
 * nothing was found since that speaks against it.
 */
export type SkeletonIsEmpty = (organization: Organization) => Promise<boolean>;

/** How long an answer from the ledger is cached. */
const BELIEVED_MS = 60_000;

export function createSkeletonIsEmpty({ skeletons }: Pick<Ledger, "skeletons">, now: () => number): SkeletonIsEmpty {
  const asked = new Map<string, { empty: boolean; until: number }>();
  return async ({ nextcloud: { baseUrl, skeleton } }) => {
    if (skeleton !== "empty") return false;
    const known = asked.get(baseUrl);
    if (known && isAhead(known.until, BELIEVED_MS, now())) return known.empty;
    const empty = (await skeletons.get(baseUrl))?.empty ?? true;
    asked.set(baseUrl, { empty, until: now() + BELIEVED_MS });
    return empty;
  };
}
