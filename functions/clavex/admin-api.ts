import type { Dispatcher } from "undici";
import * as z from "zod";
import {
  type Answer,
  InvalidHeader,
  isCertificateError,
  isConnectError,
  networkErrorName,
  pathPrefix,
  retryAfter,
  send,
  type Timeouts,
} from "../http.ts";
import { CLAVEX_SERVER, ClavexCertificate, ClavexKeyRefused, ClavexMisrouted, ClavexUnavailable } from "./errors.ts";
import { type ClavexUser, userSchema, uuidSchema } from "./user.ts";

/** A group in Clavex. Membership changes touch no time of it; `memberCount` is what the list says. */
export interface DirectoryGroup {
  id: string;
  name: string;
  memberCount: number;
}

/** The part of Clavex's Admin API that provisioning reads, for one organization. Every method throws the errors of this room. */
export interface AdminApi {
  /** The user, or undefined when Clavex itself says, twice, that there is none. */
  user(subject: string): Promise<ClavexUser | undefined>;
  /** All users, or those that match a search text, page by page, sorted by e-mail address. */
  users(search?: string): AsyncGenerator<ClavexUser[]>;
  /** All groups, page by page, sorted by name. */
  groups(): AsyncGenerator<DirectoryGroup[]>;
  /** The subjects of a group's direct members. */
  members(groupId: string): Promise<string[]>;
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
  const root = `${pathPrefix(options.baseUrl)}/api/v1/organizations/${options.organizationId}`;

  async function get(path: string): Promise<Answer> {
    const headers = { accept: "application/json", "x-api-key": await options.apiKey() };
    let answer: Answer;
    try {
      answer = await send(options.pool, { method: "GET", path: `${root}${path}`, headers });
    } catch (error) {
      if (error instanceof InvalidHeader) throw new ClavexKeyRefused("the API key has characters that no key has");
      const name = networkErrorName(error);
      if (isCertificateError(name)) throw new ClavexCertificate(name);
      throw new ClavexUnavailable(
        `Clavex cannot be reached (${name})`,
        isConnectError(name) ? CLAVEX_SERVER : "subject",
        {
          cause: error,
        },
      );
    }
    const { status } = answer;
    if (status === 200 || status === 404) return answer;
    if (status === 401 || status === 403) throw new ClavexKeyRefused(`Clavex refuses the API key (HTTP ${status})`);
    if (status === 429 || status >= 500) {
      const seconds = retryAfter(answer.headers);
      throw new ClavexUnavailable(
        `Clavex answers HTTP ${status}`,
        "subject",
        seconds === undefined ? {} : { retryAfterSeconds: seconds },
      );
    }
    throw new ClavexMisrouted(
      `Clavex answers HTTP ${status}${status >= 300 && status < 400 ? ", a redirect that is not followed" : ""}`,
    );
  }

  function parse<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
    if (String(answer.headers["content-type"]).includes("html"))
      throw new ClavexMisrouted(`a web page in place of Clavex's answer for ${what}`);
    let json: unknown;
    try {
      json = JSON.parse(answer.body);
    } catch (error) {
      throw new ClavexUnavailable(`Clavex's answer for ${what} is not JSON`, "subject", { cause: error });
    }
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    const where = result.error.issues.map((issue) => issue.path.map(String).join(".") || "answer").join(", ");
    throw new ClavexMisrouted(`Clavex's answer for ${what} has an unexpected form (${where})`);
  }

  async function* pages<T>(path: string, item: z.ZodType<T>, query = ""): AsyncGenerator<T[]> {
    const seen = new Set<string>();
    let after: string | undefined;
    for (;;) {
      // Clavex pages by `after`; a server that ignored it would send the first page for ever, so a cursor may come only once.
      const answer = await get(
        `${path}?limit=${PAGE}${query}${after === undefined ? "" : `&after=${encodeURIComponent(after)}`}`,
      );
      if (answer.status === 404)
        throw new ClavexMisrouted(`Clavex does not know this organization's ${path.slice(1)} (HTTP 404)`);
      const page = parse(answer, pageSchema(item), path.slice(1));
      yield page.items;
      if (!page.next_cursor) {
        if (page.has_more)
          throw new ClavexMisrouted(`Clavex says that there are more ${path.slice(1)}, but not how to read them`);
        return;
      }
      if (seen.has(page.next_cursor)) throw new ClavexMisrouted(`Clavex's paging of ${path.slice(1)} does not advance`);
      seen.add(page.next_cursor);
      after = page.next_cursor;
    }
  }

  function ownUser(user: ClavexUser): ClavexUser {
    if (user.organizationId === options.organizationId) return user;
    throw new ClavexMisrouted("Clavex answers with a user of another organization");
  }

  /**
   * Whether a 404 may be believed: only Clavex's own JSON error counts, only while the same key can still list this
   * organization's users, and only if the same is said twice, because Clavex answers 404 also when its database fails for
   * that one query. A wrong organization id or a misrouting proxy must never look like a departure.
   */
  async function believe(answer: Answer): Promise<void> {
    if (!isOwnError(answer)) throw new ClavexMisrouted("HTTP 404 for a user, but not Clavex's own");
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
        await believe(answer);
        answer = await get(path);
        if (answer.status === 404 && isOwnError(answer)) return undefined;
      }
      const user = ownUser(parse(answer, userSchema, "a user"));
      if (user.subject !== subject)
        throw new ClavexMisrouted("Clavex answers with another user than the one asked for");
      return user;
    },
    async *users(search) {
      const query = search === undefined ? "" : `&q=${encodeURIComponent(search)}`;
      for await (const page of pages("/users", userSchema, query)) yield page.map(ownUser);
    },
    groups: () => pages("/groups", groupSchema),
    async members(groupId) {
      const answer = await get(`/groups/${encodeURIComponent(groupId)}/members`);
      // Deleted since the groups were listed, or misrouted: either way this reading is of no use, and no group is empty by it.
      if (answer.status === 404) throw new ClavexUnavailable("a group vanished while its members were read", "subject");
      return (parse(answer, membersSchema, "a group's members") ?? []).map((member) => member.id);
    },
  };
}

function isOwnError(answer: Answer): boolean {
  try {
    return z.object({ error: z.string() }).safeParse(JSON.parse(answer.body)).success;
  } catch {
    return false;
  }
}
