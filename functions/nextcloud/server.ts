import type { Dispatcher } from "undici";
import * as z from "zod";
import { type Answer, pathPrefix, readJson, send } from "../http.ts";
import { idSchema, idsSchema } from "./accounts.ts";
import { NextcloudForbidden, NextcloudMisrouted, NextcloudRateLimited, OcsRefusal, unreachable } from "./errors.ts";
import { type Ocs, userSegment } from "./ocs.ts";

/** What `status.php` tells everybody. */
export interface ServerStatus {
  version: string;
  maintenance: boolean;
  needsUpgrade: boolean;
  /** The `Date` header: the server's clock. Empty when it is missing. */
  date: string;
}

const statusSchema = z.object({
  installed: z.literal(true),
  maintenance: z.boolean(),
  needsDbUpgrade: z.boolean(),
  versionstring: z.string(),
});

/** Reads `status.php`, without credentials. */
export async function readStatus(pool: Dispatcher, baseUrl: string): Promise<ServerStatus> {
  const answer = await getAnonymously(pool, `${pathPrefix(baseUrl)}/status.php`);
  if (answer.status >= 300 && answer.status < 400) {
    throw new NextcloudMisrouted(
      `Nextcloud answers HTTP ${answer.status}, a redirect to ${redirectTarget(answer)}`,
      "Set nextcloud.baseUrl to the address it redirects to: no request follows a redirect.",
    );
  }
  const read = readJson(answer.body, statusSchema);
  if ("problem" in read) {
    throw new NextcloudMisrouted(`status.php is not that of an installed Nextcloud (HTTP ${answer.status})`);
  }
  const { versionstring, maintenance, needsDbUpgrade } = read.value;
  return { version: versionstring, maintenance, needsUpgrade: needsDbUpgrade, date: String(answer.headers.date ?? "") };
}

/** How long Nextcloud's brute-force protection delays requests from this address now, in milliseconds; undefined if untold. */
export async function readBruteForceDelay(pool: Dispatcher, baseUrl: string): Promise<number | undefined> {
  const path = `${pathPrefix(baseUrl)}/ocs/v2.php/cloud/capabilities?format=json`;
  const answer = await getAnonymously(pool, path, { "ocs-apirequest": "true" });
  const schema = z.object({
    ocs: z.object({ data: z.object({ capabilities: z.object({ bruteforce: z.object({ delay: z.number() }) }) }) }),
  });
  const read = readJson(answer.body, schema);
  return "value" in read ? read.value.ocs.data.capabilities.bruteforce.delay : undefined;
}

/** The acting account; its backend is `Database` or, for a service account, another. */
export interface OwnAccount {
  id: string;
  groups: string[];
  backend: string;
}

/** The acting account. */
export async function readOwnAccount(ocs: Ocs): Promise<OwnAccount> {
  const schema = z.object({ id: idSchema, groups: idsSchema, backend: z.string() });
  const parsed = schema.safeParse(await ocs.call("GET", "cloud/user"));
  if (!parsed.success) throw new NextcloudMisrouted("Nextcloud's answer for our own account has an unexpected form");
  return parsed.data;
}

/**
 * Makes a core write pass password confirmation without any effect: nobody can enable their own account, which Nextcloud
 * says with OCS code 101 after it has accepted the password.
 *
 * @throws {NextcloudForbidden} when the confirmation is refused
 */
export async function confirmPassword(ocs: Ocs, ownId: string): Promise<void> {
  try {
    await ocs.call("PUT", `cloud/users/${encodeURIComponent(ownId)}/enable`);
  } catch (error) {
    if (!(error instanceof OcsRefusal && error.status === 101)) throw error;
  }
}

/**
 * A call about the acting account, without any effect: whether reads, or writes, come to Nextcloud and are answered. A refusal is
 * an answer.
 *
 * @throws {NextcloudFailure} when they are not
 */
export async function probe(ocs: Ocs, kind: "reads" | "writes", username: string): Promise<void> {
  try {
    if (kind === "writes") await confirmPassword(ocs, username);
    else await ocs.call("GET", `cloud/users/${userSegment(username)}`);
  } catch (error) {
    const answered = error instanceof OcsRefusal || error instanceof NextcloudForbidden;
    if (!answered && !(error instanceof NextcloudRateLimited)) throw error;
  }
}

/** Why core takes no writes from the acting account; undefined where it does. Other failures are thrown. */
export async function refusalOfWrites(ocs: Ocs, ownId: string): Promise<NextcloudForbidden | undefined> {
  try {
    await confirmPassword(ocs, ownId);
    return undefined;
  } catch (error) {
    if (error instanceof NextcloudForbidden) return error;
    throw error;
  }
}

/** The version of an enabled app, or undefined when it is not enabled (or not there). */
export async function readAppVersion(ocs: Ocs, app: string): Promise<string | undefined> {
  const enabled = z
    .object({ apps: z.union([z.array(z.string()), z.record(z.string(), z.string())]) })
    .safeParse(await ocs.call("GET", "cloud/apps", { filter: "enabled" }));
  if (!enabled.success) throw new NextcloudMisrouted("Nextcloud's list of apps has an unexpected form");
  if (!Object.values(enabled.data.apps).includes(app)) return undefined;
  const info = z.object({ version: z.string() }).safeParse(await ocs.call("GET", `cloud/apps/${app}`));
  return info.success ? info.data.version : "unknown";
}

/**
 * Upgrades disable incompatible apps: then the accounts of user_oidc still exist, but are not shown.
 *
 * @throws {NextcloudMisrouted} when the app user_oidc is not enabled
 */
export async function requireUserOidc(ocs: Ocs): Promise<void> {
  if ((await readAppVersion(ocs, "user_oidc")) !== undefined) return;
  throw new NextcloudMisrouted(
    "the app user_oidc is disabled in Nextcloud, so its accounts are invisible",
    "Enable the app user_oidc in Nextcloud: occ app:enable user_oidc. Nobody is forgotten meanwhile.",
  );
}

async function getAnonymously(pool: Dispatcher, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send(pool, { method: "GET", path, headers: { accept: "application/json", ...headers } }).catch((error) => {
    throw unreachable(error);
  });
}

function redirectTarget(answer: Answer): string {
  return String(answer.headers.location ?? "nowhere");
}
