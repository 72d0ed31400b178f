import type { Dispatcher } from "undici";
import * as z from "zod";
import { CLAVEX_TIMEOUTS } from "../clavex/admin-api.ts";
import { getDiscovery, getPublic, issuerOf, parseDiscovery } from "../clavex/discovery.ts";
import { Failure } from "../core/failure.ts";
import { addressProblem, isSlug } from "../core/organization.ts";
import { connectionFault, createPool, networkErrorName, pathPrefix, readJson, send, type Timeouts } from "../http.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS } from "../nextcloud/ocs.ts";
import { readOwnAccount, readStatus } from "../nextcloud/server.ts";

/** What is wrong with an answer, in one sentence; undefined when nothing is. */
type Problem = string | undefined;

/** Whether a Clavex answers at an address: it is a Clavex that asks for credentials in Clavex's own form. */
export async function clavexProblem(address: string): Promise<Problem> {
  const wrong = addressProblem(address, "Clavex");
  if (wrong !== undefined) return `It ${wrong}.`;
  return asking(address, CLAVEX_TIMEOUTS, async (pool) => {
    const answer = await getPublic(pool, `${pathPrefix(address)}/api/v1/organizations`);
    if (isClavex(answer.status, answer.body)) return undefined;
    if (answer.status >= 300 && answer.status < 400)
      return `${address} redirects to ${String(answer.headers.location)}: give the address behind that.`;
    const { origin } = new URL(address);
    const above = pathPrefix(address) === "" ? undefined : await getPublic(pool, "/api/v1/organizations");
    if (above && isClavex(above.status, above.body)) return `Clavex answers at ${origin}: leave out what is behind it.`;
    return `What answers at ${address} is no Clavex (HTTP ${answer.status}).`;
  });
}

function isClavex(status: number, body: string): boolean {
  return (
    [200, 401, 403].includes(status) && "value" in readJson(body, z.object({ error: z.string(), message: z.string() }))
  );
}

/** Whether Clavex has an organization of this slug, and names itself as people will reach it. */
export async function slugProblem(address: string, slug: string): Promise<Problem> {
  if (!isSlug(slug)) return "A slug has only a-z, 0-9 and -, as in acme-eu.";
  return asking(address, CLAVEX_TIMEOUTS, async (pool) => {
    const answer = await getDiscovery(pool, address, slug);
    if (answer.status === 404) return `Clavex has no organization with the slug ${slug}.`;
    const { issuer } = parseDiscovery(answer);
    const expected = issuerOf(address, slug);
    return issuer === expected
      ? undefined
      : `Clavex calls itself ${issuer}, not ${expected}, and logins would fail: run setup again with that address, or correct Clavex's.`;
  });
}

/** Whether an installed Nextcloud that works answers at an address. */
export async function nextcloudProblem(address: string): Promise<Problem> {
  const wrong = addressProblem(address, "Nextcloud");
  if (wrong !== undefined) return `It ${wrong}.`;
  return asking(address, NEXTCLOUD_TIMEOUTS, async (pool) => {
    const { maintenance, needsUpgrade } = await readStatus(pool, address);
    if (needsUpgrade) return "Nextcloud waits for its upgrade to be finished (occ upgrade).";
    return maintenance ? "Nextcloud is in maintenance mode (occ maintenance:mode --off)." : undefined;
  });
}

/** How Nextcloud takes credentials. */
export interface CredentialsVerdict {
  problem: string;
  /** Whether this was a failed login, which Nextcloud counts. */
  counted: boolean;
  /** Whether no other credentials would be taken either. */
  final: boolean;
}

/** Whether Nextcloud takes the credentials, and they are an administrator's; undefined when both is so. One login. */
export async function credentialsProblem(
  baseUrl: string,
  username: string,
  password: string,
): Promise<CredentialsVerdict | undefined> {
  const pool = createPool(baseUrl, 1, NEXTCLOUD_TIMEOUTS);
  try {
    const { id, groups } = await readOwnAccount(createOcs({ baseUrl, username, password: async () => password, pool }));
    if (groups.includes("admin")) return undefined;
    const problem = `${id} is no administrator of Nextcloud: occ group:adduser admin ${id}, or name another account.`;
    return { problem, counted: false, final: false };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    // While user_oidc is disabled, its service accounts are unknown: that is a failed login too.
    const refused = error.code === "nextcloud-unauthorized";
    const counted = refused || error.code === "nextcloud-user-oidc-disabled";
    const problem = refused
      ? "Nextcloud refuses the user name or password."
      : `${sentence(error)}${counted ? " occ app:enable user_oidc, or name another account." : ""}`;
    return { problem, counted, final: error.code === "nextcloud-blocked" };
  } finally {
    await pool.close();
  }
}

/** What is wrong with a webhook's public address: its form, its name, its certificate. It need not be reachable yet. */
export async function webhookProblem(address: string): Promise<Problem> {
  if (!URL.canParse(address)) return "That is not a URL: write one such as https://hooks.example.org, or none.";
  const { origin, username } = new URL(address);
  if (username !== "") return "The address must not hold credentials.";
  // The same holds for it as for Clavex itself: https, or this machine.
  if (addressProblem(origin, "Clavex") !== undefined)
    return "Clavex posts to https addresses: write one such as https://hooks.example.org, or none.";
  const pool = createPool(address, 1, CLAVEX_TIMEOUTS);
  try {
    await send(pool, { method: "GET", path: "/", headers: {} });
    return undefined;
  } catch (error) {
    // The pipeline and its proxy may be started later; a name that is wrong, or a certificate, stays so.
    const fault = connectionFault(networkErrorName(error));
    return fault && `${address} ${fault.problem}.`;
  } finally {
    await pool.close();
  }
}

/** Makes requests to one server; what goes wrong becomes a sentence. */
async function asking(
  address: string,
  timeouts: Timeouts,
  ask: (pool: Dispatcher) => Promise<Problem>,
): Promise<Problem> {
  const pool = createPool(address, 1, timeouts);
  try {
    return await ask(pool);
  } catch (error) {
    if (error instanceof Failure) return `${address}: ${sentence(error)}`;
    throw error;
  } finally {
    await pool.close();
  }
}

/** A failure in one sentence, for a person who is being asked. */
export function sentence({ message }: Failure): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
