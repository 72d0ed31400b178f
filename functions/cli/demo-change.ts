import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { request } from "undici";
import { networkErrorName } from "../http.ts";
import { findPipeline, type Running } from "../local/running.ts";
import type { ClavexUser } from "../simulated/clavex.ts";
import { demoFolder, demo as loadDemo } from "./demo-organization.ts";
import { type LocalOptions, parseCount, stateOption, withState } from "./options.ts";
import { CommandError } from "./report.ts";
import { type Answer, post, showAnswer } from "./send.ts";
import { print, printJson } from "./terminal.ts";

type Options = Pick<LocalOptions, "state"> & { json?: boolean };
interface BreakOptions extends Options {
  seconds: number;
  refuse?: boolean;
}

/** `demo join|move|leave|break`: changes something in the demo that runs on this machine, as an administrator would there. */
export function demoChangeCommands(): Command[] {
  return [
    onDemo(
      "join",
      "Adds a person to the demo's Clavex, in a group, and sends the webhook that Clavex would send.",
    ).action(withParents(join)),
    onDemo(
      "move",
      "Moves a person of the demo to another group. Clavex sends no webhook for that: the group watch finds it.",
    ).action(withParents(move)),
    onDemo("leave", "Deletes a person from the demo's Clavex, and sends the webhook that Clavex would send.").action(
      withParents(leave),
    ),
    onDemo("break", "Lets the demo's Nextcloud be away for a while: jobs are tried again.")
      .option("--seconds <number>", "for how long", parseCount, 60)
      .option("--refuse", "let it refuse what is written instead: people become dead letters")
      .action(withParents(breakDown)),
  ];
}

/** `demo` takes `--json` for itself, wherever it stands. */
function withParents<T>(work: (options: T) => Promise<void>) {
  return (_options: T, command: Command) => work(command.optsWithGlobals() as T);
}

function onDemo(name: string, description: string): Command {
  return new Command(name).description(description).addOption(stateOption()).option("--json", "print JSON");
}

/** The demo that runs on this machine, as its administrators reach it. */
interface RunningDemo {
  slug: string;
  nextcloudUrl: string;
  people(): Promise<ClavexUser[]>;
  groups(): Promise<{ id: string; name: string }[]>;
  membersOf(group: { id: string }): Promise<{ id: string }[]>;
  /** A write of the Admin API. */
  write(method: "POST" | "DELETE", path: string, body?: object): Promise<unknown>;
  /** Sends what Clavex would send about this person. */
  deliver(event: string, data: object): Promise<Answer>;
}

/** @throws {CommandError} when none runs */
async function runningDemo({ state }: Options): Promise<RunningDemo> {
  const running: Running | undefined = await findPipeline(demoFolder(state.path));
  const { DEMO_ADMIN_TOKEN, DEMO_ORGANIZATION_ID, DEMO_SLUG, DEMO_WEBHOOK_SECRET } = await loadDemo();
  if (!running?.demo) {
    throw new CommandError(
      `no demo runs${withState({ state }) || " on this machine"}`,
      'Start it in another terminal with "npm start", or "npm start -- --demo" where organizations are configured',
    );
  }
  const { clavexUrl, nextcloudUrl } = running.demo;
  const api = `${clavexUrl}/api/v1/organizations/${DEMO_ORGANIZATION_ID}`;
  const call = (method: string, path: string, body?: object): Promise<unknown> =>
    ask(method, `${api}${path}`, { authorization: `Bearer ${DEMO_ADMIN_TOKEN}` }, body);
  // A demo has less than a page of everything.
  const list = async <T>(path: string): Promise<T[]> => {
    const page = (await call("GET", `${path}?limit=200`)) as T[] | { items: T[] };
    return Array.isArray(page) ? page : page.items;
  };
  return {
    slug: DEMO_SLUG,
    nextcloudUrl,
    people: async () => (await list<ClavexUser>("/users")).filter(({ is_active }) => is_active),
    groups: () => list("/groups"),
    membersOf: ({ id }) => list(`/groups/${id}/members`),
    write: call,
    async deliver(event, data) {
      const body = JSON.stringify({ id: randomUUID(), event, occurred_at: new Date().toISOString(), data });
      return post(`${running.url}/webhooks/clavex/${DEMO_SLUG}`, Buffer.from(body), DEMO_WEBHOOK_SECRET);
    },
  };
}

