import * as z from "zod";
import { isWithin } from "../core/clock.ts";
import { aboutWhom, eventOf, type Job, replayOf } from "../core/job.ts";
import type { ParkedJob } from "../ledger/dead-letters.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { QUEUE_LIMITS } from "../queue/limits.ts";
import { parseJob } from "../queue/parse-job.ts";
import type { DeadLetterQueue, Message, Sender } from "../queue/queue.ts";

/** Which dead letters are meant; what is left out matches all. Times are milliseconds since the epoch. */
export const filterSchema = z.strictObject({
  organization: z.string().optional(),
  user: z.string().optional(),
  event: z.string().optional(),
  reason: z.string().optional(),
  since: z.number().optional(),
  until: z.number().optional(),
  limit: z.int().positive().optional(),
});
export type Filter = z.output<typeof filterSchema>;

/** One dead letter, from either place. `job` is undefined for a message that cannot be read. */
export interface DeadLetter {
  /** `parked`: refused for good, kept in the ledger. `queue`: given up by the queue, kept in its dead-letter queue. */
  place: "parked" | "queue";
  organization: string;
  subject: string;
  event: string | undefined;
  reason: string;
  message: string;
  attempts: number;
  firstAt: number;
  lastAt: number;
  /** When it was sent back to the queue, if it is on its way. */
  replayedAt: number | undefined;
  job: Job | undefined;
}

/** What became of the dead letters that were chosen. */
export interface Summary {
  /** Sent back to the queue, or dropped. */
  done: number;
  /** Left where they are, with the reason. */
  stayed: { organization: string; subject: string; why: string }[];
  /** True when the time was over before the end; asking again goes on where it stopped. */
  stopped: boolean;
}

export interface DeadLettersDependencies {
  ledger: Ledger;
  queue: Pick<Sender, "send">;
  deadLetterQueue: DeadLetterQueue;
  /** The slugs of all organizations. */
  slugs: () => Promise<string[]>;
  now?: () => number;
}

export interface RunOptions {
  /** A dry run: only finds out what would be done. */
  dryRun?: boolean;
  /** Called after each dead letter that was sent back or dropped. */
  onProgress?: () => void;
  /** Aborted when the run must not begin another one. */
  deadline?: AbortSignal | undefined;
}

/** The parked jobs of the ledger and the messages of the dead-letter queue, as one list. */
export interface DeadLetters {
  list(filter: Filter): Promise<DeadLetter[]>;
  /**
   * The same, but reads no more than this many dead letters, whether they match or not. `isAll`: there are no more that match.
   */
  look(filter: Filter, most: number): Promise<{ letters: DeadLetter[]; isAll: boolean }>;
  /**
   * Sends dead letters back to the queue. A parked job stays in the ledger until its subject has succeeded; one that is on
   * its way is not sent twice. A replayed job reads the current state first, so it cannot bring back an old state. The filter's limit
   * is for those that are sent; those that stay do not use it up.
   */
  replay(filter: Filter, options?: RunOptions): Promise<Summary>;
  /** Removes dead letters without another attempt. */
  drop(filter: Filter, options?: RunOptions): Promise<Summary>;
}

/** After this long a replayed job cannot be in the queue any more. */
const GONE_FROM_QUEUE_MS = QUEUE_LIMITS.retentionSeconds * 1000;

/** Why a dead letter cannot be sent back now, or undefined when it can. */
export function whyItStays({ job, replayedAt }: Pick<DeadLetter, "job" | "replayedAt">): string | undefined {
  if (!job) return "it cannot be read; look at it with show, and drop it";
  return replayedAt === undefined ? undefined : "it is on its way already";
}

interface Found {
  letter: DeadLetter;
  parked?: ParkedJob;
  message?: Message;
}

export function createDeadLetters(dependencies: DeadLettersDependencies): DeadLetters {
  const { ledger, queue, deadLetterQueue, now = Date.now } = dependencies;

  /** Sends one back. The order of steps makes stopping in between harmless. */
  async function replayOne({ letter: { job }, parked: parkedJob, message }: Found): Promise<void> {
    if (!job) return;
    const replayed = replayOf(job);
    if (parkedJob) {
      // Fresh for each parking, but the same when a stopped replay is resumed: the queue drops the double.
      await queue.send(replayed, `replay#${parkedJob.lastAt}`);
      await ledger.deadLetters.markReplayed(parkedJob, now());
    } else if (message) {
      await queue.send(replayed, `replay#${message.id}`);
      await deadLetterQueue.remove(message);
    }
  }

  async function dropOne({ letter, parked: parkedJob, message }: Found): Promise<void> {
    if (parkedJob) await ledger.deadLetters.drop(letter.organization, letter.subject, parkedJob.lastAt);
    else if (message) await deadLetterQueue.remove(message);
  }

  return {
    async list(filter) {
      const letters: DeadLetter[] = [];
      await each(dependencies, filter, async ({ letter }) => {
        letters.push(letter);
        return letters.length === filter.limit ? "stop" : "kept";
      });
      return letters;
    },
    async look(filter, most) {
      const letters: DeadLetter[] = [];
      let isAll = true;
      const visit = async ({ letter }: Found): Promise<"kept" | "stop"> => {
        if (letters.length === filter.limit) {
          isAll = false;
          return "stop";
        }
        letters.push(letter);
        return "kept";
      };
      const isWithin = await each(dependencies, filter, visit, most);
      return { letters, isAll: isAll && isWithin };
    },
    replay: (filter, options = {}) => run(dependencies, filter, options, whyItStays, replayOne),
    drop: (filter, options = {}) => run(dependencies, filter, options, () => undefined, dropOne),
  };
}

