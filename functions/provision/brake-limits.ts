import { type Braked, type BrakeState, dailyLimit, hourlyLimit, passedWithin, UNCAPPED_FROM } from "../core/brake.ts";
import { isWithin } from "../core/clock.ts";
import type { Organization } from "../core/organization.ts";
import type { Subjects } from "../ledger/subjects.ts";

/** The limits of a brake, which depend on how many people an organization has. */
export interface BrakeLimits {
  /** How many may pass within an hour: exactly, where one more or less decides. */
  hourly(organization: Organization, braked: Braked, state: BrakeState): Promise<number>;
  /**
   * Whether more people have lost access within a day than raise an alarm.
   *
   * @param hourly what the hourly limit is at least
   */
  isOverDaily(organization: Organization, inDay: number, hourly: number): Promise<boolean>;
}

/** How long a count is believed where it decides whether somebody passes. */
const COUNT_MS = 10_000;
/** And where it decides whether there is an alarm, which gives and takes nothing. */
const ALARM_COUNT_MS = 5 * 60_000;

/** A count of an organization's people. */
interface Counted {
  at: number;
  /** Those whose accounts are enabled, and those who had passed: else the limit would shrink while they go. */
  people: number;
  passed: number;
}

/** A count that was made to decide whether one person passes. */
interface CountedForOne extends Counted {
  /** The end of the last allowance: with another one, people have left whom the hour does not show. */
  allowedUntil: number;
}

/**
 * Counting the people reads all that the ledger knows of an organization, so it is done as seldom as the limit allows. What was
 * counted for one person lets half of those pass whom the limit leaves, for a few seconds; then the people are counted again. So
 * there are few counts on the way to the limit, and close to it, where it matters who has left or come meanwhile, each person
 * has one of their own. Nobody is held by an old count.
 */
export function createBrakeLimits(subjects: Pick<Subjects, "countActive">, now: () => number): BrakeLimits {
  const ofHour = new Map<string, CountedForOne>();
  const ofDay = new Map<string, Counted>();

  async function count(slug: string, passed: number): Promise<Counted> {
    const at = now();
    return { at, passed, people: (await subjects.countActive(slug)) + passed };
  }

  return {
    async hourly(organization, braked, state) {
      const passed = passedWithin(state, "hour", now());
      const least = hourlyLimit(organization, braked, 0);
      if (passed < least) return least;
      const { slug } = organization;
      if (passed < hourlyLimit(organization, braked, UNCAPPED_FROM)) {
        // As many as this are counted for everybody: a small organization's limit follows each who leaves or comes.
        const people = (await subjects.countActive(slug, UNCAPPED_FROM - passed)) + passed;
        return hourlyLimit(organization, braked, people);
      }
      const key = `${slug} ${braked}`;
      const before = ofHour.get(key);
      if (before && isRecent(before, state, now())) {
        const limit = hourlyLimit(organization, braked, before.people);
        if (before.passed <= passed && passed < before.passed + Math.floor((limit - before.passed) / 2)) return limit;
      }
      const counted = await count(slug, passed);
      ofHour.set(key, { ...counted, allowedUntil: state.allowedUntil });
      return hourlyLimit(organization, braked, counted.people);
    },
    async isOverDaily(organization, inDay, hourly) {
      if (inDay <= dailyLimit(organization, hourly)) return false;
      // Where the number is configured, it does not depend on the people.
      if (inDay > dailyLimit(organization, Number.POSITIVE_INFINITY)) return true;
      const { slug } = organization;
      const before = ofDay.get(slug);
      const counted = before && isWithin(before.at, ALARM_COUNT_MS, now()) ? before : await count(slug, inDay);
      ofDay.set(slug, counted);
      return inDay > dailyLimit(organization, hourlyLimit(organization, "deprovisions", counted.people));
    },
  };
}

function isRecent({ at, allowedUntil }: CountedForOne, state: BrakeState, now: number): boolean {
  return isWithin(at, COUNT_MS, now) && allowedUntil === state.allowedUntil;
}
