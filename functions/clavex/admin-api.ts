import { randomUUID } from "node:crypto";
import type { Dispatcher } from "undici";
import * as z from "zod";
import { Failure, isSilent, isUndecided } from "../core/failure.ts";
import type { DirectoryGroup } from "../core/person.ts";
import { quick } from "../core/quick.ts";
import {
  type Answer,
  answeredBy,
  InvalidHeader,
  pathPrefix,
  readJson,
  retryAfter,
  send,
  type Timeouts,
} from "../http.ts";
import { readAhead } from "../read-ahead.ts";
import { CLAVEX_UNDECIDED, ClavexKeyRefused, ClavexMisrouted, ClavexUnavailable, ClavexUnreached } from "./errors.ts";
import { reasonOf } from "./refusal.ts";
import { unreachable } from "./unreachable.ts";
import { type ClavexUser, type ListedUser, listedUser, listedUserSchema, userSchema, uuidSchema } from "./user.ts";

/** The part of Clavex's Admin API that provisioning reads, for one organization. Every method throws the errors of this module. */
export interface AdminApi {
  /** The user, or undefined when Clavex itself says, twice, that there is none. */
  user(subject: string): Promise<ClavexUser | undefined>;
  /**
   * All users, or those that match a search text, page by page, sorted by e-mail address.
   *
   * @param unreadable and `after`: see `Directory`
   */
  users(
    search?: string,
    unreadable?: (subject: string | undefined) => void,
    after?: string,
  ): AsyncGenerator<ClavexUser[]>;
  /**
   * All groups, page by page, sorted by name.
   *
   * @param unreadable see `Directory`
   */
  groups(unreadable?: (name: string | undefined) => void): AsyncGenerator<DirectoryGroup[]>;
  /**
   * The subjects of a group's direct members.
   *
   * @param partly called when not all of them can be read; where it is left out that is a failure
   */
  members(groupId: string, partly?: () => void): Promise<string[]>;
  /** See `Directory`. */
  probe(not: readonly string[]): Promise<void>;
}

export interface AdminApiOptions {
  baseUrl: string;
  organizationId: string;
  /** Asked for at every request, so that a rotated key works at once. */
  apiKey: () => Promise<string>;
  /** The connections to that server. */
  pool: Dispatcher;
  /** Gets the `Date` header of each answer. */
  heard?: (date: Answer["headers"][string]) => void;
}

/** Clavex answers from a database in milliseconds; a page of 200 users or a large group may take longer. */
export const CLAVEX_TIMEOUTS: Timeouts = { connect: 5_000, headers: 15_000, body: 15_000 };
const PAGE = 200;
/** One user is read in milliseconds: a slower answer is a hang, and other jobs must not wait long for it. */
const USER_MS = 5_000;
/** So many at least that some of them are neither gone nor odd. */
const MOST_SHOWN = 16;
/** A million items: a longer list comes from a server that pages for ever. */
const MOST_PAGES = 5_000;

const pageSchema = <T>(item: z.ZodType<T>) =>
  z.object({
    items: z.array(item),
    // One of another JSON type says that there is more; as cursors are ids, it goes on after the last item.
    next_cursor: z.union([z.string(), z.null(), z.unknown().transform(() => true as const)]).optional(),
    has_more: z.unknown().optional(),
  });
const anyPageSchema = quick(pageSchema(z.unknown()));
const usersPageSchema = pageSchema(listedUserSchema);
const identifiedSchema = z.object({ id: uuidSchema.optional().catch(undefined) }).catch({ id: undefined });
/** A listed group exists even if it cannot be read. An unreadable count means that it may have members. */
const groupSchema = z
  .object({
    id: uuidSchema.optional().catch(undefined),
    name: z.string().optional().catch(undefined),
    member_count: z.number().min(0).nullish().catch(undefined),
  })
  .catch({ id: undefined, name: undefined, member_count: undefined });
// The members' list shows partial users: only who is a member may be trusted.
const membersSchema = quick(z.array(identifiedSchema).nullable());

