import { randomUUID } from "node:crypto";
import { SKEW_MS } from "../core/clock.ts";
import type { Table } from "./table.ts";

/** Locks of an organization that several processes respect. */
export interface Locks {
  /**
   * Takes a lock.
   *
   * @param until when it expires even if nobody releases it (milliseconds since the epoch); everybody takes the lock for
   *   equally long, so a later end was set by a clock that was ahead, and is not believed
   * @returns a function that gives it back, or undefined while somebody else has it
   */
  take(organization: string, name: string, now: number, until: number): Promise<(() => Promise<void>) | undefined>;
}

export function createLocks(table: Table): Locks {
  return {
    async take(organization, name, now, until) {
      const key = { partition: organization, sort: `lock#${name}` };
      const token = randomUUID();
      const free = { when: "absent-or-outside", field: "until", low: now, high: until + SKEW_MS } as const;
      if (!(await table.put(key, { token, until }, free))) return undefined;
      return async () => void (await table.delete(key, { when: "equal", field: "token", value: token }));
    },
  };
}
