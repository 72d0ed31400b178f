import { accountId, groupId } from "../functions/core/identity.ts";
import { createPool } from "../functions/http.ts";
import { deleteAccount } from "../functions/nextcloud/accounts.ts";
import { OcsRefusal } from "../functions/nextcloud/errors.ts";
import { createOcs, groupSegment, NEXTCLOUD_TIMEOUTS } from "../functions/nextcloud/ocs.ts";
import { IDENTITY } from "./organization.ts";

/** A Nextcloud to measure: where it is, and who acts there. */
export interface NextcloudServer {
  url: string;
  username: string;
  password: string;
}

/**
 * The server of NEXTCLOUD_URL, NEXTCLOUD_USER and NEXTCLOUD_PASSWORD (an administrator's app password), whose user_oidc has a
 * provider 1 with unique user ids; undefined without NEXTCLOUD_URL. For a server that nobody works with: hundreds of
 * accounts are made and deleted again.
 */
export function realNextcloud(): NextcloudServer | undefined {
  const { NEXTCLOUD_URL, NEXTCLOUD_USER, NEXTCLOUD_PASSWORD } = process.env;
  if (!NEXTCLOUD_URL) return undefined;
  if (!NEXTCLOUD_USER || !NEXTCLOUD_PASSWORD) {
    throw new Error("with NEXTCLOUD_URL, NEXTCLOUD_USER and NEXTCLOUD_PASSWORD (an app password) are needed");
  }
  return { url: NEXTCLOUD_URL.replace(/\/+$/, ""), username: NEXTCLOUD_USER, password: NEXTCLOUD_PASSWORD };
}

/** Deletes what a bench has made on a server: the accounts of these subjects, of both kinds, and the groups of these names. */
export async function cleanUp(server: NextcloudServer, subjects: string[], groups: string[]): Promise<void> {
  const pool = createPool(server.url, 2, NEXTCLOUD_TIMEOUTS);
  const ocs = createOcs({ ...server, baseUrl: server.url, password: async () => server.password, pool });
  const deleteGroup = (id: string) =>
    ocs.call("DELETE", `cloud/groups/${groupSegment(id)}`).catch((error) => {
      if (!(error instanceof OcsRefusal)) throw error;
    });
  try {
    for (const subject of subjects) {
      await deleteAccount(ocs, accountId(IDENTITY, subject));
      await deleteAccount(ocs, subject);
    }
    for (const group of groups) await deleteGroup(groupId(IDENTITY, group));
  } finally {
    await pool.close();
  }
}