async function ask(method: string, url: string, headers: Record<string, string>, body?: object): Promise<unknown> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await request(url, {
    method: method as "GET",
    headers: { "content-type": "application/json", ...headers },
    ...sent,
  }).catch((error) => {
    throw new CommandError(`the demo's ${url} cannot be reached (${networkErrorName(error)})`);
  });
  const text = await answer.body.text();
  if (answer.statusCode > 299) throw new CommandError(`the demo answers HTTP ${answer.statusCode} to ${method} ${url}`);
  return text === "" ? undefined : JSON.parse(text);
}

const NEWCOMERS = [
  ["Marie", "Curie"],
  ["Alan", "Turing"],
  ["Emmy", "Noether"],
  ["Niels", "Bohr"],
  ["Rosalind", "Franklin"],
  ["Kurt", "Goedel"],
] as const;

async function join(options: Options): Promise<void> {
  const demo = await runningDemo(options);
  const people = await demo.people();
  const index = people.length % NEWCOMERS.length;
  const [first_name, last_name] = NEWCOMERS[index] ?? NEWCOMERS[0];
  const email = `${first_name}.${last_name}.${randomUUID().slice(0, 8)}@acme.example`.toLowerCase();
  const person = (await demo.write("POST", "/users", { email, first_name, last_name })) as ClavexUser;
  const [group] = await demo.groups();
  if (group) await demo.write("POST", `/groups/${group.id}/members`, { user_id: person.id });
  const delivery = await demo.deliver("user.created", person);
  if (options.json) return printJson({ user: person.id, email, joined: group?.name, delivery });
  print(`${nameOf(person)} joins${group ? ` ${group.name}` : ""}. Clavex sends user.created:`);
  showAnswer(delivery);
  tellWhereToLook(demo, person);
}

async function move(options: Options): Promise<void> {
  const demo = await runningDemo(options);
  const groups = await demo.groups();
  const people = new Map((await demo.people()).map((each) => [each.id, each]));
  for (const from of groups) {
    const member = (await demo.membersOf(from)).find(({ id }) => people.has(id));
    const person = member && people.get(member.id);
    const to = groups.find(({ id }) => id !== from.id);
    if (!person || !to) continue;
    await demo.write("DELETE", `/groups/${from.id}/members/${person.id}`);
    await demo.write("POST", `/groups/${to.id}/members`, { user_id: person.id });
    if (options.json) return printJson({ user: person.id, email: person.email, left: from.name, joined: to.name });
    print(`${nameOf(person)} moves from ${from.name} to ${to.name}. Clavex sends nothing for groups.`);
    print("The group watch finds it within a minute or two. To have it now:");
    print(`  npx clavex-nextcloud provision --organization ${demo.slug} --user ${person.id} --wait`);
    return;
  }
  throw new CommandError(
    'nobody of the demo is in a group any more: let somebody join with "npx clavex-nextcloud demo join"',
  );
}

async function leave(options: Options): Promise<void> {
  const demo = await runningDemo(options);
  const people = await demo.people();
  // Whoever came last goes first.
  const [person] = people.toSorted((one, other) => other.created_at.localeCompare(one.created_at));
  if (!person)
    throw new CommandError('nobody is left in the demo: let somebody join with "npx clavex-nextcloud demo join"');
  await demo.write("DELETE", `/users/${person.id}`);
  const delivery = await demo.deliver("user.deleted", { id: person.id, org_id: person.org_id });
  if (options.json) return printJson({ user: person.id, email: person.email, delivery });
  print(`${nameOf(person)} leaves. Clavex sends user.deleted:`);
  showAnswer(delivery);
  tellWhereToLook(demo, person);
}

async function breakDown({ seconds, refuse = false, ...options }: BreakOptions): Promise<void> {
  const demo = await runningDemo(options);
  const { DEMO_BREAK_PATH } = await loadDemo();
  await ask("POST", `${demo.nextcloudUrl}${DEMO_BREAK_PATH}`, {}, { seconds, refuse });
  if (options.json) return printJson({ seconds, refuse });
  print(
    refuse
      ? `For ${seconds} s the demo's Nextcloud refuses whatever is written: people become dead letters.`
      : `For ${seconds} s the demo's Nextcloud answers 503: jobs wait, and are done soon after.`,
  );
  print("Let somebody join or leave meanwhile, and see:");
  print("  npx clavex-nextcloud status");
  print("  npx clavex-nextcloud activity --follow");
  if (refuse) print("  npx clavex-nextcloud dead-letters list");
}

const nameOf = ({ first_name, last_name }: ClavexUser): string => `${first_name} ${last_name}`;

function tellWhereToLook(demo: RunningDemo, { id }: { id: string }): void {
  print("What came of it:");
  print(`  npx clavex-nextcloud activity --user ${id}`);
  print(`  npx clavex-nextcloud explain --organization ${demo.slug} --user ${id}`);
}
