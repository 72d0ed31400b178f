import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { Credentials } from "../../functions/simulated/nextcloud.ts";
import type { NextcloudVersion } from "../../functions/simulated/nextcloud-version.ts";
import { load } from "./recordings.ts";

/** One exchange with a real Nextcloud 32 or 34, in the order in which they were made. */
interface Exchange {
  request: {
    method: string;
    path: string;
    as: "service" | "provisioner" | "none";
    type?: string;
    /** Passwords in forms are written as `***`. */
    body?: string;
  };
  /** An empty body is an empty text; without one it is not compared. */
  response: { status: number; headers: Record<string, string>; body?: unknown };
}

/** An exchange and its line in the file, which is the same in the files of both versions. */
export interface Line extends Exchange {
  line: number;
}

export type ReplayedVersion = Exclude<NextcloudVersion, 27>;

export function exchangesOf(version: ReplayedVersion): Line[] {
  const [, ...exchanges] = load<Exchange>(`nextcloud-${version}.jsonl`);
  return exchanges.map((exchange, index) => ({ ...exchange, line: index + 2 }));
}

/** Lines that no client here can repeat, and why. */
export const NOT_REPLAYED: readonly [from: number, to: number, why: string][] = [
  [119, 122, "clients fold .. in a path"],
  [124, 127, "clients fold . in a path"],
  [224, 235, "four requests at the same time"],
];

/** The server was reset before this one. */
export const RESET_LINE = 241;

export const isReplayed = ({ line }: Line): boolean => !NOT_REPLAYED.some(([from, to]) => line >= from && line <= to);

export const STRONG_PASSWORD = "Correct-horse-battery-9";
const LOGIN_PASSWORD = "Login-horse-battery-9";
const WEAK_PASSWORD_LINES = [169];
const WITHOUT_HEADER_LINES = [216];
const WRONG_PASSWORD_LINES = [223, ...Array.from({ length: 11 }, (_, index) => 308 + index)];
/** The first of them logs in with the login password, the others send its cookies back. */
const LOGIN_PASSWORD_LINES = [274, 275, 276, 277];
/** What the simulator shows only a part of. */
const PARTLY_SHOWN_LINES = [301, 302, 303];

/** The accounts that were there from the start. 32 had no service account. */
export function credentialsOf(version: ReplayedVersion): Credentials[] {
  return [
    { username: "admin", password: "not-used", loginPassword: "" },
    { username: "provisioner", displayName: "Provisioner", password: "app-provisioner", loginPassword: LOGIN_PASSWORD },
    ...(version === 34
      ? [{ username: "service", displayName: "Service", password: "app-service", backend: "user_oidc" } as const]
      : []),
  ];
}

/** A server that exchanges are repeated on. */
export interface Target {
  url: string;
  /** The `Authorization` of whoever asked; `kind` is only needed where it was not an app password. */
  authorization(as: "service" | "provisioner", kind: "app" | "login" | "wrong"): string;
}

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

/** The simulator, with the accounts of `credentialsOf`. */
export function simulatorTarget(url: string): Target {
  const passwords = { app: (as: string) => `app-${as}`, login: () => LOGIN_PASSWORD, wrong: () => "wrong" };
  return { url, authorization: (as, kind) => basic(as, passwords[kind](as)) };
}

/** A real server: whoever asked, it is the account of these credentials. */
export function realTarget(url: string, username: string, password: string): Target {
  return { url, authorization: () => basic(username, password) };
}

/** Sends the exchange's request and compares the answer. `cookies` are those of the login before, where there was one. */
export async function replay(target: Target, exchange: Line, cookies: string[] = []): Promise<Response> {
  const { line, request } = exchange;
  const { method, path, as, type, body } = request;
  const kind = WRONG_PASSWORD_LINES.includes(line) ? "wrong" : LOGIN_PASSWORD_LINES.includes(line) ? "login" : "app";
  const password = WEAK_PASSWORD_LINES.includes(line) ? "abc" : STRONG_PASSWORD;
  const response = await fetch(target.url + path, {
    method,
    redirect: "manual",
    headers: {
      accept: "application/json",
      ...(as === "none" ? {} : { authorization: target.authorization(as, kind) }),
      ...(WITHOUT_HEADER_LINES.includes(line) ? {} : { "OCS-APIRequest": "true" }),
      ...(LOGIN_PASSWORD_LINES.includes(line) && cookies.length > 0 ? { cookie: cookies.join("; ") } : {}),
      ...(type === undefined ? {} : { "content-type": type }),
    },
    ...(body === undefined ? {} : { body: body.replace("***", password) }),
  });
  await compare(exchange, response);
  return response;
}

