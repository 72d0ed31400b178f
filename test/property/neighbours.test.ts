import { describe, expect, test } from "vitest";
import { createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { runs, uuidOf } from "../support/chance.ts";
import { fc, salts } from "../support/fast-check.ts";
import { buildInMemory, IDENTITIES } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** The names that both organizations have for groups; Nextcloud has a local group of the last one. */
const GROUPS = ["Engineering", "Ops", "board"] as const;

/** What happens to one person, or group, of one of the two organizations. */
const step = fc.record({
  kind: fc.constantFrom(
    ...(["create", "create", "suspend", "return", "delete", "join", "join", "leave", "deleteGroup"] as const),
    ...(["light", "full", "attempt", "attempt", "lose", "wait"] as const),
    ...(["lock", "unlock", "remove", "removeGroup", "seat"] as const),
  ),
  organization: fc.nat(1),
  person: fc.nat(7),
  group: fc.nat(GROUPS.length - 1),
  /** Whether a webhook tells of it. */
  heard: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

interface Person {
  user: ClavexUser;
  state: "active" | "suspended" | "deleted";
  groups: Set<string>;
  /** A Nextcloud administrator has disabled the account, not we. */
  locked: boolean;
  /** A Nextcloud administrator has put the account into the local group. */
  seated: boolean;
}

interface Side {
  company: Company;
  people: Person[];
  /** Of the ids of its people. */
  salt: string;
}

async function scene(identities: readonly [object, object], prefixes: readonly [string, string], salt: number) {
  const groups = (prefix: string) => ({ groups: { prefix } });
  const { tenant, close } = await buildInMemory({ identity: identities[0], ...groups(prefixes[0]) });
  const other = tenant.neighbour({ identity: identities[1], ...groups(prefixes[1]) });
  const sides: Side[] = [tenant, other].map((each, index) => ({
    company: withPipeline(each),
    people: [],
    salt: `${salt} ${index}`,
  }));
  const { nextcloud, clavex, clock, ledger } = tenant;
  for (const { company } of sides) {
    const brake = createBrake(ledger, () => clock.now);
    for (const braked of ["deprovisions", "leaves"] as const) await brake.allow(company.slug, 100_000, braked);
    // A 404 is believed only while Clavex lists somebody, and no groups at all are not believed.
    company.person({ is_active: false });
    clavex.addGroup(company.slug, "somebody else's");
  }
  nextcloud.addLocalUser({ id: "admin", groups: ["admin"] });
  nextcloud.addGroup("board", "The board");
  nextcloud.addLocalUser({ id: "carol", groups: ["board"] });
  nextcloud.addLocalUser({ id: "dave", enabled: false });
  const foreign = () => ["provisioner", "admin", "carol", "dave"].map((id) => nextcloud.user(id));
  return { sides, clock, nextcloud, foreign, before: foreign(), close };
}

type Scene = Awaited<ReturnType<typeof scene>>;

async function happen(
  { clock, nextcloud }: Scene,
  side: Side,
  { kind, person: index, group, heard }: Step,
): Promise<void> {
  const { company, people, salt } = side;
  const { clavex, slug } = company;
  const name = GROUPS[group] as string;
  const here = clavex.groupByName(slug, name);
  if (kind === "light" || kind === "full") return void (await company[kind]());
  if (kind === "attempt") return company.attempt();
  if (kind === "lose") return company.lose();
  if (kind === "wait") clock.now += 7 * MINUTE;
  if (kind === "deleteGroup") {
    if (here) clavex.deleteGroup(slug, here.id);
    for (const each of people) each.groups.delete(name);
    return;
  }
  const gid = company.groupId(`${company.organization.groups.prefix}${name}`);
  if (kind === "removeGroup") {
    if (gid !== "board" && nextcloud.group(gid)) await company.administer("DELETE", `cloud/groups/${gid}`);
    return;
  }
  if (kind === "create") {
    if (people.length > 5) return;
    const id = uuidOf(`${salt} ${people.length}`);
    people.push({ user: company.person({ id }), state: "active", groups: new Set(), locked: false, seated: false });
  }
  const one = kind === "create" ? people.at(-1) : people[index % Math.max(1, people.length)];
  if (!one) return;
  const { id } = one.user;
  const account = company.account(one.user);
  const path = `cloud/users/${company.accountId(one.user)}`;
  if (kind === "lock" && account?.enabled) {
    await company.administer("PUT", `${path}/disable`);
    // What we have disabled is ours, whatever an administrator does meanwhile.
    one.locked = true;
  }
  if (kind === "unlock" && account) {
    await company.administer("PUT", `${path}/enable`);
    one.locked = false;
  }
  if (kind === "remove" && account) {
    await company.administer("DELETE", path);
    one.locked = one.seated = false;
  }
  if (kind === "seat" && account) {
    await company.administer("POST", `${path}/groups`, { groupid: "board" });
    one.seated = true;
  }
  if (one.state === "deleted") return;
  if (kind === "suspend") clavex.suspend(slug, id);
  if (kind === "return") clavex.updateUser(slug, id, { is_active: true });
  if (kind === "delete") clavex.deleteUser(slug, id);
  const states = { suspend: "suspended", return: "active", delete: "deleted" } as const;
  if (kind === "suspend" || kind === "return" || kind === "delete") one.state = states[kind];
  if (kind === "join") {
    company.assign({ id }, name);
    one.groups.add(name);
  }
  if (kind === "leave" && one.groups.delete(name)) company.unassign({ id }, name);
  if (heard)
    await company.dependencies.queue.sendAll([company.webhook({ ...one.user }, `user.${kind}d`)], `${clock.now}`);
}

async function converge({ sides, clock }: Scene): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    // For a day a full run takes a job for waiting that the queue has lost.
    clock.now += DAY;
    for (const { company } of sides) {
      await company.full();
      await company.work();
    }
  }
}

async function check({ sides, nextcloud, foreign, before }: Scene): Promise<void> {
  expect(foreign(), "something foreign was touched").toEqual(before);
  for (const { company, people } of sides) {
    for (const { user, state, locked, groups, seated } of people) {
      const account = company.account(user);
      const who = `${company.slug} ${state} ${locked ? "locked" : ""}`;
      if (state !== "active") {
        expect(account?.enabled ?? false, who).toBe(false);
        continue;
      }
      expect(account?.enabled, who).toBe(!locked);
      expect(account?.groups.includes("board"), `${who} seat`).toBe(seated);
      for (const name of GROUPS) {
        const gid = company.groupId(`${company.organization.groups.prefix}${name}`);
        if (gid === "board") continue;
        const claim = await company.ledger.claims.group(nextcloud.url, gid);
        const isMember = account?.groups.includes(gid) ?? false;
        if (claim?.owner === company.slug) expect(isMember, `${who} in ${name}`).toBe(groups.has(name));
        else expect(isMember, `${who} in ${name} of ${claim?.owner}`).toBe(false);
        if (groups.has(name)) expect(claim, `nobody has ${name}`).toBeDefined();
      }
    }
  }
}

describe("two organizations on one Nextcloud, while administrators and the queue do what they like", () => {
  test.each([
    { name: "raw ids, the same names", identities: [IDENTITIES.raw, IDENTITIES.raw], prefixes: ["", ""] },
    { name: "raw ids with a prefix", identities: [IDENTITIES.raw, IDENTITIES.raw], prefixes: ["a ", "b "] },
    { name: "hashed ids of one provider", identities: [IDENTITIES.hashed, IDENTITIES.hashed], prefixes: ["", ""] },
    { name: "hashed and raw ids", identities: [IDENTITIES.hashed, IDENTITIES.raw], prefixes: ["", ""] },
  ] as const)("$name: leavers are out, everybody else is where their own directory says, nothing foreign is touched", async ({
    identities,
    prefixes,
  }) => {
    await fc.assert(
      fc.asyncProperty(salts, fc.array(step, { minLength: 8, maxLength: 40, size: "max" }), async (salt, steps) => {
        const played = await scene(identities, prefixes, salt);
        try {
          for (const each of steps) await happen(played, played.sides[each.organization] as Side, each);
          await converge(played);
          await check(played);
        } finally {
          await played.close();
        }
      }),
      { numRuns: runs(6) },
    );
  });
});
