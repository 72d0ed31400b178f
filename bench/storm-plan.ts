import { randomNumbers } from "../test/support/chance.ts";

/** One delivery of the storm, in the order in which they are sent. */
export interface StormDelivery {
  /** Whom it is about, by number. */
  person: number;
  /**
   * `created` and `changed`: something happened just now. `again`: the same delivery as one before, as when Clavex did not see
   * the answer. `late`: one that was overtaken by newer ones of the same person.
   */
  kind: "created" | "changed" | "again" | "late";
}

/**
 * Everybody is created in the first third of the storm; of the rest half are changes, a quarter come again and a quarter late.
 *
 * @param count deliveries in all, several times as many as people
 */
export function stormPlan(people: number, count: number, seed: number): StormDelivery[] {
  const random = randomNumbers(seed);
  const pick = (most: number): number => Math.floor(random() * most);
  const deliveries: StormDelivery[] = [];
  let created = 0;
  for (let index = 0; index < count; index += 1) {
    if (created < Math.min(people, 1 + (index * 3 * people) / count)) {
      deliveries.push({ person: created, kind: "created" });
      created += 1;
      continue;
    }
    const kind = (["changed", "changed", "again", "late"] as const)[pick(4)] ?? "changed";
    deliveries.push({ person: pick(created), kind });
  }
  return deliveries;
}
