import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, test } from "vitest";
import { userSchema } from "../../functions/clavex/user.ts";
import { desiredAccount, desiredGroups, desiredHash, groupsHash } from "../../functions/core/desired.ts";
import { aboutWhom } from "../../functions/core/job.ts";
import { newRecord } from "../../functions/core/record.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const PEOPLE = 10_000;
const GROUPS = 200;
const PAGE = 200;
/** The users' pages, one page of groups, and each group's members. */
const CLAVEX_REQUESTS = PEOPLE / PAGE + 1 + GROUPS;
/** Everybody's account and the pipeline's own. */
const ACCOUNTS = PEOPLE + 1;
/** The accounts' pages and those of all ids, each with the empty page that is its end. */
const NEXTCLOUD_REQUESTS = Math.ceil(ACCOUNTS / PAGE) + 1 + Math.ceil(ACCOUNTS / 500) + 1;
const MEGABYTE = 1024 ** 2;
/** What the run holds at most, with all that has not been collected yet, and when everybody has been compared. */
const MOST_HELD_MEGABYTES = 20;
const MOST_MEGABYTES = 150;
const MOST_LEFT_MEGABYTES = 8;

const { build } = useOrganizations();

describe(`${PEOPLE.toLocaleString("en")} people in ${GROUPS} groups`, () => {
  let company: Company;
  let people: ClavexUser[];

  beforeAll(async () => {
    company = withPipeline(await build({ skeleton: "empty", quota: { default: "5 GB" } }));
    people = await seed(company);
  });

  test("a full look without drift finds nothing, with the fewest requests and little memory", async () => {
    const memory = watchMemory();
    let left = Number.NaN;
    const started = performance.now();
    const run = await company.full({
      onProgress: (phase, count) => {
        const nobodyCompared = phase === "people in Clavex" && count === PEOPLE;
        const firstPage = phase === "accounts in Nextcloud" && count <= PAGE;
        if (nobodyCompared || firstPage) memory.weigh();
        if (phase === "accounts in Nextcloud" && count === PEOPLE) left = memory.weigh();
      },
    });
    const seconds = (performance.now() - started) / 1000;
    const { held, peak } = memory.result();
    expect(run).toMatchObject({
      sent: 0,
      waiting: 0,
      refused: 0,
      report: { people: PEOPLE, known: PEOPLE, accounts: PEOPLE, differences: [], notes: [], held: undefined },
    });
    const clavex = company.clavex.requests.length;
    const nextcloud = company.nextcloud.requests.length;
    console.log(
      `full look at ${PEOPLE} people in ${GROUPS} groups: ${clavex} requests to Clavex, ${nextcloud} to Nextcloud, ` +
        `${seconds.toFixed(1)} s, ${held} MB held, ${left} MB at the end, peak of the heap ${peak} MB above the start`,
    );
    expect({ clavex, nextcloud }).toEqual({ clavex: CLAVEX_REQUESTS, nextcloud: NEXTCLOUD_REQUESTS });
    expect(held).toBeLessThan(MOST_HELD_MEGABYTES);
    expect(left, "whoever has been compared is let go").toBeLessThan(MOST_LEFT_MEGABYTES);
    expect(peak).toBeLessThan(MOST_MEGABYTES);
  });

  test("a light look without drift finds nothing and asks Nextcloud nothing", async () => {
    company.clavex.requests.length = 0;
    company.nextcloud.requests.length = 0;
    const memory = watchMemory();
    const weigh = (phase: string, count: number) =>
      void (phase === "people in Clavex" && count === PEOPLE && memory.weigh());
    expect(await company.light({ onProgress: weigh })).toMatchObject({
      sent: 0,
      report: { people: PEOPLE, differences: [] },
    });
    const { held, peak } = memory.result();
    console.log(
      `light look: ${company.clavex.requests.length} requests to Clavex, ${held} MB held, ` +
        `peak of the heap ${peak} MB above the start`,
    );
    expect(company.nextcloud.requests).toEqual([]);
    expect(company.clavex.requests).toHaveLength(CLAVEX_REQUESTS);
    expect(held).toBeLessThan(MOST_HELD_MEGABYTES);
    expect(peak).toBeLessThan(MOST_MEGABYTES);
  });

  test("25 differences of every kind are exactly 25 jobs, and after them nothing is left", async () => {
    const at = (index: number): ClavexUser => people[index * 397] ?? expect.fail();
    const expected: string[] = [];
    const different = (count: number, change: (person: ClavexUser) => unknown): void => {
      for (let index = 0; index < count; index += 1) {
        const person = at(expected.length);
        change(person);
        expected.push(person.id);
      }
    };
    const { clavex, nextcloud, slug } = company;
    different(5, (person) => clavex.updateUser(slug, person.id, { last_name: "King" }));
    different(4, (person) => company.assign(person, "group-0007", "group-0008"));
    different(3, (person) => clavex.suspend(slug, person.id));
    different(3, (person) => clavex.deleteUser(slug, person.id));
    different(3, (person) => nextcloud.addMember(company.groupId("group-0011"), company.accountId(person)));
    different(3, (person) => company.logIn(person, { name: "Changed in Nextcloud", quota: "1 GB" }));
    for (const joiner of company.people(4, ["group-0003"])) expected.push(joiner.id);
    expect(expected).toHaveLength(25);

    const run = await company.full();
    expect(run).toMatchObject({ sent: 25, held: undefined });
    expect(company.sent.map(aboutWhom).sort()).toEqual(expected.sort());
    await company.work();
    for (const mode of ["full", "light"] as const) {
      expect(await company.look(mode)).toMatchObject({ differences: [], notes: [], held: undefined });
    }
  });
});

