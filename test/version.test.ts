import { expect, it } from "vitest";
import { VERSION } from "../functions/version.ts";
import packageJson from "../package.json" with { type: "json" };

it("the program calls itself by the version of its package", () => {
  expect(VERSION).toBe(packageJson.version);
});
