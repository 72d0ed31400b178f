import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { VERSION } from "../functions/version.ts";
import packageJson from "../package.json" with { type: "json" };
import packageLock from "../package-lock.json" with { type: "json" };

it("the program calls itself by the version of its package", () => {
  expect([VERSION, packageLock.version, packageLock.packages[""].version]).toEqual(Array(3).fill(packageJson.version));
});

it("CHANGELOG.md begins with this version, or with what comes after it", () => {
  const [newest, next] = Array.from(
    readFileSync("CHANGELOG.md", "utf8").matchAll(/^## (Unreleased|\S+)/gm),
    ([, name = ""]) => name,
  );
  expect(newest === "Unreleased" ? next : newest).toBe(VERSION);
});
