import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openState } from "../../functions/local/state.ts";
import { personJob } from "../support/jobs.ts";
import { type Office, openOffice } from "../support/office.ts";
import { command } from "../support/processes.ts";

const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";

describe("backup and restore", () => {
  let folder: string;
  let state: string;
  let copy: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "clavex-nextcloud-"));
    [state, copy] = [join(folder, "state"), join(folder, "copy.sqlite")];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const backup = (file = copy) => command(["backup", file, "--state", state]);
  const restore = (file = copy, ...args: string[]) => command(["restore", file, "--state", state, ...args]);
  async function send(...subjects: string[]): Promise<void> {
    const open = openState(state);
    for (const subject of subjects) await open.queue.send(personJob("acme", subject), subject);
    open.close();
  }
  async function waiting(): Promise<number> {
    const open = openState(state);
    const counts = await open.queue.counts();
    open.close();
    return counts.waiting;
  }

  test("bring back what was there; the copy is one file of its owner", async () => {
    await send("1", "2");
    expect(await backup()).toMatchObject({ code: 0, output: expect.stringMatching(/copy\.sqlite: \d+ bytes\n$/) });
    expect(readdirSync(folder).sort()).toEqual(["copy.sqlite", "state"]);
    expect((statSync(copy).mode & 0o777).toString(8)).toBe("600");
    await send("3");
    expect(await restore(copy, "--yes")).toMatchObject({ code: 0 });
    expect(await waiting()).toBe(2);
    expect((statSync(join(state, "state.sqlite")).mode & 0o777).toString(8)).toBe("600");
  });

  test("bring it back into a new folder without a question", async () => {
    await send("1");
    await backup();
    rmSync(state, { recursive: true });
    expect(await restore()).toMatchObject({ code: 0 });
    expect(await waiting()).toBe(1);
  });

  test("restore replaces nothing without --yes where there is no terminal", async () => {
    await send("1");
    await backup();
    await send("2");
    expect(await restore()).toMatchObject({ code: 1, output: expect.stringContaining("Confirm with --yes.") });
    expect(await waiting()).toBe(2);
  });

  test.each([
    ["that is no database", () => "no database ".repeat(100), /the file is damaged/],
    ["that is empty", () => "", /the file is damaged/],
    [
      "of another program",
      (file: string) => {
        const other = new DatabaseSync(file);
        other.exec("CREATE TABLE other (id)");
        other.close();
        return undefined;
      },
      /no copy of a state file/,
    ],
    [
      "of a newer version",
      (file: string) => {
        const newer = new DatabaseSync(file);
        newer.exec("CREATE TABLE ledger (id); PRAGMA user_version = 999");
        newer.close();
        return undefined;
      },
      /written by a newer version/,
    ],
  ])("restore refuses a copy %s, and changes nothing", async (_, make, sentence) => {
    await send("1");
    const text = make(copy);
    if (text !== undefined) writeFileSync(copy, text);
    const before = readFileSync(copy);
    expect(await restore(copy, "--yes")).toMatchObject({ code: 1, output: expect.stringMatching(sentence) });
    expect(await waiting()).toBe(1);
    expect(readFileSync(copy).equals(before)).toBe(true);
  });

  test.each([
    "",
    "-wal",
    "-shm",
  ])("backup does not replace state.sqlite%s, which a pipeline may have open", async (suffix) => {
    await send("1");
    const open = openState(state);
    try {
      const file = join(state, `state.sqlite${suffix}`);
      const { ino } = statSync(file);
      expect(await backup(file)).toMatchObject({
        code: 1,
        output: expect.stringMatching(/it is the state file itself, not a copy\nName a file for the copy/),
      });
      expect(statSync(file).ino).toBe(ino);
    } finally {
      open.close();
    }
  });

  test("say in a sentence what is missing", async () => {
    expect((await backup()).output).toMatch(/state: no pipeline has ever run on this state folder\n/);
    expect((await restore(join(folder, "none"))).output).toMatch(/none: there is no such file or folder, ENOENT\n$/);
    await send("1");
    expect((await backup(join(folder, "none", "copy"))).output).toMatch(
      /none\/copy: cannot be written \(there is no such file or folder, ENOENT\)\nName a file for the copy, .*\n$/,
    );
    expect((await backup(folder)).output).toMatch(/: it is a folder\nName a file for the copy/);
  });
});

describe("with a pipeline that runs", () => {
  let office: Office;
  beforeEach(async () => {
    office = await openOffice();
  });
  afterEach(() => office.close());

  test("backup is consistent while deliveries come in, and what was accepted before it is in it", async () => {
    office.person({ id: SUBJECT });
    const { post } = await office.start();
    await office.nextcloud.down();
    let posting = true;
    const deliver = async (id: string) => post(JSON.stringify({ ...delivery(), id }));
    const delivery = () => {
      const user = office.clavex.user(office.slug, SUBJECT);
      return office.clavex.delivery("user.updated", user ?? expect.fail());
    };
    for (let index = 0; index < 20; index += 1) expect(await deliver(`before-${index}`)).toBe(202);
    const storm = (async () => {
      for (let index = 0; posting; index += 1) await deliver(`during-${index}`);
    })();
    const copy = join(office.stateFolder, "..", "copy.sqlite");
    const { code, output } = await command(["backup", copy, "--state", office.stateFolder]);
    posting = false;
    await storm;
    expect(output).toMatch(/bytes\n$/);
    expect(code).toBe(0);
    const found = new DatabaseSync(copy, { readOnly: true });
    const bodies = found
      .prepare("SELECT body FROM queue_message")
      .all()
      .map(({ body }) => String(body));
    found.close();
    for (let index = 0; index < 20; index += 1) expect(bodies.join()).toContain(`"before-${index}"`);
  });

  test("restore is refused", async () => {
    await office.start();
    const { code, output } = await command(["restore", "copy", "--state", office.stateFolder, "--yes"]);
    expect([code, output]).toEqual([1, expect.stringContaining("another pipeline runs on this state folder")]);
  });
});
