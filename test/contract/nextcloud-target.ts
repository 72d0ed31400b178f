import { createHash } from "node:crypto";
import { expect } from "vitest";
import {
  type SimulatedNextcloud,
  type SimulatedNextcloudOptions,
  startSimulatedNextcloud,
} from "../../functions/simulated/nextcloud.ts";
import { load } from "./recordings.ts";

/** One exchange with a real Nextcloud 27.1 and user_oidc 6.4, cut to what a client can depend on. */
export interface Recording {
  name: string;
  request: {
    method: string;
    path: string;
    /** `admin`, `none`, `wrong`, `bearer`, `login` (the login instead of the app password), or an account with PASSWORD. */
    auth: string;
    ocsHeader?: false;
    accept?: false;
    type?: "json" | "form";
    /** Passwords are written as `***`. */
    body?: string;
  };
  response: {
    status: number;
    type: string;
    headers?: Record<string, string>;
    meta?: { status: string; statuscode: number; message: string; totalitems?: string; itemsperpage?: string };
    data?: unknown;
    json?: unknown;
    text?: string;
  };
}

/** A first login over OpenID Connect: the account before and after, and the status of the last answer. */
export interface RecordedLogin {
  name: string;
  note: string;
  sub: string;
  claims: { name?: string; email?: string; quota?: string | number; groups?: unknown };
  before: RecordedAccount | null;
  status: number;
  after: RecordedAccount | null;
  rows: string;
}

export interface RecordedAccount {
  id: string;
  backend: string;
  dn: string;
  email: string;
  quota: number;
  groups: string[];
  enabled: boolean;
}

/** One step of a scenario: a recording to play, a call or a switch that makes its precondition. */
export type Step =
  | string
  | { play: string; password: string }
  | { call: [method: string, path: string, form?: Record<string, string>] }
  | { simulate: (nextcloud: SimulatedNextcloud) => void };

/** Recordings in an order in which every one finds the state in which it was recorded. */
export interface Scenario {
  title: string;
  /** `simulator`: would be harmful on a real server, or needs settings or a state that it does not have. */
  where: "anywhere" | "simulator";
  options?: SimulatedNextcloudOptions;
  /** Users and groups that get the prefix `cnx-test-` on a real server, and are deleted afterwards. */
  names?: string[];
  /** Subjects of provider 1 that get the prefix too; their hashed ids follow. */
  subjects?: string[];
  /** Every group id in a path or a parameter gets the prefix. */
  prefixGroups?: boolean;
  steps: Step[];
}

export const PASSWORD = "Correct-horse-battery-9";
const LOGIN_PASSWORD = "Login-horse-battery-9";
const APP_PASSWORD = "simulated-app-password-of-admin";
const PREFIX = "cnx-test-";

const real = process.env.NEXTCLOUD_URL;
export const isReal = real !== undefined;

/** Address, user and password of the real server. */
export function realCredentials(): [url: string, username: string, password: string] {
  const { NEXTCLOUD_USER = "", NEXTCLOUD_PASSWORD = "" } = process.env;
  return [String(real).replace(/\/$/, ""), NEXTCLOUD_USER, NEXTCLOUD_PASSWORD];
}

export const recordings = new Map(load<Recording>("nextcloud.jsonl").map((recording) => [recording.name, recording]));

/** The recordings that a scenario plays. */
export function played({ steps }: Scenario): string[] {
  return steps.flatMap((step) => (typeof step === "string" ? [step] : "play" in step ? [step.play] : []));
}

/** Plays a scenario against the simulator, or the server of NEXTCLOUD_URL, and compares every answer. */
export async function run(scenario: Scenario): Promise<void> {
  const target = await open(scenario);
  try {
    for (const step of scenario.steps) {
      if (typeof step === "string") await target.play(step, PASSWORD);
      else if ("play" in step) await target.play(step.play, step.password);
      else if ("call" in step) await target.prepare(...step.call);
      else step.simulate(target.nextcloud());
    }
  } finally {
    await target.close();
  }
}

