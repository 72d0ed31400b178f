import type { Dispatcher } from "undici";
import * as z from "zod";
import { Failure } from "../core/failure.ts";
import { type Answer, answeredBy, pathPrefix, retryAfter, send, type Timeouts } from "../http.ts";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import {
  MethodNotAllowed,
  NEXTCLOUD_SERVER,
  NEXTCLOUD_UNDECIDED,
  NextcloudBlocked,
  NextcloudForbidden,
  NextcloudMisrouted,
  NextcloudRateLimited,
  NextcloudServerError,
  NextcloudUnauthorized,
  NextcloudUnavailable,
  OcsRefusal,
  UnknownRoute,
  UserOidcDisabled,
  unreachable,
} from "./errors.ts";
import { Session } from "./session.ts";

/** Parameters of a call; always texts, because the server fails on JSON numbers. An array becomes `name[]=...` repeated. */
export type OcsParameters = Record<string, string | string[] | undefined>;

/** The OCS API of one Nextcloud server. */
export interface Ocs {
  /**
   * Makes one call and returns `ocs.data`.
   *
   * @param path below `/ocs/v2.php/`, with ids already encoded (see `userSegment` and `groupSegment`)
   * @param parameters sent in the query for GET and DELETE, else as a form
   * @param mayBegin called when the request is about to be sent, which may be long after the call; what it throws ends the call
   * @throws {OcsRefusal} when Nextcloud says no with an OCS code, and the other errors of this module
   */
  call(
    method: Dispatcher.HttpMethod,
    path: string,
    parameters?: OcsParameters,
    mayBegin?: () => void,
  ): Promise<unknown>;
}

export interface OcsOptions {
  baseUrl: string;
  username: string;
  /** The app password. Asked for at every request, so that a rotated one works at once. */
  password: () => Promise<string>;
  /** The connections to that server. */
  pool: Dispatcher;
  /** How many calls may be under way there; without one, as many as there are connections. */
  limit?: AdaptiveLimit;
  /** The session of this user there; without one, a new one. */
  session?: Session;
  /** Whether the acting account may belong to user_oidc; default yes. */
  mayBeServiceAccount?: boolean;
  /** Gets the `Date` header of each answer. */
  heard?: (date: Answer["headers"][string]) => void;
  now?: () => number;
}

/** A PHP server under load takes its time: making a core account took up to two seconds with eight at once. */
export const NEXTCLOUD_TIMEOUTS: Timeouts = { connect: 10_000, headers: 60_000, body: 30_000 };

/** One account is read in tens of milliseconds, in a second on a busy server: a slower answer is a hang. */
const ACCOUNT_MS = 8_000;

/** A user id as a segment of a path. Measured: it is decoded once, and ids have no `%` or `+` that would show otherwise. */
export function userSegment(id: string): string {
  return encodeURIComponent(id);
}

/** A group id as a segment of a path. Measured: it is decoded twice, so it is encoded twice. */
export function groupSegment(gid: string): string {
  return encodeURIComponent(encodeURIComponent(gid));
}

