import { createHash, randomUUID } from "node:crypto";
import { ApiError } from "./clavex-answer.ts";

/** A user as Clavex's API and webhooks show it. Names that are not set are absent. */
export interface ClavexUser {
  id: string;
  org_id: string;
  email: string;
  first_name?: string;
  last_name?: string;
  avatar_url?: string;
  is_active: boolean;
  is_email_verified: boolean;
  mfa_required: boolean;
  required_actions: string[] | null;
  metadata: Record<string, unknown> | null;
  created_at: string;
  updated_at: string;
  last_login_at?: string;
}

/** What may be given for a new user; the e-mail address has to be unique in the organization. */
export type NewUser = Pick<ClavexUser, "email"> & Partial<Omit<ClavexUser, "email" | "org_id">>;

/** What can be changed of a user; `null` takes a name away. The e-mail address is changed by inbound SCIM only. */
export interface UserChange {
  email?: string;
  first_name?: string | null;
  last_name?: string | null;
  is_active?: boolean;
  mfa_required?: boolean;
  is_email_verified?: boolean;
}

/** A group as Clavex's API shows it. Membership changes do not touch `updated_at`. */
export interface ClavexGroup {
  id: string;
  org_id: string;
  name: string;
  description?: string;
  is_system: boolean;
  member_count: number;
  created_at: string;
  updated_at: string;
}

/** One page of a list; `next_cursor` is absent at the end. */
export interface CursorPage<T> {
  items: T[];
  next_cursor?: string;
  has_more: boolean;
}

interface GroupRecord {
  group: Omit<ClavexGroup, "member_count">;
  members: Set<string>;
}

/** The users and groups of one Clavex organization. What it hands out are copies. */
export class ClavexDirectory {
  readonly organizationId: string;
  readonly #clock: () => string;
  readonly #users = new Map<string, ClavexUser>();
  readonly #emails = new Set<string>();
  readonly #byEmail = new SortedIndex();
  readonly #groups = new Map<string, GroupRecord>();
  readonly #byName = new SortedIndex();

  constructor(organizationId: string, clock: () => string) {
    this.organizationId = organizationId;
    this.#clock = clock;
  }