/** A client for one organization's Admin API. */
export function createAdminApi(options: AdminApiOptions): AdminApi {
  const get = createGet(options);

  function ownUser(user: ClavexUser): ClavexUser {
    if (user.organizationId === options.organizationId) return user;
    throw foreign();
  }

  const foreign = () => new ClavexMisrouted("Clavex answers with a user of another organization");

  /** @throws {ClavexMisrouted} when one is another organization's, or none is a user of this one */
  function ownUsers(items: ListedUser[], unreadable?: (subject: string | undefined) => void): ClavexUser[] {
    const users: ClavexUser[] = [];
    for (const item of items) {
      if ("user" in item) users.push(ownUser(item.user));
      else if (item.organizationId !== undefined && item.organizationId !== options.organizationId) throw foreign();
      else unreadable?.(item.subject);
    }
    const own = items.some((item) => "user" in item || (item.subject && item.organizationId));
    if (items.length > 0 && !own) throw new ClavexMisrouted("Clavex's users have an unexpected form");
    return users;
  }

  const { firstUsers, believe, noteShown } = createWitnesses(get, ownUser, ownUsers);

  return {
    async user(subject) {
      const path = `/users/${encodeURIComponent(subject)}`;
      let answer = await get(path);
      if (answer.status === 404) {
        await believe(subject);
        answer = await get(path);
        if (answer.status === 404) return undefined;
      }
      const user = ownUser(parseUser(answer, subject));
      if (user.subject !== subject)
        throw new ClavexMisrouted("Clavex answers with another user than the one asked for");
      noteShown(subject);
      return user;
    },
    async *users(search, unreadable, after) {
      // Of what a search finds, the first page may do.
      const listed =
        search === undefined ? readAhead(pages(get, "/users", undefined, after)) : pages(get, "/users", search);
      for await (const page of listed) {
        const users = ownUsers(page.map(listedUser), unreadable);
        const last = users.at(-1);
        if (last) noteShown(last.subject);
        yield users;
      }
    },
    async *groups(unreadable) {
      let isFirst = true;
      try {
        for await (const items of readAhead(pages(get, "/groups"))) {
          const page = items.map((item) => groupSchema.parse(item));
          const isOwn = page.length === 0 || page.some(({ id, name }) => id !== undefined || name !== undefined);
          if (!isOwn) throw new ClavexMisrouted("Clavex's groups have an unexpected form");
          yield page.flatMap(({ id, name, member_count: count }): DirectoryGroup[] => {
            if (id !== undefined && name !== undefined) return [{ id, name, memberCount: count ?? 1 }];
            unreadable?.(name);
            return [];
          });
          isFirst = false;
        }
      } catch (error) {
        // A group that Clavex cannot show hides the rest of the list.
        if (isFirst || !unreadable || !isOdd(error)) throw error;
        unreadable(undefined);
      }
    },
    async members(groupId, partly) {
      const answer = await get(`/groups/${encodeURIComponent(groupId)}/members`);
      // Deleted since the groups were listed, or misrouted: either way this reading is useless, and does not make a group empty.
      if (answer.status === 404)
        throw new ClavexUnavailable("a group vanished while its members were read", CLAVEX_UNDECIDED);
      const members = parse(answer, membersSchema, "a group's members") ?? [];
      const readable = members.flatMap(({ id }) => id ?? []);
      if (readable.length === members.length) return readable;
      if (!partly || readable.length === 0)
        throw new ClavexMisrouted("Clavex's answer for a group's members has an unexpected form");
      partly();
      return readable;
    },
    async probe(not) {
      const users = (await firstUsers(not.length + 1, not)) ?? [];
      const other = users
        .flatMap((each) => ("user" in each ? each.user.subject : []))
        .find((each) => !not.includes(each));
      if (other) await get(`/users/${other}`);
    },
  };
}

/** What shows whether Clavex answers for this organization, and whether somebody whom it does not find is gone. */
interface Witnesses {
  /**
   * Whether a 404 may be believed: only Clavex's own JSON error counts, only while the same key can still show somebody of this
   * organization, and only if two requests agree, because Clavex also answers 404 when its database fails for that one query. A
   * wrong organization id or a misrouting proxy must never look like a departure, and neither must a row that Clavex cannot read.
   */
  believe(subject: string): Promise<void>;
  /**
   * The first users of the list. One that Clavex cannot show, or leaves out, hides them: then somebody who was shown before has
   * to be shown again.
   *
   * @param not the subjects who say nothing
   * @returns undefined where it is only known that somebody is there
   */
  firstUsers(limit: number, not: readonly string[]): Promise<ListedUser[] | undefined>;
  /** Somebody was shown, alone or in a list. */
  noteShown(subject: string): void;
}

