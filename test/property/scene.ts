import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { PersonJob } from "../../functions/core/job.ts";
import { createBrake } from "../../functions/provision/brake.ts";
import type { ClavexUser, UserChange } from "../../functions/simulated/clavex.ts";
import type { AccountView } from "../../functions/simulated/nextcloud.ts";
import { uuidOf } from "../support/chance.ts";
import { fc } from "../support/fast-check.ts";
import { personJob, TRIGGERS } from "../support/jobs.ts";
import { buildInMemory, IDENTITIES, type Tenant } from "../support/organization.ts";

const GB = 1024 ** 3;
const MB = 1024 ** 2;

/** The four ways in which an organization is run here. */
export interface Mode {
  name: string;
  apiKey: boolean;
  /** uniqueUserIds: account and group ids are hashes. Else they are the subject and the group's name. */
  hashed: boolean;
}

/**
 * Clavex groups. Nextcloud has local groups of the ids `board`, `Sales` and `Partners` before, of which the organization adopts
 * the last; `R&D` is hard to write in a path.
 */
const GROUPS = ["Engineering", "board", "Sales", "Partners", "R&D / c++ été"] as const;
const LOCAL_GROUPS = ["board", "Sales"];
const ADOPTED = "Partners";
const ALWAYS = "everyone";

/** What may stand in a person's quota attribute, and what Nextcloud then holds; undefined where the attribute is passed over. */
const ATTRIBUTES: { text: string | undefined; bytes: number | "none" | undefined }[] = [
  { text: undefined, bytes: undefined },
  { text: "2 GB", bytes: 2 * GB },
  { text: "512 MB", bytes: 512 * MB },
  { text: "none", bytes: "none" },
  { text: "5 GiB", bytes: undefined },
];
const NAMES = ["Ada", "Grace", "Zoë", "", "O'Neill"];
/** Each slot holds one person at a time; when that one is deleted, a new person may come into it. */
const SLOTS = 5;
/** The person of this slot has a local account under the id that is computed for them. */
const CONFLICT = 2;
/** What a Nextcloud administrator did with the first two people: a seat in a local group. */
const SEATS = [
  { slot: 0, group: "board" },
  { slot: 1, group: "Sales" },
];

export type Change =
  | { kind: "create"; slot: number; name: number }
  | { kind: "rename"; slot: number; name: number }
  | { kind: "email" | "suspend" | "reactivate" | "delete" | "erase"; slot: number }
  | { kind: "quota"; slot: number; attribute: number }
  | { kind: "join" | "leave"; slot: number; group: number }
  | { kind: "deleteGroup"; group: number };

const slot = fc.nat(SLOTS - 1);
const group = fc.nat(GROUPS.length - 1);

/** Any change of the directory, the common ones more often. */
export const changes: fc.Arbitrary<Change> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("create"), slot, name: fc.nat(NAMES.length - 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename"), slot, name: fc.nat(NAMES.length - 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("quota"), slot, attribute: fc.nat(ATTRIBUTES.length - 1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom("join", "join", "leave"), slot, group }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom("email", "suspend", "reactivate"), slot }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("delete", "erase"), slot }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("deleteGroup"), group }) },
);

/** What this file knows of a person, written down beside the simulated Clavex: the expectation is made of this alone. */
interface Person {
  subject: string;
  slot: number;
  email: string;
  first: string;
  attribute: number;
  active: boolean;
  /** Erased or deleted: an account of theirs may only be a disabled one. */
  gone: boolean;
}

/** One organization with people, and a Nextcloud that also holds accounts and groups that are none of ours. */
export interface Scene {
  readonly tenant: Tenant;
  /** Everybody there has ever been. */
  readonly people: readonly Person[];
  /** Changes the directory; returns a job for everyone the change is about, as a webhook or reconciliation would send it. */
  change(change: Change): PersonJob[];
  /** Throws when anything in Nextcloud that is not ours is not exactly as it was, or an account is there that nobody needs. */
  checkForeign(): void;
  /** Throws when Nextcloud is not what the directory demands now. */
  checkConverged(): void;
}

/**
 * Opens a scene, plays in it, and closes it.
 *
 * @param salt what the ids of its people are made of
 */
export async function inScene(mode: Mode, salt: number, play: (scene: Scene) => Promise<void>): Promise<void> {
  const { tenant, close } = await buildInMemory({
    apiKey: mode.apiKey,
    identity: mode.hashed ? IDENTITIES.hashed : IDENTITIES.raw,
    groups: { always: [ALWAYS], adopt: [ADOPTED] },
    quota: { default: "5 GB", byGroup: { Engineering: "50 GB", Sales: "none" } },
  });
  try {
    await play(await sceneOf(tenant, mode, salt));
  } finally {
    await close();
  }
}

