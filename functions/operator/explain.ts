import type { OrganizationClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import { desiredGroups, isManaged } from "../core/desired.ts";
import type { Decision } from "../core/evaluate.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import { matchesAny } from "../core/patterns.ts";
import { type GroupMap, type Person, type Reading, unknownGroups } from "../core/person.ts";
import { ofAccount, type SubjectRecord } from "../core/record.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { createGroupLookup } from "../provision/group-lookup.ts";
import { createSkeletonIsEmpty } from "../provision/skeleton.ts";

/** All that is known of a person. */
export interface Explanation {
  organization: Organization;
  subject: string;
  person: Person | undefined;
  /** The names of their groups in the directory, also of those that the policy leaves out, and when that was read. */
  names: readonly string[];
  namesReadAt: number;
  account: ActualAccount | undefined;
  record: SubjectRecord | undefined;
  /** What would be done, and why no more can be. */
  decision: Decision;
}

/** Somebody whom the directory was asked for. */
export interface Asked {
  organization: Organization;
  subject: string;
  person: Person | undefined;
}

export interface ExplainDependencies {
  ledger: Ledger;
  clients: OrganizationClients;
  /** The groups of the directory; those too that the policy leaves out, where it is to be explained why. */
  groups: Reading<GroupMap>;
  now?: () => number;
}

/**
 * Reads everything about one person: why this id, these groups, this quota, and what would be done. Changes nothing.
 *
 * @throws {Failure} when one of the systems cannot be read, or the account is not the person's
 */
export async function explainPerson(
  { ledger, clients, groups: { value: map, readAt: namesReadAt }, now = Date.now }: ExplainDependencies,
  { organization, subject, person }: Asked,
): Promise<Explanation> {
  const names = person ? map.of(subject) : [];
  const id = accountId(organization.identity, subject);
  const account = await getAccount(clients.ocs, id);
  const record = ofAccount(await ledger.subjects.get(organization.slug, subject), id);
  const decision = await createGroupLookup(ledger.claims, now).evaluate(
    {
      organization,
      subject,
      directory: { person, groups: names, ...unknownGroups(map) },
      account,
      record,
      mayPurge: true,
      skeletonIsEmpty: await createSkeletonIsEmpty(ledger, now)(organization),
      now: clients.clocks.earliest(),
    },
    clients,
    map.names,
  );
  return { organization, subject, person, names, namesReadAt, account, record, decision };
}

/** A group, and why the person is put in it or not. */
export interface GroupRule {
  /** The name in the directory; the Nextcloud id of a group that everybody is in. */
  name: string;
  why: string;
  /** Whether the person is to be in it. */
  joined: boolean;
}

/** Each group of the person, with the rule behind it. */
export function groupRules({ organization, names, decision: { desired } }: Explanation): GroupRule[] {
  const groups = desiredGroups(desired);
  const ofDirectory = names.map((name) => {
    const group = groups.find((each) => each.name === name && each.source === "clavex");
    if (group) return { name, why: `joins Nextcloud group ${group.gid}`, joined: true };
    // Whoever is not active wants no group, and is left in those they are in.
    const why = isManaged(organization, name)
      ? desired.state === "active"
        ? "cannot be a Nextcloud group"
        : "left alone until the person is active again"
      : matchesAny(organization.groups.never, name)
        ? "left out by groups.never"
        : "not in groups.managed";
    return { name, why, joined: false };
  });
  const ofPolicy = groups
    .filter(({ source }) => source === "always")
    .map(({ gid }) => ({ name: gid, why: "in groups.always", joined: true }));
  return [...ofDirectory, ...ofPolicy];
}