function createWitnesses(
  get: Get,
  ownUser: (user: ClavexUser) => ClavexUser,
  ownUsers: (items: ListedUser[]) => unknown,
): Witnesses {
  const shown = new Set<string>();

  function noteShown(subject: string): void {
    shown.delete(subject);
    shown.add(subject);
    const [first] = shown;
    if (shown.size > MOST_SHOWN && first !== undefined) shown.delete(first);
  }

  /**
   * Whether the list of users goes on after somebody: it looks up nothing but their e-mail address, and fails for an id of nobody
   * (docs/facts/clavex.md 6). A server whose list goes on after anybody cannot tell.
   */
  async function isThere(subject: string): Promise<boolean> {
    const goesOnAfter = (id: string): Promise<boolean> =>
      get(`/users?limit=1&after=${encodeURIComponent(id)}`).then(
        ({ status }) => status === 200,
        (error) => (isOdd(error) ? false : Promise.reject(error)),
      );
    return (await goesOnAfter(subject)) && !(await goesOnAfter(randomUUID()));
  }

  /** Whether the last one who was shown before is shown again. */
  async function showsAgain(not: readonly string[]): Promise<boolean> {
    const witness = [...shown].findLast((each) => !not.includes(each));
    if (witness === undefined) return false;
    shown.delete(witness);
    const answer = await get(`/users/${witness}`);
    if (answer.status !== 200) return false;
    noteShown(ownUser(parseUser(answer, witness)).subject);
    return true;
  }

  async function firstUsers(limit: number, not: readonly string[]): Promise<ListedUser[] | undefined> {
    const list = await get(`/users?limit=${limit}`).catch(async (error) => {
      if (!isOdd(error) || !(await showsAgain(not))) throw error;
    });
    if (!list) return undefined;
    if (list.status === 404)
      throw new ClavexMisrouted("Clavex does not know this organization (HTTP 404 for its users)");
    const { items } = parse(list, usersPageSchema, "users");
    ownUsers(items);
    // The page may leave out whoever stands first.
    return items.length === 0 && (await showsAgain(not)) ? undefined : items;
  }

  return {
    firstUsers,
    noteShown,
    async believe(subject) {
      if (await isThere(subject)) throw unreadableUser("Clavex has this user, but does not find them (HTTP 404)");
      const users = await firstUsers(1, [subject]);
      // A superadmin's key with a wrong organization id sees empty lists, and 404 for everybody.
      if (users?.length === 0) throw new ClavexMisrouted("HTTP 404 for a user, but Clavex lists no users at all");
    },
  };
}

/** Gets a path below the organization's. Answers are 200, or 404 in Clavex's own form; everything else is a failure. */
type Get = (path: string) => Promise<Answer>;

function createGet({ baseUrl, organizationId, apiKey, pool, heard = () => undefined }: AdminApiOptions): Get {
  const root = `${pathPrefix(baseUrl)}/api/v1/organizations/${organizationId}`;
  const place = (path: string) =>
    // Without ids and query.
    `${baseUrl}/api/v1/organizations/${organizationId}${path.replace(/^(\/[a-z]+).*$/s, "$1")}`;
  return async (path) => {
    const headers = { accept: "application/json", "x-api-key": await apiKey() };
    const ofOne = /^\/users\/[^/]+$/.test(path) ? { headersTimeout: USER_MS } : {};
    const answer = await send(pool, { method: "GET", path: `${root}${path}`, headers, ...ofOne }).catch((error) => {
      throw error instanceof InvalidHeader
        ? new ClavexKeyRefused("the API key has characters that no key has")
        : unreachable(error);
    });
    heard(answer.headers.date);
    const { status } = answer;
    if (status === 200) return answer;
    // A proxy's refusal says nothing about our key, and its 404 nothing about a person.
    const own = isOwnError(answer);
    if (own && status === 404) return answer;
    if (own && (status === 401 || status === 403)) {
      const reason = reasonOf(answer);
      throw new ClavexKeyRefused(`Clavex refuses the API key${reason && `: ${reason}`} (HTTP ${status})`);
    }
    const seconds = retryAfter(answer.headers);
    const wait = seconds === undefined ? {} : { retryAfterSeconds: seconds };
    if (status === 429) throw new ClavexUnavailable(`Clavex answers HTTP ${status}`, "subject", wait);
    if (status >= 300 && status < 400) throw new ClavexRedirects(status);
    const foreign = answeredBy(place(path), answer);
    if (status < 500) throw new ClavexMisrouted(foreign);
    throw own || answer.body === ""
      ? new ClavexUnavailable(`Clavex answers HTTP ${status}`, CLAVEX_UNDECIDED, wait)
      : new ClavexUnreached(foreign, wait);
  };
}

