import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFolder } from "../functions/folders.ts";

describe("a folder", () => {
  let place: string;
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), "folders-"));
  });
  afterEach(() => rmSync(place, { recursive: true }));

  it("is created with those above it, with these rights", () => {
    expect(makeFolder(join(place, "a/b/c"), 0o700)).toBe(join(place, "a"));
    for (const path of ["a", "a/b", "a/b/c"]) expect(statSync(join(place, path)).mode & 0o777).toBe(0o700);
  });

  it("that is there stays as it is", () => {
    makeFolder(join(place, "a"), 0o750);
    expect(makeFolder(join(place, "a"), 0o700)).toBeUndefined();
    expect(statSync(join(place, "a")).mode & 0o777).toBe(0o750);
  });

  it.runIf(existsSync("/proc/self"))("below one that takes no new ones is an error, not a wait without end", () => {
    for (const path of ["/proc/x", "/proc/x/y"])
      expect(() => makeFolder(path)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });

  it("is none where a file has the name, or part of the path is one", () => {
    writeFileSync(join(place, "file"), "");
    for (const path of ["file", "file/a", "file/a/b"])
      expect(() => makeFolder(join(place, path))).toThrow(expect.objectContaining({ code: "ENOTDIR" }));
  });

  it("is none behind a link that leads nowhere", () => {
    symlinkSync(join(place, "nowhere"), join(place, "link"));
    for (const path of ["link", "link/a"])
      expect(() => makeFolder(join(place, path))).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });
});
