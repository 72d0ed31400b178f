import { Pool } from "undici";
import { accountId, groupId } from "../functions/core/identity.ts";
import { IDENTITY, QUOTA } from "./organization.ts";
import type { NextcloudServer } from "./real-nextcloud.ts";

/** Somebody to make an account for. */
export interface LoopPerson {
  subject: string;
  displayName: string;
  email: string;
  /** The names of their groups. */
  groups: string[];
}

/** Makes one call to the OCS API; the answer is read and dropped. */
export type Call = (
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  form?: Record<string, string>,
) => Promise<void>;

/** What a loop does for one person. */
export interface Loop {
  /** Whether it sends the cookies of an earlier answer back, and keeps its connection. */
  keepsSession: boolean;
  callsFor(call: Call, person: LoopPerson): Promise<void>;
}

/** The calls that the pipeline makes for a new person whose groups exist, and nothing around them. */
export const bareLoop: Loop = {
  keepsSession: true,
  async callsFor(call, { subject, displayName, email, groups }) {
    const id = accountId(IDENTITY, subject);
    const account = { providerId: String(IDENTITY.providerId), userId: subject, displayName };
    await call("GET", `cloud/users/${id}`);
    await call("POST", "apps/user_oidc/api/v1/user", account);
    await call("POST", "apps/user_oidc/api/v1/user", { ...account, email, quota: String(QUOTA.bytes) });
    for (const group of groups) await call("POST", `cloud/users/${id}/groups`, { groupid: groupId(IDENTITY, group) });
  },
};

/**
 * What an administrator's curl loop does, for everybody and without looking first: create the account, set each attribute, join
 * each group. (Nextcloud allows 50 such PUTs in ten minutes: a real loop would have to wait, this one does not care.)
 */
export const curlLoop: Loop = {
  keepsSession: false,
  async callsFor(call, { subject, displayName, email, groups }) {
    await call("POST", "cloud/users", { userid: subject, password: "made-up-for-a-Bench-9" });
    await call("PUT", `cloud/users/${subject}`, { key: "displayname", value: displayName });
    await call("PUT", `cloud/users/${subject}`, { key: "email", value: email });
    await call("PUT", `cloud/users/${subject}`, { key: "quota", value: QUOTA.text });
    for (const group of groups) {
      await call("POST", `cloud/users/${subject}/groups`, { groupid: groupId(IDENTITY, group) });
    }
  },
};

/** One connection, as a loop uses it. */
export function connect({ url, username, password }: NextcloudServer, { keepsSession }: Loop) {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: 1, pipelining: keepsSession ? 1 : 0 });
  let cookie: string | undefined;
  const call: Call = async (method, path, form) => {
    const { headers, body } = await pool.request({
      method,
      path: `${pathname.replace(/\/+$/, "")}/ocs/v2.php/${path}?format=json`,
      headers: {
        authorization,
        "ocs-apirequest": "true",
        accept: "application/json",
        ...(cookie === undefined ? {} : { cookie }),
        ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
      },
      body: form === undefined ? null : new URLSearchParams(form).toString(),
    });
    await body.text();
    const cookies = [headers["set-cookie"] ?? []].flat().filter((each) => !each.includes("=deleted"));
    if (keepsSession && cookies.length > 0) cookie = cookies.map((each) => each.split(";")[0]).join("; ");
  };
  return { call, close: () => pool.close() };
}

/**
 * Runs loops in parallel until every person has had their calls; their groups are made before the clock starts.
 *
 * @param goesOn asked before each person
 * @returns people per second
 */
export async function runLoops(
  loops: number,
  server: NextcloudServer,
  people: LoopPerson[],
  loop: Loop,
  goesOn: () => boolean = () => true,
): Promise<number> {
  const connections = Array.from({ length: loops }, () => connect(server, loop));
  try {
    for (const group of new Set(people.flatMap(({ groups }) => groups))) {
      await connections[0]?.call("POST", "cloud/groups", { groupid: groupId(IDENTITY, group) });
    }
    const started = performance.now();
    const next = people.values();
    await Promise.all(
      connections.map(async ({ call }) => {
        for (const person of next) {
          if (!goesOn()) break;
          await loop.callsFor(call, person);
        }
      }),
    );
    return (people.length / (performance.now() - started)) * 1000;
  } finally {
    for (const { close } of connections) await close();
  }
}
