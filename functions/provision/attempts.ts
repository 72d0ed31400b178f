import type { Organizations } from "../config/organizations.ts";
import { Failure } from "../core/failure.ts";
import { accountId } from "../core/identity.ts";
import type { PersonJob } from "../core/job.ts";
import { failedAttempt, newRecord } from "../core/record.ts";
import type { Ledger } from "../ledger/ledger.ts";

/**
 * Counts a failed attempt. Receives do not measure it: a job that goes back untried is received too.
 *
 * @returns how many there were in a row, this one included; undefined when they cannot be counted now
 */
export type CountFailure = (job: PersonJob) => Promise<number | undefined>;

export function createCountFailure(organizations: Organizations, { subjects }: Pick<Ledger, "subjects">): CountFailure {
  return async ({ organization: slug, subject }) => {
    try {
      const organization = await organizations.get(slug);
      if (!organization) return undefined;
      const before = await subjects.get(slug, subject);
      const record = failedAttempt(before ?? newRecord(subject, accountId(organization.identity, subject)));
      // Another worker wrote in between: its job is the newer one, and this count is as good.
      await subjects.tryPut(slug, record);
      return record.failures;
    } catch (error) {
      // What made the attempt fail may keep it from being counted: that is the failure to report.
      if (error instanceof Failure) return undefined;
      throw error;
    }
  };
}