/** The simulator as the scenarios use it: its admin is called `admin`, as on the recorded server. */
export function startTarget(options: SimulatedNextcloudOptions = {}): Promise<SimulatedNextcloud> {
  const credentials = [{ username: "admin", password: APP_PASSWORD, loginPassword: LOGIN_PASSWORD }];
  return startSimulatedNextcloud({ version: 27, credentials, ...options });
}

async function open(scenario: Scenario) {
  const nextcloud = isReal ? undefined : await startTarget(scenario.options);
  const [realUrl, realUser, realPassword] = realCredentials();
  const url = nextcloud?.url ?? realUrl;
  const username = nextcloud?.username ?? realUser;
  const password = nextcloud?.password ?? realPassword;
  const names = isReal ? renaming(scenario) : [];

  const send = ({ method, path, auth, ocsHeader, accept, type, body }: Recording["request"]): Promise<Response> => {
    // Whatever a scenario forgets to name must not touch a user or group that is not ours.
    const ours = [PREFIX, ...names.map(([, to]) => to)].some((name) => `${path} ${body}`.includes(name));
    if (isReal && method !== "GET" && !ours)
      throw new Error(`${method} ${path} ${body} is not about a test user or group`);
    const credentials: Record<string, string | undefined> = {
      none: undefined,
      admin: basic(username, password),
      wrong: basic(username, "wrong"),
      bearer: `Bearer ${password}`,
      login: basic(username, LOGIN_PASSWORD),
    };
    const authorization = auth in credentials ? credentials[auth] : basic(rename(auth, names), PASSWORD);
    const contentType = type === "json" ? "application/json" : "application/x-www-form-urlencoded";
    return fetch(url + path, {
      method,
      redirect: "manual",
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...(ocsHeader === false ? {} : { "OCS-APIRequest": "true" }),
        ...(accept === false ? {} : { accept: "application/json" }),
        ...(body === undefined ? {} : { "content-type": contentType }),
      },
      ...(body === undefined ? {} : { body }),
    });
  };

  return {
    nextcloud: (): SimulatedNextcloud => {
      if (nextcloud === undefined) throw new Error("this step needs the simulator");
      return nextcloud;
    },
    async play(name: string, secret: string): Promise<void> {
      const recording = recordings.get(name);
      if (recording === undefined) throw new Error(`no recording ${name}`);
      const { request, response } = adapt(recording, scenario, names, username);
      const body = request.body?.replace("***", request.type === "json" ? secret : encodeURIComponent(secret));
      compare(name, await read(await send({ ...request, ...(body === undefined ? {} : { body }) })), response);
    },
    async prepare(method: string, path: string, form?: Record<string, string>): Promise<void> {
      const body = form && rename(new URLSearchParams(form).toString(), names);
      const request = { method, path: rename(path, names), auth: "admin", ...(body === undefined ? {} : { body }) };
      const response = await send(request);
      expect(response.status, `${method} ${path}: ${await response.text()}`).toBe(200);
    },
    async close(): Promise<void> {
      await nextcloud?.close();
      if (nextcloud === undefined) await cleanUp(scenario, names, send);
    },
  };
}

interface ReadAnswer {
  status: number;
  type: string;
  headers: Headers;
  text: string;
  json: unknown;
}

async function read(response: Response): Promise<ReadAnswer> {
  const type = response.headers.get("content-type") ?? "";
  const text = await response.text();
  const json: unknown = type.includes("json") ? JSON.parse(text) : undefined;
  return { status: response.status, type, headers: response.headers, text, json };
}

