import { randomBytes } from "node:crypto";
import * as z from "zod";
import { upsertOidcAccount } from "./accounts.ts";
import { type Ocs, userSegment } from "./ocs.ts";

/** The line that empties the skeleton. Nextcloud's default example files then do not come to new accounts. */
export const EMPTY_SKELETON = "occ config:system:set skeletondirectory --value=''";

/** A subject that Clavex cannot issue, because its own are UUIDs, and that nobody can guess. */
const unissuable = (purpose: string): string => `${purpose}-${randomBytes(16).toString("hex")}`;

const profile = (displayName: string) => ({ displayName, email: "", quota: undefined });

/**
 * Creates an account of user_oidc that nobody can log in to over Clavex: as a service account it may write without confirming a
 * password, once it is an administrator (docs/facts/nextcloud.md 4). This needs only an ordinary administrator's app password.
 *
 * @returns its id
 */
export function createServiceAccount(ocs: Ocs, providerId: number): Promise<string> {
  return upsertOidcAccount(ocs, providerId, unissuable("clavex-nextcloud"), profile("clavex-nextcloud"));
}

/** Deletes an account of user_oidc with its files. */
export async function deleteOidcAccount(ocs: Ocs, id: string): Promise<void> {
  await ocs.call("DELETE", `apps/user_oidc/api/v1/user/${userSegment(id)}`);
}

/**
 * How many bytes of files a new account gets: that of the skeleton, which user_oidc copies with every POST. Creates a throwaway
 * account, looks at it and deletes it.
 */
export async function measureSkeleton(ocs: Ocs, providerId: number): Promise<number> {
  const id = await upsertOidcAccount(ocs, providerId, unissuable("skeleton"), profile("clavex-nextcloud: skeleton"));
  try {
    const account = await ocs.call("GET", `cloud/users/${userSegment(id)}`);
    return z.object({ quota: z.object({ used: z.number() }) }).parse(account).quota.used;
  } finally {
    await deleteOidcAccount(ocs, id);
  }
}
