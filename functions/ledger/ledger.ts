import { randomUUID } from "node:crypto";
import { ConditionalCheckFailedException } from "@aws-sdk/client-dynamodb";
import {
  DeleteCommand,
  type DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  UpdateCommand,
} from "@aws-sdk/lib-dynamodb";
import * as z from "zod";
import { jobSchema } from "../core/job.ts";
import { LedgerConflict, LedgerUnavailable, LedgerUnreadable } from "./errors.ts";

/** What a person's account can be brought to. */
const subjectStateSchema = z.enum(["active", "suspended", "deleted", "outOfScope"]);
export type SubjectState = z.output<typeof subjectStateSchema>;

const subjectEntrySchema = z.object({
  subject: z.string(),
  accountId: z.string(),
  /** What the account was last brought to; `new` while nothing has succeeded yet. */
  state: z.enum(["new", ...subjectStateSchema.options]),
  /** `updated_at` of the user that was applied, normalised; the order of snapshots without an API key. */
  version: z.string().optional(),
  /** The desired state that was applied, as a hash; see `desiredHash`. */
  desiredHash: z.string().optional(),
  /** The names of the person's groups when they were applied, as a hash; see `groupsHash`. */
  groupsHash: z.string().optional(),
  /** The ids of the groups we put the person in. A superset while a job is under way. */
  groups: z.array(z.string()),
  /** Set while the account is disabled because of us: only then may it be enabled again. */
  disabledByUs: z.boolean(),
  /** Since when the person has been suspended, gone or out of scope (milliseconds since the epoch). */
  goneSince: z.number().optional(),
  /** The start of the reading that was applied (milliseconds since the epoch); jobs sent before it are done. */
  readAt: z.number().optional(),
  /** The start of the user's reading alone: `readAt` is earlier where the groups had been read before. */
  userReadAt: z.number().optional(),
  /** Set while a dead letter of the person is parked. */
  parked: z.boolean().optional(),
  /** The desired state that was refused, as a hash: reconciliation does not send a job for it again. */
  refusedHash: z.string().optional(),
  /** How often in a row Nextcloud failed to write this person although it answered otherwise. */
  serverErrors: z.number().optional(),
  /** The desired state that a waiting reconciliation job is for, as a hash, and when it was sent. */
  queuedHash: z.string().optional(),
  queuedAt: z.number().optional(),
  /** Counts the writes, so that two workers with the same subject cannot overwrite each other. */
  revision: z.number(),
});

/** The ledger's entry for one subject of an organization. */
export type SubjectEntry = z.output<typeof subjectEntrySchema>;

/** The entry of a person for whom nothing was done yet. */
export function newEntry({
  subject,
  accountId,
}: Pick<SubjectEntry, "subject" | "accountId">): Omit<SubjectEntry, "revision"> {
  return { subject, accountId, state: "new", groups: [], disabledByUs: false };
}

const groupEntrySchema = z.object({ owner: z.string(), name: z.string() });

/** Which organization made a Nextcloud group, and the group's name in its Clavex. */
export type GroupEntry = z.output<typeof groupEntrySchema>;

const deadLetterSchema = z.object({
  organization: z.string(),
  subject: z.string(),
  /** The newest job of the subject that was refused. */
  job: jobSchema,
  /** The failure's code, and its message (no e-mail address). */
  reason: z.string(),
  message: z.string(),
  attempts: z.number(),
  /** When the subject was first and last refused (milliseconds since the epoch). */
  firstAt: z.number(),
  lastAt: z.number(),
  /** When it was sent back to the queue; it stays here until that job has succeeded. */
  replayedAt: z.number().optional(),
});

/** A job that was parked, because no attempt can succeed until somebody changes something. Does not expire. */
export type DeadLetter = z.output<typeof deadLetterSchema>;

