import { chmodSync, closeSync, ftruncateSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DATABASE_FILE, type Database, openDatabase } from "../../functions/database.ts";
import { QUEUE_LIMITS } from "../../functions/queue/limits.ts";
import type { Message, Queue, Releasable } from "../../functions/queue/queue.ts";
import { createSqliteDeadLetterQueue, createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { jobOf, labelOf } from "../contract/queue-targets.ts";
import { randomNumbers } from "../support/chance.ts";
import { run } from "../support/processes.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

let folder: string;
let opened: Database[];
let time: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  opened = [];
  time = Date.UTC(2026, 6, 23, 8);
});
afterEach(async () => {
  for (const database of opened) database.close();
  await rm(folder, { recursive: true });
});

function open(): Database {
  const database = openDatabase(folder);
  opened.push(database);
  return database;
}

const queueOn = (database: Database, visibilitySeconds = 30): Queue & Releasable =>
  createSqliteQueue(database, { visibilitySeconds, now: () => time });
const receive = (queue: Queue, most = 10): Promise<Message[]> => queue.receive({ most, waitSeconds: 0 });
const labels = (messages: Message[]): string[] => messages.map(labelOf);

async function work(queue: Queue): Promise<string[]> {
  const worked: string[] = [];
  for (let batch = await receive(queue, 100); batch.length > 0; batch = await receive(queue, 100)) {
    worked.push(...labels(batch));
    await queue.done(batch);
  }
  return worked;
}

async function putOff(queue: Queue, messages: Message[], seconds: number): Promise<void> {
  await queue.setVisibility(messages.map(({ receipt }) => ({ receipt, seconds })));
}

describe("the messages of one organization", () => {
  test("are counted: those that wait, are worked on, or were put off, and how old the oldest is", async () => {
    const queue = queueOn(open());
    const send = async (organization: string, subject: string) =>
      queue.send(jobOf(subject, "", organization), `${organization} ${subject}`);
    await send("acme-2", "other");
    time += MINUTE_MS;
    for (const subject of ["ada", "grace", "edsger", "barbara"]) await send("acme", subject);
    await send("acm", "other");
    time += MINUTE_MS;
    await send("acme", "linus");
    const [first, second] = (await receive(queue)).filter(({ body }) => JSON.parse(body).organization === "acme");
    if (!first || !second) throw new Error("two messages are needed");
    await queue.done([first]);
    await putOff(queue, [second], 60);
    await send("acme", "mary");
    expect(await queue.countsOf("acme")).toEqual({ waiting: 1, inFlight: 3, delayed: 1, oldestAgeMs: MINUTE_MS });
    expect(await queue.countsOf("acme-2")).toMatchObject({ waiting: 0, inFlight: 1, oldestAgeMs: 2 * MINUTE_MS });
    expect(await queue.countsOf("ac")).toEqual({ waiting: 0, inFlight: 0, delayed: 0, oldestAgeMs: undefined });
    time += MINUTE_MS;
    expect(await queue.countsOf("acme")).toMatchObject({ waiting: 5, inFlight: 0, delayed: 0 });
  });
});

describe("order", () => {
  test("gives out messages of no more groups than were asked for, and to each group its share", async () => {
    const queue = queueOn(open());
    for (const subject of ["ada", "grace", "edsger"])
      for (const number of [1, 2, 3]) await queue.send(jobOf(subject, `${subject} ${number}`), `${subject} ${number}`);
    const some = await queue.receive({ most: 4, groups: 2, waitSeconds: 0 });
    expect(labels(some)).toEqual(["ada 1", "ada 2", "edsger 1", "edsger 2"]);
  });

  test("a batch may hold several messages of one group", async () => {
    const queue = queueOn(open());
    for (const label of ["1", "2", "3"]) await queue.send(jobOf("ada", label), label);
    expect(labels(await receive(queue, 2))).toEqual(["1", "2"]);
  });

  // fauxqs hands the first one out.
  test("a group gives out nothing while a later message of it is still put off", async () => {
    const queue = queueOn(open());
    for (const label of ["1", "2"]) await queue.send(jobOf("ada", label), label);
    const [first, second] = await receive(queue);
    await putOff(queue, first ? [first] : [], 10);
    await putOff(queue, second ? [second] : [], 60);
    time += 30_000;
    expect(await receive(queue)).toEqual([]);
    time += 30_000;
    expect(labels(await receive(queue))).toEqual(["1", "2"]);
  });

  test("the group that has waited longest comes first, so that a busy one keeps no other waiting", async () => {
    const queue = queueOn(open());
    for (const label of ["1", "2"]) await queue.send(jobOf("ada", label), label);
    time += 1;
    await queue.send(jobOf("grace", "3"), "3");
    time += 1;
    await queue.done(await receive(queue, 1));
    expect(labels(await receive(queue, 1))).toEqual(["3"]);
  });
});

