import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DATABASE_FILE } from "../../functions/database.ts";
import { openShowroom, type Showroom } from "../support/showroom.ts";

const RUBBISH = "this is rubbish, and no database at all: it is only long enough to be read as one".repeat(3);

let showroom: Showroom;
let place: string;
beforeAll(async () => {
  showroom = await openShowroom();
  place = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
});
afterAll(async () => {
  await rm(place, { recursive: true });
  await showroom.close();
});

/** A folder with these files; one whose content is undefined is a folder itself. */
async function folderWith(name: string, files: Record<string, string | undefined> = {}): Promise<string> {
  const folder = join(place, name);
  await mkdir(folder);
  for (const [file, text] of Object.entries(files))
    await (text === undefined ? mkdir(join(folder, file)) : writeFile(join(folder, file), text));
  return folder;
}

async function databaseFolder(name: string, sql: string): Promise<{ folder: string; close: () => void }> {
  const folder = await folderWith(name);
  const database = new DatabaseSync(join(folder, DATABASE_FILE));
  database.exec(sql);
  return { folder, close: () => database.close() };
}

const PORTS = ["--port", "0", "--admin-port", "0", "--yes"];
const COMMANDS: Record<string, string[]> = {
  start: ["start", ...PORTS],
  status: ["status"],
  plan: ["plan"],
  pause: ["pause", "--yes"],
  backup: ["backup", join(tmpdir(), `copy-of-nothing-${process.pid}`)],
};

/** Every command ends at once with 1, and a sentence that names the folder and says what to do. */
async function refused(folder: string, fix: RegExp, commands = Object.keys(COMMANDS)): Promise<void> {
  for (const name of commands) {
    const { code, stdout, stderr } = await showroom.run([...(COMMANDS[name] ?? []), "--state", folder], undefined);
    expect([code, stdout], `${name}: ${stderr}`).toEqual([1, ""]);
    expect(stderr.split("\n")[0], name).toContain(folder);
    expect(stderr, name).toMatch(fix);
    expect(stderr, name).not.toMatch(/^\s+at /m);
  }
}

describe("a state folder that cannot be used ends every command at once with what to do:", () => {
  const NAME_ANOTHER = /ame another (?:one|folder) with --state|ame the right folder with --state/;

  it.runIf(existsSync("/proc/self"))("one that cannot be created", async () => {
    await refused("/proc/x/state", NAME_ANOTHER, ["start"]);
    expect((await showroom.run(["start", "--demo", ...PORTS, "--state", "/proc/x"], undefined)).stderr).toMatch(
      /^\/proc\/x: queue and ledger cannot be kept there \(.*ENOENT\)\nName another folder with --state\.\n$/,
    );
  });

  it("one below a file", async () => {
    const file = join(await folderWith("below", { file: "" }), "file");
    await refused(join(file, "state"), NAME_ANOTHER);
  });

  it("a file, which keeps its rights", async () => {
    const file = join(await folderWith("is-file", { file: "" }), "file");
    await chmod(file, 0o644);
    await refused(file, NAME_ANOTHER);
    expect((await showroom.run(["start", "--demo", ...PORTS, "--state", file], undefined)).stderr).toContain(file);
  });

  it("one whose lock is no lock", async () => {
    const which = Object.keys(COMMANDS).filter((name) => name !== "backup");
    await refused(await folderWith("lock", { lock: RUBBISH }), /If it is no file of the pipeline, delete it/, which);
    await refused(await folderWith("lock-folder", { lock: undefined }), /delete it|--state/, which);
  });

  it("one whose state file is no database, or a folder", async () => {
    await refused(await folderWith("rubbish", { [DATABASE_FILE]: RUBBISH }), /restore FILE.*or move the folder away/);
    await refused(
      await folderWith("folder", { [DATABASE_FILE]: undefined }),
      /state\.sqlite: it is a folder, not a state file; it is left as it is\nMove it away, or name another folder with --state\./,
    );
  });

  it("one whose state file a newer version has written", async () => {
    const { folder, close } = await databaseFolder("newer", "PRAGMA user_version = 99");
    close();
    await refused(
      folder,
      /^.*state\.sqlite: it was written by a newer version\nStart that version again, or name another/,
    );
  });

  it("one whose state file another program has locked", async () => {
    const { folder, close } = await databaseFolder("locked", "BEGIN EXCLUSIVE");
    try {
      await refused(folder, /the state file cannot be used now \(database is locked\)\nTry again\./, [
        "start",
        "pause",
      ]);
    } finally {
      close();
    }
  });

  it.runIf(process.getuid?.() !== 0)("one of another user, or one that can only be read", async () => {
    const closed = await folderWith("closed");
    const readOnly = await folderWith("read-only");
    await chmod(closed, 0o000);
    await chmod(readOnly, 0o500);
    for (const folder of [closed, join(closed, "state"), readOnly, join(readOnly, "state")])
      for (const start of [["start"], ["start", "--demo"]]) {
        const { code, stderr } = await showroom.run([...start, ...PORTS, "--state", folder], undefined);
        expect([code, stderr]).toEqual([1, expect.stringMatching(/this user may not, EACCES\)\nLet this user write/)]);
        expect(stderr).toContain(folder);
      }
    await refused(closed, /Run this as the user that runs the pipeline, or name another/, ["status", "backup"]);
    await chmod(closed, 0o700);
  });
});