/** Works on the dead letters that match, up to the filter's limit; those that stay do not use it up. */
async function run(
  dependencies: DeadLettersDependencies,
  filter: Filter,
  { dryRun = false, onProgress = () => undefined, deadline }: RunOptions,
  stays: (letter: DeadLetter) => string | undefined,
  work: (found: Found) => Promise<void>,
): Promise<Summary> {
  const { limit = Number.POSITIVE_INFINITY } = filter;
  const summary: Summary = { done: 0, stayed: [], stopped: false };
  await each(dependencies, filter, async (found) => {
    if (summary.done >= limit) return "stop";
    if (deadline?.aborted) {
      summary.stopped = true;
      return "stop";
    }
    const { organization, subject } = found.letter;
    const why = stays(found.letter);
    if (why !== undefined) {
      summary.stayed.push({ organization, subject, why });
      return "kept";
    }
    if (!dryRun) await work(found);
    summary.done += 1;
    onProgress();
    return dryRun ? "kept" : "gone";
  });
  return summary;
}

/**
 * Calls `visit` for each dead letter that matches, and gives back the messages that were only looked at.
 *
 * @param most ends it when this many were read, whether they match or not
 * @returns whether none was left unread because of that
 */
async function each(
  dependencies: DeadLettersDependencies,
  filter: Filter,
  visit: (found: Found) => Promise<"kept" | "gone" | "stop">,
  most?: number,
): Promise<boolean> {
  const { deadLetterQueue } = dependencies;
  const held: Message[] = [];
  const all = async function* () {
    // The one after them tells that there are more.
    yield* parked(dependencies, filter, most === undefined ? undefined : most + 1);
    yield* queued(deadLetterQueue, held);
  };
  let read = 0;
  try {
    for await (const found of all()) {
      if (read === most) return false;
      read += 1;
      if (!matches(filter, found.letter)) continue;
      const result = await visit(found);
      if (result === "stop") return true;
      if (result === "gone" && found.message) held.splice(held.indexOf(found.message), 1);
    }
    return true;
  } finally {
    await deadLetterQueue.giveBack(held);
  }
}

async function* parked(
  { ledger, slugs, now = Date.now }: DeadLettersDependencies,
  filter: Filter,
  pageSize?: number,
): AsyncGenerator<Found> {
  const organizations = filter.organization === undefined ? await slugs() : [filter.organization];
  for (const organization of organizations) {
    for await (const page of lettersOf(ledger, organization, filter.user, pageSize)) {
      for (const letter of page) {
        const { replayedAt, job } = letter;
        const onItsWay = isWithin(replayedAt, GONE_FROM_QUEUE_MS, now());
        const shown = {
          ...letter,
          place: "parked" as const,
          event: eventOf(job),
          replayedAt: onItsWay ? replayedAt : undefined,
        };
        yield { letter: shown, parked: letter };
      }
    }
  }
}

/** Somebody has one at most, which is found by their subject. */
async function* lettersOf(
  { deadLetters }: Ledger,
  organization: string,
  subject: string | undefined,
  pageSize: number | undefined,
): AsyncGenerator<ParkedJob[]> {
  if (subject === undefined) return yield* deadLetters.all(organization, pageSize);
  const letter = await deadLetters.get(organization, subject);
  if (letter) yield [letter];
}

/** @param held gets the messages, so that they can be given back */
async function* queued(
  deadLetterQueue: DeadLettersDependencies["deadLetterQueue"],
  held: Message[],
): AsyncGenerator<Found> {
  for await (const messages of deadLetterQueue.hold()) {
    held.push(...messages);
    for (const message of messages) yield { letter: describe(message), message };
  }
}

function matches(filter: Filter, letter: DeadLetter): boolean {
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = filter;
  return (
    (filter.organization === undefined || letter.organization === filter.organization) &&
    (filter.user === undefined || letter.subject === filter.user) &&
    (filter.event === undefined || letter.event === filter.event) &&
    (filter.reason === undefined || letter.reason === filter.reason) &&
    letter.lastAt >= since &&
    letter.lastAt <= until
  );
}

/** A message of the dead-letter queue; one that cannot be read shows what its FIFO group says of it. */
function describe({ body, group, receiveCount, sentAt }: Message): DeadLetter {
  const [organization = "", subject = ""] = group.split("#");
  const common = {
    place: "queue" as const,
    attempts: receiveCount,
    firstAt: sentAt,
    lastAt: sentAt,
    replayedAt: undefined,
  };
  try {
    const job = parseJob(body);
    return {
      ...common,
      organization: job.organization,
      subject: aboutWhom(job),
      event: eventOf(job),
      reason: "given-up",
      message: "the queue gave the job up after its last attempt",
      job,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : "it cannot be read";
    return { ...common, organization, subject, event: undefined, reason: "job-unreadable", message, job: undefined };
  }
}