async function compare({ line, request, response: recorded }: Line, response: Response): Promise<void> {
  const where = `line ${line}: ${request.method} ${request.path} ${request.body ?? ""}`;
  const text = await response.text();
  expect(response.status, `${where}: ${text}`).toBe(recorded.status);
  for (const [name, value] of Object.entries(recorded.headers)) {
    expect(response.headers.get(name)?.toLowerCase(), `${where}: ${name}`).toBe(value.toLowerCase());
  }
  if (recorded.body === undefined) return;
  const actual = text === "" ? "" : stable(JSON.parse(text));
  if (PARTLY_SHOWN_LINES.includes(line)) expect(stable(recorded.body), where).toMatchObject(actual as object);
  else expect(actual, where).toEqual(stable(recorded.body));
}

/** What depends on the machine, the clock or the size of the skeleton: only its type has to be the same. */
const BY_TYPE = new Set([
  "free",
  "used",
  "total",
  "relative",
  "lastLogin",
  "firstLoginTimestamp",
  "lastLoginTimestamp",
]);
const IGNORED = new Set(["storageLocation", "endSessionEndpoint", "postLogoutUri", "name", "discoveryEndpoint"]);

function stable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !IGNORED.has(key) && !key.endsWith("Scope"));
  const fixed = ([key, each]: [string, unknown]): [string, unknown] => {
    if (BY_TYPE.has(key)) return [key, typeof each];
    // Nextcloud lists groups as its database does: MariaDB by id, SQLite as they were joined.
    return [key, key === "groups" && Array.isArray(each) ? [...each].sort() : stable(each)];
  };
  return Object.fromEntries(entries.map(fixed));
}

// A real server

const PREFIX = "cnx-test-";

/** Exchanges that do no harm on a real server: with users and groups of our own, which are deleted afterwards. */
export interface Passage {
  title: string;
  lines: number[];
  /** Core writes: they need credentials that the server takes them with. */
  writes: boolean;
}

const span = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

export const PASSAGES: readonly Passage[] = [
  { title: "answers outside the controllers", lines: [216, 219, 220, 306], writes: false },
  { title: "limits of lists", lines: span(242, 246), writes: false },
  { title: "an account of user_oidc", lines: span(2, 7), writes: false },
  { title: "quotas of user_oidc", lines: span(8, 31), writes: false },
  { title: "core's calls on an account of user_oidc", lines: [2, 4, ...span(43, 58)], writes: true },
  { title: "groups", lines: [59, 60, 65, 66, 139, 140, 154, 155, 156], writes: true },
  { title: "groups whose names need care in a path", lines: [...span(68, 117), ...span(128, 137)], writes: true },
  { title: "memberships", lines: [2, 59, ...span(141, 147), ...span(149, 153)], writes: true },
  { title: "core accounts", lines: [59, ...span(158, 168), ...span(170, 183), 191, 192], writes: true },
  { title: "one person's way", lines: span(278, 295), writes: true },
];

/** Lists of a real server hold whoever is there: only their status is compared. */
const LISTS = span(242, 246);

/** The recorded exchange about users and groups with our prefix. `idOf` is the account id of a subject on that server. */
export function prefixed(exchange: Line, idOf: (subject: string) => string): Line {
  const { line, request, response } = exchange;
  if (LISTS.includes(line)) return { ...exchange, response: { ...response, body: undefined } };
  const isSubject = (id: string): boolean => id === "s1" || id.startsWith("q-") || id.startsWith("6f1c2f9e-");
  const account = (id: string): string => (isSubject(id) ? idOf(PREFIX + id) : PREFIX + id);
  const group = (gid: unknown): unknown => (gid === "admin" ? gid : `${PREFIX}${gid}`);

  /** The same JSON with prefixes where ids of accounts and groups stand. */
  function walk(value: unknown, own?: string): unknown {
    if (typeof value === "string") return value.replace(/Group (\w+) does/, (_, gid) => `Group ${PREFIX}${gid} does`);
    if (Array.isArray(value)) return value.map((each) => walk(each, own));
    if (typeof value !== "object" || value === null) return value;
    const id = "id" in value && typeof value.id === "string" ? value.id : own;
    const entries = Object.entries(value).map(([key, each]) => {
      if ((key === "id" || key === "user_id") && typeof each === "string") return [key, account(each)];
      if (/^user_?id$/i.test(key)) return [key, PREFIX + each];
      if (key === "groups" && Array.isArray(each)) return [key, each.map(group)];
      // Without a name of its own an account is called by its id.
      if (/^display-?name$/.test(key) && each === id) return [key, account(String(each))];
      return [key, walk(each, id)];
    });
    return Object.fromEntries(entries);
  }

  const path = request.path
    .replace(/(\/cloud\/users\/|\/api\/v1\/user\/)([^/?]+)/, (_, start, id) => start + account(id))
    .replace(/(\/cloud\/groups\/|groupid=)(?=[^?&])/, (start) => start + PREFIX);
  const body = request.body?.startsWith("{")
    ? JSON.stringify(walk(JSON.parse(request.body)))
    : request.body?.replace(/((?:^|&)(?:userid|userId|groupid)=)(?=[^&])/g, (start) => start + PREFIX);
  return {
    ...exchange,
    request: { ...request, path, ...(body === undefined ? {} : { body }) },
    response: { ...response, body: walk(response.body ?? "") },
  };
}

