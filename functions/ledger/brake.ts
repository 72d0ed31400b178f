import type { Organization } from "../config/organization.ts";
import { Failure } from "../failure.ts";
import type { BrakeEntry, Ledger } from "./ledger.ts";

/** A deprovision that waits for an operator, because there have been too many in this hour. */
export class BrakeHeld extends Failure {
  constructor(organization: string, limit: number) {
    super(
      "configuration",
      "brake-held",
      `more than ${limit} people of ${organization} would lose access within an hour`,
      {
        fix: `If that is right, allow it: clavex-nextcloud reconcile --organization ${organization} --allow-deprovisions NUMBER`,
      },
    );
  }
}

/** Lets a limited number of people lose access in an hour, over all paths. */
export interface Brake {
  /**
   * Counts one more person who would lose access.
   *
   * @throws {BrakeHeld} when that is one too many; once somebody was held, a new hour releases nobody
   */
  admit(organization: Organization): Promise<void>;
  /** An operator allows so many more, and those who were held are let go on. */
  allow(organization: string, number: number): Promise<void>;
}

const HOUR_MS = 60 * 60_000;
const MOST_ATTEMPTS = 20;

/** The most people who may lose access at once: the larger of the count and the percentage, rounded down. */
export function deprovisionLimit({ reconcile }: Organization, known: number): number {
  const { count, percent } = reconcile.maxDeprovisions;
  return Math.max(count, Math.floor((known * percent) / 100));
}

export function createBrake(ledger: Ledger, now: () => number = Date.now): Brake {
  /** Reads the brake, changes it and writes it back, until nobody else wrote in between. */
  async function update<T>(
    organization: string,
    change: (brake: Omit<BrakeEntry, "revision">) => Promise<{ brake: Omit<BrakeEntry, "revision">; result: T }>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const current = await ledger.brake(organization);
      const { brake, result } = await change(current ?? { hourStart: now(), passed: 0, held: false, allowed: 0 });
      if (await ledger.putBrake(organization, brake, current?.revision)) return result;
      if (attempt === MOST_ATTEMPTS)
        throw new Failure("transient", "ledger-conflict", "the brake is written by many at once");
    }
  }

  return {
    async admit(organization) {
      const { slug, reconcile } = organization;
      const limit = await update(slug, async (current) => {
        if (current.allowed > 0) return { brake: { ...current, allowed: current.allowed - 1 }, result: undefined };
        const over = now() - current.hourStart >= HOUR_MS && !current.held;
        const brake = over ? { ...current, hourStart: now(), passed: 0 } : current;
        // Counting the people is a query: only asked when the plain count does not let them pass.
        const { count } = reconcile.maxDeprovisions;
        const most = brake.passed < count ? count : deprovisionLimit(organization, await ledger.countActive(slug));
        if (!brake.held && brake.passed < most)
          return { brake: { ...brake, passed: brake.passed + 1 }, result: undefined };
        return { brake: { ...brake, held: true }, result: most };
      });
      if (limit !== undefined) throw new BrakeHeld(slug, limit);
    },
    async allow(organization, number) {
      await update(organization, async (current) => ({
        // The hour begins anew for those who are still held: that the old one is over must not let them slip through.
        brake: {
          ...current,
          ...(current.held ? { hourStart: now() } : {}),
          held: false,
          allowed: current.allowed + number,
        },
        result: undefined,
      }));
    },
  };
}
