import { Command, Option } from "commander";
import { createClients } from "../clients.ts";
import { ACTIVITY_RESULTS, type Activity, type ActivityResult, activityInWords } from "../core/activity.ts";
import { printable } from "../core/text.ts";
import { followActivities } from "../operator/activity.ts";
import { createNames, type Names, type Somebody } from "../operator/names.ts";
import { onInterrupt } from "./interrupt.ts";
import { type ConnectOptions, parseCount, parseTime, withConnection } from "./options.ts";
import { requireKnown } from "./organizations.ts";
import { findSubject, personLabel, requireSubject, USER_OPTION } from "./people.ts";
import { openForReading } from "./pipeline.ts";
import type { Sources } from "./sources.ts";
import { print, printJsonLine, time } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user?: string;
  result?: ActivityResult;
  since?: number;
  limit: number;
  follow?: boolean;
  json?: boolean;
}

/** How long between two looks while following: at the state file, and at CloudWatch, which counts them. */
const LOOK_MS = 500;
const LOOK_STAGE_MS = 5_000;

/** `activity`: what happened lately, a line for each delivery, job and run. */
export function activityCommand(): Command {
  return withConnection(new Command("activity"))
    .description("Shows what happened lately: each delivery, what its job did, and each run.")
    .option("--organization <slug>", "only this organization's")
    .option(USER_OPTION, "only about this person: e-mail address in Clavex, or subject (UUID)")
    .addOption(new Option("--result <result>", "only with this result").choices(ACTIVITY_RESULTS))
    .option("--since <time>", "only at this time or later (such as 2026-11-23T08:00Z)", parseTime)
    .option("--limit <number>", "at most this many, the newest", parseCount, 20)
    .option("--follow", "keep showing what happens, until Ctrl-C")
    .option("--json", "print JSON, one object a line")
    .action(activity);
}

/** Whom the activities are about, and of which organization. */
async function about(
  sources: Pick<Sources, "organizations" | "secrets">,
  { organization, user }: Options,
): Promise<{ organization?: string | undefined; subject?: string }> {
  if (user === undefined) return { organization };
  if (!user.includes("@")) return { organization, subject: requireSubject(user) };
  const slugs = organization === undefined ? await sources.organizations.slugs() : [organization];
  const found = await findSubject(sources, slugs, user);
  return { organization: found.organization, subject: found.user };
}

async function activity(options: Options): Promise<void> {
  const { organizations, secrets, activities: log, stopped, close } = await openForReading(options);
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  const interrupt = onInterrupt();
  try {
    await requireKnown(organizations, options.organization);
    const { result, since, limit } = options;
    const filter = { ...(await about({ organizations, secrets }, options)), result, since };
    const several = filter.organization === undefined && (await organizations.slugs()).length > 1;
    const names = createNames({ organizations, clients });
    const show = async (activities: Activity[]): Promise<void> => {
      if (options.json) for (const each of activities) printJsonLine(each);
      else await showLines(activities, names, several);
    };
    if (!options.follow) {
      const { activities } = await log.last(filter, limit);
      const why = stopped ? `: ${stopped.finding.cause}` : "";
      if (activities.length === 0 && !options.json) print(`Nothing of this kind has happened lately${why}.`);
      return await show(activities);
    }
    const everyMs = options.stage === undefined ? LOOK_MS : LOOK_STAGE_MS;
    for await (const some of followActivities(log, filter, { most: limit, everyMs, signal: interrupt.signal }))
      await show(some);
  } finally {
    interrupt.end();
    await clients.close();
    await close();
  }
}

async function showLines(activities: Activity[], names: Names, several: boolean): Promise<void> {
  await names.learn(activities.flatMap((each) => somebody(each) ?? []));
  for (const each of activities) print(lineOf(each, names, several));
}

function somebody({ organization, subject }: Activity): Somebody | undefined {
  return subject === undefined ? undefined : { organization, subject };
}

/** The person's name goes before the id, where it is known. */
function lineOf(activity: Activity, names: Names, several: boolean): string {
  const who = somebody(activity);
  const { at, organization, kind, cause, subject } = activity;
  const parts = [
    time(at).replace("T", " "),
    ...(several ? [organization] : []),
    activity.result.padEnd(9),
    ...(subject === undefined ? [] : [personLabel({ subject, ...(who && names.of(who)) })]),
    // The log line of a failed job does not say it.
    ...(kind === "run" || cause === "" ? [] : [cause]),
  ];
  return printable(`${parts.join("  ")}  ${activityInWords(activity)}`);
}
