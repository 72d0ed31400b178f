import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { messageGroupId } from "../../functions/core/job.ts";
import { parseJob } from "../../functions/queue/parse-job.ts";
import type { DeadLetterQueue, Message, Queue, Sender } from "../../functions/queue/queue.ts";
import {
  jobOf,
  labelOf,
  MAX_RECEIVE_COUNT,
  type QueueTarget,
  type QueueTargets,
  sqliteTargets,
  sqsTargets,
  subjectOf,
  VISIBILITY_SECONDS,
} from "./queue-targets.ts";

const AFTER_TIMEOUT = VISIBILITY_SECONDS + 0.5;

const receive = (queue: Queue, most = 10): Promise<Message[]> => queue.receive({ most, waitSeconds: 0 });
const labels = (messages: Message[]): string[] => messages.map(labelOf);

/** Works on all there is; returns the labels in the order they came. How many of a group come in one batch is the queue's choice. */
async function work(queue: Queue): Promise<string[]> {
  const worked: string[] = [];
  for (let batch = await receive(queue); batch.length > 0; batch = await receive(queue)) {
    worked.push(...labels(batch));
    await queue.done(batch);
  }
  return worked;
}

async function sendInOrder(queue: Sender, subject: string, ...all: string[]): Promise<void> {
  for (const label of all) await queue.send(jobOf(subject, label), `${subject} ${label}`);
}

/** Receives a message until the queue gives it up. */
async function giveUp({ queue, pass }: QueueTarget): Promise<void> {
  for (let count = 1; count <= MAX_RECEIVE_COUNT; count += 1) {
    expect(await receive(queue, 1)).toMatchObject([{ receiveCount: count }]);
    await pass(AFTER_TIMEOUT);
  }
}

async function walk(deadLetters: DeadLetterQueue): Promise<Message[]> {
  const all: Message[] = [];
  for await (const page of deadLetters.hold()) all.push(...page);
  return all;
}

