import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { WHAT_TO_DO, whatToDo } from "../../functions/replay/what-to-do.ts";

describe("what to do about a dead letter", () => {
  it.each([
    ["account-conflict", /id cannot be changed: delete that account/],
    ["nextcloud-ocs-101", /what its message names/],
    ["nextcloud-ocs-997", /what its message names/],
    ["nextcloud-write-fails", /Nextcloud's log/],
    ["a-code-of-a-newer-version", /Remove the cause/],
    ["", /Remove the cause/],
    ["constructor", /Remove the cause/],
  ])("is told by its reason: %s", (reason, sentence) => {
    expect(whatToDo(reason)).toMatch(sentence);
  });

  it("docs/operations.md has the same codes", () => {
    const page = readFileSync("docs/operations.md", "utf8");
    for (const code of Object.keys(WHAT_TO_DO))
      expect(page).toContain(code.endsWith("-") ? `\`${code}NNN\`` : `\`${code}\``);
  });
});
