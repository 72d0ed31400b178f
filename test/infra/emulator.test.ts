import { afterEach, describe, expect, it, vi } from "vitest";
import { toolsFor } from "../deploy/tools.ts";

describe("the deployment test", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("is left out by npm test alone", async () => {
    expect(await toolsFor(undefined)).toEqual({ missing: "npm run test:deploy" });
  });

  it("is left out without Python, but fails where it is required, and names what is missing", async () => {
    vi.stubEnv("PYTHON", "/nonexistent/python");
    const missing = "/nonexistent/python 3.10 or later, with its modules venv and ensurepip";
    expect(await toolsFor("wanted")).toEqual({ missing });
    await expect(toolsFor("required")).rejects.toThrow(`the deployment test needs ${missing}`);
  });
});
