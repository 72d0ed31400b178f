import { Command } from "commander";
import { printable } from "../core/text.ts";
import { type DeadLetter, type Filter, type RunOptions, type Summary, whyItStays } from "../replay/dead-letters.ts";
import { type ConnectOptions, parseCount, parseTime, withConnection } from "./options.ts";
import { requireKnown } from "./organizations.ts";
import { type Connection, connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { CommandError } from "./report.ts";
import { print, printJson, progress, table, time } from "./terminal.ts";

interface Options extends ConnectOptions, Filter {
  json?: boolean;
  yes?: boolean;
  dryRun?: boolean;
}

/** Exit code when dead letters were found, for scripts that watch them. */
const FOUND = 2;

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
      .description("Sends dead letters back to the queue. Each job reads the truth first: nothing old comes back.")
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
    .option("--user <id>", "only this subject's (UUID)")
    .option("--event <name>", "only jobs of this event")
    .option("--reason <code>", "only with this reason, such as nextcloud-ocs-101")
    .option("--since <time>", "only last refused at this time or later (such as 2026-11-23T08:00Z)", parseTime)
    .option("--until <time>", "only last refused at this time or earlier", parseTime)
    .option("--limit <number>", "at most so many", parseCount)
    .option("--json", "print JSON");
}

function withChange(command: Command): Command {
  return withFilter(command).option("--dry-run", "only show which ones are meant").option("--yes", "do not ask");
}

function filterOf({ organization, user, event, reason, since, until, limit }: Options): Filter {
  return { organization, user: user?.toLowerCase(), event, reason, since, until, limit };
}

async function withDeadLetters(
  options: Options,
  action: (options: Options, connection: Connection) => Promise<void>,
): Promise<void> {
  const connection = await connect(options);
  try {
    await requireKnown(connection.organizations, options.organization);
    await action(options, connection);
  } finally {
    await connection.close();
  }
}

async function list(options: Options, { deadLetters }: Connection): Promise<void> {
  const letters = await deadLetters.list(filterOf(options));
  if (letters.length > 0) process.exitCode = FOUND;
  if (options.json) return printJson(letters);
  printLetters(letters);
}

function printLetters(letters: DeadLetter[]): void {
  if (letters.length === 0) {
    print("There are no dead letters.");
    return;
  }
  const rows = letters.map((letter) => [
    letter.organization,
    letter.subject,
    letter.event ?? "",
    letter.reason + (letter.replayedAt === undefined ? "" : " (sent back, on its way)"),
    letter.attempts,
    time(letter.lastAt),
  ]);
  print(table(["Organization", "User", "Event", "Reason", "Attempts", "Last refused"], rows));
  for (const { subject, message } of letters) print(`${printable(subject)}: ${printable(message)}`);
}

async function show(options: Options, { deadLetters }: Connection): Promise<void> {
  const letters = await deadLetters.list(filterOf(options));
  if (options.json) return printJson(letters);
  for (const letter of letters) {
    print(
      [
        `User          ${printable(letter.subject)} of ${printable(letter.organization)}`,
        `Reason        ${letter.reason}: ${printable(letter.message)}`,
        `Refused       first ${time(letter.firstAt)}, last ${time(letter.lastAt)}, attempts ${letter.attempts}`,
        `Kept in       ${letter.place === "parked" ? "the ledger" : "the dead-letter queue"}`,
        ...(letter.replayedAt === undefined ? [] : [`Sent back     ${time(letter.replayedAt)}, not done yet`]),
        `Job           ${printable(JSON.stringify(letter.job, (key, value) => (key === "snapshot" ? "(not shown)" : value)))}`,
        "",
      ].join("\n"),
    );
  }
  if (letters.length === 0) print("There are no dead letters.");
}

async function replay(options: Options, connection: Connection): Promise<void> {
  await change(options, connection, "Replay", "sent back", whyItStays, connection.deadLetters.replay);
}

async function drop(options: Options, connection: Connection): Promise<void> {
  await change(options, connection, "Drop", "dropped", () => undefined, connection.deadLetters.drop);
}

/** Shows what the filter selects, asks, and does the work. */
async function change(
  options: Options,
  { deadLetters, sayIfItWaits }: Connection,
  verb: string,
  done: string,
  stays: (letter: DeadLetter) => string | undefined,
  work: (filter: Filter, options: RunOptions) => Promise<Summary>,
): Promise<void> {
  const filter = filterOf(options);
  // The limit counts only those that are worked on: the ones that stay must not use it up.
  const found = await deadLetters.list({ ...filter, limit: undefined });
  const meant = found.filter((letter) => stays(letter) === undefined).slice(0, filter.limit);
  const staying = found.flatMap((letter) => {
    const why = stays(letter);
    return why === undefined ? [] : [{ organization: letter.organization, subject: letter.subject, why }];
  });
  if (options.dryRun && options.json) return printJson({ dryRun: true, letters: meant, stayed: staying });
  if (!options.json && (meant.length > 0 || staying.length === 0)) printLetters(meant);
  if (options.dryRun) {
    print(`${verb} would work on ${meant.length}. Nothing was changed.`);
    return printStaying(staying);
  }
  let summary: Summary = { done: 0, stayed: staying, stopped: false };
  if (meant.length > 0) {
    await confirm(`${verb} ${meant.length} dead letters?`, options.yes);
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
  if (verb === "Replay" && summary.done > 0) sayIfItWaits();
  if (summary.stopped) throw new CommandError("It stopped before the end: run it again to go on.");
}

function printStaying(stayed: Summary["stayed"]): void {
  for (const { subject, why } of stayed) print(`  ${printable(subject)}: ${printable(why)}`);
}