describe("limits", () => {
  test("a job of one source is taken again after five minutes, and not before, also over a restart", async () => {
    const first = open();
    await queueOn(first).send(jobOf("ada", "1"), "a delivery");
    first.close();
    opened = [];
    const queue = queueOn(open());
    time += 5 * MINUTE_MS - 1;
    await queue.send(jobOf("ada", "2"), "a delivery");
    expect(await work(queue)).toEqual(["1"]);
    time += 1;
    await queue.send(jobOf("ada", "3"), "a delivery");
    expect(await work(queue)).toEqual(["3"]);
  });

  test("a clock that was set back by hours makes no job a double", async () => {
    const queue = queueOn(open());
    await queue.send(jobOf("ada", "1"), "a delivery");
    time -= 60 * MINUTE_MS;
    await queue.send(jobOf("ada", "2"), "a delivery");
    time += 60 * MINUTE_MS;
    expect(await work(queue)).toEqual(["1", "2"]);
  });

  test("old deduplication ids are forgotten", async () => {
    const database = open();
    const queue = queueOn(database);
    const jobs = Array.from({ length: 50 }, (_, index) => jobOf(`subject ${index}`));
    await queue.sendAll(jobs, "a run");
    time += 6 * MINUTE_MS;
    await queue.sendAll(jobs, "another run");
    expect(database.prepare("SELECT count(*) AS count FROM queue_deduplication").get()?.count).toBe(50);
  });

  test("a message becomes a dead letter after as many deliveries as on AWS", async () => {
    const database = open();
    const queue = queueOn(database);
    await queue.send(jobOf("ada", "1"), "1");
    for (let count = 1; count <= QUEUE_LIMITS.maxReceiveCount; count += 1) {
      const messages = await receive(queue);
      expect(messages).toMatchObject([{ receiveCount: count }]);
      await putOff(queue, messages, 1);
      time += 1000;
    }
    expect(await receive(queue)).toEqual([]);
    expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 0, inFlight: 0, oldestAgeMs: undefined });
    const pages = await Array.fromAsync(createSqliteDeadLetterQueue(database).hold());
    expect(pages).toMatchObject([[{ receiveCount: QUEUE_LIMITS.maxReceiveCount, group: "acme#ada" }]]);
  });

  test("a message is not given up by its age: the machine was off for weeks, or its clock is wrong", async () => {
    const database = open();
    const queue = queueOn(database);
    await queue.send(jobOf("ada", "1"), "1");
    await putOff(queue, await receive(queue), 1);
    time += 40 * DAY_MS;
    await queue.send(jobOf("grace", "2"), "2");
    expect(await work(queue)).toEqual(["1", "2"]);
    expect(await Array.fromAsync(createSqliteDeadLetterQueue(database).hold())).toEqual([]);
  });
});

describe("release", () => {
  test("lets what was put off be taken at once, in order, and leaves what is in flight alone", async () => {
    const queue = queueOn(open());
    for (const label of ["1", "2"]) await queue.send(jobOf("ada", label), label);
    await queue.send(jobOf("grace", "3"), "3");
    const messages = await receive(queue);
    await putOff(
      queue,
      messages.filter(({ group }) => group === "acme#ada"),
      900,
    );
    expect(await queue.release()).toBe(2);
    expect(labels(await receive(queue))).toEqual(["1", "2"]);
  });

  test("of one organization leaves the others waiting, also those whose slug begins alike", async () => {
    const queue = queueOn(open());
    for (const slug of ["acme", "acme-2", "other"]) await queue.send(jobOf("ada", slug, slug), slug);
    await putOff(queue, await receive(queue), 900);
    expect(await queue.release("acme")).toBe(1);
    expect(labels(await receive(queue))).toEqual(["acme"]);
    expect(await queue.release("nobody")).toBe(0);
  });

  test("wakes a consumer that waits", async () => {
    const queue = queueOn(open());
    await queue.send(jobOf("ada", "1"), "1");
    await putOff(queue, await receive(queue), 900);
    const waiting = queue.receive({ most: 10, waitSeconds: 20 });
    await queue.release();
    expect(labels(await waiting)).toEqual(["1"]);
  });
});

test("the counts tell what is put off from what is in flight, and how old the oldest message is", async () => {
  const queue = queueOn(open());
  for (const subject of ["ada", "grace", "edsger"]) await queue.send(jobOf(subject), "a run");
  const [message] = await receive(queue, 2);
  await putOff(queue, message ? [message] : [], 60);
  time += 20_000;
  expect(await queue.counts()).toEqual({ waiting: 1, delayed: 1, inFlight: 1, oldestAgeMs: 20_000 });
});

