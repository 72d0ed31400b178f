import type { StatementSync } from "node:sqlite";
import { SKEW_MS } from "../core/clock.ts";
import type { Database } from "../database.ts";
import { QueueUnavailable } from "./errors.ts";
import { QUEUE_LIMITS } from "./limits.ts";
import { type Outgoing, outgoing } from "./message.ts";
import type { Counts, DeadLetterQueue, Message, Queue, Releasable } from "./queue.ts";

/** SQS's interval too. */
const DEDUPLICATION_MS = 5 * 60_000;
/** How often a waiting `receive` looks for what another process has sent; this process's own messages wake it at once. */
const POLL_MS = 500;
/** Jobs per transaction of `sendAll`, so that a large run does not keep everything else waiting. */
const SENDS_AT_ONCE = 500;
/** Dead letters per page. */
const PAGE = 100;

export interface SqliteQueueOptions {
  /** How long received messages stay invisible, unless it is changed. */
  visibilitySeconds: number;
  /** After this many receives a message becomes a dead letter instead of being handed out again. */
  maxReceiveCount?: number;
  now?: () => number;
}

/** A row of `queue_message` or `queue_dead_letter`. */
interface Row {
  sequence: number;
  group_id: string;
  body: string;
  sent_at: number;
  receive_count: number;
}

/**
 * The job queue in the state file, with SQS's FIFO rules: a group gives out messages in order, and none while some of it are
 * invisible; a message that was received too often, or is too old, becomes a dead letter.
 */
export function createSqliteQueue(database: Database, options: SqliteQueueOptions): Queue & Releasable {
  const { now = Date.now, visibilitySeconds, maxReceiveCount = QUEUE_LIMITS.maxReceiveCount } = options;
  const rows = createRows(database, { visibilitySeconds, maxReceiveCount, now });
  /** Those who wait for messages in this process. */
  const waiting = new Set<() => void>();

  /** Writes, and wakes those who wait: any write may make messages visible. */
  async function write<T>(work: () => T): Promise<T> {
    const result = await database.write(work).catch(unavailable);
    for (const wake of waiting) wake();
    return result;
  }

  /** Until there may be something to receive: a write of this process, the next end of an invisibility, or a look at the file. */
  async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, milliseconds);
    waiting.add(wake);
    signal?.addEventListener("abort", wake);
    await promise;
    signal?.removeEventListener("abort", wake);
    waiting.delete(wake);
    clearTimeout(timer);
  }

  return {
    async send(job, source) {
      const message = outgoing(job, source);
      await write(() => rows.insert(message));
    },
    async sendAll(jobs, source) {
      for (let index = 0; index < jobs.length; index += SENDS_AT_ONCE) {
        const messages = jobs.slice(index, index + SENDS_AT_ONCE).map((job) => outgoing(job, source));
        await write(() => {
          for (const message of messages) rows.insert(message);
        });
      }
    },
    async receive({ most, groups, waitSeconds, signal }) {
      const end = performance.now() + waitSeconds * 1000;
      while (!signal?.aborted) {
        const availableIn = read(database, rows.availableIn);
        if (availableIn <= 0) {
          const messages = await database.write(() => rows.take(most, groups)).catch(unavailable);
          if (messages.length > 0) return messages;
          // Another process was faster, or all were dead letters.
          continue;
        }
        const left = end - performance.now();
        if (left <= 0) return [];
        await pause(Math.min(left, POLL_MS, Math.max(1, availableIn)), signal);
      }
      return [];
    },
    async extend(messages, seconds) {
      await write(() => {
        for (const { receipt } of messages) rows.extend(receipt, seconds);
      }).catch(() => undefined);
    },
    setVisibility: (messages) =>
      write(() => {
        for (const { receipt, seconds } of messages) rows.giveBack(receipt, seconds);
      }),
    done: (messages) =>
      write(() => {
        for (const { receipt } of messages) rows.remove(receipt);
      }),
    counts: async () => read(database, () => rows.counts()),
    countsOf: async (organization) => read(database, () => rows.counts(organization)),
    release: (organization) => write(() => rows.release(organization)),
  };
}

/** The messages that were received too often or grew too old. They stay until they are removed. */
export function createSqliteDeadLetterQueue(database: Database): DeadLetterQueue {
  const page = database.prepare("SELECT * FROM queue_dead_letter WHERE sequence > ? ORDER BY sequence LIMIT ?");
  const remove = database.prepare("DELETE FROM queue_dead_letter WHERE sequence = ?");
  const count = database.prepare("SELECT count(*) AS count FROM queue_dead_letter");
  return {
    count: async () => read(database, () => Number(count.get()?.count)),
    async *hold() {
      let last = 0;
      for (;;) {
        const found = read(database, () => page.all(last, PAGE) as unknown as Row[]);
        if (found.length === 0) return;
        last = found.at(-1)?.sequence ?? last;
        yield found.map(message);
      }
    },
    giveBack: async () => undefined,
    async remove({ id }) {
      await database.write(() => remove.run(Number(id))).catch(unavailable);
    },
  };
}