const brakeSchema = z.object({
  /** When the hour that is counted began (milliseconds since the epoch), and how many deprovisions passed in it. */
  hourStart: z.number(),
  passed: z.number(),
  /** Set when somebody was held; only an operator releases it. */
  held: z.boolean(),
  /** How many more an operator has allowed, and until when (milliseconds since the epoch). */
  allowed: z.number(),
  allowedUntil: z.number(),
  /** Who was let pass in this hour: a retry does not count twice. */
  admitted: z.array(z.string()),
  revision: z.number(),
});

/** The hourly count of an organization's deprovisions. */
export type BrakeEntry = z.output<typeof brakeSchema>;

const identitySchema = z.object({ fingerprint: z.string() });

/** What the pipeline remembers of what it did. Reads are consistent, writes conditional. Every method throws LedgerUnavailable. */
export interface Ledger {
  subject(organization: string, subject: string): Promise<SubjectEntry | undefined>;
  /**
   * Writes an entry on top of the one that was read.
   *
   * @param previous the revision that was read; undefined when there was no entry
   * @throws {LedgerConflict} when somebody else wrote in between
   */
  putSubject(
    organization: string,
    entry: Omit<SubjectEntry, "revision">,
    previous: number | undefined,
  ): Promise<SubjectEntry>;
  group(origin: string, gid: string): Promise<GroupEntry | undefined>;
  /** All groups of a Nextcloud that some organization has made, page by page. */
  groups(origin: string): AsyncGenerator<(GroupEntry & { gid: string })[]>;
  /** Writes a group down as the organization's, unless somebody has it. Returns who owns it now. */
  claimGroup(origin: string, gid: string, entry: GroupEntry): Promise<{ entry: GroupEntry; written: boolean }>;
  /** All entries of an organization's subjects, page by page. */
  subjects(organization: string): AsyncGenerator<SubjectEntry[]>;
  /** How many of the organization's people have an account that is enabled, as far as the ledger knows. */
  countActive(organization: string): Promise<number>;
  /** Writes a dead letter; the time of the first one for this subject is kept. */
  park(letter: Omit<DeadLetter, "firstAt" | "replayedAt">): Promise<void>;
  deadLetter(organization: string, subject: string): Promise<DeadLetter | undefined>;
  /** All dead letters of an organization, page by page. */
  deadLetters(organization: string): AsyncGenerator<DeadLetter[]>;
  /** Notes that a dead letter was sent back to the queue; not when it has been parked anew since `lastAt`. */
  markReplayed(letter: DeadLetter, at: number): Promise<void>;
  /** Removes a dead letter; one that was parked after `notAfter` stays. */
  dropDeadLetter(organization: string, subject: string, notAfter?: number): Promise<void>;
  brake(organization: string): Promise<BrakeEntry | undefined>;
  /** Writes the brake on top of the one that was read; returns false when somebody else wrote in between. */
  putBrake(organization: string, brake: Omit<BrakeEntry, "revision">, previous: number | undefined): Promise<boolean>;
  /**
   * Takes a lock of the organization.
   *
   * @param until when it is over even if nobody gives it back (milliseconds since the epoch)
   * @returns a function that gives it back, or undefined while somebody else has it
   */
  lock(organization: string, name: string, now: number, until: number): Promise<(() => Promise<void>) | undefined>;
  /** Replaces the identity fingerprint: an operator accepts that every account id changes. */
  acceptIdentity(organization: string, fingerprint: string): Promise<void>;
  /** Writes an account down as the organization's, unless somebody has it. Returns the slug of who owns it now. */
  claimAccount(origin: string, accountId: string, owner: string): Promise<string>;
  /** The identity fingerprint that the organization's accounts were made with, if any were. */
  identityOf(organization: string): Promise<string | undefined>;
  /** The identity fingerprint of the organization; written when there was none. Returns the one that holds. */
  identity(organization: string, fingerprint: string): Promise<string>;
}

/** The names of the table's key attributes. */
export const TABLE_KEYS = { partition: "partition", sort: "sort" } as const;

