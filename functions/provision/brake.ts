import { admit, allow, BrakeHeld, type BrakeState, deprovisionLimit, newBrake } from "../core/brake.ts";
import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";

/** Lets a limited number of people lose access in an hour, over all paths. The rule is core/brake.ts. */
export interface Brake {
  /**
   * Counts one more person who would lose access.
   *
   * @throws {BrakeHeld} when that is one too many
   */
  admit(organization: Organization, subject: string): Promise<void>;
  /** An operator allows this many more. */
  allow(organization: string, number: number): Promise<void>;
}

const MOST_ATTEMPTS = 20;

export function createBrake({ brakes, subjects }: Pick<Ledger, "brakes" | "subjects">, now: () => number): Brake {
  /** Reads the brake, changes it and writes it back, until nobody else wrote in between. */
  async function update<T>(
    organization: string,
    change: (brake: BrakeState) => Promise<{ state: BrakeState; result: T }>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const current = await brakes.get(organization);
      const { state, result } = await change(current?.state ?? newBrake(now()));
      if (await brakes.put(organization, state, current?.revision ?? 0)) return result;
      if (attempt === MOST_ATTEMPTS)
        throw new PipelineFailure("transient", "ledger-conflict", "the brake is written by many at once", "subject");
    }
  }

  /** Counting the people is a query: only asked when the plain count does not let this one pass. */
  async function limitOf(organization: Organization, { passed }: BrakeState): Promise<number> {
    const { count } = organization.reconcile.maxDeprovisions;
    if (passed < count) return count;
    // Of the people who were there before this hour's departures: else the limit would shrink while they go.
    return deprovisionLimit(organization, (await subjects.countActive(organization.slug)) + passed);
  }

  return {
    async admit(organization, subject) {
      const held = await update(organization.slug, async (current) => {
        const limit = await limitOf(organization, current);
        const { state, admitted } = admit(current, subject, limit, now());
        return { state, result: admitted ? undefined : limit };
      });
      if (held !== undefined) throw new BrakeHeld(organization.slug, held);
    },
    allow: (organization, number) =>
      update(organization, async (current) => ({ state: allow(current, number, now()), result: undefined })),
  };
}