describe.concurrent.each([
  ["SQLite", sqliteTargets],
  ["SQS", sqsTargets],
] as const)("the queue on %s", (_name, start) => {
  let targets: QueueTargets;
  beforeAll(async () => {
    targets = await start();
  });
  afterAll(() => targets.close());

  test("gives out a job as it was sent, with its group, its time and its first delivery", async () => {
    const { queue } = await targets.open();
    const before = Date.now();
    const job = jobOf(randomUUID(), "1");
    await queue.send(job, "a delivery");
    const [message, ...others] = await receive(queue);
    expect(others).toEqual([]);
    expect(parseJob(message?.body ?? "")).toEqual(job);
    expect(message).toMatchObject({ group: messageGroupId(job), receiveCount: 1 });
    expect(Math.abs((message?.sentAt ?? 0) - before)).toBeLessThan(60_000);
  });

  test("keeps every character of a job", async () => {
    const { queue } = await targets.open();
    const text = 'Zoë 🙂 \u0000 \ufffe \uffff \u2028 " \\ 漢字';
    await queue.send(jobOf("ada", text), "a delivery");
    expect(labels(await receive(queue))).toEqual([text]);
  });

  test("gives out the messages of one group in the order they were sent", async () => {
    const { queue } = await targets.open();
    await sendInOrder(queue, "ada", "1", "2", "3");
    expect(await work(queue)).toEqual(["1", "2", "3"]);
  });

  test("gives out no more than was asked for", async () => {
    const { queue } = await targets.open();
    for (const subject of ["ada", "grace", "edsger"]) await queue.send(jobOf(subject), "a run");
    expect(await receive(queue, 2)).toHaveLength(2);
    expect(await receive(queue, 2)).toHaveLength(1);
  });

  test("gives out nothing more of a group while a message of it is in flight, but of other groups", async () => {
    const { queue } = await targets.open();
    await sendInOrder(queue, "ada", "1", "2");
    expect(labels(await receive(queue, 1))).toEqual(["1"]);
    await sendInOrder(queue, "grace", "3");
    expect(labels(await receive(queue))).toEqual(["3"]);
    expect(await receive(queue)).toEqual([]);
  });

  test("goes on with a group when its message is done, and does not give that one out again", async () => {
    const { queue, pass } = await targets.open();
    await sendInOrder(queue, "ada", "1", "2");
    await queue.done(await receive(queue, 1));
    const rest = await receive(queue);
    expect(labels(rest)).toEqual(["2"]);
    await queue.done(rest);
    await pass(AFTER_TIMEOUT);
    expect(await receive(queue)).toEqual([]);
  });

  test("gives out a message again when its consumer says nothing, before later ones of its group", async () => {
    const { queue, pass } = await targets.open();
    await sendInOrder(queue, "ada", "1", "2");
    const [first] = await receive(queue, 1);
    await pass(AFTER_TIMEOUT);
    const [again] = await receive(queue, 1);
    expect(again).toMatchObject({ id: first?.id, body: first?.body, sentAt: first?.sentAt, receiveCount: 2 });
    await queue.done(again ? [again] : []);
    expect(await work(queue)).toEqual(["2"]);
  });

  test("gives out a message that was given back when its time has come, and not before", async () => {
    const { queue, pass } = await targets.open();
    await sendInOrder(queue, "ada", "1", "2");
    const batch = await receive(queue);
    await queue.setVisibility(batch.map(({ receipt }) => ({ receipt, seconds: VISIBILITY_SECONDS + 2 })));
    await pass(AFTER_TIMEOUT);
    expect(await receive(queue)).toEqual([]);
    await pass(2);
    expect(await work(queue)).toEqual(["1", "2"]);
  });

  test("keeps a message for a consumer that extends its time", async () => {
    const { queue, pass } = await targets.open();
    await sendInOrder(queue, "ada", "1");
    await queue.extend(await receive(queue), VISIBILITY_SECONDS + 2);
    await pass(AFTER_TIMEOUT);
    expect(await receive(queue)).toEqual([]);
    await pass(2);
    expect(labels(await receive(queue))).toEqual(["1"]);
  });

  test("does not delete a message with the receipt of an earlier delivery", async () => {
    const { queue, pass } = await targets.open();
    await sendInOrder(queue, "ada", "1");
    const stale = await receive(queue);
    await pass(AFTER_TIMEOUT);
    expect(await receive(queue)).toHaveLength(1);
    await queue.done(stale);
    await pass(AFTER_TIMEOUT);
    expect(labels(await receive(queue))).toEqual(["1"]);
  });

  test("takes a job of one source once, even when the first is done already", async () => {
    const { queue } = await targets.open();
    await queue.send(jobOf("ada", "1"), "a delivery");
    await queue.send(jobOf("ada", "1"), "a delivery");
    const messages = await receive(queue);
    expect(labels(messages)).toEqual(["1"]);
    await queue.done(messages);
    await queue.send(jobOf("ada", "1"), "a delivery");
    expect(await receive(queue)).toEqual([]);
  });

  test("takes jobs of one source for different subjects, and of different sources for one subject", async () => {
    const { queue } = await targets.open();
    await queue.send(jobOf("ada", "1"), "a run");
    await queue.send(jobOf("grace", "2"), "a run");
    await queue.send(jobOf("ada", "3"), "another run");
    expect((await work(queue)).toSorted()).toEqual(["1", "2", "3"]);
  });

  test("takes any number of jobs at once, and doubles none when they are sent again", async () => {
    const { queue } = await targets.open();
    const subjects = Array.from({ length: 27 }, (_, index) => `subject ${index}`);
    const jobs = subjects.map((subject) => jobOf(subject));
    await queue.sendAll(jobs, "a run");
    await queue.sendAll(jobs, "a run");
    const found: Message[] = [];
    for (let batch = await receive(queue); batch.length > 0; batch = await receive(queue)) found.push(...batch);
    expect(found.map(subjectOf).toSorted()).toEqual(subjects.toSorted());
    await queue.sendAll([], "a run");
    expect(await receive(queue)).toEqual([]);
  });

  test("hands a waiting consumer what is sent meanwhile", async () => {
    const { queue } = await targets.open();
    const waiting = queue.receive({ most: 10, waitSeconds: 20 });
    await sendInOrder(queue, "ada", "1");
    expect(labels(await waiting)).toEqual(["1"]);
  });

  test("lets a consumer stop waiting", async () => {
    const { queue } = await targets.open();
    const stopping = new AbortController();
    const waiting = queue.receive({ most: 10, waitSeconds: 20, signal: stopping.signal });
    stopping.abort();
    expect(await waiting).toEqual([]);
    expect(await queue.receive({ most: 10, waitSeconds: 20, signal: stopping.signal })).toEqual([]);
  });

  test("counts what waits and what is out", async () => {
    const { queue } = await targets.open();
    expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 0, inFlight: 0 });
    for (const subject of ["ada", "grace", "edsger"]) await queue.send(jobOf(subject), "a run");
    expect(await queue.counts()).toMatchObject({ waiting: 3, delayed: 0, inFlight: 0 });
    const [message] = await receive(queue, 1);
    expect(await queue.counts()).toMatchObject({ waiting: 2, delayed: 0, inFlight: 1 });
    await queue.setVisibility([{ receipt: message?.receipt ?? "", seconds: 60 }]);
    const { waiting, delayed, inFlight } = await queue.counts();
    expect([waiting, delayed + inFlight]).toEqual([2, 1]);
  });

  test("makes a message a dead letter that was received too often, and goes on with its group", async () => {
    const target = await targets.open();
    const { queue, deadLetters } = target;
    await sendInOrder(queue, "ada", "1", "2");
    await giveUp(target);
    expect(await queue.receive({ most: 10, waitSeconds: 1 })).toMatchObject([{ receiveCount: 1 }]);
    const letters = await walk(deadLetters);
    expect(letters).toMatchObject([{ group: "acme#ada" }]);
    expect(labels(letters)).toEqual(["1"]);
  });

  test("shows dead letters again that were given back, until they are removed", async () => {
    const target = await targets.open();
    const { queue, deadLetters, pass } = target;
    await sendInOrder(queue, "ada", "1");
    await giveUp(target);
    expect(await receive(queue)).toEqual([]);
    const letters = await walk(deadLetters);
    expect(labels(letters)).toEqual(["1"]);
    await deadLetters.giveBack(letters);
    await pass(1.5);
    const again = await walk(deadLetters);
    expect(again.map(({ id }) => id)).toEqual(letters.map(({ id }) => id));
    for (const letter of again) await deadLetters.remove(letter);
    expect(await walk(deadLetters)).toEqual([]);
  });
});
