import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import type { Job } from "../../functions/core/job.ts";
import { openDatabase } from "../../functions/database.ts";
import { outgoing } from "../../functions/queue/message.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createSqsQueue } from "../../functions/queue/sqs.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { startEmbedded } from "../../test/support/embedded.ts";
import { delivery, ORGANIZATION, type Receive, receiveAll } from "../deliveries.ts";
import { benchSecrets } from "../organization.ts";
import { type BenchOptions, median, type Result } from "../report.ts";

const JOBS = 30_000;
const SUBJECTS = 10_000;
/** The embedded SQS takes many times as long. */
const JOBS_FOR_SQS = 1_000;
/** Deliveries that are accepted one by one: each has a commit of its own. */
const DELIVERIES = 800;
const ROUNDS = 8;
const IN_FLIGHT = 8;
/** As many jobs to a transaction as the queue's `sendAll`, and as many messages to a batch as the poller's. */
const SENDS_AT_ONCE = 500;
const BATCH = 10;
/** Batches under way at the same time, as in the poller. */
const BATCHES = 4;

/**
 * The queue of one machine: jobs that are sent, received in batches of ten and deleted, all of it on disk, against a loop that
 * only inserts the same texts into a bare table, and against the embedded SQS. Then deliveries through the receiver, each on disk
 * before it is answered, against a loop with one such insert to a commit, and against the receiver with the embedded SQS.
 */
