import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { request } from "undici";
import { SIGNATURE_HEADER, sign } from "../clavex/signature.ts";
import { fixedOrganizations } from "../config/organizations.ts";
import { accountId } from "../core/identity.ts";
import { NEVER } from "../core/schedule.ts";
import type { Pipeline } from "../local/pipeline.ts";
import type { ClavexUser } from "../simulated/clavex.ts";
import type { DemoSystems } from "../simulated/demo.ts";
import type { AccountView } from "../simulated/nextcloud.ts";
import type { Log } from "../telemetry/log.ts";
import { demoChangeCommands } from "./demo-change.ts";
import { demo } from "./demo-organization.ts";
import { EXIT } from "./exit-codes.ts";
import { CommandError } from "./report.ts";
import { print, printJson, table } from "./terminal.ts";

const GB = 1024 ** 3;
/** A Nextcloud group unrelated to Clavex; nobody may be removed from it. */
const LOCAL_GROUP = "board";

/** What tells the story while it is played. */
type Tell = (line: string) => void;

/** The pipeline's log in short: what each job changed, and every failure in full. */
function demoLog(tell: Tell): Log {
  const whole = (message: string, fields?: object) => tell(`    ${message} ${JSON.stringify(fields)}`);
  return {
    debug: () => undefined,
    info: (message, { operations = [], subject } = {}) => {
      if (message !== "job") return;
      const changes = (operations as string[]).join(", ");
      tell(`    ${subject}: ${changes === "" ? "nothing to change" : changes}`);
    },
    warn: whole,
    error: whole,
  };
}

/** What must be true of a person's account at the end. */
interface Expectation {
  user: ClavexUser;
  story: string;
  displayName: string;
  quota: number;
  groups: string[];
  enabled: boolean;
}

/** `demo`: a joiner, a mover and a leaver, played through the whole pipeline between simulated systems. */
export function demoCommand(): Command {
  const command = new Command("demo")
    .description("Plays a joiner, a mover and a leaver through the pipeline, between simulated systems.")
    .option("--json", "print JSON: what Nextcloud holds at the end, and whether it is in sync")
    .allowExcessArguments()
    .action(run);
  for (const change of demoChangeCommands()) command.addCommand(change);
  return command;
}

async function run({ json = false }: { json?: boolean }, { args: [unknown], commands }: Command): Promise<void> {
  if (unknown !== undefined) {
    const known = commands.map((each) => each.name()).filter((name) => name !== "help");
    throw new CommandError(`demo has no command ${unknown}; it has: ${known.join(", ")}`);
  }
  const tell: Tell = json ? () => undefined : print;
  const { startPipeline } = await import("../local/pipeline.ts");
  const systems = await (await demo()).startDemoSystems();
  const pipeline = await startPipeline({
    organizations: fixedOrganizations([systems.organization]),
    secrets: systems.secrets,
    log: demoLog(tell),
    port: 0,
    intervals: NEVER,
  });
  try {
    tell("A simulated Clavex and a simulated Nextcloud, with the real pipeline between them.");
    const result = resultOf(systems, await play(systems, pipeline, tell));
    if (result.wrong.length > 0) process.exitCode = EXIT.failed;
    if (json) printJson({ inSync: result.wrong.length === 0, ...result });
    else showResult(result);
  } finally {
    await pipeline.stop();
    await systems.close();
  }
}

async function play(systems: DemoSystems, pipeline: Pipeline, tell: Tell): Promise<Expectation[]> {
  const { clavex, nextcloud, people } = systems;
  const { slug } = systems.organization;
  const { ada, grace, linus } = people;
  const chapter = async (title: string, ...bodies: string[]): Promise<void> => {
    tell(`\n${title}`);
    for (const body of bodies) await deliver(systems, pipeline, body);
    await pipeline.idle();
  };
  const group = (name: string) => clavex.groupByName(slug, name) ?? clavex.addGroup(slug, name);
  const about = (event: string, user: ClavexUser): string => JSON.stringify(clavex.delivery(event, user));

  await chapter("Grace and Linus are created in Clavex", about("user.created", grace), about("user.created", linus));
  nextcloud.addGroup(LOCAL_GROUP, "Board");
  nextcloud.addMember(LOCAL_GROUP, accountId(systems.organization.identity, grace.id));
  tell(`    (a Nextcloud administrator puts Grace into the local group "${LOCAL_GROUP}")`);

  const joined = about("user.created", ada);
  await chapter("The joiner: Ada is created in Clavex", joined);
  await chapter("The duplicate: Clavex sends the same delivery again, in the form of a retry", asRetry(joined));
  tell("    (the queue dropped it: it knows the delivery's id)");

  clavex.setAttributes(slug, grace.id, { nextcloud_quota: "20 GB" });
  const renamed = clavex.updateUser(slug, grace.id, { last_name: "Brewster Hopper" });
  await chapter("The mover: Grace gets a new name and a larger quota", about("user.updated", renamed));
  clavex.removeMember(slug, group("Engineering").id, grace.id);
  clavex.addMember(slug, group("Finance").id, grace.id);
  await chapter("... and moves from Engineering to Finance", membershipHint(grace));
  tell(
    "    (today's Clavex sends no webhook for groups: the group watch finds it within a minute; a hint was sent here)",
  );

  clavex.deleteUser(slug, linus.id);
  await chapter("The leaver: Linus is deleted in Clavex", about("user.deleted", linus));

  return [
    { user: ada, story: "joined", displayName: "Ada Lovelace", quota: 5 * GB, groups: ["Engineering"], enabled: true },
    {
      user: grace,
      story: "moved",
      displayName: "Grace Brewster Hopper",
      quota: 20 * GB,
      groups: ["Board", "Finance"],
      enabled: true,
    },
    { user: linus, story: "left", displayName: "Linus Pauling", quota: 5 * GB, groups: ["Sales"], enabled: false },
  ];
}

