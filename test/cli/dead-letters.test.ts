import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../functions/database.ts";
import { lockFolder } from "../../functions/local/lock.ts";
import { rememberPipeline } from "../../functions/local/running.ts";
import { openState, type State } from "../../functions/local/state.ts";
import { WHAT_TO_DO } from "../../functions/replay/what-to-do.ts";
import { documentOf } from "../core/organization.ts";
import { personJob, webhookTrigger } from "../support/jobs.ts";
import { type Ran, runInTerminal } from "../support/terminal.ts";

const REFUSED_AT = Date.UTC(2026, 6, 23, 8);

/** What a command finds: a pipeline that runs as far as it can see, but works on nothing; what is sent back stays in the queue. */
interface Standing {
  cli(...args: string[]): Promise<Ran>;
  /** Parks a job in the ledger, as the worker does. */
  park(fields?: { organization?: string; message?: string; lastAt?: number }): Promise<string>;
  /** Puts a message into the dead-letter queue, as the queue does after the last attempt. */
  giveUp(body?: string): Promise<string>;
}

/** A folder with the files of two organizations and a state folder; removed afterwards. */
async function withFolders(use: (place: string[], state: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const state = join(folder, "state");
  try {
    await mkdir(state);
    for (const slug of ["acme", "other"]) {
      await writeFile(join(folder, `${slug}.json`), JSON.stringify(documentOf({ slug })));
    }
    await use(["--organizations", folder, "--state", state], state);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Each test has its own. */
function withStanding(use: (standing: Standing) => Promise<void>): Promise<void> {
  return withFolders(async (place, stateFolder) => {
    const unlock = lockFolder(stateFolder);
    await rememberPipeline(stateFolder, { url: "http://127.0.0.1:1" });
    const state = openState(stateFolder);
    try {
      await use({
        cli: (...args) => runInTerminal(["dead-letters", ...args, ...place]),
        park: (fields) => park(state, fields),
        giveUp: (body) => giveUp(stateFolder, body),
      });
    } finally {
      state.close();
      unlock();
    }
  });
}

async function park({ ledger }: State, fields: Parameters<Standing["park"]>[0] = {}): Promise<string> {
  const { organization = "acme", message = "it says no", lastAt = REFUSED_AT } = fields;
  const subject = randomUUID();
  const job = personJob(organization, subject, webhookTrigger("user.created"));
  const reason = "profile-refused";
  await ledger.deadLetters.park({ organization, subject, job, reason, message, attempts: 3, lastAt });
  return subject;
}

/** As the queue does after the last receive. */
async function giveUp(stateFolder: string, body: string | undefined): Promise<string> {
  const subject = randomUUID();
  const database = openDatabase(stateFolder);
  try {
    const insert = database.prepare("INSERT INTO queue_dead_letter VALUES (?, ?, ?, ?, ?)");
    const text = body ?? JSON.stringify(personJob("acme", subject, webhookTrigger("user.updated")));
    await database.write(() => insert.run(Date.now(), `acme#${subject}`, text, REFUSED_AT, 1000));
  } finally {
    database.close();
  }
  return subject;
}

describe("clavex-nextcloud dead-letters", () => {
  test("list shows all of both places with reason, attempts and time, and exits with 2; with 0 when there are none", () =>
    withStanding(async ({ cli, park, giveUp }) => {
      expect(await cli("list")).toMatchObject({ code: 0, stdout: "There are no dead letters.\n", stderr: "" });
      const [parked, given] = [await park(), await giveUp()];
      const list = await cli("list");
      expect(list).toMatchObject({ code: 2, stderr: "" });
      expect(list.stdout).toMatch(
        new RegExp(`${parked}.*acme.*user\\.created.*profile-refused.*it says no.*3.*2026-07-23T08:00:00Z`),
      );
      expect(list.stdout).toMatch(new RegExp(`${given}.*acme.*user\\.updated.*given-up`));
      expect(list.stdout).toMatch(new RegExp(`${parked}.*${WHAT_TO_DO["profile-refused"]}`));
      expect(list.stdout).toMatch(new RegExp(`${given}.*${WHAT_TO_DO["given-up"]}`));
    }));

  test("--json prints JSON and nothing else, whatever is asked", () =>
    withStanding(async ({ cli, park, giveUp }) => {
      const [parked, unreadable] = [await park(), await giveUp("{")];
      const list = await cli("list", "--json");
      expect(list).toMatchObject({ code: 2, stderr: "" });
      expect(JSON.parse(list.stdout)).toEqual([
        expect.objectContaining({ subject: parked, place: "parked", lastAt: REFUSED_AT }),
        expect.objectContaining({ subject: unreadable, place: "queue", reason: "job-unreadable" }),
      ]);
      expect(JSON.parse((await cli("show", "--json")).stdout)).toHaveLength(2);
      const staying = [{ organization: "acme", subject: unreadable, why: expect.stringContaining("cannot be read") }];
      expect(JSON.parse((await cli("replay", "--json", "--dry-run")).stdout)).toEqual({
        dryRun: true,
        letters: [expect.objectContaining({ subject: parked })],
        stayed: staying,
      });
      const unasked = await cli("replay", "--json");
      expect(unasked).toMatchObject({ code: 1, stdout: "", stderr: "Replay 1 dead letter? Confirm with --yes.\n" });
      expect(JSON.parse((await cli("replay", "--json", "--yes")).stdout)).toEqual({
        done: 1,
        stayed: staying,
        stopped: false,
      });
      // Nothing is left to be sent: still JSON, and no dry run.
      expect(JSON.parse((await cli("replay", "--json", "--yes")).stdout)).toMatchObject({
        done: 0,
        stayed: [expect.objectContaining({ why: "it is on its way already" }), ...staying],
      });
    }));

  test("a message of the dead-letter queue is sent back by the same command that has just listed it", () =>
    withStanding(async ({ cli, giveUp }) => {
      await giveUp();
      expect(await cli("replay", "--yes")).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("1 sent back, 0 stayed."),
      });
      expect(await cli("list")).toMatchObject({ code: 0 });
    }));

  test("what is on its way is shown as such, is not sent again, and is not taken for nothing", () =>
    withStanding(async ({ cli, park }) => {
      const subject = await park();
      await cli("replay", "--yes");
      const list = await cli("list");
      expect(list).toMatchObject({ code: 2 });
      expect(list.stdout).toContain("profile-refused (sent back, on its way)");
      const again = await cli("replay", "--yes");
      expect(again).toMatchObject({
        code: 0,
        stdout: `0 sent back, 1 stayed.\n  ${subject}: it is on its way already\n`,
        stderr: "",
      });
      expect((await cli("show", "--user", subject)).stdout).toMatch(/Sent back\s+20.*Z, not done yet/);
    }));

  test("--limit is for those that are sent: asking again and again sends them all", () =>
    withStanding(async ({ cli, park }) => {
      for (let number = 0; number < 3; number += 1) await park();
      for (const [sent, stayed] of [
        [2, 0],
        [1, 2],
      ]) {
        const replay = await cli("replay", "--limit", "2", "--yes");
        expect(replay.stdout).toContain(`${sent} sent back, ${stayed} stayed.`);
      }
    }));

  test("filters choose what is shown, sent back and dropped", () =>
    withStanding(async ({ cli, park }) => {
      const early = await park({ lastAt: REFUSED_AT - 60_000 });
      const late = await park();
      const other = await park({ organization: "other" });
      const found = async (...args: string[]) => {
        const { stdout } = await cli("list", ...args);
        return [early, late, other].filter((subject) => stdout.includes(subject));
      };
      const asked = await Promise.all([
        found("--organization", "acme", "--user", early.toUpperCase()),
        found("--since", "2026-07-23T10:00+02:00", "--until", "2026-07-23T08:00Z", "--event", "user.created"),
      ]);
      expect(asked).toEqual([[early], [late, other]]);

      expect((await cli("drop", "--organization", "other", "--dry-run")).stdout).toContain("Nothing was changed.");
      expect((await cli("drop", "--organization", "other")).code).toBe(1);
      expect((await cli("drop", "--organization", "other", "--yes")).stdout).toContain("1 dropped, 0 stayed.");
      expect(await found()).toEqual([early, late]);
    }));

  test("a filter that matches nothing says so, and how many there are without it", () =>
    withStanding(async ({ cli, park }) => {
      await park();
      const other = ["--reason", "given-up"];
      const sentence = "No dead letter matches; without these options there is 1.\n";
      for (const command of ["list", "show"])
        expect(await cli(command, ...other)).toMatchObject({ code: 0, stdout: sentence });
      for (const command of ["replay", "drop"])
        expect(await cli(command, ...other, "--yes")).toMatchObject({ code: 0, stdout: sentence });
      expect((await cli("list", ...other, "--json")).stdout).toBe("[]\n");
    }));

  test("nothing foreign moves the cursor, colours the text or turns it around", () =>
    withStanding(async ({ cli, park, giveUp }) => {
      await park({ message: "no \u001b[2J\u001b]0;owned\u0007 \u009b31m \u202ereversed\r\nforged line" });
      await giveUp('\u009b31m"\u202e');
      for (const command of ["list", "show"]) {
        const { stdout, stderr } = await cli(command);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
        expect(stdout).not.toMatch(/^forged line/m);
      }
    }));

  test.each([
    { args: ["list", "--organization", "nobody"], message: /^there is no organization nobody$/m },
    { args: ["list", "--since", "yesterday"], message: /must be a time such as/ },
    { args: ["list", "--limit", "0"], message: /must be a number from 1 upwards/ },
    { args: ["list", "--everything"], message: /unknown option '--everything'/ },
  ])("$args is refused with a sentence", ({ args, message }) =>
    withStanding(async ({ cli }) => {
      const { code, stdout, stderr } = await cli(...args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/^\s+at /m);
    }));

  test("while no pipeline runs, also after one was killed, they work, and say that what was sent back waits", () =>
    withFolders(async (place, stateFolder) => {
      const state = openState(stateFolder);
      const subject = await park(state);
      // What a killed pipeline leaves behind.
      await rememberPipeline(stateFolder, { url: "http://127.0.0.1:1" });
      expect(await runInTerminal(["dead-letters", "list", ...place])).toMatchObject({ code: 2, stderr: "" });
      const { code, stdout, stderr } = await runInTerminal(["dead-letters", "replay", "--yes", ...place]);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: `no pipeline runs on the state folder ${stateFolder}: what was queued waits until it is started\n`,
      });
      expect(stdout).toContain("1 sent back, 0 stayed.");
      const [message] = await state.queue.receive({ most: 10, waitSeconds: 0 });
      expect(JSON.parse(message?.body ?? "")).toMatchObject({ subject, trigger: { kind: "replay" } });
      state.close();
    }));

  test.each([
    ["dead-letters", "list"],
    ["dead-letters", "replay", "--yes"],
    ["provision", "--organization", "acme", "--user", randomUUID()],
    ["accept-identity", "--organization", "acme"],
  ])("%s %s says so when no pipeline has ever run on the folder, and makes nothing there", (...args) =>
    withFolders(async (place, state) => {
      const { code, stdout, stderr } = await runInTerminal([...args, ...place]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toBe(
        `no pipeline runs on the state folder ${state}: start it with "npm start", or name a --stage\n`,
      );
      expect(await readdir(state)).toEqual([]);
    }));
});
