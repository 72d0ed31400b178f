import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accountId } from "../../functions/core/identity.ts";
import { openState } from "../../functions/local/state.ts";
import type { SimulatedClavex } from "../../functions/simulated/clavex.ts";
import type { SimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { randomNumbers, SEED } from "../support/chance.ts";
import { until } from "../support/processes.ts";
import { openSoak, type PipelineProcesses, SLUG, type Soak } from "./soak-processes.ts";

const KILLS = 100;
/** How long a process works at most before it is killed. */
const LONGEST_LIFE_MS = 700;
const PEOPLE = 60;
/** What the brake lets pass in an hour: one that is counted twice would be held. */
const DEPARTURES = 10;
/** Some deliveries are sent again although they were accepted, as Clavex does when it did not see the answer. */
const SENT_AGAIN = 0.2;
const SENDERS = 4;
const IDENTITY = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;

let soak: Soak;
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let pipeline: PipelineProcesses;

beforeAll(async () => {
  soak = await openSoak();
  ({ clavex, nextcloud, pipeline } = soak);
});
afterAll(() => soak.close());

interface Person {
  id: string;
  changes: number;
  active: boolean;
}

test(`a pipeline killed ${KILLS} times under load loses nothing that it accepted, and does nothing twice that may not be`, {
  timeout: 1_800_000,
}, async () => {
  const random = randomNumbers();
  const accepted = new Set<string>();
  const people = Array.from({ length: PEOPLE }, (_, index): Person => {
    const id = randomUUID();
    clavex.addUser(SLUG, { id, email: `person.${index}@acme.example`, first_name: "Person 0", last_name: "Tester" });
    return { id, changes: 0, active: true };
  });

  const delivery = (event: string, data: object): string =>
    JSON.stringify({ id: randomUUID(), event, occurred_at: new Date().toISOString(), data });

  function rename(person: Person): string {
    person.changes += 1;
    return delivery("user.updated", clavex.updateUser(SLUG, person.id, { first_name: `Person ${person.changes}` }));
  }

  function depart(person: Person): string {
    person.active = false;
    return delivery("user.updated", clavex.suspend(SLUG, person.id));
  }

  async function post(body: string): Promise<void> {
    accepted.add(await soak.post(body));
  }

  async function postSometimesTwice(body: string): Promise<void> {
    await post(body);
    if (random() < SENT_AGAIN) await post(body);
  }

  const sending = new AbortController();
  async function send(): Promise<void> {
    while (!sending.signal.aborted) {
      const active = people.filter((each) => each.active);
      await postSometimesTwice(rename(active[Math.floor(random() * active.length)] as Person));
      await sleep(random() * 40);
    }
  }

  await pipeline.start();
  for (const person of people) await post(delivery("user.created", clavex.user(SLUG, person.id) ?? {}));
  // On a slow machine the departures would come before the people, and of a few people the brake lets fewer pass.
  await until(
    async () => nextcloud.users().length,
    (accounts) => accounts > PEOPLE / 2,
  );
  const senders = Array.from({ length: SENDERS }, send);
  for (let kill = 0; kill < KILLS; kill += 1) {
    await sleep(random() * LONGEST_LIFE_MS);
    const leaver = people[kill / (KILLS / DEPARTURES)];
    const departing = leaver ? postSometimesTwice(depart(leaver)) : undefined;
    await sleep(random() * LONGEST_LIFE_MS * 0.2);
    await pipeline.end("SIGKILL");
    await pipeline.start();
    await departing;
  }
  sending.abort();
  await Promise.all(senders);

  const state = openState(soak.stateFolder);
  const { queue, ledger, deadLetterQueue } = state;
  const isHeld = async (): Promise<boolean> => (await ledger.brakes.get(SLUG))?.state.held ?? false;
  const isDone = async (): Promise<boolean> => {
    const { waiting, delayed, inFlight } = await queue.counts();
    return waiting + delayed + inFlight === 0;
  };
  // A job that the brake holds waits for an operator: it would wait for ever.
  await until(async () => (await isDone()) || (await isHeld()), Boolean);
  expect(await isHeld()).toBe(false);
  const givenUp = await deadLetterQueue.count();
  state.close();

  const jobs = pipeline.lines().filter(({ message }) => message === "job");
  const worked = new Set(jobs.map(({ deliveryId }) => deliveryId));
  console.log(`kills: seed ${SEED}, ${KILLS} kills, ${accepted.size} deliveries accepted, ${jobs.length} jobs ended`);
  expect(accepted.size).toBeGreaterThan(KILLS);
  expect([...accepted].filter((id) => !worked.has(id))).toEqual([]);
  expect(givenUp).toBe(0);
  // A message counts its receives: two first ones would be two messages of one delivery.
  const firsts = jobs.filter(({ attempt }) => attempt === 1).map(({ deliveryId }) => deliveryId);
  expect(firsts.length).toBe(new Set(firsts).size);
  for (const { id, changes, active } of people) {
    const account = nextcloud.user(accountId(IDENTITY, id));
    expect(account).toMatchObject({ backends: ["user_oidc"], enabled: active });
    if (active) expect(account?.displayName).toBe(`Person ${changes} Tester`);
  }
  expect(nextcloud.users().length, "the provisioner, and nobody twice").toBe(PEOPLE + 1);
});
