import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { run } from "../support/processes.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** What `start` has printed when it listens and was then stopped: the demo organization, no terminal. */
async function outputOf(args: string[], environment: Record<string, string> = {}): Promise<string[]> {
  const places = ["--organizations", join(folder, "organizations"), "--state", join(folder, "state")];
  const program = run("functions/cli/main.ts", ["start", "--port", "0", ...places, ...args], environment);
  try {
    await program.printed(/listening on/);
    program.kill("SIGTERM");
    await program.ended;
  } finally {
    program.kill("SIGKILL");
  }
  return program.output().trimEnd().split("\n");
}

describe("what start prints", () => {
  test("is JSON in every line where stdout is no terminal", async () => {
    const lines = (await outputOf([])).map((line): Record<string, unknown> => JSON.parse(line));
    for (const line of lines) {
      expect(line).toMatchObject({ level: "INFO", service: "clavex-nextcloud" });
      expect(line.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    expect(lines.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^listening on http:\/\/127\.0\.0\.1:\d+$/),
        expect.stringMatching(/^webhook of acme: http:.*\/webhooks\/clavex\/acme$/),
        expect.stringMatching(/^stopping/),
      ]),
    );
  });

  test.each([
    { by: "the option", args: ["--log-format", "text"], environment: {} },
    { by: "the environment", args: [], environment: { CLAVEX_NEXTCLOUD_LOG_FORMAT: "text" } },
  ])("is short lines when $by asks for them", async ({ args, environment }) => {
    const lines = await outputOf(args, environment);
    expect(lines).toContainEqual(expect.stringMatching(/^listening on http:/));
  });

  test("is a sentence when a format or level does not exist", async () => {
    for (const [args, sentence] of [
      [["--log-format", "xml"], "Allowed choices are json, text."],
      [["--log-level", "loud"], "Allowed choices are debug, info, warn, error."],
    ] as const) {
      const program = run("functions/cli/main.ts", ["start", ...args]);
      expect(await program.ended).toBe(1);
      expect(program.output()).toContain(sentence);
    }
  });
});
