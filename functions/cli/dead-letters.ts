import { Command } from "commander";
import { counted, printable } from "../core/text.ts";
import { type DeadLetter, type Filter, type RunOptions, type Summary, whyItStays } from "../replay/dead-letters.ts";
import { whatToDo } from "../replay/what-to-do.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, parseCount, parseTime, withConnection } from "./options.ts";
import { chosenSlugs, requireKnown } from "./organizations.ts";
import { findSubject, labelsOf } from "./people.ts";
import { type Connection, connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { CommandError } from "./report.ts";
import { print, printJson, progress, table, time } from "./terminal.ts";

interface Options extends ConnectOptions, Filter {
  json?: boolean;
  yes?: boolean;
  dryRun?: boolean;
}

/** `dead-letters list|show|replay|drop`: what was refused for good, and what to do with it. */
export function deadLettersCommand(): Command {
  const command = new Command("dead-letters").description(
    "Jobs that were refused for good: see them, try them again, or drop them.",
  );
  command.addCommand(
    withFilter(new Command("list"))
      .description("Lists dead letters with the reason. Exit code 2 when there are any.")
      .action((options: Options) => withDeadLetters(options, list)),
  );
  command.addCommand(
    withFilter(new Command("show"))
      .description("Shows everything that is known of the dead letters.")
      .action((options: Options) => withDeadLetters(options, show)),
  );
  command.addCommand(
    withChange(new Command("replay"))
      .description(
        "Sends dead letters back to the queue. Each job reads the current state first, so nothing old comes back.",
      )
      .action((options: Options) => withDeadLetters(options, replay)),
  );
  command.addCommand(
    withChange(new Command("drop"))
      .description("Removes dead letters without another attempt.")
      .action((options: Options) => withDeadLetters(options, drop)),
  );
  return command;
}

function withFilter(command: Command): Command {
  return withConnection(command)
    .option("--organization <slug>", "only this organization's")
    .option("--user <id|email>", "only this person's: the e-mail address in Clavex, or the subject (UUID)")
    .option("--event <name>", "only jobs of this event")
    .option("--reason <code>", "only with this reason, such as nextcloud-ocs-101")
    .option("--since <time>", "only last refused at this time or later (such as 2026-11-23T08:00Z)", parseTime)
    .option("--until <time>", "only last refused at this time or earlier", parseTime)
    .option("--limit <number>", "at most this many", parseCount)
    .option("--json", "print JSON");
}

function withChange(command: Command): Command {
  return withFilter(command).option("--dry-run", "only show which ones are meant").option("--yes", "do not ask");
}

/**
 * The dead letters that the options name. An e-mail address is looked up in the directories.
 *
 * @throws {CommandError} when nobody, or more than one, has it
 */
async function filterOf(options: Options, { organizations, secrets }: Connection): Promise<Filter> {
  const { organization, user, event, reason, since, until, limit } = options;
  const filter = { organization, user: user?.trim().toLowerCase(), event, reason, since, until, limit };
  if (!user?.includes("@")) return filter;
  const slugs = await chosenSlugs(organizations, organization);
  return { ...filter, ...(await findSubject({ organizations, secrets }, slugs, user)) };
}

async function withDeadLetters(
  options: Options,
  action: (options: Options, connection: Connection, filter: Filter) => Promise<void>,
): Promise<void> {
  const connection = await connect(options);
  try {
    await requireKnown(connection.organizations, options.organization);
    await action(options, connection, await filterOf(options, connection));
  } finally {
    await connection.close();
  }
}

async function list(options: Options, connection: Connection, filter: Filter): Promise<void> {
  const letters = await connection.deadLetters.list(filter);
  if (letters.length > 0) process.exitCode = EXIT.found;
  if (options.json) return printJson(letters.map(forMachines));
  await printLetters(letters, connection, filter);
}

/** With what to do about it. */
const forMachines = (letter: DeadLetter) => ({ ...letter, whatToDo: whatToDo(letter.reason) });

async function printLetters(letters: DeadLetter[], connection: Connection, filter: Filter): Promise<void> {
  if (letters.length === 0) return print(await nothing(connection, filter));
  const label = await labelsOf(connection, letters);
  const rows = letters.map((letter) => [
    label(letter),
    letter.organization,
    letter.event,
    letter.reason + (letter.replayedAt === undefined ? "" : " (sent back, on its way)"),
    letter.message,
    whatToDo(letter.reason),
    letter.attempts,
    time(letter.lastAt),
  ]);
  const head = ["Person", "Organization", "Event", "Reason", "Why", "What to do", "Attempts", "Last refused"];
  print(table(head, rows));
}

/** A filter that matches nothing says so: else a mistake in it looks like nothing to do. */
async function nothing({ deadLetters }: Connection, filter: Filter): Promise<string> {
  const others = Object.values(filter).some((value) => value !== undefined) ? await deadLetters.list({}) : [];
  if (others.length === 0) return "There are no dead letters.";
  return `No dead letter matches; without these options there ${others.length === 1 ? "is" : "are"} ${others.length}.`;
}

async function show(options: Options, connection: Connection, filter: Filter): Promise<void> {
  const letters = await connection.deadLetters.list(filter);
  if (options.json) return printJson(letters.map(forMachines));
  if (letters.length === 0) return print(await nothing(connection, filter));
  const label = await labelsOf(connection, letters);
  for (const letter of letters) {
    const { subject, organization, reason, message, firstAt, lastAt, attempts, place, replayedAt, job } = letter;
    const person = label(letter);
    print(
      [
        `Person        ${person} of ${printable(organization)}`,
        ...(person.includes(subject) ? [] : [`Subject       ${printable(subject)}`]),
        `Reason        ${reason}: ${printable(message)}`,
        `What to do    ${whatToDo(reason)}`,
        `Refused       first ${time(firstAt)}, last ${time(lastAt)}, ${counted(attempts, "attempt")}`,
        `Kept in       ${place === "parked" ? "the ledger" : "the dead-letter queue"}`,
        ...(replayedAt === undefined ? [] : [`Sent back     ${time(replayedAt)}, not done yet`]),
        `Job           ${printable(JSON.stringify(job, (key, value) => (key === "snapshot" ? "(not shown)" : value)))}`,
        "",
      ].join("\n"),
    );
  }
}

/** What replay and drop differ in. */
interface Change {
  verb: "Replay" | "Drop";
  done: "sent back" | "dropped";
  would: "replayed" | "dropped";
  stays: (letter: DeadLetter) => string | undefined;
  work: (filter: Filter, options: RunOptions) => Promise<Summary>;
}

async function replay(options: Options, connection: Connection, filter: Filter): Promise<void> {
  const { replay: work } = connection.deadLetters;
  await change(options, connection, filter, {
    verb: "Replay",
    done: "sent back",
    would: "replayed",
    stays: whyItStays,
    work,
  });
}

async function drop(options: Options, connection: Connection, filter: Filter): Promise<void> {
  const { drop: work } = connection.deadLetters;
  await change(options, connection, filter, {
    verb: "Drop",
    done: "dropped",
    would: "dropped",
    stays: () => undefined,
    work,
  });
}

/** Shows what the filter selects, asks, and does the work. */
async function change(options: Options, connection: Connection, filter: Filter, what: Change): Promise<void> {
  const { verb, done, would, stays, work } = what;
  // The limit counts only those that are worked on: the ones that stay must not use it up.
  const found = await connection.deadLetters.list({ ...filter, limit: undefined });
  const meant = found.filter((letter) => stays(letter) === undefined).slice(0, filter.limit);
  const staying = found.flatMap((letter) => {
    const why = stays(letter);
    return why === undefined ? [] : [{ organization: letter.organization, subject: letter.subject, why }];
  });
  if (options.dryRun && options.json)
    return printJson({ dryRun: true, letters: meant.map(forMachines), stayed: staying });
  if (!options.json && (meant.length > 0 || staying.length === 0)) await printLetters(meant, connection, filter);
  if (options.dryRun) {
    if (found.length > 0) print(`${counted(meant.length, "dead letter")} would be ${would}. Nothing was changed.`);
    return printStaying(staying);
  }
  let summary: Summary = { done: 0, stayed: staying, stopped: false };
  if (meant.length > 0) {
    await confirm(`${verb} ${counted(meant.length, "dead letter")}?`, options.yes);
    const bar = progress(verb, meant.length);
    summary = await work(filter, { onProgress: () => bar.advance() });
    bar.end();
  }
  if (options.json) printJson(summary);
  else if (found.length > 0) {
    print(`${summary.done} ${done}, ${summary.stayed.length} stayed.`);
    printStaying(summary.stayed);
    if (verb === "Replay" && summary.done > 0)
      print("A dead letter disappears from the list when its job has succeeded.");
  }
  if (verb === "Replay" && summary.done > 0) connection.sayIfItWaits();
  if (summary.stopped) throw new CommandError("It stopped before the end: run it again to go on.");
}

function printStaying(stayed: Summary["stayed"]): void {
  for (const { subject, why } of stayed) print(`  ${printable(subject)}: ${printable(why)}`);
}
