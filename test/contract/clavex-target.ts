import { expect } from "vitest";
import { DEFAULT_ADMIN_TOKEN, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { load } from "./recordings.ts";

/** One exchange with a real Clavex. Secrets are `***`; objects come from several runs. */
export interface Recording {
  note: string;
  request: { method: string; path: string; headers?: Record<string, string>; body?: unknown };
  response: { status: number; headers?: Record<string, string>; body?: unknown };
}

/** A delivery as it arrived. `body` is the exact text that was signed with `secret`. */
export interface RecordedDelivery {
  note: string;
  request: { method: string; path: string; headers: Record<string, string>; body: string };
  secret: string;
  signature_valid: boolean;
}

/**
 * One step of a scenario. A note plays the recording with that note: every id that its answer shows for the first time
 * stands for the recorded one from then on. `call` makes a precondition; `gives` says which recorded ids (or names of
 * credentials) its answer's fields stand for, where `key NAME` is a credential. Paths of calls begin at the organization, those with `//` at the server.
 */
export type Step =
  | string
  | {
      play: string;
      /** The credential that a call gave under this name; default: a superadmin's token. */
      as?: string;
      /** A credential that never was one. */
      token?: string;
      password?: string;
      /** Of a recorded list that was shortened only this many items are compared. */
      shortened?: true;
    }
  | {
      call: [method: string, path: string, body?: unknown];
      as?: string;
      gives?: Record<string, string>;
      /** Measured, but not recorded: the status and body that it must be answered with. */
      answers?: [status: number, body?: unknown];
    }
  | { simulate: (clavex: SimulatedClavex, organization: string, idOf: (recorded: string) => string) => void };

/** Recordings in an order in which each finds the state in which it was recorded. */
export interface Scenario {
  title: string;
  /** Why it cannot be played against a real server; absent where it can. */
  simulatorOnly?: string;
  steps: Step[];
}

const real = process.env.CLAVEX_URL;
export const isReal = real !== undefined;

/** What the recordings call their organization. */
export const RECORDED = { id: "de8c226d-fedc-465d-8011-92136e0e6972", slug: "acme" };
/** Of the users that scenarios make. */
export const PASSWORD = "Correct-horse-battery-9";

export const recordings = new Map(load<Recording>("clavex-admin.jsonl").map((each) => [each.note, each]));

/** The recordings that a scenario plays. */
export function played({ steps }: Scenario): string[] {
  return steps.flatMap((step) => (typeof step === "string" ? [step] : "play" in step ? [step.play] : []));
}

/** Plays a scenario in an organization of its own, on the simulator or the server of CLAVEX_URL. */
export async function run({ steps }: Scenario): Promise<void> {
  const target = await open();
  try {
    for (const step of steps) {
      if (typeof step === "string") await target.play({ play: step });
      else if ("play" in step) await target.play(step);
      else if ("call" in step) await target.call(step);
      else target.simulate(step.simulate);
    }
  } finally {
    await target.close();
  }
}

type Play = Extract<Step, { play: string }>;
type Call = Extract<Step, { call: unknown }>;

async function open() {
  const clavex = isReal ? undefined : await startSimulatedClavex({ organizations: [], zoneMinutes: 0 });
  const url = clavex?.url ?? String(real).replace(/\/$/, "");
  const superadmin = clavex ? DEFAULT_ADMIN_TOKEN : (process.env.CLAVEX_ADMIN_TOKEN ?? "");
  const slug = isReal ? `cnx-test-${Math.random().toString(36).slice(2, 10)}` : RECORDED.slug;
  const known = new Bindings();
  const root = `${url}/api/v1/organizations`;

  const send = async (method: string, address: string, headers: Record<string, string>, body: unknown) =>
    fetch(address, {
      method,
      redirect: "manual",
      headers,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  const credentials = (secret: string): Record<string, string> =>
    secret.startsWith("clv_") ? { "x-api-key": secret } : { authorization: `Bearer ${secret}` };
  const JSON_BODY = { "content-type": "application/json" };

  const made = await send("POST", root, { ...credentials(superadmin), ...JSON_BODY }, { name: "Acme GmbH", slug });
  expect(made.status, `an organization for the scenario: ${await made.clone().text()}`).toBe(201);
  const { id } = (await made.json()) as { id: string };
  known.bind(RECORDED.id, id);
  known.bind(RECORDED.id.toUpperCase(), id.toUpperCase());
  known.bind(RECORDED.slug, slug);

  return {
    async call({ call: [method, path, body], as, gives = {}, answers }: Call): Promise<void> {
      const headers = { ...credentials(as === undefined ? superadmin : known.get(`key ${as}`)), ...JSON_BODY };
      const address = path.startsWith("//") ? `${url}${path.slice(1)}` : `${root}/${id}/${path}`;
      const response = await send(method, known.inText(address), headers, known.inValue(body));
      if (answers !== undefined) {
        const [status, expected] = answers;
        return compare(`${method} ${path}`, { status, body: expected }, response, known, false);
      }
      const text = await response.text();
      expect(response.ok, `${method} ${path}: ${response.status} ${text}`).toBe(true);
      for (const [name, field] of Object.entries(gives)) known.bind(name, fieldOf(JSON.parse(text), field));
    },
    async play(step: Play): Promise<void> {
      const recording = recordings.get(step.play);
      if (recording === undefined) throw new Error(`no recording ${step.play}`);
      const { request } = recording;
      const secret = step.token ?? (step.as === undefined ? superadmin : known.get(`key ${step.as}`));
      const headers = Object.fromEntries(
        Object.entries(request.headers ?? {}).map(([name, value]) => [name, value.replace(/(clv_)?\*{3}/, secret)]),
      );
      const body = withPassword(known.inValue(request.body), step.password ?? PASSWORD);
      const response = await send(request.method, url + known.inText(request.path), headers, body);
      await compare(step.play, recording.response, response, known, step.shortened === true);
    },
    simulate(change: Extract<Step, { simulate: unknown }>["simulate"]): void {
      if (clavex === undefined) throw new Error("this step needs the simulator");
      change(clavex, id, (recorded) => known.get(recorded));
    },
    async close(): Promise<void> {
      await send("DELETE", `${root}/${id}`, credentials(superadmin), undefined);
      await clavex?.close();
    },
  };
}

/** What recorded ids, and names that scenarios give to credentials, stand for on this server. */
class Bindings {
  readonly #values = new Map<string, string>();

  bind(recorded: string, actual: string): void {
    this.#values.set(recorded, actual);
  }

  has(recorded: string): boolean {
    return this.#values.has(recorded);
  }

  get(recorded: string): string {
    const actual = this.#values.get(recorded);
    if (actual === undefined) throw new Error(`nothing stands for ${recorded} yet`);
    return actual;
  }

  /** A path, a query or a form: whole words are replaced. */
  inText(text: string): string {
    return text.replace(/(?<=[/=])[\w-]+/g, (word) => this.#values.get(word) ?? word);
  }

  /** JSON: texts that are exactly a recorded id. */
  inValue(value: unknown): unknown {
    if (typeof value === "string") return value.includes("=") ? this.inText(value) : (this.#values.get(value) ?? value);
    if (Array.isArray(value)) return value.map((each) => this.inValue(each));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, this.inValue(each)]));
  }
}

function withPassword(body: unknown, password: string): unknown {
  const isLogin = typeof body === "object" && body !== null && "password" in body;
  return isLogin ? { ...body, password } : body;
}

function fieldOf(value: unknown, path: string): string {
  const found = path
    .split(".")
    .reduce((each, field) => (each as Record<string, unknown> | undefined)?.[field], value as unknown);
  if (typeof found !== "string") throw new Error(`the answer has no text ${path}`);
  return found;
}

async function compare(
  note: string,
  expected: Recording["response"],
  response: Response,
  known: Bindings,
  shortened: boolean,
): Promise<void> {
  const text = await response.text();
  expect(response.status, `${note}: ${text}`).toBe(expected.status);
  for (const [header, value] of Object.entries(expected.headers ?? {})) {
    if (header.startsWith("x-ratelimit")) continue;
    const actual = response.headers.get(header) ?? "";
    // `Secure` is the server's setting.
    const cookie = actual.replace(/=[^;]+/, "=***").replace(" Secure;", "");
    const shown = header === "set-cookie" ? cookie : actual.replace(/; ?charset=.*/i, "");
    expect(shown, `${note}: ${header}`).toBe(value);
  }
  const cookie = /^clavex_admin=([^;]+)/.exec(response.headers.get("set-cookie") ?? "")?.[1];
  if (cookie !== undefined) known.bind("key cookie", cookie);
  if (expected.body === undefined) expect(text, note).toBe("");
  else same(expected.body, JSON.parse(text), { at: note, known, shortened });
}

interface Place {
  at: string;
  known: Bindings;
  shortened: boolean;
}

const GO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-]\d\d:\d\d)$/;
const NEVER = "0001-01-01T00:00:00Z";
/** UUIDs, and the ids of clients. */
const ID = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[\w-]{24})$/;
const ERASED = /^erased_[0-9a-f]{16}@gdpr\.invalid$/;
/** What every server and run has its own of. */
const OWN = ["duration_ms", "client_id_issued_at", "kid", "n"];

