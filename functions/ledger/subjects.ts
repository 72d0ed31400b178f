import { type SubjectRecord, subjectItem, subjectItemSchema } from "../core/record.ts";
import { LedgerConflict } from "./errors.ts";
import { getItem, onTopOf, queryItems, type Table } from "./table.ts";

/** What is remembered of each subject. */
export interface Subjects {
  get(organization: string, subject: string): Promise<SubjectRecord | undefined>;
  /**
   * Writes a record on top of the revision that it was read with.
   *
   * @returns the record with its new revision
   * @throws {LedgerConflict} when somebody else wrote in between
   */
  put(organization: string, record: SubjectRecord): Promise<SubjectRecord>;
  /** The same, but undefined when somebody else wrote in between. */
  tryPut(organization: string, record: SubjectRecord): Promise<SubjectRecord | undefined>;
  /** All records of an organization, page by page. */
  all(organization: string): AsyncGenerator<SubjectRecord[]>;
  /**
   * How many of the organization's people have an account that is enabled, as far as the ledger knows: reads all of them.
   *
   * @param most ends the count: it is the answer where there are as many or more
   */
  countActive(organization: string, most?: number): Promise<number>;
}

const PREFIX = "subject#";

export function createSubjects(table: Table): Subjects {
  const tryPut: Subjects["tryPut"] = async (organization, record) => {
    const written = { ...record, revision: record.revision + 1 };
    const key = { partition: organization, sort: `${PREFIX}${record.subject}` };
    return (await table.put(key, subjectItem(written), onTopOf(record.revision))) ? written : undefined;
  };
  return {
    get: (organization, subject) =>
      getItem(table, { partition: organization, sort: `${PREFIX}${subject}` }, subjectItemSchema),
    tryPut,
    async put(organization, record) {
      const written = await tryPut(organization, record);
      if (!written) throw new LedgerConflict(organization, record.subject);
      return written;
    },
    async *all(organization) {
      for await (const page of queryItems(table, organization, PREFIX, subjectItemSchema))
        yield page.map(({ value }) => value);
    },
    countActive: (organization, most) =>
      table.count(organization, PREFIX, { having: { field: "state", value: "active" }, most }),
  };
}