async function deliver({ organization, secrets }: DemoSystems, pipeline: Pipeline, body: string): Promise<void> {
  const [secret = ""] = await secrets.webhook(organization);
  const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) };
  const answer = await request(`${pipeline.url}/webhooks/clavex/${organization.slug}`, {
    method: "POST",
    headers,
    body,
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 202) throw new Error(`the delivery was answered with ${answer.statusCode} ${text}`);
}

/** A retried body comes back from a database column: with the keys in another order and other white space, but the same id. */
function asRetry(body: string): string {
  const { id, event, occurred_at, data } = JSON.parse(body);
  return JSON.stringify({ id, data, event, occurred_at }, undefined, 1);
}

/** Clavex declares this event but does not send it yet; reconciliation finds the change instead. */
function membershipHint(user: ClavexUser): string {
  return JSON.stringify({
    id: randomUUID(),
    event: "group.member.added",
    occurred_at: new Date().toISOString(),
    data: { org_id: user.org_id, user_id: user.id },
  });
}

/** An account as it is at the end. */
interface Found {
  story: string;
  email: string;
  accountId: string;
  name: string | undefined;
  groups: string[];
  quota: AccountView["quota"] | undefined;
  canLogIn: boolean;
  inSync: boolean;
}

interface Result {
  people: Found[];
  /** What is not as the story says, for people to read. */
  wrong: string[];
}

/** What Nextcloud holds at the end, compared with what the story says. */
function resultOf({ nextcloud, organization }: DemoSystems, expectations: Expectation[]): Result {
  const displayNames = new Map(nextcloud.groups().map((group) => [group.gid, group.displayName]));
  const wrong: string[] = [];
  const people = expectations.map((expected): Found => {
    const { email } = expected.user;
    const id = accountId(organization.identity, expected.user.id);
    const account = nextcloud.user(id);
    const groups = (account?.groups ?? []).map((gid) => displayNames.get(gid) ?? gid).sort();
    const inSync =
      account !== undefined &&
      account.displayName === expected.displayName &&
      account.email === email &&
      account.quota === expected.quota &&
      account.enabled === expected.enabled &&
      groups.join() === expected.groups.join();
    if (!inSync) wrong.push(`${email}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(account)}`);
    const canLogIn = account?.enabled ?? false;
    const { story } = expected;
    return { story, email, accountId: id, name: account?.displayName, groups, quota: account?.quota, canLogIn, inSync };
  });
  const accounts = nextcloud.users().filter(({ id }) => id !== nextcloud.username).length;
  if (accounts !== people.length) wrong.push(`${accounts} accounts were created for ${people.length} people`);
  return { people, wrong };
}

function showResult({ people, wrong }: Result): void {
  const rows = people.map(({ story, name, groups, quota, canLogIn, inSync }) => [
    story,
    name ?? "(no account)",
    groups.join(", "),
    quota === undefined || quota === "none" ? "unlimited" : `${quota / GB} GB`,
    canLogIn ? "yes" : "no",
    inSync ? "in sync" : "WRONG",
  ]);
  print("\nWhat Nextcloud holds now:\n");
  print(table(["", "Name in Nextcloud", "Groups", "Quota", "Can log in", ""], rows));
  print(
    `\nEach account has the id that the person's first login will look for, such as\n  Ada: ${people[0]?.accountId}`,
  );
  if (wrong.length > 0) print(`\nThis is not right:\n  ${wrong.join("\n  ")}`);
  else print("\nEverything is in sync.");
}