/** Deletes whatever the passage made; of what was not made, or is gone, it says so, which is as good. */
export async function cleanUp(target: Target, exchanges: Line[], idOf: (subject: string) => string): Promise<void> {
  const headers = { authorization: target.authorization("service", "app"), "OCS-APIRequest": "true" };
  const remove = (path: string) => fetch(`${target.url}/ocs/v2.php/${path}`, { method: "DELETE", headers });
  const paths = new Set<string>();
  for (const { request, response } of exchanges) {
    const form = new URLSearchParams(request.body ?? "");
    const data = (response.body as { ocs?: { data?: { user_id?: string } } } | undefined)?.ocs?.data;
    const [, inPath] = /\/cloud\/users\/([^/?]+)/.exec(request.path) ?? [];
    const named =
      request.path.includes("/cloud/users?") &&
      (form.get("userid") ?? /"userid":"([^"]+)"/.exec(request.body ?? "")?.[1]);
    const gid = request.path.includes("/cloud/groups?") && form.get("groupid");
    // A POST that ends with 500 names no account, and may have made it.
    const subject = request.path.includes("/api/v1/user?") && form.get("userId");
    if (subject) paths.add(`apps/user_oidc/api/v1/user/${idOf(subject)}`);
    if (gid) paths.add(`cloud/groups/${encodeURIComponent(encodeURIComponent(gid))}`);
    for (const id of [data?.user_id, inPath]) if (id) paths.add(`apps/user_oidc/api/v1/user/${id}`);
    for (const id of [named, inPath]) if (id) paths.add(`cloud/users/${id}`);
  }
  for (const path of paths) await remove(path);
}

/** What decides which passages a real server can be asked for. */
export interface RealServer {
  major: number;
  /** Core takes writes with these credentials: shown by joining the acting account to `admin`, where it is already. */
  takesWrites: boolean;
  /** How provider 1 makes ids of subjects. */
  hashesIds: boolean;
}

export async function lookAtRealServer(target: Target, username: string): Promise<RealServer> {
  const headers = { authorization: target.authorization("service", "app"), "OCS-APIRequest": "true" };
  const call = async (path: string, form?: Record<string, string>) => {
    const init = form === undefined ? {} : { method: "POST", body: new URLSearchParams(form) };
    const answer = await fetch(`${target.url}/ocs/v2.php/${path}?format=json`, { headers, ...init });
    return {
      status: answer.status,
      data: (JSON.parse((await answer.text()) || "{}") as { ocs?: { data?: unknown } }).ocs?.data,
    };
  };
  const { data } = await call("cloud/capabilities");
  const providers = await call("apps/user_oidc/api/v1/provider");
  const join = await call(`cloud/users/${encodeURIComponent(username)}/groups`, { groupid: "admin" });
  const list = Array.isArray(providers.data)
    ? (providers.data as { id: number; settings: { uniqueUid: boolean } }[])
    : [];
  return {
    major: (data as { version: { major: number } }).version.major,
    takesWrites: join.status === 200,
    hashesIds: list.find(({ id }) => id === 1)?.settings.uniqueUid ?? true,
  };
}

/** How user_oidc makes an account id of a subject; docs/facts/nextcloud.md 1. */
export const hashedId = (subject: string): string => createHash("sha256").update(`1_0_${subject}`).digest("hex");
