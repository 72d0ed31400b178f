import { userSchema } from "../functions/clavex/user.ts";
import { desiredAccount, desiredGroups, desiredHash, groupsHash } from "../functions/core/desired.ts";
import type { Organization } from "../functions/core/organization.ts";
import { newRecord, type SubjectRecord } from "../functions/core/record.ts";
import type { ClavexUser } from "../functions/simulated/clavex.ts";
import type { SimulatedNextcloud } from "../functions/simulated/nextcloud.ts";
import { IDENTITY } from "./organization.ts";

/**
 * Makes the account of somebody who has logged in, as the pipeline would have left it.
 *
 * @param groups of Clavex, which the person is in; their groups in Nextcloud exist
 * @param quota as a login would bring it
 * @param readAt when Clavex was last read (milliseconds since the epoch)
 * @returns what the ledger would hold of the person
 */
export function settleAccount(
  nextcloud: SimulatedNextcloud,
  organization: Organization,
  user: ClavexUser,
  { groups, quota, readAt }: { groups: readonly string[]; quota: string; readAt: number },
): SubjectRecord {
  const person = userSchema.parse(user);
  const names = [...groups].sort();
  const desired = desiredAccount(organization, person.subject, { person, groups: names });
  if (desired.state !== "active") throw new Error("everybody here is active");
  const { displayName: name, email } = desired.profile;
  nextcloud.simulateLogin({ providerId: IDENTITY.providerId, sub: person.subject, claims: { name, email, quota } });
  const gids = desiredGroups(desired).map(({ gid }) => gid);
  for (const gid of gids) nextcloud.addMember(gid, desired.accountId);
  return {
    ...newRecord(person.subject, desired.accountId),
    state: desired.state,
    version: person.updatedAt,
    groups: gids.sort(),
    applied: { desiredHash: desiredHash(desired), groupsHash: groupsHash(names), readAt, userReadAt: readAt },
  };
}
