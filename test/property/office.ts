import { createHash } from "node:crypto";
import { expect } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { createBrake } from "../../functions/provision/brake.ts";
import type { AccountView } from "../../functions/simulated/nextcloud.ts";
import type { Fault } from "../../functions/simulated/server.ts";
import { runs, SEED } from "../support/chance.ts";
import { fc } from "../support/fast-check.ts";
import { webhookTrigger } from "../support/jobs.ts";
import { buildInMemory } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const MINUTE = 60_000;
/** Reads that the pipeline makes, by server. */
export const READS: ["clavex" | "nextcloud", RegExp][] = [
  ["clavex", /\/users\/[^/?]+$/],
  ["clavex", /\/users\?/],
  ["clavex", /\/groups\?/],
  ["clavex", /\/members/],
  ["nextcloud", /cloud\/users\/[^/?]{20,}\?/],
  ["nextcloud", /cloud\/users\?/],
  ["nextcloud", /cloud\/users\/details/],
  ["nextcloud", /cloud\/groups/],
];
const GROUPS = ["Engineering", "Secret"] as const;
/** The first is the one whose answers are odd, where they are one person's. */
export const PEOPLE = 4;

/** What happens in the directory while the servers answer oddly. */
const change = fc.record({
  kind: fc.constantFrom("suspend", "return", "delete", "rename", "join", "leave", "create"),
  person: fc.nat(PEOPLE - 1),
  /** Whether its webhook arrives; else reconciliation has to find it. */
  heard: fc.boolean(),
});
export type Change = typeof change extends fc.Arbitrary<infer C> ? C : never;
export const changes = fc.array(change, { minLength: 1, maxLength: 5, size: "max" });

export interface Person {
  subject: string;
  first: string;
  groups: Set<string>;
  /** What Clavex says of them; only those who are active have access. */
  state: "active" | "suspended" | "deleted";
}

/** One organization whose people have accounts, and a Nextcloud that also holds what is none of ours. */
export interface Office {
  company: Company;
  people: Person[];
  accountId(person: Person): string;
  change(change: Change): Promise<void>;
  /** For this many minutes light runs and the worker do their work, and one full run at the end. Returns what runs failed with. */
  live(minutes: number): Promise<unknown[]>;
  checkForeign(): void;
  checkLeavers(except?: Person): void;
  /** @param unsure groups of which not all members can be read: nobody leaves them, as everybody may be the one who cannot */
  checkConverged(except?: Person, unsure?: ReadonlySet<string>): void;
}

const hashed = (value: string): string => createHash("sha256").update(`1_0_${value}`).digest("hex");

async function openOffice(): Promise<Office & { close: () => Promise<void> }> {
  const { tenant, close } = await buildInMemory();
  const company = withPipeline(tenant);
  const { slug, clavex, nextcloud, clock, ledger } = company;
  // The brake is another test's: here an operator lets everybody pass.
  const brake = createBrake(ledger, () => clock.now);
  for (const braked of ["deprovisions", "leaves"] as const) await brake.allow(slug, 100_000, braked);
  clavex.addUser(slug, { id: subjectOf(99), email: "nobody@acme.example", is_active: false });
  nextcloud.addLocalUser({ id: "admin", displayName: "Admin", groups: ["admin"] });
  nextcloud.addGroup("board", "The board");
  nextcloud.addLocalUser({ id: "carol", displayName: "Carol", email: "carol@acme.example", groups: ["board"] });
  nextcloud.addLocalUser({ id: "dave", groups: ["board"], enabled: false });

  const people: Person[] = [];
  function add(): Person {
    const person: Person = { subject: subjectOf(people.length), first: "Ada", groups: new Set(), state: "active" };
    const { subject: id, first } = person;
    clavex.addUser(slug, { id, email: `person.${people.length}@acme.example`, first_name: first, last_name: "Tester" });
    people.push(person);
    return person;
  }
  function join(person: Person, group: string): void {
    company.assign({ id: person.subject }, group);
    person.groups.add(group);
  }
  for (let count = 0; count < PEOPLE; count += 1) {
    const person = add();
    for (const group of GROUPS) if (count % 2 === 0 || group === "Engineering") join(person, group);
  }
  await company.settle();
  const foreign = (): unknown => ({
    accounts: ["provisioner", "admin", "carol", "dave"].map((id) => nextcloud.user(id)),
    groups: ["admin", "board"].map((gid) => nextcloud.group(gid)),
  });
  const before = foreign();

  async function carryOut({ kind, person: index }: Change): Promise<{ person: Person; event: string } | undefined> {
    const person = kind === "create" ? add() : (people[index] as Person);
    const id = person.subject;
    if (person.state === "deleted") return undefined;
    if (kind === "rename") {
      person.first += "'";
      clavex.updateUser(slug, id, { first_name: person.first });
    }
    if (kind === "suspend" || kind === "delete") {
      person.state = kind === "suspend" ? "suspended" : "deleted";
      if (kind === "suspend") clavex.suspend(slug, id);
      else clavex.deleteUser(slug, id);
    }
    if (kind === "return") {
      person.state = "active";
      clavex.updateUser(slug, id, { is_active: true });
    }
    if (kind === "join" || kind === "create") join(person, "Secret");
    if (kind === "leave" && person.groups.delete("Secret")) company.unassign({ id }, "Secret");
    return { person, event: kind === "delete" ? "user.deleted" : kind === "create" ? "user.created" : "user.updated" };
  }

  return {
    company,
    people,
    accountId: ({ subject }) => hashed(subject),
    close,
    async change(next) {
      const done = await carryOut(next);
      if (!done || !next.heard) return;
      const { subject: id } = done.person;
      // A change of groups sends no webhook of a user: the watch would find it.
      const byWatch = next.kind === "join" || next.kind === "leave";
      const job = byWatch
        ? company.job({ id }, "reconcile")
        : { ...company.job({ id }), trigger: webhookTrigger(done.event) };
      await company.dependencies.queue.sendAll([job], `${clock.now}`);
    },
    async live(minutes) {
      const failures: unknown[] = [];
      const failed = (error: unknown) => void failures.push(error);
      for (let minute = 0; minute < minutes; minute += 10) {
        await company.attempt();
        clock.now += 5 * MINUTE;
        await company.attempt();
        clock.now += 5 * MINUTE;
        if (minute % 20 === 10) await company.light().catch(failed);
      }
      await company.full().catch(failed);
      await company.attempt();
      for (const failure of failures) expect(failure, String(failure)).toBeInstanceOf(Failure);
      const unexpected = company.counted.filter((counter) => counter === "UnexpectedErrors");
      expect(unexpected, "an error that no module knows").toEqual([]);
      return failures;
    },
    checkForeign() {
      expect(foreign(), "something foreign was touched").toEqual(before);
      const known = new Set(["provisioner", "admin", "carol", "dave", ...people.map(({ subject }) => hashed(subject))]);
      for (const { id } of nextcloud.users()) expect(known).toContain(id);
    },
    checkLeavers(except) {
      const leavers = people.filter((person) => person.state !== "active" && person !== except);
      const enabled = leavers.filter(({ subject }) => nextcloud.user(hashed(subject))?.enabled);
      expect(enabled, "leavers who are still enabled").toEqual([]);
    },
    checkConverged(except, unsure = new Set()) {
      const stay = [...unsure].map(hashed);
      for (const person of people) {
        if (person.state !== "active" || person === except) continue;
        const account = shown(nextcloud.user(hashed(person.subject)));
        const groups = [...person.groups].map(hashed).sort();
        const shownGroups = account?.groups.filter((gid) => groups.includes(gid) || !stay.includes(gid));
        expect({ person: person.subject, ...account, groups: shownGroups }).toEqual({
          person: person.subject,
          enabled: true,
          displayName: `${person.first} Tester`,
          email: `person.${people.indexOf(person)}@acme.example`,
          quota: "none",
          groups,
        });
      }
    },
  };
}

