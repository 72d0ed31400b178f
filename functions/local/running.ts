import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";

const runningSchema = z.object({
  url: z.string(),
  endpoints: z.object({
    sqs: z.string(),
    dynamodb: z.string(),
    queueUrl: z.string(),
    deadLetterQueueUrl: z.string(),
    tableName: z.string(),
  }),
  /** Where the simulated systems are, when it runs the demo organization. */
  demo: z.object({ clavexUrl: z.string(), nextcloudUrl: z.string() }).optional(),
});

/** What another process needs to know of a running local pipeline. */
export type Running = z.output<typeof runningSchema>;

const file = (stateFolder: string): string => join(stateFolder, "pipeline.json");

/** Writes down where the pipeline on this state folder can be reached. */
export async function rememberPipeline(stateFolder: string, running: Running): Promise<void> {
  await writeFile(file(stateFolder), JSON.stringify(running));
}

export async function forgetPipeline(stateFolder: string): Promise<void> {
  await rm(file(stateFolder), { force: true });
}

/** The pipeline that runs on this state folder, or undefined. One that was killed does not count as running. */
export async function findPipeline(stateFolder: string): Promise<Running | undefined> {
  let running: Running;
  try {
    running = runningSchema.parse(JSON.parse(await readFile(file(stateFolder), "utf8")));
  } catch {
    return undefined;
  }
  const alive = await fetch(`${running.url}/healthz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
  return alive?.ok ? running : undefined;
}
