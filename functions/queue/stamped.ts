import type { Job } from "../core/job.ts";
import type { Sender } from "./queue.ts";

/**
 * The same queue, whose jobs say which document of their organization they were planned with: a worker that holds an older one
 * reads again.
 *
 * @param configurationOf the sha256 of an organization's document; undefined when it is not known now
 */
export function stamped<T extends Sender>(queue: T, configurationOf: (slug: string) => Promise<string | undefined>): T {
  const stamp = async (job: Job): Promise<Job> => {
    const { configuration: _, ...rest } = job;
    const configuration = await configurationOf(job.organization);
    return configuration === undefined ? rest : { ...rest, configuration };
  };
  return {
    ...queue,
    send: async (job, source) => queue.send(await stamp(job), source),
    sendAll: async (jobs, source) => queue.sendAll(await Promise.all(jobs.map(stamp)), source),
  };
}
