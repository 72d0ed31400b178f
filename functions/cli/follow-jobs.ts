import { counted, printable } from "../core/text.ts";
import { type Awaited, type Fate, hindranceOf, type WaitState, waitForJobs } from "../operator/wait.ts";
import { EXIT } from "./exit-codes.ts";
import { onInterrupt } from "./interrupt.ts";
import { findLocalPipeline } from "./local-pipeline.ts";
import type { ConnectOptions } from "./options.ts";
import { labelsOf } from "./people.ts";
import type { Connection } from "./pipeline.ts";
import { complain, now, paint, print, printJson, progressBar } from "./terminal.ts";

/** Somebody whose job is waited for, as people know them. */
export interface Followed extends Awaited {
  name: string | undefined;
}

/** How long between two looks: at the state file, and at a stage's table. */
const LOOK_MS = 200;
const LOOK_STAGE_MS = 2_000;
/** When nothing has ended for this long, what is in the way is looked up, and again this often. */
const QUIET_MS = 2_000;
const LOOK_AGAIN_MS = 5_000;
/** Dead letters and edits are not what is asked for. */
const COUNT_TO = 1;
/** This many are listed one by one; of more, only those that are not done. */
const MOST_LISTED = 50;

/**
 * Waits for jobs that a command has sent, shows how far they are and what is in their way, and says what became of each. Ctrl-C ends the wait alone. Sets
 * the exit code: 1 when a job was refused, 3 when a brake holds some, 130 at Ctrl-C.
 */
export async function followJobs(
  connection: Followable,
  jobs: readonly Followed[],
  options: ConnectOptions & { json?: boolean; since: number },
): Promise<void> {
  const interrupt = onInterrupt();
  const bar = progressBar("jobs", jobs.length);
  const ended: { awaited: Awaited; fate: Fate }[] = [];
  const [activities, everyMs] =
    options.stage === undefined ? [connection.activities, LOOK_MS] : [undefined, LOOK_STAGE_MS];
  const waiting = new Set<Awaited>(jobs);
  const inTheWay = createInTheWay(connection, options);
  let state: WaitState | undefined;
  try {
    const sources = { ledger: connection.ledger, activities, everyMs, since: options.since, signal: interrupt.signal };
    for await (state of waitForJobs(sources, jobs)) {
      ended.push(...state.ended);
      for (const { awaited } of state.ended) waiting.delete(awaited);
      bar.show(ended.length, await inTheWay([...waiting]), now());
    }
  } finally {
    bar.end();
    interrupt.end();
  }
  const names = new Map(jobs.map((each) => [`${each.organization}#${each.subject}`, each.name]));
  const fates = ended.map(({ awaited: { organization, subject }, fate }) => ({
    organization,
    subject,
    name: names.get(`${organization}#${subject}`),
    ...fate,
  }));
  if (options.json) printJson(fates);
  else await showFates(connection, fates);
  const count = (result: Fate["result"]) => fates.filter((each) => each.result === result).length;
  if (interrupt.signal.aborted) {
    const left = state?.waiting ?? jobs.length;
    complain(
      `${counted(left, "job")} ${left === 1 ? "goes" : "go"} on without this command. See: npx clavex-nextcloud status`,
    );
    process.exitCode = EXIT.interrupted;
  } else if (count("parked") > 0) process.exitCode = EXIT.failed;
  else if (count("held") > 0) process.exitCode = EXIT.held;
}

type Followable = Pick<Connection, "ledger" | "queue" | "activities" | "organizations" | "secrets" | "startsPaused">;

/** Looks now and then what is in the way of jobs that do not end. */
function createInTheWay(
  connection: Followable,
  options: ConnectOptions,
): (waiting: readonly Awaited[]) => Promise<string | undefined> {
  const { activities, ...others } = connection;
  // A stage's logs are read only when somebody asks for them: each look costs.
  const sources = { ...others, countTo: COUNT_TO, ...(options.stage === undefined ? { activities } : {}) };
  let found: string | undefined;
  let left = Number.POSITIVE_INFINITY;
  let lookAt = 0;
  return async (waiting) => {
    if (waiting.length < left) {
      left = waiting.length;
      found = undefined;
      lookAt = now() + QUIET_MS;
    }
    if (waiting.length === 0 || now() < lookAt) return found;
    lookAt = now() + LOOK_AGAIN_MS;
    const pipeline = options.stage === undefined ? await findLocalPipeline(options) : undefined;
    found =
      pipeline && !pipeline.running
        ? `no pipeline runs on the state folder ${pipeline.stateFolder} any more`
        : await hindranceOf(sources, waiting, now());
    return found;
  };
}

type Told = Fate & { organization: string; subject: string; name: string | undefined };

async function showFates(
  sources: Pick<Connection, "organizations" | "secrets">,
  fates: readonly Told[],
): Promise<void> {
  const listed = fates.length > MOST_LISTED ? fates.filter(({ result }) => result !== "done") : fates;
  const label = await labelsOf(sources, listed);
  for (const fate of listed) {
    const style = fate.result === "done" ? "good" : fate.result === "ignored" ? "quiet" : "bad";
    print(`  ${paint(style, fate.result.padEnd(7))} ${label(fate)}: ${printable(wordsOf(fate))}`);
    for (const command of nextOf(fate)) print(`          ${command}`);
  }
  const count = (result: Fate["result"]) => fates.filter((each) => each.result === result).length;
  const others = (["parked", "held", "ignored"] as const).filter((result) => count(result) > 0);
  print([`${count("done")} done`, ...others.map((result) => `${count(result)} ${OTHERS[result]}`)].join(", "));
}

const OTHERS = { parked: "refused", held: "held by the brake", ignored: "with nothing to do" } as const;

function wordsOf(fate: Fate): string {
  switch (fate.result) {
    case "done":
      return fate.words ?? "in sync";
    case "ignored":
      return fate.words;
    case "parked":
      return `${fate.problem} (${fate.reason})`;
    case "held":
      return "too many people would lose access or a group at once";
  }
}

function nextOf(fate: Told): string[] {
  if (fate.result === "parked")
    return [`npx clavex-nextcloud dead-letters replay --organization ${fate.organization} --user ${fate.subject}`];
  if (fate.result === "held")
    return [`npx clavex-nextcloud reconcile --organization ${fate.organization} --allow-${fate.braked} NUMBER`];
  return [];
}