function compare(name: string, actual: ReadAnswer, expected: Recording["response"]): void {
  expect(actual.status, `${name}: ${actual.text}`).toBe(expected.status);
  expect(actual.type.toLowerCase(), name).toBe(expected.type.toLowerCase());
  for (const [header, value] of Object.entries(expected.headers ?? {})) {
    expect(actual.headers.get(header), `${name}: ${header}`).toBe(value);
  }
  if (expected.text !== undefined) {
    // The simulator answers XML to the letter; of another version of the real server only the code has to be the same.
    if (isReal) expect(codeOf(actual.text), name).toBe(codeOf(expected.text));
    else expect(actual.text, name).toBe(expected.text);
  }
  if (expected.json !== undefined) expect(actual.json, name).toMatchObject(expected.json as object);
  if (expected.meta === undefined) return;
  const { ocs } = actual.json as { ocs: { meta: unknown; data: unknown } };
  const [meta, data] = isReal
    ? [unworded(expected.meta), unversioned(expected.data)]
    : [expected.meta, expected.data as object];
  expect(isReal ? unworded(ocs.meta) : ocs.meta, name).toEqual(meta);
  if (data === undefined) return;
  expect(idsOf(ocs.data), name).toEqual(idsOf(data));
  expect(ocs.data, name).toMatchObject(data);
}

/** Messages are reworded from version to version: 27 says "user" where 29 says "account". */
const unworded = (meta: unknown): object => ({ ...(meta as object), message: undefined });

function unversioned(data: unknown): object | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  return "version" in data ? { ...data, version: expect.anything() } : data;
}

const codeOf = (xml: string): string | undefined => /<statuscode>(\d+)/.exec(xml)?.[1];

/** The ids of a map of users: it has to be complete and in order, which a comparison of the fields does not see. */
function idsOf(data: unknown): string[] | undefined {
  const users = (data as { users?: unknown }).users;
  return typeof users === "object" && users !== null ? Object.keys(users) : undefined;
}

// A real server

type Renaming = readonly (readonly [from: string, to: string])[];

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

function renaming({ names = [], subjects = [] }: Scenario): Renaming {
  const id = (sub: string): string => createHash("sha256").update(`1_0_${sub}`).digest("hex");
  return [
    ...[...names, ...subjects].map((name) => [name, PREFIX + name] as const),
    ...subjects.map((sub) => [id(sub), id(PREFIX + sub)] as const),
  ];
}

function rename(text: string, names: Renaming): string {
  return names.reduce((renamed, [from, to]) => {
    const escaped = from.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return renamed.replace(new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`, "g"), to);
  }, text);
}

function adapt(recording: Recording, { prefixGroups }: Scenario, names: Renaming, username: string): Recording {
  if (!isReal) return recording;
  const renamed = JSON.parse(rename(JSON.stringify(recording), names)) as Recording;
  const { request } = renamed;
  request.path = request.path.replace("/users/admin", `/users/${encodeURIComponent(username)}`);
  if (prefixGroups) {
    request.path = request.path
      .replace("/cloud/groups/", `/cloud/groups/${PREFIX}`)
      .replace("groupid=", `groupid=${PREFIX}`);
    if (request.body !== undefined) request.body = request.body.replace("groupid=", `groupid=${PREFIX}`);
  }
  return renamed;
}

/** Deletes what a scenario may have left on a real server; most of it is gone by then. */
async function cleanUp(
  scenario: Scenario,
  names: Renaming,
  send: (request: Recording["request"]) => Promise<Response>,
): Promise<void> {
  const requests = played(scenario).flatMap((name) => recordings.get(name)?.request ?? []);
  const bodies = requests.flatMap(({ path, body }) => (path.endsWith("/cloud/groups") && body ? [body] : []));
  const gids = scenario.prefixGroups
    ? bodies.map((body) => PREFIX + (new URLSearchParams(body).get("groupid") ?? ""))
    : [];
  for (const id of names.map(([, to]) => encodeURIComponent(to))) {
    await send({ method: "DELETE", path: `/ocs/v2.php/cloud/users/${id}`, auth: "admin" });
    await send({ method: "DELETE", path: `/ocs/v2.php/cloud/groups/${id}`, auth: "admin" });
  }
  for (const gid of gids) {
    const id = encodeURIComponent(encodeURIComponent(gid));
    await send({ method: "DELETE", path: `/ocs/v2.php/cloud/groups/${id}`, auth: "admin" });
  }
}