/** The groups that begin with "slug#": a slug cannot hold "#", and "$" comes right after it. */
const OF_ORGANIZATION = "group_id >= ?2 || '#' AND group_id < ?2 || '$'";

const STATEMENTS = {
  // Within five minutes either way: a clock that was set back must not make a later message a double.
  remember: `INSERT INTO queue_deduplication VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET sent_at = ?2
     WHERE abs(?2 - sent_at) >= ${DEDUPLICATION_MS}`,
  // More than arrive, so that the table shrinks again after a large run, but few, so that nobody waits for it.
  forget: `DELETE FROM queue_deduplication WHERE id IN
     (SELECT id FROM queue_deduplication WHERE sent_at <= ? ORDER BY sent_at LIMIT 2)`,
  add: "INSERT INTO queue_message (group_id, body, sent_at) VALUES (?, ?, ?)",
  addGroup: "INSERT INTO queue_group VALUES (?, ?) ON CONFLICT DO NOTHING",

  nextGroup: `SELECT (SELECT min(available_at) FROM queue_group) AS at,
     (SELECT max(available_at) FROM queue_group) AS last`,
  tooFar: "SELECT group_id FROM queue_group WHERE available_at > ?",
  bringBack:
    "UPDATE queue_message SET visible_at = ?2, held = 0 WHERE group_id = ?1 AND visible_at > 0 AND visible_at > ?2",
  groups: "SELECT group_id FROM queue_group WHERE available_at <= ? ORDER BY available_at LIMIT ?",
  ofGroup: "SELECT * FROM queue_message WHERE group_id = ? ORDER BY sequence LIMIT ?",
  hold: "UPDATE queue_message SET visible_at = ?, receive_count = receive_count + 1, held = 1 WHERE sequence = ?",
  bury: `INSERT INTO queue_dead_letter SELECT sequence, group_id, body, sent_at, receive_count
     FROM queue_message WHERE sequence = ?`,
  drop: "DELETE FROM queue_message WHERE sequence = ?",

  extend:
    "UPDATE queue_message SET visible_at = ?3 WHERE sequence = ?1 AND receive_count = ?2 AND held = 1 RETURNING group_id",
  giveBack:
    "UPDATE queue_message SET visible_at = ?3, held = 0 WHERE sequence = ?1 AND receive_count = ?2 RETURNING group_id",
  remove: "DELETE FROM queue_message WHERE sequence = ? AND receive_count = ? RETURNING group_id",
  // "> 0" is the condition of the index.
  release: `UPDATE queue_message SET visible_at = ?1 WHERE visible_at > 0 AND visible_at > ?1 AND held = 0
     AND (?2 IS NULL OR (${OF_ORGANIZATION})) RETURNING group_id`,
  dropGroup:
    "DELETE FROM queue_group WHERE group_id = ?1 AND NOT EXISTS (SELECT 1 FROM queue_message WHERE group_id = ?1)",
  settleGroup: `UPDATE queue_group SET available_at =
     coalesce((SELECT max(visible_at) FROM queue_message WHERE group_id = ?1 AND visible_at > 0), ?2)
     WHERE group_id = ?1`,
  count: `SELECT (SELECT count(*) FROM queue_message) AS messages,
     (SELECT count(*) FROM queue_message WHERE visible_at > 0 AND visible_at > ?1 AND held = 1) AS inFlight,
     (SELECT count(*) FROM queue_message WHERE visible_at > 0 AND visible_at > ?1 AND held = 0) AS delayed,
     (SELECT sent_at FROM queue_message ORDER BY sequence LIMIT 1) AS oldest`,
  // Most of many are counted in an index alone: reading 100,000 messages would take a third of a second.
  countOf: `SELECT messages, (SELECT sent_at FROM queue_message WHERE sequence = first) AS oldest,
     (SELECT count(*) FROM queue_message WHERE visible_at > 0 AND visible_at > ?1 AND held = 1 AND ${OF_ORGANIZATION}) AS inFlight,
     (SELECT count(*) FROM queue_message WHERE visible_at > 0 AND visible_at > ?1 AND held = 0 AND ${OF_ORGANIZATION}) AS delayed
     FROM (SELECT count(*) AS messages, min(sequence) AS first FROM queue_message WHERE ${OF_ORGANIZATION})`,
} as const;

type Statements = Record<keyof typeof STATEMENTS, StatementSync>;

