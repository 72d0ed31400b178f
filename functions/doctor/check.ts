import { Failure, fixOf, messageAt } from "../core/failure.ts";
import type { DoctorContext } from "./context.ts";

/** What a check found. `cause` says what is wrong, `fix` what to do, with the exact command if one exists. */
export interface Finding {
  status: "ok" | "warn" | "fail" | "skipped";
  cause?: string;
  fix?: string;
}

/** One thing that can be wrong. Checks only read. */
export interface Check {
  /** `area.name`; stable, for scripts. */
  id: string;
  /** What is true when the check passes. */
  title: string;
  /** The page and section of the documentation. */
  docs: string;
  /** Checks that must not have failed or been skipped: without them this one could only repeat their failure. */
  needs?: readonly string[];
  /** It looks at what `occ` changes, which reaches the web server some seconds later: a complaint is looked at again. */
  settles?: true;
  /** It reads all people, which takes long where there are many: left out where `everybody` of the options is false. */
  readsEverybody?: true;
  run(context: DoctorContext): Promise<Finding>;
}

export interface Result extends Finding {
  id: string;
  title: string;
  docs: string;
}

export const ok = (cause?: string): Finding => ({ status: "ok", ...(cause === undefined ? {} : { cause }) });
export const warn = (cause: string, fix: string): Finding => ({ status: "warn", cause, fix });
export const fail = (cause: string, fix: string): Finding => ({ status: "fail", cause, fix });
export const skipped = (cause: string, fix?: string): Finding => ({
  status: "skipped",
  cause,
  ...(fix === undefined ? {} : { fix }),
});

/** Why a check was left out that reads everybody. */
export const NOT_EVERYBODY = "it reads all people, which was not asked for";

export const complains = ({ status }: Finding): boolean => status === "warn" || status === "fail";

export const hasFailures = (results: readonly Result[]): boolean => results.some(({ status }) => status === "fail");

/**
 * Runs checks, each after those it needs and otherwise at the same time; the connections of the context keep that polite.
 *
 * @returns one result for each check, in their order
 */
export function runChecks(checks: readonly Check[], context: DoctorContext): Promise<Result[]> {
  const started = new Map<string, Promise<Result>>();

  const start = (check: Check): Promise<Result> => {
    const running = started.get(check.id) ?? runAfterNeeds(check);
    started.set(check.id, running);
    return running;
  };

  async function runAfterNeeds(check: Check): Promise<Result> {
    const { id, title, docs, needs = [] } = check;
    for (const need of needs) {
      const needed = checks.find((each) => each.id === need);
      if (needed === undefined) throw new Error(`check ${id} needs ${need}, which does not exist`);
      const { status } = await start(needed);
      if (status === "fail") return { id, title, docs, ...skipped(`needs ${need}, which failed`) };
      if (status === "skipped") return { id, title, docs, ...skipped(`needs ${need}, which was skipped`) };
    }
    return { id, title, docs, ...(await runOne(check, context)) };
  }

  return Promise.all(checks.map(start));
}

/** A typed failure carries its own fix; any other error is a mistake of ours. */
async function runOne(check: Check, context: DoctorContext): Promise<Finding> {
  if (check.readsEverybody && context.everybody === false) return skipped(NOT_EVERYBODY);
  try {
    return await check.run(context);
  } catch (error) {
    if (error instanceof Failure)
      return fail(messageAt(error, context.organization), fixOf(error) ?? "Try again later.");
    throw error;
  }
}