/** A client for one server and one acting user, with one session. */
export function createOcs(options: OcsOptions): Ocs {
  const root = `${pathPrefix(options.baseUrl)}/ocs/v2.php/`;
  const { session = new Session(), now = Date.now, mayBeServiceAccount = true, heard = () => undefined } = options;
  /** While it is, no login is tried: each would fail, and be counted. */
  let userOidcIsGone = false;

  return {
    async call(method, path, parameters = {}, mayBegin = () => undefined) {
      if (userOidcIsGone && (await isGone(options.pool, root))) throw new UserOidcDisabled();
      userOidcIsGone = false;
      const form = encode(parameters);
      const inQuery = method === "GET" || method === "DELETE";
      const credentials = Buffer.from(`${options.username}:${await options.password()}`).toString("base64");
      const query = inQuery && form !== "" ? `&${form}` : "";
      const attempt = async (cookie: string | undefined): Promise<Answer> => {
        const request = {
          method,
          path: `${root}${path}?format=json${query}`,
          headers: {
            authorization: `Basic ${credentials}`,
            "ocs-apirequest": "true",
            accept: "application/json",
            ...(cookie === undefined ? {} : { cookie }),
            ...(inQuery || form === "" ? {} : { "content-type": "application/x-www-form-urlencoded" }),
          },
          ...(inQuery ? {} : { body: form }),
          ...(method === "GET" && kindOf(method, path) !== undefined ? { headersTimeout: ACCOUNT_MS } : {}),
        };
        const make = () => send(options.pool, request);
        try {
          if (!options.limit) mayBegin();
          const answer = await (options.limit?.run(make, kindOf(method, path), mayBegin) ?? make());
          heard(answer.headers.date);
          // The cookies of a refusal are those of a session that nobody is logged in to.
          if (answer.status !== 401 && answer.status !== 429) session.update(answer.headers["set-cookie"]);
          return answer;
        } catch (error) {
          throw error instanceof Failure ? error : unreachable(error);
        }
      };
      const answer = await renewing(session, now, attempt);
      const place = path.split("/").slice(0, 2).join("/");
      try {
        return interpret(answer, `${method} ${place}`, `${options.baseUrl}/ocs/v2.php/${place}`);
      } catch (error) {
        if (!mayBeServiceAccount || !(error instanceof NextcloudUnauthorized)) throw error;
        userOidcIsGone = await isGone(options.pool, root).catch(() => false);
        throw userOidcIsGone ? new UserOidcDisabled() : error;
      }
    },
  };
}

/**
 * Whether the app user_oidc is not enabled. Its route tells that to somebody who does not log in: who it is, is asked only where
 * there is a route (docs/facts/nextcloud.md 4).
 */
async function isGone(pool: Dispatcher, root: string): Promise<boolean> {
  const headers = { "ocs-apirequest": "true", accept: "application/json" };
  const path = `${root}apps/user_oidc/api/v1/user?format=json`;
  const answer = await send(pool, { method: "POST", path, headers }).catch((error) => {
    throw error instanceof Failure ? error : unreachable(error);
  });
  return answer.status === 404 && /invalid query/i.test(readOcs(answer.body)?.message ?? "");
}

/**
 * Makes a call in the kept session. Half an hour after its login a session with a login password takes no core writes any more;
 * then the call is made once more with a fresh login, unless brute-force protection refuses those: then the old session,
 * which still passes, is kept (docs/facts/nextcloud.md 4).
 */
async function renewing(
  session: Session,
  now: () => number,
  attempt: (cookie: string | undefined) => Promise<Answer>,
): Promise<Answer> {
  const cookie = session.header();
  const answer = await attempt(cookie);
  if (isBlocked(answer)) session.noteBlocked(now());
  if (cookie === undefined || !wantsPassword(answer)) return answer;
  if (session.isBlocked(now())) throw new NextcloudBlocked();
  const takeBack = session.drop(cookie);
  const again = await attempt(session.header());
  if (!isBlocked(again)) return again;
  session.noteBlocked(now());
  takeBack();
  return again;
}

const wantsPassword = ({ status, body }: Answer): boolean =>
  status === 403 && /password confirmation/i.test(readOcs(body)?.message ?? "");

/** Brute-force protection says so in words; the rate limit of one call has no body. */
const isBlocked = ({ status, body }: Answer): boolean =>
  status === 429 && /maximum delay/i.test(readOcs(body)?.message ?? "");

/** The calls that cost the same whomever they are about; making an account or listing some does not. */
function kindOf(method: Dispatcher.HttpMethod, path: string): string | undefined {
  const [, what] = /^cloud\/users\/[^/]+(\/groups|\/enable|\/disable|$)/.exec(path) ?? [];
  return what === undefined ? undefined : `${method} ${what}`;
}

function encode(parameters: OcsParameters): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) for (const item of value) form.append(`${name}[]`, item);
    else if (value !== undefined) form.append(name, value);
  }
  return form.toString();
}