test("a message that was given back is not kept longer by a late extension", async () => {
  const queue = queueOn(open());
  await queue.send(jobOf("ada", "1"), "1");
  const messages = await receive(queue);
  await putOff(queue, messages, 1);
  await queue.extend(messages, 900);
  time += 1000;
  expect(labels(await receive(queue))).toEqual(["1"]);
});

describe("several processes on one file", () => {
  test("each message goes to one of them, and none is lost", async () => {
    const [writer, ...readers] = [queueOn(open()), queueOn(open()), queueOn(open())] as const;
    const jobs = Array.from({ length: 200 }, (_, index) => jobOf(`subject ${index}`, String(index)));
    const [, ...worked] = await Promise.all([writer.sendAll(jobs, "a run"), ...readers.map(work)]);
    worked.push(...(await Promise.all(readers.map(work))));
    expect(worked.flat().toSorted()).toEqual(jobs.map((_, index) => String(index)).toSorted());
  });

  test("a waiting consumer finds what another process sends", async () => {
    const waiting = queueOn(open()).receive({ most: 10, waitSeconds: 20 });
    await queueOn(open()).send(jobOf("ada", "1"), "1");
    expect(labels(await waiting)).toEqual(["1"]);
  });

  test("two programs that send at the same time lose and double nothing", async () => {
    const programs = ["a", "b"].map((name) => run("test/queue/writer.ts", [folder, "0", name]));
    await Promise.all(programs.map((program) => program.printed(/sent 100$/m)));
    for (const program of programs) program.kill("SIGKILL");
    await Promise.all(programs.map(({ ended }) => ended));
    time = Date.now();
    const found = await work(queueOn(open()));
    expect(new Set(found).size).toBe(found.length);
    for (const [index, name] of ["a", "b"].entries()) {
      expect(found).toEqual(expect.arrayContaining(sentBy(programs[index]).map((number) => `${name}${number}`)));
    }
  });
});

const sentBy = (program: { output(): string } | undefined): string[] =>
  [...(program?.output() ?? "").matchAll(/^sent (\d+)$/gm)].map(([, number = ""]) => number);

test("a program that is killed at any moment loses nothing it acknowledged, and sending again doubles nothing", async () => {
  const random = randomNumbers();
  const acknowledged: string[] = [];
  for (let round = 0; round < 30; round += 1) {
    // Begins where the last one stopped, with the jobs that it may have sent without saying so.
    const program = run("test/queue/writer.ts", [folder, String(acknowledged.length - (acknowledged.length % 8))]);
    await program.printed(/^ready$/m);
    await sleep(random() * 60);
    program.kill("SIGKILL");
    await program.ended;
    const sent = new Set([...acknowledged, ...sentBy(program)]);
    acknowledged.splice(0, acknowledged.length, ...sent);
  }
  time = Date.now();
  const found = await work(queueOn(open()));
  expect(acknowledged.length).toBeGreaterThan(0);
  expect(found).toEqual(expect.arrayContaining(acknowledged));
  expect(new Set(found).size).toBe(found.length);
  expect(open().prepare("PRAGMA integrity_check").all()).toMatchObject([{ integrity_check: "ok" }]);
});

describe("a file that cannot be written", () => {
  test("because the disk is full: the queue says so, takes jobs again afterwards, and lost none", async () => {
    const database = open();
    const queue = queueOn(database);
    const pages = Number(database.prepare("PRAGMA page_count").get()?.page_count);
    database.prepare(`PRAGMA max_page_count = ${pages + 2}`).get();
    const accepted: string[] = [];
    const fill = async (label: string): Promise<void> => {
      await queue.send(jobOf("ada", `${label} ${"x".repeat(2000)}`), label);
      accepted.push(label);
    };
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => fill(String(index))));
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const reason of refused) {
      expect(reason).toMatchObject({ code: "queue-unavailable", message: expect.stringContaining("full") });
    }
    database.prepare("PRAGMA max_page_count = 100000").get();
    await fill("after");
    expect((await work(queue)).map((label) => label.split(" ")[0])).toEqual(accepted);
  });

  test("because it is read-only: the queue says so, and takes jobs again afterwards", async () => {
    const database = open();
    const queue = queueOn(database);
    database.prepare("PRAGMA query_only = 1").run();
    await expect(queue.send(jobOf("ada", "1"), "1")).rejects.toMatchObject({ code: "queue-unavailable" });
    database.prepare("PRAGMA query_only = 0").run();
    await queue.send(jobOf("ada", "1"), "1");
    expect(await work(queue)).toEqual(["1"]);
  });

  test("because another process does not let go of it: the queue says so, and takes jobs again afterwards", async () => {
    const queue = queueOn(open());
    const other = new DatabaseSync(join(folder, DATABASE_FILE));
    other.exec("BEGIN IMMEDIATE");
    await expect(queue.send(jobOf("ada", "1"), "1")).rejects.toMatchObject({ code: "queue-unavailable" });
    other.exec("ROLLBACK");
    other.close();
    await queue.send(jobOf("ada", "1"), "1");
    expect(await work(queue)).toEqual(["1"]);
  });
});