const subjectOf = (index: number): string => `5b1f0f4e-0000-4000-8000-${String(index).padStart(12, "0")}`;

function shown(account: AccountView | undefined) {
  if (account === undefined) return undefined;
  const { enabled, displayName, email, quota, groups } = account;
  return { enabled, displayName, email, quota, groups };
}

/** Opens an office, plays with it, and closes it. */
export async function inOffice(play: (office: Office) => Promise<void>): Promise<void> {
  const office = await openOffice();
  try {
    await play(office);
  } finally {
    await office.close();
  }
}

/** A fault at everything of a kind, for an hour: when it is over, all is as if it had never been. */
export async function anHour(steps: readonly Change[], server: "clavex" | "nextcloud", fault: Fault): Promise<void> {
  await inOffice(async (office) => {
    const { faults } = office.company[server];
    faults.add(fault);
    for (const step of steps) await office.change(step);
    await office.live(60);
    office.checkForeign();
    faults.clear();
    await office.live(40);
    office.checkForeign();
    office.checkLeavers();
    await office.live(20);
    office.checkConverged();
    office.checkForeign();
  });
}

/** How often servers answered otherwise than they would have. */
export interface Hits {
  hits: number;
}

/** The same fault, counted. */
export function counted(counts: Hits, fault: Fault): Fault {
  if (fault.kind !== "changed") {
    const match: Fault["match"] = (request) => {
      const matches = fault.match?.(request) ?? true;
      if (matches) counts.hits += 1;
      return matches;
    };
    return { ...fault, match };
  }
  return {
    ...fault,
    change(answer, request) {
      const before = answer.body;
      const after = fault.change(answer, request);
      if (after.body !== before || after.status !== answer.status) counts.hits += 1;
      return after;
    },
  };
}

/**
 * Tries a property, from the seed, which is printed.
 *
 * @param name for the line that is printed
 * @param usual the number of runs when CLAVEX_NEXTCLOUD_RUNS is not set
 * @param examples what failed once, tried first
 */
export async function tryAll<T>(
  name: string,
  usual: number,
  cases: fc.Arbitrary<T>,
  holds: (each: T, counts: Hits) => Promise<void>,
  examples: NoInfer<T>[] = [],
): Promise<void> {
  const numRuns = runs(usual);
  const counts: Hits = { hits: 0 };
  await fc.assert(
    fc.asyncProperty(cases, (each) => holds(each, counts)),
    { numRuns, examples: examples.map((each): [T] => [each]) },
  );
  console.log(`${name}: seed ${SEED}, ${numRuns} runs, ${counts.hits} odd answers`);
  expect(counts.hits, "nothing was odd").toBeGreaterThan(numRuns / 2);
}