/** What the queue does with its rows. All but `availableIn` and `counts` belong into a write. */
function createRows(database: Database, { visibilitySeconds, maxReceiveCount, now }: Required<SqliteQueueOptions>) {
  /** No message waits longer than this: a later time was set by a clock that was ahead. */
  const furthest = (): number => now() + Math.max(visibilitySeconds, QUEUE_LIMITS.longestWaitSeconds) * 1000 + SKEW_MS;
  const prepared = Object.fromEntries(
    Object.entries(STATEMENTS).map(([name, sql]) => [name, database.prepare(sql)]),
  ) as Statements;

  /** Works out again when a group may give out messages, after some of its messages have changed. */
  function settle(group: unknown): void {
    if (prepared.dropGroup.run(String(group)).changes === 0) prepared.settleGroup.run(String(group), now());
  }

  /** Changes the one message whose latest delivery the receipt stands for; a stale receipt changes nothing. */
  function change(statement: StatementSync, receipt: string, ...values: number[]): void {
    const row = statement.get(...receipt.split("-").map(Number), ...values);
    if (row) settle(row.group_id);
  }

  const visibleAt = (seconds: number): number => now() + Math.max(1, Math.round(seconds)) * 1000;

  /** Receives up to `most` messages of a group. */
  function takeOf(group: string, most: number, until: number): Message[] {
    const found = prepared.ofGroup.all(group, most) as unknown as Row[];
    const [dead, alive] = [found.filter(isDead), found.filter((row) => !isDead(row))];
    for (const { sequence } of dead) {
      prepared.bury.run(sequence);
      prepared.drop.run(sequence);
    }
    for (const { sequence } of alive) prepared.hold.run(until, sequence);
    settle(group);
    return alive.map((row) => message({ ...row, receive_count: row.receive_count + 1 }));
  }

  // However old: the machine may have been off for weeks, or its clock wrong, and the job was never tried.
  const isDead = ({ receive_count }: Row): boolean => receive_count >= maxReceiveCount;

  return {
    insert({ body, group, deduplicationId }: Outgoing): void {
      const time = now();
      prepared.forget.run(time - DEDUPLICATION_MS);
      if (prepared.remember.run(deduplicationId, time).changes === 0) return;
      prepared.add.run(group, body, time);
      prepared.addGroup.run(group, time);
    },
    /** In how many milliseconds a group may give out messages. */
    availableIn(): number {
      const { at, last } = prepared.nextGroup.get() ?? {};
      if (Number(last ?? 0) > furthest()) return 0;
      return Number(at ?? Number.POSITIVE_INFINITY) - now();
    },
    take(most: number, groups: number | undefined): Message[] {
      for (const { group_id } of prepared.tooFar.all(furthest())) {
        prepared.bringBack.run(String(group_id), now());
        settle(group_id);
      }
      const taken: Message[] = [];
      const until = visibleAt(visibilitySeconds);
      const ofEach = groups === undefined ? most : Math.ceil(most / groups);
      for (const { group_id } of prepared.groups.all(now(), groups ?? most)) {
        const left = Math.min(ofEach, most - taken.length);
        if (left > 0) taken.push(...takeOf(String(group_id), left, until));
      }
      return taken;
    },
    extend: (receipt: string, seconds: number): void => change(prepared.extend, receipt, visibleAt(seconds)),
    giveBack: (receipt: string, seconds: number): void => change(prepared.giveBack, receipt, visibleAt(seconds)),
    remove: (receipt: string): void => change(prepared.remove, receipt),
    release(organization: string | undefined): number {
      const released = prepared.release.all(now(), organization ?? null);
      for (const group of new Set(released.map(({ group_id }) => group_id))) settle(group);
      return released.length;
    },
    counts(organization?: string): Counts {
      const row = organization === undefined ? prepared.count.get(now()) : prepared.countOf.get(now(), organization);
      const { messages = 0, inFlight = 0, delayed = 0, oldest } = row ?? {};
      return {
        waiting: Number(messages) - Number(inFlight) - Number(delayed),
        delayed: Number(delayed),
        inFlight: Number(inFlight),
        oldestAgeMs: typeof oldest === "number" ? Math.max(0, now() - oldest) : undefined,
      };
    },
  };
}

/** The receipt needs no column of its own: the receive count says which delivery it stands for. */
function message({ sequence, group_id, body, sent_at, receive_count }: Row): Message {
  return {
    id: String(sequence),
    receipt: `${sequence}-${receive_count}`,
    body,
    group: group_id,
    sentAt: sent_at,
    receiveCount: receive_count,
  };
}

function read<T>(database: Database, work: () => T): T {
  try {
    return database.read(work);
  } catch (error) {
    return unavailable(error);
  }
}

function unavailable(error: unknown): never {
  throw new QueueUnavailable(error);
}
