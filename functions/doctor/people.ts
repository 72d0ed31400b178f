import { desiredAccount } from "../core/desired.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory, Person } from "../core/person.ts";
import { counted } from "../core/text.ts";
import { type ForeignListener, findAccounts } from "../nextcloud/accounts.ts";
import { SameAddresses } from "../reconcile/same-address.ts";
import { type Check, type Finding, ok, skipped, warn } from "./check.ts";
import type { DoctorContext } from "./context.ts";

/** Findings about the people themselves. */
export const peopleChecks: Check[] = [
  {
    id: "people.existing",
    title: "Nobody has another account in Nextcloud already",
    docs: "docs/existing-people.md",
    needs: ["nextcloud.admin", "clavex.api-key"],
    readsEverybody: true,
    run: existing,
  },
  {
    id: "people.own-account",
    title: "The account that the pipeline works with is nobody's of the directory",
    docs: "docs/connect.md",
    needs: ["nextcloud.app-password", "clavex.api-key"],
    readsEverybody: true,
    async run({ organization, directory, users, account }) {
      if (!directory) return skipped("without clavex.apiKey nobody can be listed");
      const own = (await account()).id.toLowerCase();
      const people = await users();
      const person = people.find(({ subject }) => accountId(organization.identity, subject).toLowerCase() === own);
      if (!person) return ok();
      return warn(
        `${organization.nextcloud.username} is the account of the person ${person.subject}: it is never changed or disabled, also when they leave`,
        "Give the pipeline an account of its own; setup creates one.",
      );
    },
  },
  {
    id: "people.verified",
    title: "Clavex has verified everybody's e-mail address",
    docs: "docs/configuration.md#addresses-that-nobody-has-verified",
    needs: ["clavex.api-key"],
    readsEverybody: true,
    async run({ organization, directory, users }) {
      if (!directory) return skipped("without clavex.apiKey nobody can be listed");
      const people = (await users()).filter(({ active }) => active);
      const unverified = people.filter(({ emailVerified }) => !emailVerified).length;
      if (unverified === 0) return ok();
      const { verifiedEmailOnly } = organization.scope;
      return warn(
        `${unverified} of ${people.length} active people have an e-mail address that is not verified in Clavex`,
        verifiedEmailOnly
          ? "Whoever of them has no account gets none until it is verified; accounts that are there stay."
          : "Shares to such an address find their account. Let them verify it, or set scope.verifiedEmailOnly.",
      );
    },
  },
];

/** How many account ids a finding names; `plan` names all, with the people. */
const MOST_NAMED = 10;

/** Accounts of another backend with the e-mail address of somebody who gets an account of ours, or has one. */
async function existing({ organization, directory, users, ocs }: DoctorContext): Promise<Finding> {
  if (!directory) return skipped("without clavex.apiKey nobody can be listed");
  const people = await users();
  const due = await willHaveAccounts(organization, directory, people);
  const addresses = new SameAddresses(organization, people);
  const sought = new Map(
    people.map(({ subject }) => {
      const id = accountId(organization.identity, subject);
      return [id.toLowerCase(), { accountId: id, listedAs: undefined as string | undefined }];
    }),
  );
  const listener: ForeignListener = {
    listed: () => undefined,
    detailed: (id, details) => addresses.detailed(id, details),
    wantsDetails: () => sought.size > 0,
  };
  // Whoever is found is taken out.
  for await (const _ of findAccounts(ocs, sought, undefined, listener));
  const found = addresses.split(
    (own) => sought.has(own.toLowerCase()),
    ({ subject }) => due.has(subject),
  );
  const old = found.existing.map(({ other }) => other.accountId);
  const doubled = found.doubled.map(({ other }) => other.accountId);
  if (old.length === 0 && doubled.length === 0) return ok();
  const findings = [
    old.length === 0
      ? ""
      : `${counted(old.length, "person has", "people have")} no account by the pipeline yet, but another one with their e-mail address: ${firstOf(old)}. A login will open the new one, without their files`,
    doubled.length === 0
      ? ""
      : `${counted(doubled.length, "person has", "people have")} two accounts, one by the pipeline and another one with their e-mail address that is still enabled: ${firstOf(doubled)}`,
  ];
  return warn(
    findings.filter((finding) => finding !== "").join("; "),
    "See who it is with npx clavex-nextcloud plan. Let them log in once, transfer their files (occ files:transfer-ownership OLD NEW), and disable the old account (occ user:disable OLD).",
  );
}

function firstOf(ids: readonly string[]): string {
  const more = ids.length > MOST_NAMED ? `, and ${ids.length - MOST_NAMED} more` : "";
  return `${ids.slice(0, MOST_NAMED).join(", ")}${more}`;
}

/** The subjects of those who are active, and in the scope. */
async function willHaveAccounts(
  organization: Organization,
  directory: Directory,
  users: readonly Person[],
): Promise<Set<string>> {
  const { value: map } = await directory.groups(Number.NEGATIVE_INFINITY);
  const due = users.filter((person) => {
    const state = { person, groups: map.of(person.subject), unread: map.unread };
    return desiredAccount(organization, person.subject, state, false).state === "active";
  });
  return new Set(due.map(({ subject }) => subject));
}