/** The ledger in one DynamoDB table. */
export function createLedger(client: DynamoDBDocumentClient, table: string): Ledger {
  async function get<T>(partition: string, sort: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const command = new GetCommand({ TableName: table, Key: { partition, sort }, ConsistentRead: true });
    const { Item } = await client.send(command).catch(unavailable);
    return Item === undefined ? undefined : readItem(schema, Item);
  }

  /** Puts an item if the condition holds; returns false when it does not. */
  async function putIf(
    item: Record<string, unknown>,
    condition: string,
    values: Record<string, unknown> | undefined = undefined,
    names: Record<string, string> | undefined = undefined,
  ): Promise<boolean> {
    const command = new PutCommand({
      TableName: table,
      Item: item,
      ConditionExpression: condition,
      ...(values === undefined ? {} : { ExpressionAttributeValues: values }),
      ...(names === undefined ? {} : { ExpressionAttributeNames: names }),
    });
    try {
      await client.send(command);
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      return unavailable(error);
    }
  }

  /** Puts an item on top of the revision that was read; returns false when there is another one by now. */
  function putOnTop(item: Record<string, unknown>, previous: number | undefined): Promise<boolean> {
    return previous === undefined
      ? putIf(item, "attribute_not_exists(sort)")
      : putIf(item, "revision = :previous", { ":previous": previous });
  }

  function queryOf(partition: string, prefix: string, start: Record<string, unknown> | undefined) {
    return {
      TableName: table,
      ConsistentRead: true,
      KeyConditionExpression: "#partition = :partition AND begins_with(sort, :prefix)",
      ExpressionAttributeNames: { "#partition": "partition" },
      ExpressionAttributeValues: { ":partition": partition, ":prefix": prefix },
      ...(start === undefined ? {} : { ExclusiveStartKey: start }),
    };
  }

  async function* pages<T>(partition: string, prefix: string, schema: z.ZodType<T>): AsyncGenerator<T[]> {
    let start: Record<string, unknown> | undefined;
    do {
      const page = await client.send(new QueryCommand(queryOf(partition, prefix, start))).catch(unavailable);
      yield (page.Items ?? []).map((item) => readItem(schema, item));
      start = page.LastEvaluatedKey;
    } while (start !== undefined);
  }

  /** Writes the item if there is none yet, and returns the one that holds. */
  async function putOnce<T>(
    partition: string,
    sort: string,
    value: T & object,
    schema: z.ZodType<T>,
  ): Promise<{ entry: T; written: boolean }> {
    if (await putIf({ partition, sort, ...value }, "attribute_not_exists(sort)"))
      return { entry: value, written: true };
    return { entry: (await get(partition, sort, schema)) ?? value, written: false };
  }

  return {
    subject: (organization, subject) => get(organization, `subject#${subject}`, subjectEntrySchema),
    async putSubject(organization, entry, previous) {
      const written = { ...entry, revision: (previous ?? 0) + 1 };
      const item = { partition: organization, sort: `subject#${entry.subject}`, ...written };
      const done = await putOnTop(item, previous);
      if (!done) throw new LedgerConflict(organization, entry.subject);
      return written;
    },
    group: (origin, gid) => get(`nextcloud#${origin}`, `group#${gid}`, groupEntrySchema),
    async *groups(origin) {
      const schema = groupEntrySchema.extend({ sort: z.string() });
      for await (const page of pages(`nextcloud#${origin}`, "group#", schema))
        yield page.map(({ sort, ...entry }) => ({ ...entry, gid: sort.slice("group#".length) }));
    },
    claimGroup: (origin, gid, entry) => putOnce(`nextcloud#${origin}`, `group#${gid}`, entry, groupEntrySchema),
    async claimAccount(origin, accountId, owner) {
      const { entry } = await putOnce(
        `nextcloud#${origin}`,
        `account#${accountId}`,
        { owner },
        z.object({ owner: z.string() }),
      );
      return entry.owner;
    },
    subjects: (organization) => pages(organization, "subject#", subjectEntrySchema),
    async countActive(organization) {
      let count = 0;
      let start: Record<string, unknown> | undefined;
      do {
        const command = new QueryCommand({
          ...queryOf(organization, "subject#", start),
          Select: "COUNT",
          FilterExpression: "#state = :active",
          ExpressionAttributeNames: { "#state": "state", "#partition": "partition" },
          ExpressionAttributeValues: { ":partition": organization, ":prefix": "subject#", ":active": "active" },
        });
        const page = await client.send(command).catch(unavailable);
        count += page.Count ?? 0;
        start = page.LastEvaluatedKey;
      } while (start !== undefined);
      return count;
    },
    async park(letter) {
      const { organization, subject, job, reason, message, attempts, lastAt } = letter;
      const command = new UpdateCommand({
        TableName: table,
        Key: { partition: organization, sort: `dead#${subject}` },
        UpdateExpression:
          "SET organization = :organization, subject = :subject, job = :job, reason = :reason, message = :message, " +
          "attempts = :attempts, lastAt = :lastAt, firstAt = if_not_exists(firstAt, :lastAt) REMOVE replayedAt",
        ExpressionAttributeValues: {
          ":organization": organization,
          ":subject": subject,
          ":job": job,
          ":reason": reason,
          ":message": message,
          ":attempts": attempts,
          ":lastAt": lastAt,
        },
      });
      await client.send(command).catch(unavailable);
    },
    deadLetter: (organization, subject) => get(organization, `dead#${subject}`, deadLetterSchema),
    deadLetters: (organization) => pages(organization, "dead#", deadLetterSchema),
    async markReplayed(letter, at) {
      await putIf(
        { partition: letter.organization, sort: `dead#${letter.subject}`, ...letter, replayedAt: at },
        "lastAt = :lastAt",
        { ":lastAt": letter.lastAt },
      );
    },
    async dropDeadLetter(organization, subject, notAfter) {
      const command = new DeleteCommand({
        TableName: table,
        Key: { partition: organization, sort: `dead#${subject}` },
        ...(notAfter === undefined
          ? {}
          : { ConditionExpression: "lastAt <= :notAfter", ExpressionAttributeValues: { ":notAfter": notAfter } }),
      });
      await client.send(command).catch((error) => {
        if (!(error instanceof ConditionalCheckFailedException)) unavailable(error);
      });
    },
    brake: (organization) => get(organization, "brake", brakeSchema),
    putBrake: (organization, brake, previous) =>
      putOnTop({ partition: organization, sort: "brake", ...brake, revision: (previous ?? 0) + 1 }, previous),
    async lock(organization, name, now, until) {
      const key = { partition: organization, sort: `lock#${name}` };
      const token = randomUUID();
      const taken = await putIf(
        { ...key, token, until },
        "attribute_not_exists(sort) OR #until < :now",
        { ":now": now },
        {
          "#until": "until",
        },
      );
      if (!taken) return undefined;
      return async () => {
        const command = new DeleteCommand({
          TableName: table,
          Key: key,
          ConditionExpression: "#token = :token",
          ExpressionAttributeNames: { "#token": "token" },
          ExpressionAttributeValues: { ":token": token },
        });
        await client.send(command).catch((error) => {
          if (!(error instanceof ConditionalCheckFailedException)) unavailable(error);
        });
      };
    },
    async acceptIdentity(organization, fingerprint) {
      const command = new PutCommand({
        TableName: table,
        Item: { partition: organization, sort: "identity", fingerprint },
      });
      await client.send(command).catch(unavailable);
    },
    identityOf: async (organization) => (await get(organization, "identity", identitySchema))?.fingerprint,
    async identity(organization, fingerprint) {
      const { entry } = await putOnce(organization, "identity", { fingerprint }, identitySchema);
      return entry.fingerprint;
    },
  };
}

function readItem<T>(schema: z.ZodType<T>, item: Record<string, unknown>): T {
  const result = schema.safeParse(item);
  if (result.success) return result.data;
  throw new LedgerUnreadable(`${item[TABLE_KEYS.partition]} ${item[TABLE_KEYS.sort]}`);
}

function unavailable(error: unknown): never {
  throw new LedgerUnavailable(error);
}
