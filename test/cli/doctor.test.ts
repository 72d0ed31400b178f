import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startPipelineProcess } from "../support/processes.ts";
import { runInTerminal } from "../support/terminal.ts";

describe("clavex-nextcloud setup and doctor, with the running demo", () => {
  let folder: string;
  let pipeline: Awaited<ReturnType<typeof startPipelineProcess>>;
  const place = () => ["--state", join(folder, "state")];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    pipeline = await startPipelineProcess([...place(), "--demo"]);
  });
  afterAll(async () => {
    pipeline.kill("SIGTERM");
    await pipeline.ended;
    await rm(folder, { recursive: true });
  });

  const cli = async (...args: string[]) => {
    // The pipeline is a process without this variable, and finds the demo's folder by it.
    return runInTerminal([...args, ...place()], { environment: { XDG_RUNTIME_DIR: "" }, folder });
  };

  test("before setup doctor says what is missing, with exit code 1", async () => {
    const { code, output } = await cli("doctor");
    expect(code).toBe(1);
    expect(output).toMatch(/FAIL +Clavex has the webhook subscription: .*\n +.*setup.*docs\/connect\.md#webhook/);
  });

  test("after setup doctor is green, a delivery is provisioned, and setup finds nothing more to do", async () => {
    const { code: done, stdout } = await cli("setup", "--yes");
    expect([done, stdout]).toEqual([0, expect.stringMatching(/^This sets up the demo .* end the demo first/)]);
    const { code, output } = await cli("doctor");
    expect(output).toMatch(/ 0 failed, 0 warnings;/);
    expect(code).toBe(0);
    await cli("send", "user.created", "--organization", "acme");
    await pipeline.printed(/result=applied/);
    expect((await cli("setup", "--yes")).output).toContain("There is nothing to do.");
    expect((await cli("doctor")).code).toBe(0);
  });

  test("--json prints JSON only", async () => {
    const { output } = await cli("doctor", "--json");
    const [{ organization, results }] = JSON.parse(output);
    expect(organization).toBe("acme");
    expect(results).toContainEqual({
      id: "nextcloud.app-password",
      title: "Nextcloud accepts the app password",
      docs: "docs/connect.md#credentials",
      status: "ok",
      cause: "as provisioner",
    });
  });

  test("rehearse shows both sides, and exit code 0 when they are the same", async () => {
    const { code, output } = await cli("rehearse", "--user", "ada@acme.example");
    expect(output).toMatch(/account id +│ 5aa15cee\w+ +│ 5aa15cee\w+ +│ the same/);
    expect(code).toBe(0);
    expect(await cli("rehearse", "--user", "nobody@acme.example")).toMatchObject({
      code: 1,
      output: expect.stringContaining("Clavex has nobody with the e-mail address nobody@acme.example"),
    });
  });

  test("an unknown organization is told in a sentence", async () => {
    expect(await cli("doctor", "--organization", "nobody")).toMatchObject({
      code: 1,
      output: expect.stringContaining("there is no organization nobody"),
    });
  });
});

describe("clavex-nextcloud doctor, without a running pipeline", () => {
  test("looks at both servers, says that nothing runs, and makes no state folder", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    try {
      const organization = {
        slug: "acme",
        organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
        clavex: { baseUrl: "http://127.0.0.1:9", webhookSecrets: ["env:SECRET"], apiKey: "env:KEY" },
        nextcloud: { baseUrl: "http://127.0.0.1:9", username: "provisioner", password: "env:PASSWORD" },
        identity: { providerId: 1 },
      };
      await writeFile(join(folder, "acme.json"), JSON.stringify(organization));
      const environment = { SECRET: "a-webhook-secret-that-protects-nothing", KEY: "clv", PASSWORD: "p" };
      const places = ["--organizations", folder, "--state", join(folder, "state")];
      const { code, output } = await runInTerminal(["doctor", "--all", ...places], { environment });
      expect(code).toBe(1);
      expect(output).toMatch(/FAIL +Nextcloud answers: .*ECONNREFUSED/);
      expect(output).toMatch(/WARN +The pipeline runs: no pipeline runs on the state folder/);
      expect(output).toMatch(/- +The queue can be reached: there is none before the first start/);
      // What complains comes first, whatever the order of the checks.
      const labels = Array.from(output.matchAll(/^ {2}(FAIL|WARN|-|ok) /gm), ([, label]) => label);
      expect(labels).toEqual(["FAIL", "WARN", "-", "ok"].flatMap((each) => labels.filter((label) => label === each)));
      const folded = await runInTerminal(["doctor", ...places], { environment });
      expect(folded.output).not.toMatch(/^ {2}(?:-|ok) /m);
      expect(folded.output).toMatch(/checks: \d+ failed, \d+ warnings?; \d+ ok, \d+ left out \(shown with --all\)/);
      await expect(rm(join(folder, "state"), { recursive: true })).rejects.toThrow(/ENOENT/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
