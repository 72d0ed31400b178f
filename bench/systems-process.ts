import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { SIGNATURE_HEADER, sign } from "../functions/clavex/signature.ts";
import { accountId, groupId } from "../functions/core/identity.ts";
import {
  type ClavexUser,
  DEFAULT_ORGANIZATION,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../functions/simulated/clavex.ts";
import {
  DEFAULT_APP_PASSWORD,
  type SimulatedNextcloud,
  startSimulatedNextcloud,
} from "../functions/simulated/nextcloud.ts";
import { bareLoop, connect, type LoopPerson } from "./loops.ts";
import { type NextcloudTimes, nextcloudTimes, type ProfileName } from "./nextcloud-times.ts";
import { IDENTITY, QUOTA, WEBHOOK_SECRET } from "./organization.ts";
import { offer } from "./process.ts";
import { stormPlan } from "./storm-plan.ts";

/** The simulated Clavex and Nextcloud in a process of their own, with what a bench asks of them. */
let clavex: SimulatedClavex;
/** These two only while Nextcloud is simulated. */
let nextcloud: SimulatedNextcloud | undefined;
let times: NextcloudTimes | undefined;
/** Clavex sends on several connections, and a delivery five times. */
const SENDERS = 16;
const DELIVERY_ATTEMPTS = 5;
const senders = new Agent({ connections: SENDERS });
let browsers: Promise<void>[] = [];
let browsing = false;
const answers: number[] = [];
/** The names of each person's groups in Clavex. */
const groupsOf = new Map<string, string[]>();
const { slug } = DEFAULT_ORGANIZATION;
const JOINED = "Bench joined";

const services = {
  /**
   * @param profile which measured server Nextcloud answers like
   * @param scale how many times faster than that one
   * @param real the base URL of a real Nextcloud, in place of a simulated one
   */
  async open(profile: ProfileName, scale: number, real?: string) {
    clavex = await startSimulatedClavex();
    if (real !== undefined) return { clavex: clavex.url, nextcloud: real };
    const exists = (subject: string) => nextcloud?.user(accountId(IDENTITY, subject)) !== undefined;
    times = nextcloudTimes({ profile, scale, exists });
    nextcloud = await startSimulatedNextcloud({ serviceTime: times.of });
    return { clavex: clavex.url, nextcloud: nextcloud.url };
  },

  /** Adds people to Clavex, each in some of this many new groups. */
  hire(people: number, groups: number, groupsEach: number): LoopPerson[] {
    const run = randomUUID();
    const made = Array.from({ length: groups }, (_, index) => clavex.addGroup(slug, `Bench ${run} ${index}`));
    return Array.from({ length: people }, (_, index) => {
      const email = `person.${index}@bench.example`;
      const { id: subject } = clavex.addUser(slug, { email, first_name: "Ada", last_name: String(index) });
      const own = Array.from({ length: groupsEach }, (_, which) => made[(index + which * 7) % groups]);
      for (const group of own) if (group) clavex.addMember(slug, group.id, subject);
      const names = own.flatMap((group) => group?.name ?? []);
      groupsOf.set(subject, names);
      return { subject, displayName: `Ada ${index}`, email, groups: names };
    });
  },

  /**
   * Plays Clavex in a storm of deliveries. Deliveries that are not accepted are sent again, as Clavex does.
   *
   * @param seconds in which all are sent, evenly
   * @returns how many were accepted, and how many HTTP answers said something else
   */
  async storm(url: string, count: number, seconds: number, seed: number) {
    const people = subjectsInOrder();
    const sent = people.map((): string[] => []);
    const result = { accepted: 0, refused: 0 };
    const underWay = new Set<Promise<void>>();
    const started = performance.now();
    for (const [index, { person, kind }] of stormPlan(people.length, count, seed).entries()) {
      const subject = people[person] ?? "";
      const before = sent[person] ?? [];
      const body =
        kind === "again"
          ? before.at(-1)
          : kind === "late"
            ? before[0]?.replace(/^\{"id":"[^"]+"/, `{"id":"${randomUUID()}"`)
            : undefined;
      if (kind === "changed") clavex.updateUser(slug, subject, { last_name: `Name ${index}` });
      const user = clavex.user(slug, subject);
      if (!user) throw new Error("nobody leaves in this storm");
      const fresh = () => JSON.stringify(clavex.delivery(kind === "created" ? "user.created" : "user.updated", user));
      const delivery = body ?? fresh();
      before.push(delivery);
      const ahead = started + (index / count) * seconds * 1000 - performance.now();
      if (ahead > 2) await sleep(ahead);
      if (underWay.size >= SENDERS) await Promise.race(underWay);
      const sending = deliver(url, delivery, result).finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
    await Promise.all(underWay);
    return { ...result, seconds: (performance.now() - started) / 1000 };
  },

  /** Sends the delivery about a new person, as a source of hints sends it. @returns the seconds until their account is as it should be */
  async arrive(url: string, index: number, source: "webhook" | "audit sink" = "webhook"): Promise<number> {
    const user = userAt(index);
    const delivery =
      source === "webhook" ? clavex.delivery("user.created", user) : cloudEvent("scim.user.create", user.id);
    const started = performance.now();
    await deliver(url, JSON.stringify(delivery), { accepted: 0, refused: 0 });
    return secondsUntilRight(user.id, started);
  },

  /** A person joins one more group, which all who join share; no delivery tells. @returns as `arrive` */
  async join(index: number): Promise<number> {
    const { id: subject } = userAt(index);
    const group = clavex.groupByName(slug, JOINED) ?? clavex.addGroup(slug, JOINED);
    const started = performance.now();
    clavex.addMember(slug, group.id, subject);
    groupsOf.set(subject, [...(groupsOf.get(subject) ?? []), JOINED]);
    return secondsUntilRight(subject, started);
  },

  /** From now on this many other people's programs send requests to Nextcloud, one by one. */
  browse(people: number): void {
    const server = { url: nextcloud?.url ?? "", username: "provisioner", password: DEFAULT_APP_PASSWORD };
    browsers = Array.from({ length: people }, async (_, index) => {
      const { call, close } = connect(server, bareLoop);
      for (browsing = true; browsing; ) {
        const started = performance.now();
        await call("GET", `cloud/users/somebody-${index}`);
        answers.push(performance.now() - started);
      }
      await close();
    });
  },

  /** How long their answers took since the last time this was asked, in milliseconds; with `stop` they ask no more. */
  async browsed(stop: boolean): Promise<number[]> {
    browsing &&= !stop;
    if (stop) await Promise.all(browsers);
    return answers.splice(0);
  },

  /** How many requests each server has received, and how many seconds those to Nextcloud took, summed up. */
  work: () => ({
    clavex: clavex.requests.length,
    nextcloud: nextcloud?.requests.length ?? 0,
    nextcloudSeconds: (times?.total() ?? 0) / 1000,
  }),

  /** How many people lack the account that the directory asks for; unknown for a real Nextcloud. */
  wrong: () => (nextcloud ? subjectsInOrder().filter((subject) => !isRight(subject)).length : 0),
};
export type SystemsServices = typeof services;

const subjectsInOrder = (): string[] => [...groupsOf.keys()];

function userAt(index: number): ClavexUser {
  const user = clavex.user(slug, subjectsInOrder()[index] ?? "");
  if (!user) throw new Error(`nobody is number ${index}`);
  return user;
}

async function secondsUntilRight(subject: string, started: number): Promise<number> {
  while (!isRight(subject)) await sleep(2);
  return (performance.now() - started) / 1000;
}

/** What an audit sink sends, in the form of docs/facts/clavex.md section 3. */
function cloudEvent(action: string, subject: string) {
  const { id: organizationId } = DEFAULT_ORGANIZATION;
  return {
    specversion: "1.0",
    id: randomUUID(),
    source: `${clavex.url}/${organizationId}`,
    type: `com.clavex.audit.${action}`,
    time: new Date().toISOString(),
    subject: `/orgs/${organizationId}/users/${subject}`,
    dataschema: "https://clavex.dev/schemas/audit/v1",
    orgid: organizationId,
    datacontenttype: "application/json",
    data: {
      action,
      status: "success",
      resource_type: "user",
      resource_id: subject,
      metadata: { scim_provider: "other" },
    },
  };
}

async function deliver(url: string, body: string, result: { accepted: number; refused: number }): Promise<void> {
  const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, WEBHOOK_SECRET) };
  for (let attempt = 1; attempt <= DELIVERY_ATTEMPTS; attempt += 1) {
    const answer = await request(url, { method: "POST", headers, body, dispatcher: senders });
    await answer.body.text();
    if (answer.statusCode === 202) {
      result.accepted += 1;
      return;
    }
    result.refused += 1;
  }
}

function isRight(subject: string): boolean {
  const user = clavex.user(slug, subject);
  const account = nextcloud?.user(accountId(IDENTITY, subject));
  if (!user?.is_active) return account?.enabled !== true;
  const groups = (groupsOf.get(subject) ?? []).map((name) => groupId(IDENTITY, name));
  return (
    account?.enabled === true &&
    account.displayName === `${user.first_name} ${user.last_name}` &&
    account.email === user.email &&
    account.quota === QUOTA.bytes &&
    JSON.stringify(account.groups) === JSON.stringify(groups.toSorted())
  );
}

offer(services, async () => {
  await senders.destroy();
  await clavex.close();
  await nextcloud?.close();
});