async function sceneOf(tenant: Tenant, mode: Mode, salt: number): Promise<Scene> {
  const { slug, clavex, nextcloud } = tenant;
  // A 404 is believed only while Clavex lists somebody, and that a group is gone only while it lists another.
  clavex.addGroup(slug, "Nobody's");
  clavex.addUser(slug, { id: uuidOf(`${salt} nobody`), email: "nobody@acme.example", is_active: false });
  // The brake is another test's: here an operator lets everybody pass.
  await createBrake(tenant.ledger, () => tenant.clock.now).allow(slug, 100_000);
  const idOf = (value: string): string =>
    mode.hashed ? createHash("sha256").update(`1_0_${value}`).digest("hex") : value;

  const people: Person[] = [];
  const inSlot = new Map<number, Person>();
  const members = new Map<string, Set<string>>();
  let addresses = 0;

  nextcloud.addLocalUser({ id: "admin", displayName: "Admin", email: "admin@acme.example", groups: ["admin"] });
  for (const gid of [...LOCAL_GROUPS, ADOPTED, ALWAYS, "clavex-guests"]) nextcloud.addGroup(gid, `${gid} (local)`);
  nextcloud.addLocalUser({ id: "carol", groups: ["board", ADOPTED, ALWAYS, "clavex-guests"], quota: "1 GB" });
  nextcloud.addLocalUser({ id: "dave", groups: ["Sales"], enabled: false });

  const user = (person: Person): ClavexUser => {
    const found = clavex.user(slug, person.subject);
    if (found === undefined) throw new Error("the scene and the simulated Clavex disagree");
    return found;
  };
  const update = (person: Person, fields: UserChange): void => void clavex.updateUser(slug, person.subject, fields);
  const address = (): string => `Person.${addresses++}@acme.example`;

  function add(where: number, name: number): Person {
    const person: Person = {
      subject: uuidOf(`${salt} ${people.length}`),
      slot: where,
      email: address(),
      first: NAMES[name] ?? "",
      attribute: 0,
      active: true,
      gone: false,
    };
    const { subject, email, first } = person;
    clavex.addUser(slug, { id: subject, email, ...(first === "" ? {} : { first_name: first, last_name: "Tester" }) });
    people.push(person);
    inSlot.set(where, person);
    return person;
  }

  function forget(person: Person): void {
    person.gone = true;
    inSlot.delete(person.slot);
  }

  /** A job as the receiver makes it; `before` is the user as they were when they are gone by now. */
  const webhook = (event: string, person: Person, before = user(person)): PersonJob => tenant.webhook(before, event);
  /** A change of groups sends no webhook: reconciliation finds it. Without an API key nobody does. */
  const reconcile = (subjects: Iterable<string>): PersonJob[] =>
    mode.apiKey ? Array.from(subjects, (subject) => personJob(slug, subject, TRIGGERS.reconcile)) : [];

  function changePerson(change: Exclude<Change, { kind: "create" | "deleteGroup" }>, person: Person): PersonJob[] {
    switch (change.kind) {
      case "rename":
        person.first = NAMES[change.name] ?? "";
        update(person, {
          first_name: person.first === "" ? null : person.first,
          last_name: person.first === "" ? null : "Tester",
        });
        return [webhook("user.updated", person)];
      case "email":
        person.email = address();
        update(person, { email: person.email });
        return [webhook("user.updated", person)];
      case "quota": {
        person.attribute = change.attribute;
        const { text } = ATTRIBUTES[change.attribute] ?? {};
        clavex.setAttributes(slug, person.subject, text === undefined ? {} : { nextcloud_quota: text });
        return [webhook("user.updated", person)];
      }
      case "suspend":
      case "reactivate":
        person.active = change.kind === "reactivate";
        update(person, { is_active: person.active });
        return [webhook("user.updated", person)];
      case "delete": {
        const before = clavex.deleteUser(slug, person.subject);
        for (const each of members.values()) each.delete(person.subject);
        forget(person);
        return [webhook("user.deleted", person, before)];
      }
      case "erase": {
        const erased = clavex.eraseUser(slug, person.subject, person.slot % 2 === 0 ? "erased" : "anonymized");
        forget(person);
        return [webhook("user.updated", person, erased)];
      }
      case "join":
      case "leave": {
        const name = GROUPS[change.group] ?? GROUPS[0];
        if (change.kind === "join") {
          tenant.assign({ id: person.subject }, name);
          members.set(name, (members.get(name) ?? new Set()).add(person.subject));
        } else {
          if (clavex.groupByName(slug, name) === undefined) return [];
          tenant.unassign({ id: person.subject }, name);
          members.get(name)?.delete(person.subject);
        }
        return reconcile([person.subject]);
      }
    }
  }

  const scene: Omit<Scene, "checkForeign"> = {
    tenant,
    people,
    change(change) {
      if (change.kind === "deleteGroup") {
        const name = GROUPS[change.group] ?? GROUPS[0];
        const existing = clavex.groupByName(slug, name);
        if (existing === undefined) return [];
        clavex.deleteGroup(slug, existing.id);
        const former = members.get(name) ?? new Set();
        members.delete(name);
        return reconcile(former);
      }
      const person = inSlot.get(change.slot);
      if (change.kind === "create") {
        if (person !== undefined) return changePerson({ ...change, kind: "rename" }, person);
        return [webhook("user.created", add(change.slot, change.name))];
      }
      return person === undefined ? [] : changePerson(change, person);
    },
    checkConverged() {
      for (const person of people) {
        if (person.slot === CONFLICT && person === firstConflict) continue;
        const account = nextcloud.user(idOf(person.subject));
        if (person.gone || !person.active) {
          expect(account?.enabled ?? false, "a person without access has an enabled account").toBe(false);
          continue;
        }
        const seat = SEATS.find((each) => each.slot === person.slot && seated.has(person));
        const held = mode.apiKey ? GROUPS.filter((name) => members.get(name)?.has(person.subject)) : [];
        const joined = held.filter((name) => mode.hashed || !LOCAL_GROUPS.includes(name)).map(idOf);
        const groups = [...new Set([...joined, ALWAYS, ...(seat ? [seat.group] : [])])].sort();
        expect({ slot: person.slot, ...view(account) }).toEqual({
          slot: person.slot,
          enabled: true,
          backends: ["user_oidc"],
          displayName: person.first === "" ? person.email : `${person.first} Tester`,
          email: person.email.toLowerCase(),
          quota: quotaOf(person, held),
          groups,
        });
      }
    },
  };

  function quotaOf({ attribute }: Person, held: string[]): number | "none" {
    const own = ATTRIBUTES[attribute]?.bytes;
    if (own !== undefined) return own;
    if (held.includes("Sales")) return "none";
    return held.includes("Engineering") ? 50 * GB : 5 * GB;
  }

  // The first people: known to both sides before anything happens, one of them only in conflict.
  for (let first = 0; first <= CONFLICT; first += 1) add(first, 0);
  const firstConflict = inSlot.get(CONFLICT);
  const conflictId = idOf(firstConflict?.subject ?? "");
  nextcloud.addLocalUser({ id: conflictId, displayName: "Somebody else", groups: ["clavex-guests"] });
  for (const person of people) await tenant.provisionNow(webhook("user.created", person));
  const seated = new Set<Person>();
  for (const { slot: where, group: gid } of SEATS) {
    const person = inSlot.get(where);
    if (person === undefined) continue;
    nextcloud.addMember(gid, idOf(person.subject));
    seated.add(person);
  }

  const foreignAccounts = new Map(
    ["provisioner", "admin", "carol", "dave", conflictId].map((id) => [id, nextcloud.user(id)]),
  );
  const foreignGroups = ["admin", "clavex-guests", ...LOCAL_GROUPS].map((gid) => nextcloud.group(gid));

  return {
    ...scene,
    checkForeign() {
      for (const [id, before] of foreignAccounts) expect(nextcloud.user(id)).toEqual(before);
      for (const before of foreignGroups) expect(nextcloud.group(before?.gid ?? "")).toEqual(before);
      for (const gid of [ALWAYS, ADOPTED]) {
        expect(nextcloud.group(gid)).toMatchObject({ displayName: `${gid} (local)` });
        expect(nextcloud.group(gid)?.members).toContain("carol");
      }
      const known = new Set([...foreignAccounts.keys(), ...people.map(({ subject }) => idOf(subject))]);
      for (const { id } of nextcloud.users()) expect(known).toContain(id);
    },
  };
}

function view(account: AccountView | undefined) {
  if (account === undefined) return undefined;
  const { enabled, backends, displayName, email, quota, groups } = account;
  return { enabled, backends, displayName, email, quota, groups };
}
