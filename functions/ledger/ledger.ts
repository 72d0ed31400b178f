import { createHash } from "node:crypto";
import { ConditionalCheckFailedException } from "@aws-sdk/client-dynamodb";
import { type DynamoDBDocumentClient, GetCommand, PutCommand } from "@aws-sdk/lib-dynamodb";
import * as z from "zod";
import { LedgerConflict, LedgerUnavailable } from "./errors.ts";

/** What a person's account was last brought to. */
export const subjectStateSchema = z.enum(["active", "suspended", "deleted", "outOfScope"]);
export type SubjectState = z.output<typeof subjectStateSchema>;

const subjectEntrySchema = z.object({
  subject: z.string(),
  accountId: z.string(),
  state: subjectStateSchema,
  /** `updated_at` of the user that was applied, normalised; the order of snapshots without an API key. */
  version: z.string().optional(),
  /** The desired state that was applied, as a hash; see `desiredHash`. */
  desiredHash: z.string().optional(),
  /** The ids of the groups we put the person in. A superset while a job is under way. */
  groups: z.array(z.string()),
  /** Set while the account is disabled because of us: only then may it be enabled again. */
  disabledByUs: z.boolean(),
  /** When the person was first found gone (milliseconds since the epoch). */
  goneSince: z.number().optional(),
  /** The start of the reading that was applied (milliseconds since the epoch); jobs sent before it are done. */
  readAt: z.number().optional(),
  /** Counts the writes, so that two workers with the same subject cannot overwrite each other. */
  revision: z.number(),
});

/** The ledger's entry for one subject of an organization. */
export type SubjectEntry = z.output<typeof subjectEntrySchema>;

const groupEntrySchema = z.object({ owner: z.string(), name: z.string() });

/** Which organization made a Nextcloud group, and the group's name in its Clavex. */
export type GroupEntry = z.output<typeof groupEntrySchema>;

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
  /** Writes a group down as the organization's, unless somebody has it. Returns who owns it now. */
  claimGroup(origin: string, gid: string, entry: GroupEntry): Promise<{ entry: GroupEntry; written: boolean }>;
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
    return Item === undefined ? undefined : schema.parse(Item);
  }

  /** Puts an item if the condition holds; returns false when it does not. */
  async function putIf(
    item: Record<string, unknown>,
    condition: string,
    values: Record<string, unknown> | undefined = undefined,
  ): Promise<boolean> {
    const command = new PutCommand({
      TableName: table,
      Item: item,
      ConditionExpression: condition,
      ...(values === undefined ? {} : { ExpressionAttributeValues: values }),
    });
    try {
      await client.send(command);
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      return unavailable(error);
    }
  }

  /** Writes the item if there is none yet, and returns the one that holds. */
  async function putOnce<T>(
    partition: string,
    sort: string,
    value: T & object,
    schema: z.ZodType<T>,
  ): Promise<{ entry: T; written: boolean }> {
    const existing = await get(partition, sort, schema);
    if (existing !== undefined) return { entry: existing, written: false };
    if (await putIf({ partition, sort, ...value }, "attribute_not_exists(sort)"))
      return { entry: value, written: true };
    return { entry: (await get(partition, sort, schema)) ?? value, written: false };
  }

  return {
    subject: (organization, subject) => get(organization, `subject#${subject}`, subjectEntrySchema),
    async putSubject(organization, entry, previous) {
      const written = { ...entry, revision: (previous ?? 0) + 1 };
      const item = { partition: organization, sort: `subject#${entry.subject}`, ...written };
      const done =
        previous === undefined
          ? await putIf(item, "attribute_not_exists(sort)")
          : await putIf(item, "revision = :previous", { ":previous": previous });
      if (!done) throw new LedgerConflict(organization, entry.subject);
      return written;
    },
    group: (origin, gid) => get(`nextcloud#${origin}`, `group#${gid}`, groupEntrySchema),
    claimGroup: (origin, gid, entry) => putOnce(`nextcloud#${origin}`, `group#${gid}`, entry, groupEntrySchema),
    async identity(organization, fingerprint) {
      const { entry } = await putOnce(organization, "identity", { fingerprint }, z.object({ fingerprint: z.string() }));
      return entry.fingerprint;
    },
  };
}

function unavailable(error: unknown): never {
  throw new LedgerUnavailable(error);
}

/** The fingerprint of what decides account ids: when it changes, every id would change. */
export function identityFingerprint(identity: object): string {
  const sorted = Object.entries(identity)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}