describe("the state file", () => {
  const file = (): string => join(folder, DATABASE_FILE);

  test("and its folder can be read by their owner only", () => {
    open();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of [file(), `${file()}-wal`]) expect(statSync(name).mode & 0o777).toBe(0o600);
  });

  test("leaves a folder as it is that has folders of others in it, also at the second start", () => {
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "somebody-elses"));
    for (const _start of [1, 2]) openDatabase(folder).close();
    expect(statSync(folder).mode & 0o777).toBe(0o755);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test("that is no database is one sentence with what to do", () => {
    writeFileSync(file(), "This was a database once, before something wrote over it. ".repeat(100));
    expect(open).toThrow(
      expect.objectContaining({
        code: "state-damaged",
        message: expect.stringMatching(/^.*: the file is damaged \([^\n]*\)$/),
        fix: expect.stringContaining("move the folder away"),
      }),
    );
  });

  test("that is damaged in the middle stops neither the process nor says it took a job", async () => {
    const first = open();
    const jobs = Array.from({ length: 500 }, (_, index) => jobOf(`subject ${index}`));
    await queueOn(first).sendAll(jobs, "a run");
    first.close();
    opened = [];
    const handle = openSync(file(), "r+");
    writeSync(handle, Buffer.alloc(statSync(file()).size - 4096, 0xa5), 0, undefined, 4096);
    closeSync(handle);
    const queue = queueOn(open());
    await expect(queue.send(jobOf("ada"), "1")).rejects.toMatchObject({
      code: "queue-unavailable",
      message: expect.stringContaining("damaged"),
      fix: expect.stringContaining("move the folder away"),
    });
    await expect(receive(queue)).rejects.toMatchObject({ code: "queue-unavailable" });
  });

  test("that was cut off is one sentence, now or at the first use", async () => {
    const first = open();
    await queueOn(first).send(jobOf("ada"), "1");
    first.close();
    opened = [];
    const handle = openSync(file(), "r+");
    ftruncateSync(handle, 2 * 4096);
    closeSync(handle);
    const use = async () => queueOn(open()).send(jobOf("ada"), "2");
    await expect(use()).rejects.toMatchObject({ message: expect.stringContaining("damaged") });
  });

  test("of a newer version is left alone", () => {
    const newer = new DatabaseSync(file());
    newer.exec("PRAGMA user_version = 1000");
    newer.close();
    expect(open).toThrow(expect.objectContaining({ code: "state-too-new" }));
  });

  test("in a place where there can be none is one sentence with what to do", () => {
    writeFileSync(join(folder, "a-file"), "");
    expect(() => openDatabase(join(folder, "a-file"))).toThrow(expect.objectContaining({ code: "state-unusable" }));
  });

  test("keeps the other writes of the moment when one fails", async () => {
    const database = open();
    const put = (partition: string) => () => {
      database.prepare("INSERT INTO ledger VALUES (?, '', '')").run(partition);
    };
    const failing = database.write(() => {
      put("b")();
      throw new Error("not this one");
    });
    const results = await Promise.allSettled([database.write(put("a")), failing, database.write(put("c"))]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(database.prepare("SELECT partition FROM ledger").all()).toMatchObject([
      { partition: "a" },
      { partition: "c" },
    ]);
  });

  test("keeps what was written when it is closed at once", async () => {
    const first = open();
    const sending = queueOn(first).send(jobOf("ada", "1"), "1");
    first.close();
    opened = [];
    await sending;
    expect(await work(queueOn(open()))).toEqual(["1"]);
  });
});

describe("a clock that was ahead", () => {
  test("and was set back leaves no job waiting: not one that was sent, received or given back then", async () => {
    const queue = queueOn(open());
    time += 30 * DAY_MS;
    for (const subject of ["sent", "received", "given back"]) await queue.send(jobOf(subject, subject), subject);
    const [, ...messages] = await receive(queue);
    await putOff(queue, messages.slice(1), 600);
    time -= 30 * DAY_MS;
    expect((await work(queue)).sort()).toEqual(["given back", "received", "sent"]);
  });

  test("keeps the order of one person's jobs", async () => {
    const queue = queueOn(open());
    time += DAY_MS;
    for (const label of ["1", "2", "3"]) await queue.send(jobOf("ada", label), label);
    await receive(queue, 1);
    time -= DAY_MS;
    expect(await work(queue)).toEqual(["1", "2", "3"]);
  });
});
