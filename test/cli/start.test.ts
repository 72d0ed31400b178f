import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
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

describe("organization files of which some are wrong", () => {
  const documentOf = (slug: string) => ({
    slug,
    organizationId: randomUUID(),
    clavex: { baseUrl: "http://127.0.0.1:9", webhookSecrets: ["env:SECRET"], apiKey: "env:KEY" },
    nextcloud: { baseUrl: `http://127.0.0.1:9/${slug}`, username: "provisioner", password: "env:PASSWORD" },
    identity: { providerId: 1 },
  });

  test("the others work, and what is wrong is told", async () => {
    await mkdir(join(folder, "organizations"));
    const write = (name: string, text: string) => writeFile(join(folder, "organizations", name), text);
    await write("acme.json", JSON.stringify(documentOf("acme")));
    await write("beta.json", JSON.stringify({ ...documentOf("beta"), colour: "red" }));
    const environment = { SECRET: "a-webhook-secret-that-protects-nothing", KEY: "clv", PASSWORD: "p" };
    const lines = (await outputOf(["--log-format", "text"], environment)).join("\n");
    expect(lines).toContain('beta.json: unknown key "colour"');
    expect(lines).toContain("webhook of acme: ");
    expect(lines).not.toContain("webhook of beta: ");
  });

  test("none works, and start ends with 1", async () => {
    await mkdir(join(folder, "organizations"));
    await writeFile(join(folder, "organizations", "acme.json"), "{");
    const places = ["--organizations", join(folder, "organizations"), "--state", join(folder, "state")];
    const program = run("functions/cli/main.ts", ["start", "--port", "0", ...places]);
    expect(await program.ended).toBe(1);
    expect(program.output()).toContain("acme.json: is not JSON");
  });
});

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
