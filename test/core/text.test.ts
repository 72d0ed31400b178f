import { describe, expect, it } from "vitest";
import { namingStage } from "../../functions/core/text.ts";

describe("a text with commands", () => {
  it.each([
    ["Look at npx clavex-nextcloud plan, then go on.", "Look at npx clavex-nextcloud plan --stage prod, then go on."],
    [
      "npx clavex-nextcloud reconcile --organization acme --allow-leaves 3",
      "npx clavex-nextcloud reconcile --stage prod --organization acme --allow-leaves 3",
    ],
    ["see: npx clavex-nextcloud dead-letters list", "see: npx clavex-nextcloud dead-letters list --stage prod"],
    ["npx clavex-nextcloud unknown disable ID", "npx clavex-nextcloud unknown disable --stage prod ID"],
    ["npx clavex-nextcloud accept-identity", "npx clavex-nextcloud accept-identity --stage prod"],
    [
      "npx clavex-nextcloud plan, then: npx clavex-nextcloud resume",
      "npx clavex-nextcloud plan --stage prod, then: npx clavex-nextcloud resume --stage prod",
    ],
  ])("names the stage in %j", (text, named) => {
    expect(namingStage(text, "prod")).toBe(named);
  });

  it.each([
    "npx clavex-nextcloud plan --stage dev",
    "the service clavex-nextcloud-receive of the stack clavex-nextcloud-prod",
    "clavex-nextcloud, stage prod",
  ])("stays as it is where there is no command, or it names a stage: %j", (text) => {
    expect(namingStage(text, "prod")).toBe(text);
  });

  it("stays as it is on one machine, which has no stage", () => {
    expect(namingStage("npx clavex-nextcloud plan", undefined)).toBe("npx clavex-nextcloud plan");
  });
});
