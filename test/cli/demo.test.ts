import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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

const here = (...args: string[]): Promise<Ran> => runInTerminal([...args, "--state", join(folder, "state")]);
/** A command that reads the organizations as well: there are none but the demo's. */
const look = (...args: string[]): Promise<Ran> => here(...args, "--organizations", join(folder, "none"));
const idIn = ({ stdout }: Ran): string => /--user ([0-9a-f-]{36})/.exec(stdout)?.[1] ?? "";
const lastOf = async (id: string): Promise<string> => (await look("activity", "--user", id)).stdout;

describe("clavex-nextcloud demo join, move, leave and break", () => {
  test.each(["join", "move", "leave", "break"])("%s says in a sentence when no demo runs", async (name) => {
    const { code, stdout, stderr } = await here("demo", name);
    expect(stderr).toMatch(/^no demo runs on this machine: start it .*"npm start".*\n$/);
    expect([code, stdout]).toEqual([1, ""]);
  });

  test("change a person in the simulated Clavex, and send what Clavex would send", async () => {
    demo = await startPipelineProcess([
      ...["--state", join(folder, "state"), "--organizations", join(folder, "none")],
      ...["--demo", "--first-retry", "0.1"],
    ]);
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
    const brought = await look("provision", "--organization", "acme", "--user", idIn(moved), "--wait");
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

  test("break lets Nextcloud be away, or refuse what is written, for a while", async () => {
    expect((await here("demo", "break", "--seconds", "4")).stdout).toContain("answers 503");
    const id = idIn(await here("demo", "join"));
    const story = await until(
      () => lastOf(id),
      (text) => text.includes("account created"),
    );
    expect(story).toMatch(/ retried .* attempt \d+ failed, next one in \d+ s: .*503/);

    expect((await here("demo", "break", "--refuse")).stdout).toContain("dead-letters list");
    const { user: refused, delivery } = JSON.parse((await here("demo", "join", "--json")).stdout);
    expect(delivery).toMatchObject({ statusCode: 202, body: '{"status":"queued"}' });
    await until(
      () => lastOf(refused),
      (text) => / parked .*refused, as the demo was told to/.test(text),
    );
    const { code, stdout } = await look("status");
    expect([code, stdout]).toEqual([2, expect.stringContaining("1 person was refused by Nextcloud")]);
  });
});
