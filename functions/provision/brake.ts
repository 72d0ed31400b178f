import { randomUUID } from "node:crypto";
import {
  admit,
  allow,
  allowance,
  type Braked,
  BrakeHeld,
  type BrakeState,
  dependsOnLimit,
  hasChange,
  hourlyLimit,
  newBrake,
  passedUntilHeld,
  passedWithin,
  withChange,
} from "../core/brake.ts";
import { Failure, PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createBrakeLimits } from "./brake-limits.ts";

/** Somebody was admitted. */
export interface Passed {
  /** Whether more people have lost access within a day than raise an alarm. */
  overDaily: boolean;
}

/** Limits how many people lose access, or a group, in an hour, over all paths. The rule is in core/brake.ts. */
export interface Brake {
  /**
   * Counts one more person.
   *
   * @param attempt what all attempts of one job share: they count once
   * @throws {BrakeHeld} when that is one too many
   */
  admit(organization: Organization, braked: Braked, attempt: string): Promise<Passed>;
  /** Whether an operator has allowed somebody more. */
  isAllowed(organization: string, braked: Braked): Promise<boolean>;
  /** An operator allows this many more. */
  allow(organization: string, number: number, braked?: Braked): Promise<void>;
}

const MOST_ATTEMPTS = 20;

export function createBrake({ brakes, subjects }: Pick<Ledger, "brakes" | "subjects">, now: () => number): Brake {
  const limits = createBrakeLimits(subjects, now);

  /**
   * Reads the brake, changes it and writes it back, until nobody else wrote in between. A write whose answer was lost is seen
   * by its id, and not made twice.
   */
  async function update<T>(
    organization: string,
    braked: Braked,
    change: (brake: BrakeState) => Promise<{ state: BrakeState; result: T }>,
  ): Promise<T> {
    const id = randomUUID();
    let made: { result: T } | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const current = await brakes.get(organization, braked);
      if (made && current && hasChange(current.state, id)) return made.result;
      const { state, result } = await change(current?.state ?? newBrake());
      made = { result };
      if (state === current?.state) return result;
      const written = await brakes
        .put(organization, withChange(state, id), current?.revision ?? 0, braked)
        .catch((error) => (isLast(attempt, error) ? Promise.reject(error) : false));
      if (written) return result;
      if (attempt === MOST_ATTEMPTS)
        throw new PipelineFailure("transient", "ledger-conflict", "the brake is written by many at once", "subject");
    }
  }

  return {
    async admit(organization, braked, attempt) {
      const { slug } = organization;
      const { admitted, limit, inDay } = await update(slug, braked, async (current) => {
        const begun = now();
        const depends = dependsOnLimit(current, attempt, begun);
        const limit = depends
          ? await limits.hourly(organization, braked, current)
          : (passedUntilHeld(current) ?? hourlyLimit(organization, braked, 0));
        // An allowance that has ended since then would be missed.
        const { state, admitted } = admit(current, attempt, limit, depends ? now() : begun);
        return { state, result: { admitted, limit, inDay: passedWithin(state, "day", now()) } };
      });
      if (admitted === undefined) throw new BrakeHeld(slug, braked, limit);
      return { overDaily: braked === "deprovisions" && (await limits.isOverDaily(organization, inDay, limit)) };
    },
    isAllowed: async (organization, braked) => allowance((await brakes.get(organization, braked))?.state, now()) > 0,
    allow: (organization, number, braked = "deprovisions") =>
      update(organization, braked, async (current) => ({ state: allow(current, number, now()), result: undefined })),
  };
}

/** How often a write is tried again that may have been made although it failed. */
const MOST_FAILURES = 3;

function isLast(attempt: number, error: unknown): boolean {
  return attempt >= MOST_FAILURES || !(error instanceof Failure && error.failureClass === "transient");
}
