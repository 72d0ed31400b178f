import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadEnvironmentFile } from "../../functions/cli/options.ts";
import { createProgram, everyCommand } from "../../functions/cli/program.ts";
import { readDocument, UNREADABLE_FILE } from "../../functions/config/organizations.ts";
import { openShowroom, PEOPLE, type Showroom, STRANGER_ID } from "../support/showroom.ts";

const nameOf = (command: Command): string =>
  command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
const has = (command: Command, option: string): boolean => command.options.some(({ long }) => long === option);
const runnable = everyCommand(createProgram()).filter(
  (command) => command.parent && (command.commands.length === 0 || command.name() === "demo"),
);
const namesOf = (...options: string[]): string[] =>
  runnable.filter((command) => options.every((option) => has(command, option))).map(nameOf);

describe("every command has the options that fit it", () => {
  it("--json, but those that run on, or open a browser", () => {
    const without = runnable.map(nameOf).filter((name) => !namesOf("--json").includes(name));
    expect(without).toEqual(["start", "console"]);
  });

  it("--dry-run, whatever asks before it changes something", () => {
    const asking = namesOf("--yes").filter((name) => !namesOf("--dry-run").includes(name));
    // Its question is whether somebody wants to look at the plan first.
    expect(asking).toEqual(["start"]);
  });

  it("--dry-run also where nobody is asked, and something is sent", () => {
    const unasked = namesOf("--dry-run").filter((name) => !namesOf("--yes").includes(name));
    expect(unasked).toEqual(["send", "provision"]);
  });
});

/** What a command needs besides the options below. */
const NEEDED: Record<string, string[]> = {
  send: ["user.updated"],
  explain: ["--user", PEOPLE.mover.email],
  provision: ["--user", PEOPLE.mover.email],
  rehearse: ["--user", PEOPLE.mover.email],
  "unknown disable": [STRANGER_ID],
};
/** These need the copy, and a demo that runs: below, and in demo.test.ts. */
const ELSEWHERE = ["backup", "restore", "demo", "demo join", "demo move", "demo leave", "demo break"];

describe("on the showroom", () => {
  let showroom: Showroom;
  beforeAll(async () => {
    showroom = await openShowroom();
  });
  afterAll(() => showroom.close());

  const parsed = (stdout: string): unknown[] => {
    try {
      return [JSON.parse(stdout)];
    } catch {
      // One document a line.
      return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
    }
  };

  it.each(
    namesOf("--json").filter((name) => !ELSEWHERE.includes(name)),
  )("%s --json prints JSON alone, and with --dry-run changes nothing", async (name) => {
    const dry = namesOf("--dry-run").includes(name) ? ["--dry-run"] : [];
    const before = showroom.contents();
    const { stdout, stderr, code } = await showroom.run(
      [...name.split(" "), ...(NEEDED[name] ?? []), ...dry, "--json"],
      80,
    );
    expect(stderr).toBe("");
    expect(code === 1 && name !== "doctor", "it fails").toBe(false);
    expect(() => parsed(stdout)).not.toThrow();
    expect(showroom.contents()).toBe(before);
  });

  it.each(
    namesOf("--dry-run").filter((name) => !ELSEWHERE.includes(name)),
  )("%s --dry-run says what it would do, and does not ask", async (name) => {
    const before = showroom.contents();
    const { stdout, stderr, code } = await showroom.run([...name.split(" "), ...(NEEDED[name] ?? []), "--dry-run"], 80);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).not.toBe("");
    expect(showroom.contents()).toBe(before);
  });

  it("backup and restore --dry-run --json", async () => {
    const copy = join(showroom.folder, "copy.sqlite");
    const backup = await showroom.run(["backup", copy, "--json"], 80);
    expect(JSON.parse(backup.stdout)).toEqual({ file: "/srv/clavex-nextcloud/copy.sqlite", bytes: expect.any(Number) });
    const before = showroom.contents();
    const restore = await showroom.run(["restore", copy, "--dry-run", "--json"], 80);
    expect(JSON.parse(restore.stdout)).toEqual({
      dryRun: true,
      state: "/srv/clavex-nextcloud/state",
      replaces: true,
      restored: false,
    });
    expect((await showroom.run(["restore", copy, "--dry-run"], 80)).stdout).toBe(
      "/srv/clavex-nextcloud/copy.sqlite: the copy is sound, and would replace\nthe state in /srv/clavex-nextcloud/state. Nothing was changed.\n",
    );
    expect(showroom.contents()).toBe(before);
    rmSync(copy);
  });
});

describe("demo --json", () => {
  it("prints what Nextcloud holds at the end, and nothing else", async () => {
    const showroom = await openShowroom();
    const { stdout, stderr, code } = await showroom.run(["demo", "--json"], 80);
    await showroom.close();
    expect([code, stderr]).toEqual([0, ""]);
    const { inSync, wrong, people } = JSON.parse(stdout);
    expect([inSync, wrong]).toEqual([true, []]);
    expect(people.map(({ story }: { story: string }) => story)).toEqual(["joined", "moved", "left"]);
  });
});

describe(".env in the current folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("is read, and what is set already stays", async () => {
    await writeFile(join(folder, ".env"), 'A=1\r\nB="two"\r\nexport C=3\r\n');
    const environment = { A: "set", D: "4" };
    loadEnvironmentFile(join(folder, ".env"), environment);
    expect(environment).toEqual({ A: "set", B: "two", C: "3", D: "4" });
  });

  it("with a byte order mark has its first variable too", async () => {
    await writeFile(join(folder, ".env"), "\uFEFFA=1\nB=2\n");
    const environment = {};
    loadEnvironmentFile(join(folder, ".env"), environment);
    expect(environment).toEqual({ A: "1", B: "2" });
  });

  it("may be missing; a folder of that name, as container engines make of a missing file, is told in a sentence", () => {
    const environment = {};
    loadEnvironmentFile(join(folder, "missing"), environment);
    expect(environment).toEqual({});
    expect(() => loadEnvironmentFile(folder, environment)).toThrow(
      expect.objectContaining({
        name: "CommandError",
        message: `${folder}: cannot be read (it is a folder, EISDIR)`,
        fix: UNREADABLE_FILE,
      }),
    );
  });

  it("says what to do about an organization's file that cannot be read, too", async () => {
    await mkdir(join(folder, "organizations", "acme.json"), { recursive: true });
    await expect(readDocument(join(folder, "organizations"), "acme.json")).rejects.toMatchObject({
      message: expect.stringMatching(/acme\.json: cannot be read \(it is a folder, EISDIR\)$/),
      fix: UNREADABLE_FILE,
    });
  });
});
