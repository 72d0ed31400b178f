import { describe, expect, test } from "vitest";
import { joinedOrLeft, lookAt, MOST_READ } from "../../functions/core/group-watch.ts";

const NOW = Date.UTC(2026, 6, 23, 8);
const MINUTE = 60_000;
const listed = (id: string, memberCount: number) => ({ id, name: `group ${id}`, memberCount });
const seen = (id: string, count: number, ago = 0) => ({ id, name: `group ${id}`, count, readAt: NOW - ago });

describe("what a look at the groups has to read", () => {
  test("nothing, while all counts are as remembered", () => {
    expect(lookAt([seen("a", 1), seen("b", 2)], [listed("a", 1), listed("b", 2)], NOW)).toEqual({ read: [], gone: [] });
  });

  test("groups that are new, have more members or fewer; those that are gone are told apart", () => {
    const remembered = [seen("a", 1), seen("b", 2), seen("c", 3)];
    const look = lookAt(remembered, [listed("a", 2), listed("b", 1), listed("d", 0)], NOW);
    expect(look.read.map(({ id }) => id)).toEqual(["a", "b", "d"]);
    expect(look.gone).toEqual([seen("c", 3)]);
  });

  test("groups whose members have not been read for an hour, the longest unread first, after those that changed", () => {
    const remembered = [seen("a", 1, 59 * MINUTE), seen("b", 1, 3 * 60 * MINUTE), seen("c", 1, MINUTE), seen("d", 1)];
    const look = lookAt(remembered, [listed("a", 1), listed("b", 1), listed("c", 1), listed("d", 2)], NOW);
    expect(look.read.map(({ id }) => id)).toEqual(["d", "b", "a"]);
  });

  test("groups that were read later than now, by a clock that was wrong", () => {
    expect(lookAt([seen("a", 1, -24 * 60 * MINUTE)], [listed("a", 1)], NOW).read).toEqual([listed("a", 1)]);
  });

  test("only so many at once", () => {
    const many = Array.from({ length: MOST_READ + 5 }, (_, index) => listed(String(index), 1));
    expect(lookAt([], many, NOW).read).toEqual(many.slice(0, MOST_READ));
  });
});

test("whoever joined or left is found, also when the number of members is the same", () => {
  expect(joinedOrLeft(["ada", "grace"], ["grace", "linus"]).sort()).toEqual(["ada", "linus"]);
  expect(joinedOrLeft(["ada", "grace"], ["grace", "ada", "ada"])).toEqual([]);
});
