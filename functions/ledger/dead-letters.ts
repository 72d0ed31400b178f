import * as z from "zod";
import { jobSchema } from "../core/job-schema.ts";
import { ABSENT, ALWAYS, type Condition, foreignFields, getItem, queryItems, read, type Table } from "./table.ts";

const parkedJobSchema = z.object({
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
export type ParkedJob = z.output<typeof parkedJobSchema>;

/** The dead letters that the ledger keeps: at most one for each subject. */
export interface ParkedJobs {
  /** Writes a dead letter; the time of the first one for this subject is kept. */
  park(letter: Omit<ParkedJob, "firstAt" | "replayedAt">): Promise<void>;
  get(organization: string, subject: string): Promise<ParkedJob | undefined>;
  /** All dead letters of an organization, page by page. */
  all(organization: string, pageSize?: number): AsyncGenerator<ParkedJob[]>;
  /** How many there are; see `Table.count`. */
  count(organization: string, most?: number): Promise<number>;
  /** Notes that a dead letter was sent back to the queue; not when it has been parked again since it was read. */
  markReplayed(letter: ParkedJob, at: number): Promise<void>;
  /** Removes a dead letter; one that was parked after `notAfter` (milliseconds since the epoch) stays. */
  drop(organization: string, subject: string, notAfter?: number): Promise<void>;
}

const PREFIX = "dead#";

export function createParkedJobs(table: Table): ParkedJobs {
  const keyOf = (organization: string, subject: string) => ({ partition: organization, sort: `${PREFIX}${subject}` });
  const get: ParkedJobs["get"] = (organization, subject) =>
    getItem(table, keyOf(organization, subject), parkedJobSchema);
  const unchanged = ({ lastAt }: ParkedJob): Condition => ({ when: "equal", field: "lastAt", value: lastAt });
  return {
    get,
    async park(letter) {
      const key = keyOf(letter.organization, letter.subject);
      for (;;) {
        const stored = await table.get(key);
        const before = stored && read(parkedJobSchema, key, stored);
        const item = {
          ...foreignFields(parkedJobSchema, stored),
          ...letter,
          firstAt: before?.firstAt ?? letter.lastAt,
        };
        if (await table.put(key, item, before ? unchanged(before) : ABSENT)) return;
      }
    },
    async *all(organization, pageSize) {
      for await (const page of queryItems(table, organization, PREFIX, parkedJobSchema, pageSize))
        yield page.map(({ value }) => value);
    },
    count: (organization, most) => table.count(organization, PREFIX, { most }),
    async markReplayed(letter, at) {
      const key = keyOf(letter.organization, letter.subject);
      const foreign = foreignFields(parkedJobSchema, await table.get(key));
      await table.put(key, { ...foreign, ...letter, replayedAt: at }, unchanged(letter));
    },
    async drop(organization, subject, notAfter) {
      const condition: Condition =
        notAfter === undefined ? ALWAYS : { when: "at-most", field: "lastAt", value: notAfter };
      await table.delete(keyOf(organization, subject), condition);
    },
  };
}