/** What an answer means. The HTTP status comes first: some errors are XML, an empty body or a web page, even if JSON was asked for. */
function interpret(answer: Answer, call: string, url: string): unknown {
  const { status } = answer;
  const ocs = readOcs(answer.body);
  const seconds = retryAfter(answer.headers);
  const wait = seconds === undefined ? {} : { retryAfterSeconds: seconds };

  if (answer.headers["x-nextcloud-maintenance-mode"] === "1") {
    throw new NextcloudUnavailable("Nextcloud is in maintenance mode", NEXTCLOUD_SERVER, wait);
  }
  if (isBlocked(answer)) throw new NextcloudBlocked();
  if (status === 429) throw new NextcloudRateLimited(wait);
  if (status === 405) throw new MethodNotAllowed(call);
  const empty = answer.body === "";
  if (status >= 500)
    throw new NextcloudServerError(status, call, wait, ocs || empty ? undefined : answeredBy(url, answer));
  // Nextcloud's own refusal has always a body of OCS (docs/facts/nextcloud.md 4); an empty one is a proxy's.
  if (ocs && (status === 401 || ocs.code === 997)) throw new NextcloudUnauthorized();
  if (ocs && (status === 403 || ocs.code === 403)) throw new NextcloudForbidden(ocs.message);
  if (status >= 300 && status < 400) {
    throw new NextcloudMisrouted(`Nextcloud answers HTTP ${status}, a redirect that is not followed`);
  }
  if (!ocs) {
    const html = String(answer.headers["content-type"] ?? "").includes("html");
    // What Nextcloud 34 answers to a parameter that it cannot use; measured, see docs/facts/nextcloud.md.
    if (status === 400 && html && empty) throw new OcsRefusal(status, "", call);
    // Not a verdict: a proxy's 401 says nothing about our password, its 404 nothing about an account.
    if (html || status >= 400) throw new NextcloudMisrouted(answeredBy(url, answer));
    const problem = `an answer to ${call} that is cut or not OCS (HTTP ${status})`;
    throw new NextcloudUnavailable(problem, NEXTCLOUD_UNDECIDED);
  }
  if (ocs.code === 100 || ocs.code === 200) return ocs.data;
  // What a route that is not there answers; the same codes mean "no such account" elsewhere.
  if (status === 404 && /invalid query/i.test(ocs.message)) throw new UnknownRoute(call);
  throw new OcsRefusal(ocs.code, ocs.message, call);
}

const problemsSchema = z.union([
  z.object({ errors: z.record(z.string(), z.string()) }).transform(({ errors }) =>
    Object.entries(errors)
      .map(([field, problem]) => `${field}: ${problem}`)
      .join("; "),
  ),
  z.object({ message: z.string() }).transform(({ message }) => message),
]);

/**
 * What a refusal says beside an empty message: a PATCH of each field, `{"errors":{"email":"Invalid email address"}}`, user_oidc of
 * a provider, `{"message":"The discovery endpoint is not reachable."}`.
 */
function problemsIn(data: unknown): string {
  return problemsSchema.safeParse(data).data ?? "";
}

/** A number, also where it is written as a text. */
const codeSchema = z.union([
  z.number(),
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number),
]);

function readOcs(body: string): { code: number; message: string; data: unknown } | undefined {
  try {
    const { meta, data } = (
      JSON.parse(body) as { ocs: { meta: { statuscode: unknown; message: unknown }; data: unknown } }
    ).ocs;
    const message = typeof meta.message === "string" ? meta.message.trim() : "";
    const code = codeSchema.safeParse(meta.statuscode);
    return code.success ? { code: code.data, message: message || problemsIn(data), data } : undefined;
  } catch {
    const code = /<statuscode>(\d+)<\/statuscode>/.exec(body)?.[1];
    const message = /<message>([^<]*)<\/message>/.exec(body)?.[1]?.trim() ?? "";
    return code === undefined ? undefined : { code: Number(code), message, data: undefined };
  }
}