export async function queue({ onProgress }: BenchOptions): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-bench-"));
  try {
    const jobs = Array.from({ length: JOBS }, (_, index) => jobOf(index));
    onProgress("bare insert loop");
    const loop = insertLoop(join(folder, "loop.sqlite"), jobs);
    onProgress("SQLite queue");
    const database = openDatabase(folder);
    const sqlite = await measure(createSqliteQueue(database, { visibilitySeconds: 600 }), jobs);
    database.close();
    onProgress("embedded SQS");
    const embedded = await startEmbedded({ stateFolder: join(folder, "embedded"), visibilitySeconds: 600 });
    const queueUrl = embedded.endpoints.queueUrl;
    const sqs = await measure(createSqsQueue(embedded.clients.sqs, queueUrl), jobs.slice(0, JOBS_FOR_SQS));
    onProgress("deliveries");
    const accepted = await acceptedByTurns(folder, createSqsQueue(embedded.clients.sqs, queueUrl));
    await embedded.stop();
    const words = ({ sent, worked }: Speed): string =>
      `${perSecond(sent)} sent, ${perSecond(worked)} received and done`;
    const numbers = { loop, sent: sqlite.sent, worked: sqlite.worked, sqsSent: sqs.sent, sqsWorked: sqs.worked };
    const measured = `${JOBS} jobs of ${SUBJECTS} people through SQLite`;
    return [
      {
        row: "queue",
        measured,
        figures: words(sqlite),
        baseline: `inserts into a bare table: ${perSecond(loop)}`,
        ratio: sqlite.sent / loop,
        numbers,
      },
      {
        row: "queue",
        measured,
        figures: words(sqlite),
        baseline: `the embedded SQS, ${JOBS_FOR_SQS} jobs: ${words(sqs)}`,
        ratio: sqlite.worked / sqs.worked,
        numbers,
      },
      ...acceptedLines(accepted),
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Jobs per second. */
interface Speed {
  sent: number;
  worked: number;
}

const perSecond = (value: number): string => `${Math.round(value)} jobs/s`;

function jobOf(index: number): Job {
  const occurredAt = "2026-07-23T08:15:30.123456789Z";
  const deliveryId = String(index);
  const trigger = { kind: "webhook", event: "user.updated", deliveryId, occurredAt, about: "user" } as const;
  return { version: 2, kind: "person", organization: "bench", subject: `subject-${index % SUBJECTS}`, trigger };
}

async function measure(measured: Queue, jobs: Job[]): Promise<Speed> {
  const started = performance.now();
  // One source for each round over the people: the same one would make doubles of the later rounds.
  for (let index = 0; index < jobs.length; index += SUBJECTS) {
    await measured.sendAll(jobs.slice(index, index + SUBJECTS), `round ${index}`);
  }
  const sent = performance.now();
  let done = 0;
  const work = async (): Promise<void> => {
    while (done < jobs.length) {
      const messages = await measured.receive({ most: BATCH, waitSeconds: 0 });
      await measured.done(messages);
      done += messages.length;
    }
  };
  await Promise.all(Array.from({ length: BATCHES }, work));
  const speed = (from: number, to: number): number => jobs.length / ((to - from) / 1000);
  return { sent: speed(started, sent), worked: speed(sent, performance.now()) };
}

/** Deliveries accepted per second, and inserts with a commit each. */
interface Accepted {
  sqlite: number;
  loop: number;
  embedded: number;
}

/** By turns, so that other load on the machine affects all of them alike. */
async function acceptedByTurns(folder: string, sqs: Queue): Promise<Accepted> {
  const database = openDatabase(join(folder, "accepted"));
  const bare = bareTable(join(folder, "bare.sqlite"));
  const receivers = {
    sqlite: receiverOf(createSqliteQueue(database, { visibilitySeconds: 600 })),
    embedded: receiverOf(sqs),
  };
  const rounds: Accepted[] = [];
  const perRound = DELIVERIES / ROUNDS;
  const received = async (receive: Receive): Promise<number> =>
    (await receiveAll(receive, Array.from({ length: perRound }, delivery), IN_FLIGHT)).perSecond;
  // The first round only warms up.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const sqlite = await received(receivers.sqlite);
    const started = performance.now();
    for (let index = 0; index < perRound; index += 1) bare.insert(outgoing(jobOf(index), "bench").body);
    const loop = (perRound / (performance.now() - started)) * 1000;
    const embedded = await received(receivers.embedded);
    if (round > 0) rounds.push({ sqlite, loop, embedded });
  }
  database.close();
  bare.close();
  const of = (name: keyof Accepted): number => median(rounds.map((round) => round[name]));
  return { sqlite: of("sqlite"), loop: of("loop"), embedded: of("embedded") };
}

function receiverOf(queue: Queue): Receive {
  const ignore = () => undefined;
  const app = createReceiver({
    organizations: fixedOrganizations([ORGANIZATION]),
    secrets: benchSecrets(),
    queue,
    isPaused: async () => false,
    log: { debug: ignore, info: ignore, warn: console.error, error: console.error },
    counters: { count: ignore, measure: ignore, flush: ignore },
  });
  return async (request) => app.fetch(request);
}

function acceptedLines(numbers: Accepted): Result[] {
  const { sqlite, loop, embedded } = numbers;
  const words = (value: number): string => `${Math.round(value)}/s`;
  const line = {
    row: "queue",
    measured: "deliveries accepted, each on disk before its answer",
    figures: words(sqlite),
    numbers: { ...numbers },
  };
  return [
    { ...line, baseline: `inserts into a bare table, one to a commit: ${words(loop)}`, ratio: sqlite / loop },
    { ...line, baseline: `the same receiver with the embedded SQS: ${words(embedded)}`, ratio: sqlite / embedded },
  ];
}

/** Inserts per second into a table of texts, with as many to a transaction and as safe on disk. */
function insertLoop(file: string, jobs: Job[]): number {
  const table = bareTable(file);
  const started = performance.now();
  for (let index = 0; index < jobs.length; index += SENDS_AT_ONCE) {
    table.exec("BEGIN");
    for (const job of jobs.slice(index, index + SENDS_AT_ONCE)) table.insert(outgoing(job, "bench").body);
    table.exec("COMMIT");
  }
  const seconds = (performance.now() - started) / 1000;
  table.close();
  return jobs.length / seconds;
}

/** A table of texts, as safe on disk as the pipeline's. */
function bareTable(file: string) {
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE job (body TEXT)");
  const statement = database.prepare("INSERT INTO job VALUES (?)");
  return {
    insert: (body: string) => void statement.run(body),
    exec: (sql: string) => database.exec(sql),
    close: () => database.close(),
  };
}
