import type { RecordedRequest } from "../functions/simulated/server.ts";

/** The measured servers; `34`: with an empty skeleton, as docs/connect.md asks for; `34-skeleton`: with one of 20 MB and 61 files. */
export const PROFILE_NAMES = ["27", "34", "34-skeleton"] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

/** The calls that take different times. `change`: enable, disable, and any other change of an account by PUT or PATCH. */
type Kind = "read" | "makeCoreAccount" | "makeOidcAccount" | "repeatOidcAccount" | "membership" | "change";
/** Calls per second, one figure for each number of connections of the profile. */
type Rates = Record<Kind, readonly number[]>;

/** How many calls per second a measured server answers; 2 cores for client, PHP and database (docs/facts/nextcloud.md 9). */
interface Profile {
  /**
   * With how many connections it was measured. Between them the rates are interpolated linearly; with more connections than the
   * last the server gets no more done.
   */
  connections: readonly number[];
  /** Each call logs in. */
  plain: Rates;
  /** The cookies of an earlier answer are sent back. */
  session: Rates;
}

/** Nextcloud 27.1 with a skeleton of one file: the rates of recordings/perf.json. */
const RATES_27: Rates = {
  read: [25, 66, 56, 73],
  makeCoreAccount: [2.0, 4.1, 3.9, 4.4],
  makeOidcAccount: [7.2, 10.3, 12.5, 13.0],
  repeatOidcAccount: [21, 34, 45, 39],
  membership: [29, 48, 67, 56],
  change: [28, 49, 64, 58],
};

/** The middle of what two runs measured. */
const between = (low: number, high: number): number => (low + high) / 2;

/** Nextcloud 34.0.1, measured with 1 and with 4 connections; what does not depend on the skeleton. */
const PLAIN_34 = {
  read: [between(25, 39), between(26, 67)],
  makeCoreAccount: [between(2.0, 2.3), between(2.4, 5.1)],
  membership: [between(10, 19), between(13, 28)],
  change: [between(19, 32), between(23, 41)],
};
const SESSION_34 = {
  read: [between(28, 39), between(25, 86)],
  // Not measured: hashing the password takes the time, with or without a session.
  makeCoreAccount: PLAIN_34.makeCoreAccount,
  membership: [between(10, 16), between(14, 29)],
  change: [between(20, 41), between(33, 64)],
};

/**
 * Of 27 only a GET was measured with the session kept. It saves a third of its time (34 -> 23 ms), which is taken off every
 * other kind of call, too.
 */
const PROFILES: Record<ProfileName, Profile> = {
  "27": { connections: [1, 2, 4, 8], plain: RATES_27, session: savingOfRead(RATES_27, 0.33) },
  "34": {
    connections: [1, 4],
    plain: {
      ...PLAIN_34,
      makeOidcAccount: [between(8, 11), between(10, 15)],
      repeatOidcAccount: [between(21, 38), between(55, 61)],
    },
    session: {
      ...SESSION_34,
      makeOidcAccount: [between(7, 10), between(12, 15)],
      repeatOidcAccount: [between(52, 59), between(66, 99)],
    },
  },
  "34-skeleton": {
    connections: [1, 4],
    plain: { ...PLAIN_34, makeOidcAccount: [2.6, between(1.9, 2.4)], repeatOidcAccount: [3.5, 3.6] },
    session: { ...SESSION_34, makeOidcAccount: [1.8, 2.7], repeatOidcAccount: [0.8, 0.9] },
  },
};

/** Lists cost by what they show; measured on 27. */
const LIST_MS = { details: 4.5, id: 0.1 };

function savingOfRead(rates: Rates, share: number): Rates {
  const faster = (of: readonly number[]): number[] =>
    of.map((rate, index) => 1 / (1 / rate - share / (rates.read[index] ?? Number.NaN)));
  return {
    read: faster(rates.read),
    makeCoreAccount: faster(rates.makeCoreAccount),
    makeOidcAccount: faster(rates.makeOidcAccount),
    repeatOidcAccount: faster(rates.repeatOidcAccount),
    membership: faster(rates.membership),
    change: faster(rates.change),
  };
}

/** Calls per second with this many connections. */
function rateAt(connections: readonly number[], rates: readonly number[], underWay: number): number {
  const right = connections.findIndex((measured) => measured >= underWay);
  if (right < 0) return rates.at(-1) ?? Number.NaN;
  const left = Math.max(0, right - 1);
  const [from = 1, to = 1, rateBefore = Number.NaN, rate = Number.NaN] = [
    connections[left],
    connections[right],
    rates[left],
    rates[right],
  ];
  return from === to ? rate : rateBefore + ((underWay - from) / (to - from)) * (rate - rateBefore);
}

/**
 * How long a measured server takes for a request.
 *
 * @param underWay how many requests it works on, this one included
 * @param exists whether user_oidc has an account of this subject: writing it again takes another time than making it
 * @returns milliseconds
 */
export function timeOf(
  profile: ProfileName,
  request: Pick<RecordedRequest, "method" | "path" | "headers" | "body">,
  underWay: number,
  exists: (subject: string) => boolean,
): number {
  const list = listTime(request);
  if (list !== undefined) return list;
  const { connections, plain, session } = PROFILES[profile];
  const rates: Rates = request.headers.cookie?.includes("oc_sessionPassphrase") ? session : plain;
  return (underWay / rateAt(connections, rates[kindOf(request, exists)], underWay)) * 1000;
}

/** The service times of a simulated Nextcloud. */
export interface NextcloudTimes {
  /** How long a request that arrives now takes, in milliseconds; longer, the more are under way. */
  of(request: RecordedRequest): number;
  /** The sum of all these times, in milliseconds. */
  total(): number;
}

export interface TimesOptions {
  /** Which measured server. */
  profile: ProfileName;
  /** How many times faster than that one. */
  scale: number;
  /** Whether user_oidc has an account of this subject. */
  exists: (subject: string) => boolean;
  /** Milliseconds on any clock. */
  now?: () => number;
}

/** The service times of a measured server, for `serviceTime` of a simulated one. */
export function nextcloudTimes({
  profile,
  scale,
  exists,
  now = () => performance.now(),
}: TimesOptions): NextcloudTimes {
  let ends: number[] = [];
  let total = 0;
  return {
    total: () => total,
    of(request) {
      const arrived = now();
      ends = ends.filter((end) => end > arrived);
      const milliseconds = timeOf(profile, request, ends.length + 1, exists) / scale;
      ends.push(arrived + milliseconds);
      total += milliseconds;
      return milliseconds;
    },
  };
}

function kindOf(
  { method, path, body }: Pick<RecordedRequest, "method" | "path" | "body">,
  exists: (subject: string) => boolean,
): Kind {
  if (path.includes("/apps/user_oidc/")) {
    return exists(new URLSearchParams(body).get("userId") ?? "") ? "repeatOidcAccount" : "makeOidcAccount";
  }
  if (method === "GET") return "read";
  if (/\/groups(?:\?|$)/.test(path)) return "membership";
  return method === "POST" ? "makeCoreAccount" : "change";
}

/** What a page holds at most is taken for what it holds. */
function listTime({ method, path }: Pick<RecordedRequest, "method" | "path">): number | undefined {
  const [found, details] = /\/cloud\/users(\/details)?\?/.exec(path) ?? [];
  if (method !== "GET" || found === undefined) return undefined;
  const limit = Number(/[?&]limit=(\d+)/.exec(path)?.[1] ?? 0);
  return limit * (details === undefined ? LIST_MS.id : LIST_MS.details);
}