  addUser(fields: NewUser): ClavexUser {
    if (this.#emails.has(fields.email)) throw new ApiError(409, "user already exists");
    const now = this.#clock();
    const user: ClavexUser = {
      id: randomUUID(),
      org_id: this.organizationId,
      is_active: true,
      is_email_verified: true,
      mfa_required: false,
      required_actions: [],
      metadata: {},
      created_at: now,
      updated_at: now,
      ...fields,
    };
    this.#users.set(user.id, user);
    this.#emails.add(user.email);
    this.#byEmail.add(user.email, user.id);
    return { ...user };
  }

  userByEmail(email: string): ClavexUser | undefined {
    const id = this.#byEmail.find(email);
    return id === undefined ? undefined : this.user(id);
  }

  user(id: string): ClavexUser | undefined {
    const user = this.#users.get(id);
    return user && { ...user };
  }

  /** Changes a user and touches `updated_at`, even where nothing is different. */
  updateUser(id: string, { email, first_name, last_name, ...rest }: UserChange): ClavexUser {
    const user = this.#touch(id);
    if (email !== undefined) this.#setEmail(user, email);
    Object.assign(user, rest);
    setName(user, "first_name", first_name);
    setName(user, "last_name", last_name);
    return { ...user };
  }

  /** Replaces all metadata, and adds the ids to it. */
  setAttributes(id: string, attributes: Record<string, unknown>): ClavexUser {
    const user = this.#touch(id);
    user.metadata = { ...attributes, id, org_id: this.organizationId };
    return { ...user };
  }

  /** GDPR erasure: the row stays, unrecognisable and inactive; memberships go. The two forms are those of Clavex's two routes to it. */
  eraseUser(id: string, form: "erased" | "anonymized"): ClavexUser {
    const user = this.#touch(id);
    if (form === "erased") {
      const digest = createHash("sha256").update(user.id).digest("hex");
      this.#setEmail(user, `erased_${digest.slice(0, 16)}@gdpr.invalid`);
      user.first_name = "ERASED";
      user.last_name = "ERASED";
    } else {
      this.#setEmail(user, `anon-${user.id}@gdpr.deleted`);
      setName(user, "first_name", null);
      setName(user, "last_name", null);
    }
    user.is_active = false;
    user.metadata = {};
    for (const { members } of this.#groups.values()) members.delete(id);
    return { ...user };
  }

  /** Deletes a user and their memberships; returns what was there. */
  deleteUser(id: string): ClavexUser {
    const user = this.#users.get(id);
    if (user === undefined) throw new ApiError(404);
    this.#users.delete(id);
    this.#forgetEmail(user);
    for (const { members } of this.#groups.values()) members.delete(id);
    return user;
  }

  /** Users sorted by e-mail address, from after the user `after`; a cursor whose user is gone is an error 500. */
  listUsers(limit: number, after?: string, query = ""): CursorPage<ClavexUser> {
    const cursor = after === undefined ? undefined : this.#users.get(after);
    if (after !== undefined && cursor === undefined) throw new ApiError(500);
    const wanted = query.toLowerCase();
    const matches = (user: ClavexUser): boolean =>
      wanted === "" ||
      [user.email, user.first_name, user.last_name].some((text) => text?.toLowerCase().includes(wanted));
    return page(this.#byEmail.after(cursor && [cursor.email, cursor.id]), limit, (id) => {
      const user = this.#users.get(id);
      return user && matches(user) ? user : undefined;
    });
  }

  addGroup(name: string, description?: string): ClavexGroup {
    if (this.groupByName(name) !== undefined) throw new ApiError(500, "internal server error");
    const now = this.#clock();
    const group = {
      id: randomUUID(),
      org_id: this.organizationId,
      name,
      ...(description ? { description } : {}),
      is_system: false,
      created_at: now,
      updated_at: now,
    };
    this.#groups.set(group.id, { group, members: new Set() });
    this.#byName.add(name, group.id);
    return { ...group, member_count: 0 };
  }

  group(id: string): ClavexGroup | undefined {
    const record = this.#groups.get(id);
    return record && { ...record.group, member_count: record.members.size };
  }

  groupByName(name: string): ClavexGroup | undefined {
    const id = this.#byName.find(name);
    return id === undefined ? undefined : this.group(id);
  }

  deleteGroup(id: string): void {
    const { group } = this.#record(id);
    this.#groups.delete(id);
    this.#byName.remove(group.name, id);
  }

  addMember(groupId: string, userId: string): void {
    const { members } = this.#record(groupId);
    if (!this.#users.has(userId)) throw new ApiError(404);
    members.add(userId);
  }

  removeMember(groupId: string, userId: string): void {
    this.#record(groupId).members.delete(userId);
  }

  listGroups(limit: number, after?: string): CursorPage<ClavexGroup> {
    const cursor = after === undefined ? undefined : this.#groups.get(after)?.group;
    if (after !== undefined && cursor === undefined) throw new ApiError(500);
    return page(this.#byName.after(cursor && [cursor.name, cursor.id]), limit, (id) => this.group(id));
  }

  /**
   * The members of a group as PARTIAL users, sorted by e-mail address: metadata and most else is what Go has for fields
   * that were never read.
   */
  members(groupId: string): ClavexUser[] {
    const members = [...this.#record(groupId).members].flatMap((id) => this.#users.get(id) ?? []);
    members.sort((a, b) => compare([a.email, a.id], [b.email, b.id]));
    return members.map(({ id, org_id, email, first_name, last_name, is_active, created_at }) => ({
      id,
      org_id,
      email,
      ...(first_name === undefined ? {} : { first_name }),
      ...(last_name === undefined ? {} : { last_name }),
      is_active,
      is_email_verified: false,
      mfa_required: false,
      required_actions: null,
      metadata: null,
      created_at,
      updated_at: "0001-01-01T00:00:00Z",
    }));
  }

  #touch(id: string): ClavexUser {
    const user = this.#users.get(id);
    if (user === undefined) throw new ApiError(404);
    user.updated_at = this.#clock();
    return user;
  }

  #setEmail(user: ClavexUser, email: string): void {
    this.#forgetEmail(user);
    user.email = email;
    this.#emails.add(email);
    this.#byEmail.add(email, user.id);
  }

  #forgetEmail(user: ClavexUser): void {
    this.#emails.delete(user.email);
    this.#byEmail.remove(user.email, user.id);
  }

  #record(id: string): GroupRecord {
    const record = this.#groups.get(id);
    if (record === undefined) throw new ApiError(404);
    return record;
  }
}

function setName(user: ClavexUser, field: "first_name" | "last_name", value: string | null | undefined): void {
  if (value === null) delete user[field];
  else if (value !== undefined) user[field] = value;
}

function page<T extends { id: string }>(
  ids: Iterable<string>,
  limit: number,
  read: (id: string) => T | undefined,
): CursorPage<T> {
  const items: T[] = [];
  for (const id of ids) {
    const item = read(id);
    if (item === undefined) continue;
    const last = items.at(-1);
    if (items.length === limit) return { items, ...(last ? { next_cursor: last.id } : {}), has_more: true };
    items.push(item);
  }
  return { items, has_more: false };
}

type Entry = readonly [key: string, id: string];

const compare = (a: Entry, b: Entry): number =>
  a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0;

/**
 * Ids in the order of a key. New entries wait and are merged in at the next reading, so that neither 100,000 additions in
 * a row nor readings between changes sort everything again.
 */
class SortedIndex {
  #sorted: Entry[] = [];
  #waiting: Entry[] = [];

  add(key: string, id: string): void {
    this.#waiting.push([key, id]);
  }

  remove(key: string, id: string): void {
    const sorted = this.#merged();
    const at = firstNotBefore(sorted, [key, id]);
    if (sorted[at]?.[1] === id) sorted.splice(at, 1);
  }

  find(key: string): string | undefined {
    const sorted = this.#merged();
    const entry = sorted[firstNotBefore(sorted, [key, ""])];
    return entry?.[0] === key ? entry[1] : undefined;
  }

  /** The ids after an entry, or all. */
  *after(entry: Entry | undefined): Generator<string> {
    const sorted = this.#merged();
    let at = entry === undefined ? 0 : firstNotBefore(sorted, entry);
    if (entry !== undefined && sorted[at]?.[1] === entry[1]) at += 1;
    for (let next = sorted[at]; next !== undefined; next = sorted[++at]) yield next[1];
  }

  #merged(): Entry[] {
    if (this.#waiting.length === 0) return this.#sorted;
    const added = this.#waiting.sort(compare);
    const old = this.#sorted;
    const merged: Entry[] = [];
    let at = 0;
    for (const entry of added) {
      for (let next = old[at]; next !== undefined && compare(next, entry) < 0; next = old[++at]) merged.push(next);
      merged.push(entry);
    }
    for (let next = old[at]; next !== undefined; next = old[++at]) merged.push(next);
    this.#sorted = merged;
    this.#waiting = [];
    return merged;
  }
}

function firstNotBefore(sorted: readonly Entry[], entry: Entry): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const candidate = sorted[middle];
    if (candidate !== undefined && compare(candidate, entry) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