/** Whether an answer is the recorded one: the same fields, each with the same value or, for what is a server's own, form. */
function same(expected: unknown, actual: unknown, place: Place): void {
  const { at, known } = place;
  if (Array.isArray(expected)) {
    expect(Array.isArray(actual), `${at} is a list`).toBe(true);
    const items = actual as unknown[];
    const compared = place.shortened ? items.slice(0, expected.length) : items;
    expect(compared.length, `${at}: length`).toBe(expected.length);
    for (const [index, each] of expected.entries()) same(each, compared[index], { ...place, at: `${at}[${index}]` });
  } else if (typeof expected === "object" && expected !== null) {
    const fields = (value: unknown): string[] => Object.keys(value as object).sort();
    expect(fields(actual), `${at}: fields`).toEqual(fields(expected));
    for (const [key, each] of Object.entries(expected)) {
      const inside = (actual as Record<string, unknown>)[key];
      if (OWN.includes(key)) expect(typeof inside, `${at}.${key}`).toBe(typeof each);
      else same(each, inside, { ...place, at: `${at}.${key}` });
    }
  } else if (typeof expected !== "string") {
    expect(actual, at).toBe(expected);
  } else {
    sameText(expected, actual, at, known);
  }
}

function sameText(expected: string, actual: unknown, at: string, known: Bindings): void {
  if (expected.includes("***")) expect(actual, at).toMatch(/./);
  else if (known.has(expected)) expect(actual, at).toBe(known.get(expected));
  else if (ERASED.test(expected)) expect(actual, at).toMatch(ERASED);
  else if (GO_TIME.test(expected) && expected !== NEVER) expect(actual, at).toMatch(GO_TIME);
  else if (ID.test(expected)) {
    expect(actual, at).toMatch(ID);
    known.bind(expected, String(actual));
  } else expect(actual, at).toBe(expected);
}
