import { afterEach, beforeEach, expect, it } from "vitest";
import { type Database, openDatabase } from "../../functions/database.ts";
import { type Poller, startPoller } from "../../functions/local/poller.ts";
import type { Worker } from "../../functions/provision/worker.ts";
import type { Queue } from "../../functions/queue/queue.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import type { Log } from "../../functions/telemetry/log.ts";
import { jobOf, labelOf } from "../contract/queue-targets.ts";
import { until } from "../support/processes.ts";

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let database: Database;
let queue: Queue;
let poller: Poller;
/** The labels of each call of the worker. */
let worked: string[][];
/** Whoever is named here is not done before this is resolved. */
let slow: Map<string, PromiseWithResolvers<void>>;
let [underWay, most] = [0, 0];

beforeEach(() => {
  database = openDatabase(undefined);
  queue = createSqliteQueue(database, { visibilitySeconds: 30 });
  [worked, slow, underWay, most] = [[], new Map(), 0, 0];
});
afterEach(async () => {
  for (const { resolve } of slow.values()) resolve();
  await poller.stop();
  database.close();
});

const start = (subjects: number): void => {
  const worker: Worker = async (messages) => {
    underWay += 1;
    most = Math.max(most, underWay);
    worked.push(messages.map(labelOf));
    await slow.get(messages[0]?.group ?? "")?.promise;
    underWay -= 1;
    return [];
  };
  poller = startPoller({ queue, createWorker: () => worker, visibilitySeconds: 30, subjects, log: SILENT });
};
const send = async (...subjects: string[]): Promise<void> => {
  for (const subject of subjects) await queue.send(jobOf(subject, subject), subject);
};
const empty = (inFlight: number) =>
  until(
    async () => await queue.counts(),
    (counts) => counts.waiting === 0 && counts.inFlight === inFlight,
  );

it("a slow person keeps nobody else's job in the queue, and no slot idle", async () => {
  slow.set("acme#slow", Promise.withResolvers());
  await send("slow", ...Array.from({ length: 30 }, (_, index) => `person-${index}`));
  start(2);
  await empty(1);
  expect(worked.flat()).toHaveLength(31);
});

it("works on as many subjects as it may, and no more", async () => {
  const people = Array.from({ length: 9 }, (_, index) => `person-${index}`);
  for (const person of people) slow.set(`acme#${person}`, Promise.withResolvers());
  await send(...people);
  start(4);
  await until(
    () => worked.length,
    (count) => count === 4,
  );
  for (const { resolve } of slow.values()) resolve();
  await empty(0);
  expect(most).toBe(4);
});

it("the messages of one subject come together and in their order, however many others wait", async () => {
  for (const label of ["1", "2", "3"]) await queue.send(jobOf("ada", label), label);
  await send("grace", "edsger");
  start(1);
  await empty(0);
  expect(worked).toHaveLength(3);
  expect(worked).toContainEqual(["1", "2", "3"]);
});
