import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openState } from "../../functions/local/state.ts";
import { createDeadLetters } from "../../functions/replay/dead-letters.ts";
import type { ClavexUser, SimulatedClavex } from "../../functions/simulated/clavex.ts";
import type { SimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { Answer, Fault, RecordedRequest, SimulatedServer } from "../../functions/simulated/server.ts";
import { randomNumbers, SEED } from "../support/chance.ts";
import { oddField } from "../support/odd-answers.ts";
import { until } from "../support/processes.ts";
import { ORGANIZATION, openSoak, type PipelineProcesses, SLUG, type Soak } from "./soak-processes.ts";

const PEOPLE = 500;
const LATER_CHANGES = 250;
/** Below what the brake lets pass in an hour. */
const DEPARTURES = 9;
/** How far the pipeline's clock is ahead of the servers': it goes a day ahead, then back behind them. */
const AHEAD_MS = { before: 0, ahead: 26 * 3_600_000, behind: -3 * 3_600_000 };
/** Some deliveries are sent again, as Clavex does when it did not see the answer. */
const SENT_AGAIN = 0.15;
const SENDERS = 12;
const GB = 1024 ** 3;
const GROUPS = ["Engineering", "Sales", "Finance", "R&D / c++", "Ops", "été"];

const random = randomNumbers();
const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
const accountId = (subject: string): string => createHash("sha256").update(`1_0_${subject}`).digest("hex");
const groupId = accountId;

interface Trouble {
  name: string;
  times: number;
  fault: Fault;
}

const MAINTENANCE = { "x-nextcloud-maintenance-mode": "1" };
const PROXY = { "content-type": "text/html", server: "a-proxy" };
const WEB_PAGE = "<html><body>Sign in</body></html>";
/** What is no answer of the server's own, or not of the form that it should have. */
const ODD: Trouble[] = [
  { name: "odd field", times: 30, fault: oddFieldAtRandom() },
  { name: "web page", times: 4, fault: { kind: "status", status: 200, headers: PROXY, body: WEB_PAGE } },
  { name: "proxy's 401", times: 4, fault: { kind: "status", status: 401, headers: PROXY, body: WEB_PAGE } },
  { name: "proxy's 403", times: 4, fault: { kind: "status", status: 403, headers: PROXY, body: WEB_PAGE } },
  { name: "proxy's 404", times: 4, fault: { kind: "status", status: 404, headers: PROXY, body: WEB_PAGE } },
  { name: "proxy's 502", times: 4, fault: { kind: "status", status: 502, headers: PROXY, body: WEB_PAGE } },
];
/** Everything that goes wrong, and how often, within the first requests to a server. With `after` the work is done nevertheless. */
const TROUBLES: Record<"nextcloud" | "clavex", { requests: number; kinds: Trouble[] }> = {
  nextcloud: {
    requests: 1_700,
    kinds: [
      { name: "500", times: 16, fault: { kind: "status", status: 500 } },
      { name: "500 after", times: 16, fault: { kind: "status", status: 500, after: true } },
      { name: "503", times: 8, fault: { kind: "status", status: 503 } },
      { name: "maintenance", times: 3, fault: { kind: "status", status: 503, headers: MAINTENANCE } },
      { name: "429", times: 8, fault: { kind: "status", status: 429 } },
      { name: "hang", times: 3, fault: { kind: "hang" } },
      { name: "hang after", times: 3, fault: { kind: "hang", after: true } },
      { name: "reset", times: 14, fault: { kind: "reset" } },
      { name: "reset after", times: 14, fault: { kind: "reset", after: true } },
      { name: "cut", times: 16, fault: { kind: "cut" } },
      { name: "slow", times: 20, fault: { kind: "slow", ms: 100 } },
      { name: "slow after", times: 20, fault: { kind: "slow", ms: 100, after: true } },
      ...ODD,
    ],
  },
  clavex: {
    requests: 700,
    kinds: [
      { name: "500", times: 12, fault: { kind: "status", status: 500 } },
      { name: "503", times: 6, fault: { kind: "status", status: 503, headers: { "retry-after": "1" } } },
      { name: "429", times: 6, fault: { kind: "status", status: 429, headers: { "retry-after": "1" } } },
      { name: "hang", times: 2, fault: { kind: "hang" } },
      { name: "reset", times: 6, fault: { kind: "reset" } },
      { name: "cut", times: 12, fault: { kind: "cut" } },
      { name: "slow", times: 10, fault: { kind: "slow", ms: 100 } },
      ...ODD,
    ],
  },
};

/** Replaces another field of each answer, by a value of another JSON type. */
function oddFieldAtRandom(): Fault {
  const below = (limit: number): number => Math.floor(random() * limit);
  const change = (answer: Answer, request: RecordedRequest): Answer =>
    oddField({ field: below(1_000), value: below(100) }).change(answer, request);
  return { kind: "changed", change };
}

/** Spreads the troubles by chance over the server's first requests; returns how often each kind has happened by now. */
function injectFaults(
  server: SimulatedServer,
  { requests, kinds }: (typeof TROUBLES)["nextcloud"],
): Map<string, number> {
  const injected = new Map<string, number>();
  const plan = kinds
    .flatMap(({ name, times }) =>
      Array.from({ length: times }, () => ({ name, place: Math.floor(random() * requests) })),
    )
    .sort((a, b) => a.place - b.place);
  let seen = 0;
  const count = (): boolean => {
    seen += 1;
    return false;
  };
  server.faults.add({ kind: "hang", match: count });
  for (const { name, fault } of kinds) {
    const match = (): boolean => {
      const [next] = plan;
      if (next === undefined || next.place >= seen || next.name !== name) return false;
      plan.shift();
      injected.set(name, (injected.get(name) ?? 0) + 1);
      return true;
    };
    server.faults.add({ ...fault, match });
  }
  return injected;
}

let soak: Soak;
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let pipeline: PipelineProcesses;

beforeAll(async () => {
  soak = await openSoak({ quota: { default: "5 GB", byGroup: { Finance: "50 GB" } } });
  ({ clavex, nextcloud, pipeline } = soak);
});
afterAll(() => soak.close());

/** What the directory holds of a person, kept beside it, so that the expectation does not come from the code under test. */
interface Person {
  subject: string;
  first: string;
  email: string;
  attribute: boolean;
  active: boolean;
  groups: Set<string>;
  /** Why nothing can succeed for this person, if so. */
  refused: Refused | undefined;
}

type Refused =
  | "account-conflict"
  | "profile-refused"
  | "nextcloud-write-fails"
  | "nextcloud-read-fails"
  | "clavex-read-fails";

/** Who cannot be provisioned, by their number. */
function refusalOf(index: number): Refused | undefined {
  if (index % 250 === 7) return "account-conflict";
  if (index % 250 === 8) return "profile-refused";
  const one: Record<number, Refused> = {
    9: "nextcloud-write-fails",
    10: "nextcloud-read-fails",
    11: "clavex-read-fails",
  };
  return one[index];
}

/** A field of the answers to these GETs has another JSON type for ever. */
const changedFor = (path: string, field: RegExp, odd: string): Fault => ({
  kind: "changed",
  match: (request) => request.method === "GET" && request.path.includes(path),
  change: (answer) => ({ ...answer, body: (answer.body ?? "").replace(field, odd) }),
});

/** What is odd about one person for ever, and why they are refused. */
function oddForEver({ subject, refused }: Person): void {
  const account = `cloud/users/${accountId(subject)}`;
  // Ahead of what happens by chance.
  if (refused === "nextcloud-write-fails")
    nextcloud.faults.add({ kind: "status", status: 500, match: ({ body }) => body.includes(subject) });
  if (refused === "nextcloud-read-fails")
    nextcloud.faults.add({ kind: "status", status: 500, match: ({ path }) => path.includes(account) });
  if (refused === "clavex-read-fails")
    clavex.faults.add(changedFor(`/users/${subject}`, /"is_active":true/, '"is_active":"yes"'));
}

/** The accounts of those who leave cannot be read from now on, each in another way. */
const UNREADABLE: ((id: string) => Fault)[] = [
  (id) => ({ kind: "status", status: 500, match: ({ method, path }) => method === "GET" && path.includes(id) }),
  (id) => changedFor(id, /"enabled":(true|false)/, '"enabled":"$1"'),
  (id) => changedFor(id, /^.*$/s, WEB_PAGE),
];

test("500 people get through failures, odd answers, kills and a moved clock: every accepted delivery is applied, or a dead letter with a reason, and no leaver is enabled", {
  timeout: 900_000,
}, async () => {
  const started = performance.now();
  const people: Person[] = [];
  const accepted = new Set<string>();
  let posted = 0;
  const groups = new Map(GROUPS.map((name) => [name, clavex.addGroup(SLUG, name).id]));

  function add(index: number): Person {
    const person: Person = {
      subject: randomUUID(),
      first: `Person ${index}`,
      email: `person.${index}@acme.example`,
      attribute: false,
      active: true,
      groups: new Set(GROUPS.filter(() => random() < 0.25)),
      refused: refusalOf(index),
    };
    const { subject, email, first } = person;
    const last_name = person.refused === "profile-refused" ? "x".repeat(300) : "Tester";
    clavex.addUser(SLUG, { id: subject, email, first_name: first, last_name });
    for (const name of person.groups) clavex.addMember(SLUG, groups.get(name) ?? "", subject);
    if (person.refused === "account-conflict") nextcloud.addLocalUser({ id: accountId(subject) });
    people.push(person);
    return person;
  }

  const delivery = (event: string, data: object): string =>
    JSON.stringify({ id: randomUUID(), event, occurred_at: new Date().toISOString(), data });
  const membership = (event: string, { subject }: Person, name: string): string =>
    delivery(event, { org_id: ORGANIZATION, group_id: groups.get(name), user_id: subject });
  const userOf = ({ subject }: Person): ClavexUser => {
    const user = clavex.user(SLUG, subject);
    if (user === undefined) throw new Error("the person is gone");
    return user;
  };

  /** Changes a person in the directory; returns the delivery about it. */
  function change(person: Person, departures: boolean): string {
    const { subject } = person;
    const kind = departures
      ? pick(["suspend", "delete"])
      : pick(["rename", "quota", "join", "join", "leave", "nothing"]);
    switch (kind) {
      case "suspend":
        person.active = false;
        return delivery("user.updated", clavex.suspend(SLUG, subject));
      case "delete":
        person.active = false;
        return delivery("user.deleted", { id: clavex.deleteUser(SLUG, subject).id, org_id: ORGANIZATION });
      case "rename":
        person.first = `${person.first}'`;
        return delivery("user.updated", clavex.updateUser(SLUG, subject, { first_name: person.first }));
      case "quota":
        person.attribute = !person.attribute;
        return delivery(
          "user.updated",
          clavex.setAttributes(SLUG, subject, person.attribute ? { nextcloud_quota: "2 GB" } : {}),
        );
      case "join":
      case "leave": {
        const name = pick(GROUPS);
        const group = groups.get(name) ?? "";
        if (kind === "join") clavex.addMember(SLUG, group, subject);
        else clavex.removeMember(SLUG, group, subject);
        person.groups[kind === "join" ? "add" : "delete"](name);
        return membership(kind === "join" ? "group.member.added" : "group.member.removed", person, name);
      }
      default:
        return delivery("user.updated", userOf(person));
    }
  }

  async function post(body: string): Promise<void> {
    const id = await soak.post(body);
    posted += 1;
    accepted.add(id);
  }

  function* someAgain(bodies: Iterable<string>): Generator<string> {
    for (const body of bodies) {
      yield body;
      if (random() < SENT_AGAIN) yield body;
    }
  }

  async function postAll(bodies: Iterable<string>): Promise<void> {
    const next = someAgain(bodies);
    const sender = async (): Promise<void> => {
      for (let step = next.next(); !step.done; step = next.next()) await post(step.value);
    };
    await Promise.all(Array.from({ length: SENDERS }, sender));
  }

  /** Jobs that are tried again and again until they are done, or dead letters. */
  const drained = () => until(queue.counts, ({ waiting, delayed, inFlight }) => waiting + delayed + inFlight === 0);
  const provisioned = (): number => people.filter(({ subject }) => nextcloud.user(accountId(subject))).length;
  const lucky = (): Person[] => people.filter(({ refused }) => refused === undefined);
  function* arrivals(): Generator<string> {
    for (const person of people) {
      yield delivery("user.created", userOf(person));
      // A plain user webhook may be served with groups that were read a minute ago: what is newer takes a hint of its own.
      if (person.groups.size > 0) yield membership("group.member.added", person, [...person.groups][0] ?? "");
    }
  }
  const leavers = (): Person[] => lucky().slice(0, DEPARTURES);
  function* laterChanges(): Generator<string> {
    for (const leaver of leavers()) yield change(leaver, true);
    for (let index = 0; index < LATER_CHANGES; index += 1) {
      yield change(pick(lucky().filter(({ active }) => active)), false);
    }
  }

  await pipeline.start(AHEAD_MS.before);
  const state = openState(soak.stateFolder);
  const { queue, deadLetterQueue, ledger } = state;
  for (let index = 0; index < PEOPLE; index += 1) oddForEver(add(index));
  const injected = {
    nextcloud: injectFaults(nextcloud, TROUBLES.nextcloud),
    clavex: injectFaults(clavex, TROUBLES.clavex),
  };
  const sending = postAll(arrivals());
  await until(provisioned, (done) => done > PEOPLE / 4);
  await pipeline.end("SIGKILL");
  await pipeline.start(AHEAD_MS.ahead);
  await sending;
  for (const [index, { subject }] of leavers().entries()) {
    const isApplied = async () => (await ledger.subjects.get(SLUG, subject))?.applied !== undefined;
    await until(isApplied, (yes) => yes);
    const fault = UNREADABLE[index]?.(accountId(subject));
    if (fault) nextcloud.faults.add(fault);
  }
  const sendingMore = postAll(laterChanges());
  await until(provisioned, (done) => done > PEOPLE / 2);
  await pipeline.end("SIGTERM");
  await pipeline.start(AHEAD_MS.behind);
  await sendingMore;
  await until(provisioned, (done) => done > (PEOPLE * 3) / 4);
  await pipeline.end("SIGKILL");
  await pipeline.start();
  await drained();

  // What an operator does, or leaves to the schedule: by now only those are odd who stay so.
  const slugs = async () => [SLUG];
  const deadLetters = createDeadLetters({ ledger, queue, deadLetterQueue, slugs });
  const before = await deadLetters.list({});
  await soak.fullRun();
  await drained();
  await deadLetters.replay({}, { dryRun: false });
  await drained();
  const run = await soak.fullRun();
  const letters = await deadLetters.list({});
  state.close();

  const lines = pipeline.lines();
  const worked = new Set(lines.flatMap(({ message, deliveryId }) => (message === "job" ? [deliveryId] : [])));
  const lost = [...accepted].filter((id) => !worked.has(id));
  const enabled = people.filter(
    ({ active, subject }) => !active && nextcloud.user(accountId(subject))?.enabled === true,
  );
  const retries = lines.filter(({ message }) => message === "job failed").length;
  const counted = (counts: Map<string, number>): string =>
    [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
  const sum = (counts: Map<string, number>): number => [...counts.values()].reduce((a, b) => a + b, 0);
  console.log(
    [
      `soak: seed ${SEED}, ${PEOPLE} people, ${accepted.size} deliveries accepted (${posted} with repetitions)`,
      `faults injected: ${sum(injected.nextcloud) + sum(injected.clavex)}`,
      `  Nextcloud: ${counted(injected.nextcloud)}`,
      `  Clavex: ${counted(injected.clavex)}`,
      `pipeline killed 2 times, stopped and started once; ${retries} retries`,
      `clock: a day ahead, then behind; dead letters before the full run and the replay: ${before.length}`,
      `dead letters: ${letters.length} (${letters.map(({ reason }) => reason).join(", ")})`,
      `lost = ${lost.length}, leavers enabled = ${enabled.length}; ${Math.round((performance.now() - started) / 1000)} seconds`,
    ].join("\n"),
  );

  expect(lost).toEqual([]);
  expect(enabled).toEqual([]);
  expect(run).toMatchObject({ held: undefined, heldLeaves: undefined });
  const differing = new Set(run.report.differences.map(({ subject }) => subject));
  expect(people.filter(({ subject, refused }) => !refused && differing.has(subject))).toEqual([]);
  const reasons = new Map(
    people.flatMap(({ subject, refused: reason }) => (reason ? [[subject, reason] as const] : [])),
  );
  expect(letters.filter(({ subject, reason }) => reasons.get(subject) !== reason)).toEqual([]);
  // A name that cannot be held may come to nothing when the last job read something odd in its place: runs report it then.
  const reported = new Set([...letters, ...run.report.notes].map(({ subject }) => subject));
  expect([...reasons.keys()].filter((subject) => !reported.has(subject))).toEqual([]);
  for (const { message } of letters) expect(message).toMatch(/\w+ \w+/);
  for (const kinds of ["nextcloud", "clavex"] as const) {
    const times = TROUBLES[kinds].kinds.map((kind) => [kind.name, kind.times]);
    expect(Object.fromEntries(injected[kinds])).toEqual(Object.fromEntries(times));
  }

  for (const person of people) {
    if (person.refused !== undefined) continue;
    const account = nextcloud.user(accountId(person.subject));
    if (!person.active) {
      expect(account?.enabled ?? false).toBe(false);
      continue;
    }
    const quota = person.attribute ? 2 * GB : person.groups.has("Finance") ? 50 * GB : 5 * GB;
    expect(account).toMatchObject({
      displayName: `${person.first} Tester`,
      email: person.email,
      enabled: true,
      backends: ["user_oidc"],
      quota,
      groups: [...person.groups].map(groupId).sort(),
    });
  }
  const expected = people.filter(({ refused: reason }) => reason === undefined || reason === "account-conflict").length;
  // The provisioner's own account, and nobody twice. Who left before they were provisioned has none.
  expect(nextcloud.users().length).toBeLessThanOrEqual(expected + 1);
  expect(nextcloud.users().length).toBeGreaterThanOrEqual(expected + 1 - DEPARTURES);
});