/** Everybody with their account, groups and entry in the ledger, as the pipeline would have left them. */
async function seed(company: Company): Promise<ClavexUser[]> {
  const { clavex, nextcloud, ledger, organization, slug } = company;
  const names = Array.from({ length: GROUPS }, (_, index) => `group-${String(index).padStart(4, "0")}`);
  for (const name of names) {
    clavex.addGroup(slug, name);
    nextcloud.addGroup(company.groupId(name), name);
    await ledger.claims.claimGroup(organization.nextcloud.baseUrl, company.groupId(name), { owner: slug, name });
  }
  const people: ClavexUser[] = [];
  const writing: Promise<unknown>[] = [];
  for (let index = 0; index < PEOPLE; index += 1) {
    const first_name = `Ada ${index}`;
    const groups = [names[index % GROUPS] ?? "", names[(index * 7 + 3) % GROUPS] ?? ""].sort();
    const memberships = [...new Set(groups)];
    const person = company.person({ first_name }, memberships);
    people.push(person);
    company.logIn(person, { name: `${first_name} ${person.last_name}`, email: person.email, quota: "5 GB" });
    for (const name of memberships) nextcloud.addMember(company.groupId(name), company.accountId(person));
    const desired = desiredAccount(organization, person.id, {
      person: userSchema.parse(person),
      groups: memberships,
    });
    const readAt = company.clock.now;
    const record = {
      ...newRecord(person.id, desired.accountId),
      state: desired.state,
      groups: desiredGroups(desired)
        .map(({ gid }) => gid)
        .sort(),
      applied: {
        desiredHash: desiredHash(desired),
        groupsHash: groupsHash(memberships),
        readAt,
        userReadAt: readAt,
      },
    };
    writing.push(ledger.subjects.put(slug, record));
    if (writing.length === 50) await Promise.all(writing.splice(0));
  }
  await Promise.all(writing);
  return people;
}

/**
 * Watches how many more megabytes of the heap are used than now: `held` is the most that was weighed without garbage, `peak`
 * the most with all of it.
 */
function watchMemory() {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const used = (): number => process.memoryUsage().heapUsed;
  collect();
  const start = used();
  let [held, peak] = [0, 0];
  const look = (): void => {
    peak = Math.max(peak, used() - start);
  };
  const timer = setInterval(look, 20);
  return {
    weigh(): number {
      look();
      collect();
      const now = used() - start;
      held = Math.max(held, now);
      return Math.round(now / MEGABYTE);
    },
    result() {
      clearInterval(timer);
      look();
      return { held: Math.round(held / MEGABYTE), peak: Math.round(peak / MEGABYTE) };
    },
  };
}
