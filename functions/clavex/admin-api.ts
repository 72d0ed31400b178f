import type { Dispatcher } from "undici";
import * as z from "zod";
import type { DirectoryGroup } from "../core/person.ts";
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
import { CLAVEX_UNDECIDED, ClavexKeyRefused, ClavexMisrouted, ClavexUnavailable, ClavexUnreached } from "./errors.ts";
import { reasonOf } from "./refusal.ts";
import { unreachable } from "./unreachable.ts";
import { type ClavexUser, userSchema, uuidSchema } from "./user.ts";

/** The part of Clavex's Admin API that provisioning reads, for one organization. Every method throws the errors of this module. */
export interface AdminApi {
  /** The user, or undefined when Clavex itself says, twice, that there is none. */
  user(subject: string): Promise<ClavexUser | undefined>;
  /** All users, or those that match a search text, page by page, sorted by e-mail address. */
  users(search?: string): AsyncGenerator<ClavexUser[]>;
  /** All groups, page by page, sorted by name. */
  groups(): AsyncGenerator<DirectoryGroup[]>;
  /** The subjects of a group's direct members. */
  members(groupId: string): Promise<string[]>;
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
}

/** Clavex answers from a database in milliseconds; a page of 200 users or a large group may take longer. */
export const CLAVEX_TIMEOUTS: Timeouts = { connect: 5_000, headers: 15_000, body: 15_000 };
const PAGE = 200;

const pageSchema = <T>(item: z.ZodType<T>) =>
  z.object({ items: z.array(item), next_cursor: z.string().nullish(), has_more: z.boolean().nullish() });
const groupSchema = z
  .object({ id: uuidSchema, name: z.string(), member_count: z.number().nullish() })
  .transform((group): DirectoryGroup => ({ id: group.id, name: group.name, memberCount: group.member_count ?? 1 }));
// The members' list shows partial users: only who is a member may be trusted.
const membersSchema = z.array(z.object({ id: uuidSchema })).nullable();

/** A client for one organization's Admin API. */
export function createAdminApi(options: AdminApiOptions): AdminApi {
  const get = createGet(options);

  function ownUser(user: ClavexUser): ClavexUser {
    if (user.organizationId === options.organizationId) return user;
    throw new ClavexMisrouted("Clavex answers with a user of another organization");
  }

  /**
   * Whether a 404 may be believed: only Clavex's own JSON error counts, only while the same key can still list this
   * organization's users, and only if the same is said twice, because Clavex answers 404 also when its database fails for
   * that one query. A wrong organization id or a misrouting proxy must never look like a departure.
   */
  async function believe(): Promise<void> {
    const list = await get("/users?limit=1");
    if (list.status === 404)
      throw new ClavexMisrouted("Clavex does not know this organization (HTTP 404 for its users)");
    for (const user of parse(list, pageSchema(userSchema), "users").items) ownUser(user);
  }

  return {
    async user(subject) {
      const path = `/users/${encodeURIComponent(subject)}`;
      let answer = await get(path);
      if (answer.status === 404) {
        await believe();
        answer = await get(path);
        if (answer.status === 404) return undefined;
      }
      const user = ownUser(parse(answer, userSchema, "a user"));
      if (user.subject !== subject)
        throw new ClavexMisrouted("Clavex answers with another user than the one asked for");
      return user;
    },
    async *users(search) {
      const query = search === undefined ? "" : `&q=${encodeURIComponent(search)}`;
      for await (const page of pages(get, "/users", userSchema, query)) yield page.map(ownUser);
    },
    groups: () => pages(get, "/groups", groupSchema),
    async members(groupId) {
      const answer = await get(`/groups/${encodeURIComponent(groupId)}/members`);
      // Deleted since the groups were listed, or misrouted: either way this reading is of no use, and no group is empty by it.
      if (answer.status === 404) throw new ClavexUnavailable("a group vanished while its members were read", "subject");
      return (parse(answer, membersSchema, "a group's members") ?? []).map((member) => member.id);
    },
    async probe(not) {
      const list = await get(`/users?limit=${not.length + 1}`);
      if (list.status === 404)
        throw new ClavexMisrouted("Clavex does not know this organization (HTTP 404 for its users)");
      const other = parse(list, pageSchema(userSchema), "users").items.find(({ subject }) => !not.includes(subject));
      if (other) await get(`/users/${other.subject}`);
    },
  };
}

/** Gets a path below the organization's. Answers are 200, or 404 in Clavex's own form; everything else is a failure. */
type Get = (path: string) => Promise<Answer>;

function createGet({ baseUrl, organizationId, apiKey, pool }: AdminApiOptions): Get {
  const root = `${pathPrefix(baseUrl)}/api/v1/organizations/${organizationId}`;
  const place = (path: string) =>
    // Without ids and query.
    `${baseUrl}/api/v1/organizations/${organizationId}${path.replace(/^(\/[a-z]+).*$/s, "$1")}`;
  return async (path) => {
    const headers = { accept: "application/json", "x-api-key": await apiKey() };
    const answer = await send(pool, { method: "GET", path: `${root}${path}`, headers }).catch((error) => {
      throw error instanceof InvalidHeader
        ? new ClavexKeyRefused("the API key has characters that no key has")
        : unreachable(error);
    });
    const { status } = answer;
    if (status === 200) return answer;
    // A proxy's refusal says nothing of our key, and its 404 nothing of a person.
    const own = isOwnError(answer) || (answer.body === "" && status !== 404);
    if (own && status === 404) return answer;
    if (own && (status === 401 || status === 403)) {
      const reason = reasonOf(answer);
      throw new ClavexKeyRefused(`Clavex refuses the API key${reason && `: ${reason}`} (HTTP ${status})`);
    }
    const seconds = retryAfter(answer.headers);
    const wait = seconds === undefined ? {} : { retryAfterSeconds: seconds };
    if (status === 429) throw new ClavexUnavailable(`Clavex answers HTTP ${status}`, "subject", wait);
    if (status >= 300 && status < 400)
      throw new ClavexMisrouted(`Clavex answers HTTP ${status}, a redirect that is not followed`);
    const foreign = answeredBy(place(path), answer);
    if (status < 500) throw new ClavexMisrouted(foreign);
    throw own
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

async function* pages<T>(get: Get, path: string, item: z.ZodType<T>, query = ""): AsyncGenerator<T[]> {
  const seen = new Set<string>();
  const what = path.slice(1);
  let after: string | undefined;
  for (;;) {
    // Clavex pages by `after`; a server that ignored it would send the first page for ever, so a cursor may come only once.
    const from = after === undefined ? "" : `&after=${encodeURIComponent(after)}`;
    const answer = await get(`${path}?limit=${PAGE}${query}${from}`);
    if (answer.status === 404) throw new ClavexMisrouted(`Clavex does not know this organization's ${what} (HTTP 404)`);
    const page = parse(answer, pageSchema(item), what);
    yield page.items;
    if (!page.next_cursor) {
      if (page.has_more) throw new ClavexMisrouted(`Clavex says that there are more ${what}, but not how to read them`);
      return;
    }
    if (seen.has(page.next_cursor)) throw new ClavexMisrouted(`Clavex's paging of ${what} does not advance`);
    seen.add(page.next_cursor);
    after = page.next_cursor;
  }
}

function isOwnError(answer: Answer): boolean {
  return "value" in readJson(answer.body, z.object({ error: z.string() }));
}
