import type { Organizations } from "../config/organizations.ts";
import type { Ledger } from "../ledger/ledger.ts";

/**
 * Asks about each organization that has not worked here yet whether it may begin: `plan` shows what that would do. The answer is
 * written down, so nobody is asked twice; after a no the organization is paused until `resume`. Without an API key there is no
 * plan to look at, and nobody is asked.
 *
 * @param ask whether the organization of this slug may begin
 * @returns the slugs that are paused now
 */
export async function askBeforeFirstStart(
  organizations: Organizations,
  ledger: Pick<Ledger, "pauses" | "identities">,
  ask: (slug: string) => Promise<boolean>,
): Promise<string[]> {
  const paused: string[] = [];
  for (const slug of await organizations.slugs()) {
    // An organization with an invalid document starts nothing.
    const organization = await organizations.get(slug).catch(() => undefined);
    if (organization?.clavex.apiKey === undefined) continue;
    if ((await ledger.pauses.get(slug)) ?? (await ledger.identities.get(slug))) continue;
    const mayBegin = await ask(slug);
    await ledger.pauses.put(slug, { paused: !mayBegin, at: Date.now() });
    if (!mayBegin) paused.push(slug);
  }
  return paused;
}
