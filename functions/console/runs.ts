import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../core/failure.ts";
import { runInWords, wentWell } from "../operator/run-in-words.ts";
import type { Run } from "../reconcile/reconcile.ts";
import { problemOf } from "../telemetry/problem.ts";
import type { ConsoleDependencies } from "./dependencies.ts";
import { goOn, type Visit } from "./page.ts";
import { PATIENCE_MS } from "./patience.ts";

/**
 * Waits a moment for a run, and goes on with a page that begins with what it did; with a large organization it takes minutes, and goes
 * on by itself.
 */
export async function followRun(
  c: Visit,
  { log, patienceMs = PATIENCE_MS }: Pick<ConsoleDependencies, "log" | "patienceMs">,
  slug: string,
  run: Promise<Run>,
  path: string,
): Promise<Response> {
  const waiting = new AbortController();
  const late = sleep(patienceMs, undefined, { signal: waiting.signal }).catch(() => undefined);
  try {
    const done = await Promise.race([run, late]);
    if (done) return goOn(c, path, runInWords(slug, done).join(" "), wentWell(done) ? "good" : "bad");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return goOn(c, path, `${slug}: it failed: ${error.message}`, "bad");
  } finally {
    waiting.abort();
  }
  run.catch((error: unknown) => log.error("console run failed", { organization: slug, ...problemOf(error) }));
  return goOn(
    c,
    path,
    `${slug}: the run is under way. Status says when it has ended and how, Activity what its jobs do.`,
  );
}
