import { DeleteMessageCommand, type Message, ReceiveMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import * as z from "zod";
import { aboutWhom, eventOf, type Job, replayOf } from "../core/job.ts";
import type { ParkedJob } from "../ledger/dead-letters.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createQueue, parseJob, type Queue } from "../queue/queue.ts";

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
  /** `parked`: refused for good, kept in the ledger. `queue`: given up by SQS, kept in its dead-letter queue. */
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
  sqs: SQSClient;
  queueUrl: string;
  deadLetterQueueUrl: string;
  /** The slugs of all organizations. */
  slugs: () => Promise<string[]>;
  now?: () => number;
}

export interface RunOptions {
  /** Only finds out what would be done. */
  dryRun?: boolean;
  /** Called after each dead letter that was sent back or dropped. */
  onProgress?: () => void;
  /** Aborted when the run must not begin another one. */
  deadline?: AbortSignal | undefined;
}

/** The parked jobs of the ledger and the messages of the SQS dead-letter queue, as one list. */
export interface DeadLetters {
  list(filter: Filter): Promise<DeadLetter[]>;
  /**
   * Sends dead letters back to the queue. A parked job stays in the ledger until its subject has succeeded; one that is on
   * its way is not sent twice. A replayed job reads the truth first, so it cannot bring back an old state. The filter's limit
   * is for those that are sent; those that stay do not use it up.
   */
  replay(filter: Filter, options?: RunOptions): Promise<Summary>;
  /** Removes dead letters without another attempt. */
  drop(filter: Filter, options?: RunOptions): Promise<Summary>;
}

/** After so long a replayed job cannot be in the queue any more (SQS keeps a message for 14 days). */
const GONE_FROM_QUEUE_MS = 14 * 24 * 60 * 60_000;
/** While a run holds messages of the dead-letter queue; FIFO queues show no later message of the same subject meanwhile. */
const HOLD_SECONDS = 120;
/** Not 0: the embedded queue loses such a message until its restart. */
const BACK_IN_SECONDS = 1;
/**
 * Without waiting SQS asks only some of its servers, and a message may not be found although it is there. Longer than a
 * message takes to come back, so that what was only looked at is found by the next command.
 */
const WAIT_SECONDS = 2;

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
  const { ledger, sqs, queueUrl, deadLetterQueueUrl, slugs, now = Date.now } = dependencies;
  const jobs: Queue = createQueue(sqs, queueUrl);
  const dead: Queue = createQueue(sqs, deadLetterQueueUrl);

  async function* parked(filter: Filter): AsyncGenerator<Found> {
    const organizations = filter.organization === undefined ? await slugs() : [filter.organization];
    for (const organization of organizations) {
      for await (const page of ledger.deadLetters.all(organization)) {
        for (const letter of page) {
          const { replayedAt, job } = letter;
          const onItsWay = replayedAt !== undefined && now() - replayedAt < GONE_FROM_QUEUE_MS;
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

  /** Takes messages of the dead-letter queue until it shows no new ones. */
  async function* queued(held: Message[]): AsyncGenerator<Found> {
    const seen = new Set<string | undefined>();
    for (;;) {
      const command = new ReceiveMessageCommand({
        QueueUrl: deadLetterQueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: WAIT_SECONDS,
        VisibilityTimeout: HOLD_SECONDS,
        MessageSystemAttributeNames: ["All"],
      });
      const { Messages = [] } = await sqs.send(command);
      const fresh = Messages.filter((message) => !seen.has(message.MessageId));
      if (fresh.length === 0) return;
      held.push(...fresh);
      for (const message of fresh) {
        seen.add(message.MessageId);
        yield { letter: describe(message), message };
      }
    }
  }

  /** Calls `visit` for each dead letter that matches, and gives back the messages that were only looked at. */
  async function each(filter: Filter, visit: (found: Found) => Promise<"kept" | "gone" | "stop">): Promise<void> {
    const held: Message[] = [];
    const all = async function* () {
      yield* parked(filter);
      yield* queued(held);
    };
    try {
      for await (const found of all()) {
        if (!matches(filter, found.letter)) continue;
        const result = await visit(found);
        if (result === "stop") return;
        if (result === "gone" && found.message) held.splice(held.indexOf(found.message), 1);
      }
    } finally {
      await giveBack(held);
    }
  }

  /** Lets messages be seen again. Those for which that fails are seen when their hold is over. */
  async function giveBack(messages: Message[]): Promise<void> {
    for (let index = 0; index < messages.length; index += 10) {
      const batch = messages.slice(index, index + 10);
      await dead.setVisibility(
        batch.map(({ ReceiptHandle = "" }) => ({ receiptHandle: ReceiptHandle, seconds: BACK_IN_SECONDS })),
      );
    }
  }

  async function deleteMessage(message: Message): Promise<void> {
    await sqs.send(new DeleteMessageCommand({ QueueUrl: deadLetterQueueUrl, ReceiptHandle: message.ReceiptHandle }));
  }

  /** Sends one back. The order of steps makes stopping in between harmless. */
  async function replayOne({ letter: { job }, parked: parkedJob, message }: Found): Promise<void> {
    if (!job) return;
    const replayed = replayOf(job);
    if (parkedJob) {
      // Fresh for each parking, but the same when a stopped replay is resumed: SQS drops the double.
      await jobs.send(replayed, `replay#${parkedJob.lastAt}`);
      await ledger.deadLetters.markReplayed(parkedJob, now());
    } else if (message) {
      await jobs.send(replayed, `replay#${message.MessageId}`);
      await deleteMessage(message);
    }
  }

  async function dropOne({ letter, parked: parkedJob, message }: Found): Promise<void> {
    if (parkedJob) await ledger.deadLetters.drop(letter.organization, letter.subject, parkedJob.lastAt);
    else if (message) await deleteMessage(message);
  }

  async function run(
    filter: Filter,
    { dryRun = false, onProgress = () => undefined, deadline }: RunOptions,
    stays: (letter: DeadLetter) => string | undefined,
    work: (found: Found) => Promise<void>,
  ): Promise<Summary> {
    const { limit = Number.POSITIVE_INFINITY } = filter;
    const summary: Summary = { done: 0, stayed: [], stopped: false };
    await each(filter, async (found) => {
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

  return {
    async list(filter) {
      const letters: DeadLetter[] = [];
      await each(filter, async ({ letter }) => {
        letters.push(letter);
        return letters.length === filter.limit ? "stop" : "kept";
      });
      return letters;
    },
    replay: (filter, options = {}) => run(filter, options, whyItStays, replayOne),
    drop: (filter, options = {}) => run(filter, options, () => undefined, dropOne),
  };
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

/** A message of the SQS dead-letter queue; one that cannot be read shows what its FIFO group says of it. */
function describe({ Body = "", Attributes = {} }: Message): DeadLetter {
  const [organization = "", subject = ""] = (Attributes.MessageGroupId ?? "").split("#");
  const common = {
    place: "queue" as const,
    attempts: Number(Attributes.ApproximateReceiveCount ?? 0),
    firstAt: Number(Attributes.SentTimestamp ?? 0),
    lastAt: Number(Attributes.SentTimestamp ?? 0),
    replayedAt: undefined,
  };
  try {
    const job = parseJob(Body);
    return {
      ...common,
      organization: job.organization,
      subject: aboutWhom(job),
      event: eventOf(job),
      reason: "given-up",
      message: "SQS gave the job up after its last attempt",
      job,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : "it cannot be read";
    return { ...common, organization, subject, event: undefined, reason: "job-unreadable", message, job: undefined };
  }
}
