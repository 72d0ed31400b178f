import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DATABASE_FILE } from "../../functions/database.ts";
import { openState } from "../../functions/local/state.ts";
import { personJob } from "../support/jobs.ts";
import { type Office, openOffice } from "../support/office.ts";
import { ANY_PORTS, run } from "../support/processes.ts";

/** The ports on which a process listens, of this machine's IPv4 and IPv6 sockets. */
function listeningPorts(pid: number): number[] {
  const descriptors = `/proc/${pid}/fd`;
  const own = new Set(
    readdirSync(descriptors).flatMap((each) => {
      try {
        return [/^socket:\[(\d+)\]$/.exec(readlinkSync(join(descriptors, each)))?.[1]];
      } catch {
        // Closed meanwhile.
        return [];
      }
    }),
  );
  const LISTEN = "0A";
  return ["tcp", "tcp6"].flatMap((protocol) =>
    readFileSync(`/proc/net/${protocol}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === LISTEN && own.has(inode))
      .map(([, address = ""]) => Number.parseInt(address.split(":")[1] ?? "", 16)),
  );
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("the state of npm start", () => {
  let office: Office;

  beforeEach(async () => {
    office = await openOffice();
  });
  afterEach(() => office.close());

  test("can be read by its owner only, while it is used and afterwards", async () => {
    mkdirSync(office.stateFolder, { mode: 0o755 });
    for (const name of ["pipeline.json", "console.json"])
      writeFileSync(join(office.stateFolder, name), "{}", { mode: 0o644 });
    await office.start();
    const modes = () => readdirSync(office.stateFolder).map((name) => [name, modeOf(join(office.stateFolder, name))]);
    expect(modeOf(office.stateFolder)).toBe("700");
    expect(Object.fromEntries(modes())).toEqual({
      "console.json": "600",
      lock: "600",
      "pipeline.json": "600",
      [DATABASE_FILE]: "600",
      [`${DATABASE_FILE}-shm`]: "600",
      [`${DATABASE_FILE}-wal`]: "600",
    });
    await office.stop();
    expect(Object.fromEntries(modes())).toEqual({ lock: "600", [DATABASE_FILE]: "600" });
  });

  test.runIf(process.platform === "linux")("opens no port but the webhook's and the admin port", async () => {
    const { pid, url, adminUrl } = await office.start();
    const ports = [url, adminUrl].map((each) => Number(new URL(each).port));
    expect(listeningPorts(pid).sort()).toEqual(ports.sort());
  });

  test("that is no database stops the start: one sentence with what to do, and exit code 1", async () => {
    mkdirSync(office.stateFolder);
    writeFileSync(join(office.stateFolder, DATABASE_FILE), "no database ".repeat(1000));
    await expect(office.start()).rejects.toThrow(
      /^ended with 1 before .*:\n\S+: the file is damaged \(file is not a database\)\nStop the pipeline, and put back a copy/,
    );
  });

  test("that is damaged in the middle stops the start too", async () => {
    const state = openState(office.stateFolder);
    const jobs = Array.from({ length: 500 }, (_, number) => personJob("acme", `subject ${number}`));
    await state.queue.sendAll(jobs, "damage");
    state.close();
    const file = join(office.stateFolder, DATABASE_FILE);
    truncateSync(file, statSync(file).size / 2);
    await expect(office.start()).rejects.toThrow(
      /^ended with 1 before .*:\n\S+: the file is damaged \(.*\)\nStop the pipeline, and put back a copy/,
    );
  });

  test("of version 0.1 is not read, and the start says so", async () => {
    for (const name of ["queue", "ledger"]) mkdirSync(join(office.stateFolder, name), { recursive: true });
    const { output } = await office.start();
    expect(output()).toMatch(/^\S+queue and \S+ledger: state of version 0\.1, which is not read: /m);
    expect(output()).not.toContain("may be lost");
  });

  test("of version 0.1 is not read, and of an organization without an API key the start says what to do first", async () => {
    mkdirSync(join(office.stateFolder, "queue"), { recursive: true });
    await office.configure({ clavex: { baseUrl: office.clavex.url, webhookSecrets: ["env:WEBHOOK_SECRET"] } });
    const { output } = await office.start();
    expect(output()).toMatch(/warn .*may be lost organization=acme problem=.* fix="If jobs were waiting, stop this, /m);
  });

  test("belongs to one pipeline, while commands use it beside that one", async () => {
    await office.start();
    await expect(office.start()).rejects.toThrow(
      /another pipeline runs on this state folder\nStop it, or name another folder/,
    );
    expect(await office.command("dead-letters", "list")).toMatchObject({
      code: 0,
      output: "There are no dead letters.\n",
    });
  });

  test("is not that of a demo, which has one of its own elsewhere", async () => {
    const state = openState(office.stateFolder);
    await state.queue.send(personJob("acme", "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21"), "kept");
    const none = join(office.stateFolder, "no-organizations");
    const demo = run("functions/cli/main.ts", [
      "start",
      ...[...ANY_PORTS, "--log-format", "text"],
      ...["--organizations", none, "--state", office.stateFolder, "--demo"],
    ]);
    await demo.printed(/^listening on/m);
    expect(await office.command("dead-letters", "list")).toMatchObject({ code: 0 });
    demo.kill("SIGTERM");
    expect(await demo.ended).toBe(0);
    expect(await state.queue.counts()).toMatchObject({ waiting: 1, delayed: 0, inFlight: 0 });
    expect(readdirSync(office.stateFolder).filter((name) => !name.startsWith(DATABASE_FILE))).toEqual([]);
    state.close();
  });
});
