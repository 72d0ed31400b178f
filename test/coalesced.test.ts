import { describe, expect, it } from "vitest";
import { coalesced } from "../functions/coalesced.ts";

/** A cache whose clock and readings the test moves: each reading waits in `open` until it is settled. */
function setup() {
  const open: PromiseWithResolvers<string>[] = [];
  const clock = { now: 1000 };
  const read = coalesced(
    () => {
      const reading = Promise.withResolvers<string>();
      open.push(reading);
      return reading.promise;
    },
    () => clock.now,
  );
  const settle = (index: number, value: string | Error): void => {
    if (value instanceof Error) open[index]?.reject(value);
    else open[index]?.resolve(value);
  };
  return { read, open, clock, settle };
}

/** Lets every promise that can go on do so. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a coalesced reading", () => {
  it("is read once for all who wait at the same time, and kept for those who come later", async () => {
    const { read, open, clock, settle } = setup();
    const waiting = [read(-Infinity), read(500), read(1000)];
    settle(0, "a");
    expect(await Promise.all(waiting)).toEqual(Array(3).fill({ value: "a", readAt: 1000 }));
    clock.now = 9000;
    expect(await read(1000)).toEqual({ value: "a", readAt: 1000 });
    expect(open).toHaveLength(1);
  });

  it("is read anew for those who need a later one; its time is that of its start, not of its end", async () => {
    const { read, open, clock, settle } = setup();
    const first = read(-Infinity);
    clock.now = 2000;
    settle(0, "a");
    expect(await first).toEqual({ value: "a", readAt: 1000 });
    const second = read(1001);
    settle(1, "b");
    expect(await second).toEqual({ value: "b", readAt: 2000 });
    expect(await read(-Infinity)).toEqual({ value: "b", readAt: 2000 });
    expect(open).toHaveLength(2);
  });

  it("that began too early is waited for, then one new reading serves all who need it", async () => {
    const { read, open, clock, settle } = setup();
    const early = read(-Infinity);
    clock.now = 2000;
    const late = [read(1500), read(2000)];
    await turn();
    expect(open).toHaveLength(1);
    settle(0, "a");
    expect((await early).value).toBe("a");
    await turn();
    expect(open).toHaveLength(2);
    settle(1, "b");
    expect((await Promise.all(late)).map(({ value }) => value)).toEqual(["b", "b"]);
  });

  it("that is kept is given at once while a newer one is under way", async () => {
    const { read, clock, settle } = setup();
    const first = read(-Infinity);
    settle(0, "a");
    await first;
    clock.now = 2000;
    const second = read(2000);
    expect((await read(1000)).value).toBe("a");
    settle(1, "b");
    expect((await second).value).toBe("b");
  });

  it("that fails, fails for all who waited for it, and is not kept", async () => {
    const { read, open, settle } = setup();
    const waiting = Promise.allSettled([read(-Infinity), read(1000)]);
    settle(0, new Error("no"));
    expect(await waiting).toEqual(Array(2).fill({ status: "rejected", reason: new Error("no") }));
    const again = read(-Infinity);
    settle(1, "a");
    expect((await again).value).toBe("a");
    expect(open).toHaveLength(2);
  });

  it("that fails leaves what was there before", async () => {
    const { read, clock, settle } = setup();
    const first = read(-Infinity);
    settle(0, "a");
    await first;
    clock.now = 2000;
    const failing = read(2000);
    settle(1, new Error("no"));
    await expect(failing).rejects.toThrow("no");
    expect(await read(1000)).toEqual({ value: "a", readAt: 1000 });
  });

  it("that began too early and fails does not fail those who need a later one", async () => {
    const { read, clock, settle } = setup();
    const early = read(-Infinity);
    clock.now = 2000;
    const late = read(2000);
    settle(0, new Error("no"));
    await expect(early).rejects.toThrow("no");
    await turn();
    settle(1, "b");
    expect(await late).toEqual({ value: "b", readAt: 2000 });
  });

  it("for a time that this clock has not reached yet ends after one new reading each", async () => {
    const { read, open, settle } = setup();
    const future = read(5000);
    settle(0, "a");
    expect(await future).toEqual({ value: "a", readAt: 1000 });
    expect(open).toHaveLength(1);
  });

  it("that fails before it begins rejects, and the next one is tried", async () => {
    let calls = 0;
    const read = coalesced(() => {
      calls += 1;
      if (calls === 1) throw new Error("no");
      return Promise.resolve("a");
    });
    await expect(read(-Infinity)).rejects.toThrow("no");
    expect((await read(-Infinity)).value).toBe("a");
  });
});

describe("a clock that was ahead", () => {
  it("and was set back leaves no reading that is taken for new until its time has come", async () => {
    const { read, open, clock, settle } = setup();
    clock.now = 1_000_000;
    const ahead = read(-Infinity);
    settle(0, "ahead");
    await ahead;
    clock.now = 2_000;
    const later = read(1_500);
    settle(1, "now");
    expect(await later).toEqual({ value: "now", readAt: 2_000 });
    expect(open).toHaveLength(2);
  });
});
