import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { readAhead } from "../functions/read-ahead.ts";

/** A list of pages from 1; says which were asked for, and whether it was told that nobody wants more. */
function list(pages: number, failsAt = Number.POSITIVE_INFINITY) {
  const asked: number[] = [];
  const seen = { asked, isClosed: false };
  async function* read(): AsyncGenerator<number> {
    try {
      for (let page = 1; page <= pages; page += 1) {
        asked.push(page);
        await setImmediate();
        if (page === failsAt) throw new Error(`page ${page} fails`);
        yield page;
      }
    } finally {
      seen.isClosed = true;
    }
  }
  return { seen, read };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn += 1) await setImmediate();
};

async function walk(ahead: AsyncIterable<number>): Promise<number[]> {
  const pages: number[] = [];
  for await (const page of ahead) pages.push(page);
  return pages;
}

describe("a list that is read ahead", () => {
  test("gives all pages in their order, once", async () => {
    const { read } = list(5);
    const ahead = readAhead(read());
    expect(await walk(ahead)).toEqual([1, 2, 3, 4, 5]);
    expect(await ahead.done).toBe(true);
    await expect(walk(ahead)).rejects.toThrow("nothing more is read of this list");
  });

  test("asks for the first page at once, and for one more than its consumer works on", async () => {
    const { seen, read } = list(5);
    const ahead = readAhead(read());
    await settle();
    expect(seen.asked).toEqual([1]);
    for await (const page of ahead) {
      await settle();
      expect(seen.asked.at(-1)).toBe(Math.min(page + 1, 5));
    }
  });

  test("holds as much as it may until somebody walks it, and one page from then on", async () => {
    const { seen, read } = list(9);
    const ahead = readAhead(read(), { most: 30, weigh: (page) => page * 5 });
    await settle();
    expect(seen.asked).toEqual([1, 2, 3]);
    const pages: number[] = [];
    for await (const page of ahead) {
      await settle();
      pages.push(page);
      expect(seen.asked.at(-1)).toBe(Math.min(Math.max(3, page + 1), 9));
    }
    expect(pages).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("gives the pages before a failure, then the failure", async () => {
    const { read } = list(5, 3);
    const ahead = readAhead(read(), { most: 10 });
    expect(await ahead.done).toBe(false);
    const pages: number[] = [];
    const walking = (async () => {
      for await (const page of ahead) pages.push(page);
    })();
    await expect(walking).rejects.toThrow("page 3 fails");
    expect(pages).toEqual([1, 2]);
  });

  test("whose consumer left reads nothing more, and its failure comes nowhere", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    const { seen, read } = list(5, 2);
    const ahead = readAhead(read());
    for await (const _ of ahead) break;
    const never = list(5, 1);
    readAhead(never.read());
    await settle();
    process.off("unhandledRejection", note);
    expect([seen.asked, seen.isClosed, await ahead.done]).toEqual([[1, 2], true, false]);
    expect([never.seen.isClosed, unhandled]).toEqual([true, []]);
  });

  test("that is stopped drops what is under way, and gives the reason in place of an end", async () => {
    const { seen, read } = list(5);
    const ahead = readAhead(read(), { most: 3 });
    const before = walk(ahead);
    ahead.stop(new Error("the time is over"));
    await expect(before).rejects.toThrow("the time is over");
    await settle();
    expect([seen.asked, seen.isClosed]).toEqual([[1], true]);
  });
});
