import type { RecordedRequest } from "../functions/simulated/server.ts";

/**
 * Requests per second of a real Nextcloud 27.1 with 1, 2, 4 and 8 connections (2 cores for PHP and database), without a
 * session; so with n requests under way each takes n / throughput(n).
 */
const CONNECTIONS = [1, 2, 4, 8] as const;
type Throughput = readonly [number, number, number, number];
const THROUGHPUT = {
  read: [25, 66, 56, 73],
  makeCoreAccount: [2.0, 4.1, 3.9, 4.4],
  makeOidcAccount: [7.2, 10.3, 12.5, 13.0],
  repeatOidcAccount: [21, 34, 45, 39],
  membership: [29, 48, 67, 56],
  enable: [28, 49, 64, 58],
} satisfies Record<string, Throughput>;
/** What a request saves that sends the cookies of an earlier answer back: a third of the time of a GET (34 -> 23 ms). */
const SESSION_SHARE = 0.33;
const LIST_MS = { details: 4.5, id: 0.1 };

/** How long one request takes, in milliseconds, with this many in progress, itself included. */
function latency(throughput: Throughput, underWay: number): number {
  const last = CONNECTIONS.length - 1;
  const above = CONNECTIONS.findIndex((connections) => connections >= underWay);
  const [right, left] = above < 0 ? [last, last] : [above, Math.max(0, above - 1)];
  const [rate, rateBefore] = [throughput[right] ?? Number.NaN, throughput[left] ?? Number.NaN];
  const [connections = 1, connectionsBefore = 1] = [CONNECTIONS[right], CONNECTIONS[left]];
  const part = right === left ? 1 : (underWay - connectionsBefore) / (connections - connectionsBefore);
  return (underWay / (rateBefore + part * (rate - rateBefore))) * 1000;
}

/** The service times of a simulated Nextcloud. */
export interface NextcloudTimes {
  /** How long a request that arrives now takes, in milliseconds; longer, the more are under way. */
  of(request: RecordedRequest): number;
  /** The sum of all these times, in milliseconds. */
  total(): number;
}

/**
 * The service times of the measured server, for a simulated one.
 *
 * @param scale how many times faster than the measured server
 * @param exists whether user_oidc has an account of this subject: making it again is three times faster
 */
export function nextcloudTimes(scale: number, exists: (subject: string) => boolean): NextcloudTimes {
  let ends: number[] = [];
  let total = 0;
  return {
    total: () => total,
    of(request) {
      const now = performance.now();
      ends = ends.filter((end) => end > now);
      const underWay = ends.length + 1;
      const milliseconds = (listTime(request) ?? timeOf(request, underWay, exists)) / scale;
      ends.push(now + milliseconds);
      total += milliseconds;
      return milliseconds;
    },
  };
}

function timeOf(request: RecordedRequest, underWay: number, exists: (subject: string) => boolean): number {
  const time = latency(THROUGHPUT[kindOf(request, exists)], underWay);
  const keepsSession = request.headers.cookie?.includes("oc_sessionPassphrase") ?? false;
  return keepsSession ? Math.max(1, time - latency(THROUGHPUT.read, underWay) * SESSION_SHARE) : time;
}

function kindOf(
  { method, path, body }: RecordedRequest,
  exists: (subject: string) => boolean,
): keyof typeof THROUGHPUT {
  if (path.includes("/apps/user_oidc/")) {
    return exists(new URLSearchParams(body).get("userId") ?? "") ? "repeatOidcAccount" : "makeOidcAccount";
  }
  if (method === "GET") return "read";
  if (/\/groups(?:\?|$)/.test(path)) return "membership";
  return method === "POST" ? "makeCoreAccount" : "enable";
}

/** Lists cost by what they show; what a page holds at most is taken for what it holds. */
function listTime({ method, path }: RecordedRequest): number | undefined {
  const [found, details] = /\/cloud\/users(\/details)?\?/.exec(path) ?? [];
  if (method !== "GET" || found === undefined) return undefined;
  const limit = Number(/[?&]limit=(\d+)/.exec(path)?.[1] ?? 0);
  return limit * (details === undefined ? LIST_MS.id : LIST_MS.details);
}
