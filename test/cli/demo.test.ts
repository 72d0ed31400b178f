import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createProgram, everyCommand } from "../../functions/cli/program.ts";
import { startPipelineProcess, until } from "../support/processes.ts";
import { type Ran, runInTerminal } from "../support/terminal.ts";

let folder: string;
let demo: Awaited<ReturnType<typeof startPipelineProcess>> | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
});
afterAll(async () => {
  demo?.kill("SIGTERM");
  await demo?.ended;
  await rm(folder, { recursive: true });
});

/** In a folder where there are no organizations but the demo's. */
const here = (...args: string[]): Promise<Ran> =>
  runInTerminal([...args, "--state", join(folder, "state")], { folder });
const idIn = ({ stdout }: Ran): string => /--user ([0-9a-f-]{36})/.exec(stdout)?.[1] ?? "";
const lastOf = async (id: string): Promise<string> => (await here("activity", "--user", id)).stdout;

describe("clavex-nextcloud demo join, move, leave and break", () => {
  test.each(["join", "move", "leave", "break"])("%s says in a sentence when no demo runs", async (name) => {
    const { code, stdout, stderr } = await here("demo", name);
    expect(stderr).toMatch(/^no demo runs on the state folder .*state\nStart it .*"npm start".*\n$/);
    expect([code, stdout]).toEqual([1, ""]);
  });

  test("change a person in the simulated Clavex, and send what Clavex would send", async () => {
    demo = await startPipelineProcess([...["--state", join(folder, "state")], ...["--demo", "--first-retry", "0.1"]]);
    const joined = await here("demo", "join");
    expect(joined.stdout).toMatch(/ joins Engineering\. Clavex sends user\.created:\n202 \{"status":"queued"\}\n/);
    const id = idIn(joined);
    await until(
      () => lastOf(id),
      (text) => /user\.created {2}account created, joined Engineering\n/.test(text),
    );

    const moved = await here("demo", "move");
    expect(moved.stdout).toMatch(/ moves from Engineering to Sales\. Clavex sends nothing for groups\.\n/);
    expect(moved.stdout).not.toContain("202");
    const brought = await here("provision", "--organization", "acme", "--user", idIn(moved), "--wait");
    expect(brought).toMatchObject({ code: 0, stdout: expect.stringContaining("joined Sales") });

    const movedAgain = JSON.parse((await here("demo", "move", "--json")).stdout);
    expect(movedAgain).toMatchObject({ left: "Engineering", joined: "Sales" });

    const left = await here("demo", "leave");
    expect(left.stdout).toMatch(/ leaves\. Clavex sends user\.deleted:\n202 /);
    expect(idIn(left)).toBe(id);
    await until(
      () => lastOf(id),
      (text) => /user\.deleted {2}account disabled\n/.test(text),
    );
  });

  test("setup keeps what it did to the demo in the state folder, which is its owner's alone with all that is in it", async () => {
    const state = join(folder, "state");
    await rm(state, { recursive: true, force: true });
    expect((await here("setup", "--yes", "--webhook-url", "https://hooks.acme.example")).stdout).toContain("demo");
    expect(await readdir(state)).toEqual(["demo.setup"]);
    const modes = await Promise.all([state, join(state, "demo.setup")].map(async (path) => (await stat(path)).mode));
    expect(modes.map((mode) => mode & 0o777)).toEqual([0o700, 0o600]);
  });

  test("break lets Nextcloud be away, or refuse what is written, for a while", async () => {
    expect((await here("demo", "break", "--seconds", "4")).stdout).toContain("answers 503");
    const id = idIn(await here("demo", "join"));
    const story = await until(
      () => lastOf(id),
      (text) => text.includes("account created"),
    );
    expect(story).toMatch(/ retried .* attempt \d+ failed, next one in \d+ s: .*503/);

    expect((await here("demo", "break", "--refuse")).stdout).toContain("dead-letters list");
    const { user: leaver } = JSON.parse((await here("demo", "leave", "--json")).stdout);
    expect(leaver).toBe(id);
    await until(
      () => lastOf(leaver),
      (text) => / parked .*refused, as the demo was told to/.test(text),
    );
    const { user: refused, delivery } = JSON.parse((await here("demo", "join", "--json")).stdout);
    expect(delivery).toMatchObject({ statusCode: 202, body: '{"status":"queued"}' });
    await until(
      () => lastOf(refused),
      (text) => / parked .*refused, as the demo was told to/.test(text),
    );
    const { code, stdout } = await here("status");
    expect([code, stdout]).toEqual([2, expect.stringContaining("2 people were refused by Nextcloud")]);
  });

  describe("a folder of organizations that somebody has named is never replaced by the demo that runs", () => {
    /** Every command that takes the option, but those below. */
    const names = everyCommand(createProgram())
      .filter(
        ({ options, commands }) => commands.length === 0 && options.some(({ long }) => long === "--organizations"),
      )
      .map((command) => (command.parent?.parent ? `${command.parent.name()} ${command.name()}` : command.name()))
      .filter((name) => !["setup", "start"].includes(name));
    const NEEDED: Record<string, string[]> = {
      send: ["user.updated"],
      "unknown disable": ["somebody"],
      console: ["--no-open"],
      ...Object.fromEntries(["explain", "provision", "rehearse"].map((name) => [name, ["--user", "ada@acme.example"]])),
    };

    test.each(names)("%s", async (name) => {
      await writeFile(join(folder, "file"), "");
      await mkdir(join(folder, "empty"), { recursive: true });
      for (const [path, problem] of [
        ["missing", "there is no such folder"],
        ["empty", "there are no organization files (*.json)"],
        ["file", "cannot be read (a part of the path is not a folder, ENOTDIR)"],
      ]) {
        const { code, stdout, stderr } = await here(
          ...name.split(" "),
          ...(NEEDED[name] ?? []),
          "--organizations",
          `${path}`,
        );
        expect([code, stdout]).toEqual([1, ""]);
        expect(stderr).toContain(`${path}: ${problem}\n`);
        expect(stderr).toMatch(/\nName the right folder with --organizations/);
      }
    });

    test("nor one that the environment names", async () => {
      const environment = { CLAVEX_NEXTCLOUD_ORGANIZATIONS: "missing" };
      const { code, stderr } = await runInTerminal(["status", "--state", join(folder, "state")], {
        folder,
        environment,
      });
      expect([code, stderr]).toEqual([1, expect.stringContaining("missing: there is no such folder\n")]);
    });

    test("nor by setup, which would write there", async () => {
      const { code, output } = await here("setup", "--yes", "--organizations", "missing");
      expect(code).toBe(1);
      expect(output).not.toContain("acme");
    });

    test("an option that names nothing is refused", async () => {
      for (const option of ["--organizations", "--state"])
        expect(await here("status", option, "")).toMatchObject({
          code: 1,
          stderr: expect.stringContaining("must name a folder"),
        });
    });
  });
});
