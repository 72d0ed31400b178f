import { describe, expect, test } from "vitest";
import { sideBySide } from "../functions/side-by-side.ts";

describe("work side by side", () => {
  test("every item is worked on once, so many at a time and in their order", async () => {
    const [begun, most]: [number[], number[]] = [[], []];
    let underWay = 0;
    await sideBySide([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      begun.push(item);
      underWay += 1;
      most.push(underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay -= 1;
    });
    expect(begun).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(Math.max(...most)).toBe(3);
  });

  test("after a failure nothing more is begun, and what was under way ends before it is thrown", async () => {
    const events: string[] = [];
    const work = sideBySide(["fails", "slow", "never"], 2, async (item) => {
      events.push(`${item} begins`);
      if (item === "fails") throw new Error("it failed");
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`${item} ends`);
    });
    await expect(work).rejects.toThrow("it failed");
    expect(events).toEqual(["fails begins", "slow begins", "slow ends"]);
  });

  test("nothing to do is done at once", async () => {
    await expect(sideBySide([], 4, () => Promise.reject(new Error("never")))).resolves.toBeUndefined();
  });
});