function parse<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
  if (String(answer.headers["content-type"]).includes("html"))
    throw new ClavexMisrouted(`a web page in place of Clavex's answer for ${what}`);
  const read = readJson(answer.body, schema);
  if ("value" in read) return read.value;
  if (read.problem === "not JSON")
    throw new ClavexUnavailable(`Clavex's answer for ${what} is not JSON`, CLAVEX_UNDECIDED);
  throw new ClavexMisrouted(`Clavex's answer for ${what} has an unexpected form (${read.where})`);
}

/** A single user; an unreadable answer is that user's own failure, if it is about the user asked for. */
function parseUser(answer: Answer, subject: string): ClavexUser {
  const read = readJson(answer.body, userSchema);
  const listed = readJson(answer.body, listedUserSchema);
  const isTheirs = "value" in listed && "subject" in listed.value && listed.value.subject === subject;
  if (!("where" in read) || !isTheirs) return parse(answer, userSchema, "a user");
  throw unreadableUser(`Clavex's answer for a user cannot be read (${read.where})`);
}

function unreadableUser(problem: string): ClavexUnavailable {
  return new ClavexUnavailable(problem, CLAVEX_UNDECIDED, {}, "clavex-user-unreadable");
}

/**
 * A failing page is read in smaller parts, one item first, so that one item that Clavex cannot show hides few others. The items
 * are as Clavex shows them: they are parsed while the next page is on its way.
 */
async function* pages(get: Get, path: string, search?: string, begin?: string): AsyncGenerator<unknown[]> {
  const query = search === undefined ? "" : `&q=${encodeURIComponent(search)}`;
  const seen = new Set<string>();
  const what = path.slice(1);
  let after = begin;
  let size = PAGE;
  for (;;) {
    // Clavex pages by `after`; a server that ignored it would send the first page for ever, so a cursor may appear only once.
    const from = after === undefined ? "" : `&after=${encodeURIComponent(after)}`;
    const page = await readPage(get, `${path}?limit=${size}${query}${from}`, what).catch((error: unknown) => {
      if (size === 1 || !isOdd(error)) throw error;
      return undefined;
    });
    if (page === undefined) {
      size = 1;
      continue;
    }
    size = Math.min(2 * size, PAGE);
    yield page.items;
    const { next_cursor: cursor, has_more: more, items } = page;
    if (!cursor && !more) return;
    const last = items.at(-1);
    const named = typeof cursor === "string" && cursor !== "" ? cursor : undefined;
    if (named === undefined && last === undefined) return;
    // Clavex's cursors are ids.
    const next = named ?? identifiedSchema.parse(last).id;
    if (!next) throw new ClavexMisrouted(`Clavex says that there are more ${what}, but not how to read them`);
    if (seen.size >= MOST_PAGES) throw new ClavexMisrouted(`Clavex's list of ${what} does not end`);
    if (seen.has(next)) throw new ClavexMisrouted(`Clavex's paging of ${what} does not advance`);
    seen.add(next);
    after = next;
  }
}

async function readPage(get: Get, path: string, what: string) {
  const answer = await get(path);
  if (answer.status === 404) throw new ClavexMisrouted(`Clavex does not know this organization's ${what} (HTTP 404)`);
  return parse(answer, anyPageSchema, what);
}

/** The address is not Clavex's: that does not depend on what is asked for. */
class ClavexRedirects extends ClavexMisrouted {
  constructor(status: number) {
    super(`Clavex answers HTTP ${status}, a redirect that is not followed`);
  }
}

/** Whether one item may have made a page fail. A page that hangs is not read again: it would take as long. */
function isOdd(error: unknown): boolean {
  if (error instanceof ClavexRedirects) return false;
  return error instanceof Failure && isUndecided(error) && !isSilent(error);
}

function isOwnError(answer: Answer): boolean {
  return "value" in readJson(answer.body, z.object({ error: z.string() }));
}
