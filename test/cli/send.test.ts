import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, startPipelineProcess } from "../support/processes.ts";

describe("clavex-nextcloud send, against the running demo", () => {
  let folder: string;
  let pipeline: Awaited<ReturnType<typeof startPipelineProcess>>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    pipeline = await startPipelineProcess(["--state", join(folder, "state"), "--demo"]);
  });

  afterAll(async () => {
    pipeline.kill("SIGTERM");
    await pipeline.ended;
    await rm(folder, { recursive: true });
  });

  const send = async (...args: string[]) => {
    const program = run("functions/cli/main.ts", ["send", ...args, "--state", join(folder, "state")]);
    return { code: await program.ended, output: program.output() };
  };

  test("a sample is signed, accepted and provisioned", async () => {
    const { code, output } = await send("user.created", "--organization", "acme");
    expect({ code, output }).toEqual({ code: 0, output: '202 {"status":"queued"}\n' });
    await pipeline.printed(/result=applied .*state=active operations=\["upsert account","join Engineering"\]/);
  });

  test("an event that does not concern provisioning is accepted and ignored", async () => {
    const { code, output } = await send("user.login", "--organization", "acme");
    expect(code).toBe(0);
    expect(output).toContain('"status":"ignored"');
  });

  test("a file is sent as it is, and a refusal is exit code 1", async () => {
    const file = join(folder, "delivery.json");
    await writeFile(file, "{not json");
    const { code, output } = await send("user.created", "--organization", "acme", "--file", file);
    expect(code).toBe(1);
    expect(output).toMatch(/^400 /);
  });

  test("an unknown organization and a missing file are told in a sentence", async () => {
    expect(await send("user.created", "--organization", "nobody")).toMatchObject({
      code: 1,
      output: expect.stringContaining("there is no organization nobody"),
    });
    expect(await send("user.created", "--organization", "acme", "--file", join(folder, "missing.json"))).toMatchObject({
      code: 1,
      output: expect.stringMatching(/missing\.json cannot be read \(there is no such file or folder, ENOENT\)/),
    });
  });

  test("without a running pipeline it says how to start one", async () => {
    const program = run("functions/cli/main.ts", [
      "send",
      "user.created",
      "--organization",
      "acme",
      "--state",
      join(folder, "other"),
    ]);
    expect(await program.ended).toBe(1);
    expect(program.output()).toMatch(/no demo runs on the state folder .*other: start it with "npm start"/);
  });
});
