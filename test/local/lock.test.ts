import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isLocked, lockFolder, removeFolder } from "../../functions/local/lock.ts";
import { ROOT, runNode, until } from "../support/processes.ts";

let place: string;
let folder: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "lock-"));
  folder = join(place, "state");
});
afterEach(() => rmSync(place, { recursive: true }));

describe("a state folder", () => {
  it("is locked by one at a time, and not any more afterwards", () => {
    const unlock = lockFolder(folder);
    expect(isLocked(folder)).toBe(true);
    expect(() => lockFolder(folder)).toThrow(expect.objectContaining({ code: "state-in-use" }));
    unlock();
    expect(isLocked(folder)).toBe(false);
    lockFolder(folder)();
  });

  it("is removed with all that is in it, unless a pipeline runs on it", () => {
    const unlock = lockFolder(folder);
    writeFileSync(join(folder, "running.json"), "{}");
    removeFolder(folder);
    expect(readdirSync(folder).toSorted()).toEqual(["lock", "running.json"]);
    expect(isLocked(folder)).toBe(true);
    unlock();
    removeFolder(folder);
    expect(existsSync(folder)).toBe(false);
  });

  it("that is not there any more is removed already", () => {
    removeFolder(folder);
    expect(readdirSync(place)).toEqual([]);
  });

  const descriptors = (pid: number): string => `/proc/${pid}/fd`;
  it.runIf(existsSync(descriptors(process.pid)))(
    "that is removed while somebody waits for its lock is locked by them where all can see it",
    async () => {
      const unlock = lockFolder(folder);
      const waits = `
        import { lockFolder } from ${JSON.stringify(join(ROOT, "functions/local/lock.ts"))};
        for (let locked = false; !locked; ) {
          try {
            lockFolder(process.argv[1]);
            locked = true;
          } catch (error) {
            if (error.code !== "state-in-use") throw error;
          }
        }
        console.log("locked");
        setInterval(() => undefined, 1_000);`;
      const next = runNode(["--input-type=module", "-e", waits, folder]);
      try {
        const has = (name: string): boolean => {
          const path = join(descriptors(next.pid), name);
          return existsSync(path) && readlinkSync(path) === join(folder, "lock");
        };
        await until(
          () => existsSync(descriptors(next.pid)) && readdirSync(descriptors(next.pid)).some(has),
          (isOpen) => isOpen,
        );
        rmSync(folder, { recursive: true });
        unlock();
        await next.printed(/locked/);
        expect(isLocked(folder)).toBe(true);
      } finally {
        next.kill("SIGKILL");
        await next.ended;
      }
    },
  );
});
