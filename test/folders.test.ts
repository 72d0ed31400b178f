import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFolder, tryFolder, writeOwnFile } from "../functions/folders.ts";

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "folders-"));
});
afterEach(() => rmSync(place, { recursive: true }));

describe("a folder", () => {
  it("is created with those above it, with these rights", () => {
    makeFolder(join(place, "a/b/c"), 0o700);
    for (const path of ["a", "a/b", "a/b/c"]) expect(statSync(join(place, path)).mode & 0o777).toBe(0o700);
  });

  it("that is there stays as it is", () => {
    makeFolder(join(place, "a"), 0o750);
    makeFolder(join(place, "a"), 0o700);
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

describe("whether a folder could be created", () => {
  it("is found out without creating it, even for a moment: another program may do so meanwhile", async () => {
    const seen: string[] = [];
    const watcher = watch(place, (_event, name) => void seen.push(String(name)));
    try {
      tryFolder(join(place, "new/state"));
      tryFolder(join(place, "new"));
      writeFileSync(join(place, "last"), "");
      while (!seen.includes("last")) await once(watcher, "change");
    } finally {
      watcher.close();
    }
    expect(seen).not.toContain("new");
    expect(readdirSync(place)).toEqual(["last"]);
  });

  it("is no question where it is there, with what is in it", () => {
    mkdirSync(join(place, "state"));
    writeFileSync(join(place, "state/file"), "");
    tryFolder(join(place, "state"));
    expect(readdirSync(place, { recursive: true }).toSorted()).toEqual(["state", "state/file"]);
  });

  it("is denied below a file, in its place, and behind a link that leads nowhere", () => {
    writeFileSync(join(place, "file"), "");
    symlinkSync(join(place, "nowhere"), join(place, "link"));
    const refused = { file: "ENOTDIR", "file/a": "ENOTDIR", "file/a/b": "ENOTDIR", link: "ENOENT", "link/a": "ENOENT" };
    for (const [path, code] of Object.entries(refused))
      expect(() => tryFolder(join(place, path)), path).toThrow(expect.objectContaining({ code }));
    expect(readdirSync(place).toSorted()).toEqual(["file", "link"]);
  });

  it.runIf(existsSync("/proc/self"))("is denied below one that takes no new ones, whatever its rights say", () => {
    for (const path of ["/proc/x", "/proc/x/y"])
      expect(() => tryFolder(path)).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });

  it.runIf(process.getuid?.() !== 0)("is denied where this user may not write", () => {
    mkdirSync(join(place, "closed"));
    chmodSync(join(place, "closed"), 0o500);
    for (const path of ["closed", "closed/a"])
      expect(() => tryFolder(join(place, path)), path).toThrow(expect.objectContaining({ code: "EACCES" }));
  });
});

describe("a file that is its owner's alone", () => {
  const modeOf = (path: string): number => statSync(path).mode & 0o777;

  it("is so whatever rights it had, and nobody who had it open before reads what is new", async () => {
    const path = join(place, "secret");
    writeFileSync(path, "old", { mode: 0o644 });
    const theirs = openSync(path, "r");
    await writeOwnFile(path, "new");
    expect([modeOf(path), readFileSync(path, "utf8"), readFileSync(theirs, "utf8")]).toEqual([0o600, "new", "old"]);
    closeSync(theirs);
  });

  it("stays behind a link, and one that cannot be written leaves nothing behind", async () => {
    writeFileSync(join(place, "real"), "old");
    symlinkSync("real", join(place, "link"));
    await writeOwnFile(join(place, "link"), "new");
    expect([readdirSync(place).sort(), readFileSync(join(place, "real"), "utf8")]).toEqual([["link", "real"], "new"]);
    mkdirSync(join(place, "folder"));
    await expect(writeOwnFile(join(place, "folder"), "new")).rejects.toThrow("EISDIR");
    expect(readdirSync(place).sort()).toEqual(["folder", "link", "real"]);
  });
});
