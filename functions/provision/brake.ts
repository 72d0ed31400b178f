import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { BrakeEntry, Ledger } from "../ledger/ledger.ts";

/** A deprovision that waits for an operator, because there have been too many in this hour. */
export class BrakeHeld extends PipelineFailure {
  constructor(organization: string, limit: number) {
    super(
      "configuration",
      "brake-held",
      `more than ${limit} people of ${organization} would lose access within an hour`,
      "subject",
      {
        fix: `If that is right, allow it: clavex-nextcloud reconcile --organization ${organization} --allow-deprovisions NUMBER`,
      },
    );
  }
}

/** Lets a limited number of people lose access in an hour, over all paths. */
export interface Brake {
  /**
   * Counts one more person who would lose access; a person who was let pass lately is not counted again.
   *
   * @throws {BrakeHeld} when that is one too many; once somebody was held, a new hour releases nobody
   */
  admit(organization: Organization, subject: string): Promise<void>;
  /** An operator allows so many more, and those who were held are let go on. */
  allow(organization: string, number: number): Promise<void>;
}

/** How many of those who passed are remembered by name; far below what fits into one item. */
const MOST_REMEMBERED = 2_000;
const HOUR_MS = 60 * 60_000;
const ALLOWED_MS = 24 * HOUR_MS;
const MOST_ATTEMPTS = 20;

/** The most people who may lose access at once: the larger of the count and the percentage, rounded down. */
export function deprovisionLimit({ reconcile }: Organization, known: number): number {
  const { count, percent } = reconcile.maxDeprovisions;
  return Math.max(count, Math.floor((known * percent) / 100));
}

/** How many more people an operator has allowed to lose access; an allowance that is not used up ends after a day. */
export function allowance(brake: Pick<BrakeEntry, "allowed" | "allowedUntil"> | undefined, now: number): number {
  return brake !== undefined && now < brake.allowedUntil ? brake.allowed : 0;
}

export function createBrake(ledger: Ledger, now: () => number = Date.now): Brake {
  /** Reads the brake, changes it and writes it back, until nobody else wrote in between. */
  async function update<T>(
    organization: string,
    change: (brake: Omit<BrakeEntry, "revision">) => Promise<{ brake: Omit<BrakeEntry, "revision">; result: T }>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const current = await ledger.brake(organization);
      const { brake, result } = await change(
        current ?? { hourStart: now(), passed: 0, held: false, allowed: 0, allowedUntil: 0, admitted: [] },
      );
      if (await ledger.putBrake(organization, brake, current?.revision)) return result;
      if (attempt === MOST_ATTEMPTS)
        throw new PipelineFailure("transient", "ledger-conflict", "the brake is written by many at once", "subject");
    }
  }

  /** Of the people who were there before this hour's departures: else the limit would shrink while they go. */
  async function limitNow(organization: Organization, passed: number): Promise<number> {
    return deprovisionLimit(organization, (await ledger.countActive(organization.slug)) + passed);
  }

  return {
    async admit(organization, subject) {
      const { slug, reconcile } = organization;
      const limit = await update(slug, async (current) => {
        const over = now() - current.hourStart >= HOUR_MS && !current.held;
        const brake = over ? { ...current, hourStart: now(), passed: 0, admitted: [] } : current;
        if (brake.admitted.includes(subject)) return { brake, result: undefined };
        const admitted = [...brake.admitted, subject].slice(-MOST_REMEMBERED);
        if (allowance(brake, now()) > 0)
          return { brake: { ...brake, allowed: brake.allowed - 1, admitted }, result: undefined };
        // Counting the people is a query: only asked when the plain count does not let them pass.
        const { count } = reconcile.maxDeprovisions;
        const most = brake.passed < count ? count : await limitNow(organization, brake.passed);
        if (!brake.held && brake.passed < most) {
          return { brake: { ...brake, passed: brake.passed + 1, admitted }, result: undefined };
        }
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
          allowed: allowance(current, now()) + number,
          allowedUntil: now() + ALLOWED_MS,
        },
        result: undefined,
      }));
    },
  };
}
