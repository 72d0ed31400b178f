import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startCommand } from "../../functions/cli/start.ts";
import { runProgram } from "../support/processes.ts";

const FOLDER = "deploy/one-machine";
const UNIT = readFileSync(join(FOLDER, "clavex-nextcloud.service"), "utf8");

test.runIf(existsSync("/usr/bin/systemd-analyze"))("systemd finds nothing wrong with the unit", async () => {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  try {
    const unit = join(folder, "clavex-nextcloud.service");
    // This machine's Node.js is somewhere else.
    await writeFile(unit, UNIT.replace("/usr/bin/node", process.execPath));
    const program = runProgram("/usr/bin/systemd-analyze", ["verify", "--man=no", unit]);
    expect([await program.ended, program.output()]).toEqual([0, ""]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("every variable that is set there is one that start reads", () => {
  const read = startCommand().options.map(({ envVar }) => envVar);
  const texts = readdirSync(FOLDER).map((name) => readFileSync(join(FOLDER, name), "utf8"));
  const set = new Set(texts.join("\n").match(/CLAVEX_NEXTCLOUD_\w+/g));
  expect(set.size).toBeGreaterThan(2);
  expect([...set].filter((name) => !read.includes(name))).toEqual([]);
});

test("the unit may write nowhere but into its state, and has the memory that was measured", () => {
  for (const line of [
    "ProtectSystem=strict",
    "NoNewPrivileges=yes",
    "StateDirectoryMode=0700",
    "CapabilityBoundingSet=",
  ])
    expect(UNIT.split("\n")).toContain(line);
  expect(UNIT).toContain("--max-old-space-size=256 --max-semi-space-size=16");
});