describe("a file of another program under the name of the state file", () => {
  /** What is in a folder, byte for byte and with its rights. */
  const everything = (folder: string): unknown[] => [
    statSync(folder).mode,
    ...readdirSync(folder).map((name) => {
      const { mode, mtimeMs, size } = statSync(join(folder, name));
      return [name, mode, mtimeMs, size, readFileSync(join(folder, name)).toString("base64")];
    }),
  ];
  const OTHERS = {
    "a bookkeeper's": "CREATE TABLE ledger (id); INSERT INTO ledger VALUES (1)",
    "one in WAL mode": "PRAGMA journal_mode = WAL; CREATE TABLE notes (id); PRAGMA user_version = 2",
    "one of a high version": "CREATE TABLE notes (id); PRAGMA user_version = 99",
    "one of a program that has only begun": "PRAGMA user_version = 1",
  };

  it.each(Object.entries(OTHERS))("is refused by every command and stays byte for byte: %s", async (name, sql) => {
    const { folder, close } = await databaseFolder(name.replaceAll(/\W/g, "-"), sql);
    close();
    await chmod(folder, 0o755);
    await chmod(join(folder, DATABASE_FILE), 0o644);
    const before = everything(folder);
    const refusal =
      /^\S+state\.sqlite: another program keeps its data in it; it is left as it is\nMove it away, or name another folder with --state\.\n$/;
    await refused(folder, refusal);
    const copy = join(showroom.folder, "copy.sqlite");
    await showroom.run(["backup", copy], undefined);
    for (const args of [["--dry-run"], ["--yes"]])
      expect(await showroom.run(["restore", copy, ...args, "--state", folder], undefined)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(refusal),
      });
    expect(everything(folder)).toEqual(before);
  });

  it("is refused while that program has it open, with its data still beside the file", async () => {
    const { folder, close } = await databaseFolder("open", "PRAGMA journal_mode = WAL; CREATE TABLE notes (id)");
    try {
      const before = readFileSync(join(folder, DATABASE_FILE));
      await refused(folder, /another program keeps its data in it/);
      expect(readFileSync(join(folder, DATABASE_FILE)).equals(before)).toBe(true);
      expect(readdirSync(folder).sort()).toEqual(["", "-shm", "-wal"].map((suffix) => DATABASE_FILE + suffix));
    } finally {
      close();
    }
  });

  it("is refused behind a link, too", async () => {
    const { folder, close } = await databaseFolder("linked", "CREATE TABLE notes (id)");
    close();
    const other = await folderWith("with-link");
    await symlink(join(folder, DATABASE_FILE), join(other, DATABASE_FILE));
    await refused(other, /another program keeps its data in it/);
    expect([readdirSync(other), readdirSync(folder)]).toEqual([[DATABASE_FILE], [DATABASE_FILE]]);
  });

  it("is none if it is empty: that is a pipeline's that was stopped before it wrote anything", async () => {
    const folder = await folderWith("empty", { [DATABASE_FILE]: "" });
    expect((await showroom.run(["status", "--state", folder], undefined)).stderr).not.toContain("another program");
    expect((await showroom.run(["backup", join(place, "empty.sqlite"), "--state", folder], undefined)).code).toBe(0);
  });
});

describe("a state folder on which nothing has ever run", () => {
  it.each(["status", "activity"])("is named by %s, and not created", async (name) => {
    const folder = join(place, "mistyped");
    expect((await showroom.run([name, "--state", folder], 200)).stdout).toMatch(
      /o pipeline runs on the state folder .*mistyped\./,
    );
    expect(existsSync(folder)).toBe(false);
  });
});
