import type { Job } from "../core/job.ts";
import { jobSchema } from "../core/job-schema.ts";
import { briefly } from "../core/problems.ts";
import { UnreadableJob } from "./errors.ts";

/**
 * Reads the body of a queue message.
 *
 * @throws {UnreadableJob} when it is not a job
 */
export function parseJob(body: string): Job {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new UnreadableJob("not JSON");
  }
  const result = jobSchema.safeParse(json, { error: briefly });
  if (result.success) return result.data;
  throw new UnreadableJob(
    result.error.issues
      .map((issue) => `${issue.path.map(String).join(".") || "the message"} ${issue.message}`)
      .join("; "),
  );
}
