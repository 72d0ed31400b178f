import { uuidSchema } from "../clavex/user.ts";
import type { OrganizationClients } from "../clients.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory, Person } from "../core/person.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { getAccount } from "../nextcloud/accounts.ts";

/** Whom a text may mean. `more`: the directory has others whom it matches. */
export type Found =
  | { kind: "people"; people: Person[]; more: boolean }
  | { kind: "person"; organization: string; subject: string }
  /** The id of an account, or of a group, that leads to nobody; `why` says how far it leads, and what to do. */
  | { kind: "nobody"; why: string };

export interface FindDependencies {
  ledger: Pick<Ledger, "claims">;
  clients: OrganizationClients;
}

/** What user_oidc makes of a subject or of a group's name. */
const HASH = /^[0-9a-f]{64}$/i;
/** Raw account ids hold the subject. */
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

/**
 * Finds people by a name, an e-mail address, a subject, or the id of their account in Nextcloud.
 *
 * @throws {Failure} when a system that has to be asked cannot be read
 */
export async function findPeople(
  dependencies: FindDependencies,
  organization: Organization,
  text: string,
): Promise<Found> {
  const whole = uuidSchema.safeParse(text);
  if (whole.success) return { kind: "person", organization: organization.slug, subject: whole.data };
  const access = dependencies.clients.directory;
  if (access.mode === "snapshots")
    return { kind: "nobody", why: `${organization.slug} has no clavex.apiKey: people can be found by their id alone.` };
  const { directory } = access;
  if (HASH.test(text)) return findByAccount(dependencies, directory, organization, text.toLowerCase());
  const subject = UUID.exec(text)?.[0]?.toLowerCase();
  if (subject !== undefined && accountId(organization.identity, subject).toLowerCase() === text.toLowerCase())
    return { kind: "person", organization: organization.slug, subject };
  return findByWords(directory, text);
}

/** The directory finds by one word; the other words are looked for in what it has found. */
async function findByWords(directory: Directory, text: string): Promise<Found> {
  const words = text.toLowerCase().split(/\s+/);
  const longest = words.toSorted((one, other) => other.length - one.length)[0] ?? text;
  const { people, more } = await directory.search(longest);
  const matching = people.filter(({ firstName, lastName, email }) => {
    const all = `${firstName} ${lastName} ${email}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  return { kind: "people", people: matching, more };
}

/** A hash cannot be computed back: the ledger remembers whose an account is, and else the account's address leads to the person. */
async function findByAccount(
  { ledger, clients: { ocs, nextcloudOrigin } }: FindDependencies,
  directory: Directory,
  { slug, identity }: Organization,
  id: string,
): Promise<Found> {
  const claim = await ledger.claims.accountClaim(nextcloudOrigin, id);
  if (claim?.subject !== undefined) return { kind: "person", organization: claim.owner, subject: claim.subject };
  const account = await getAccount(ocs, id);
  const sameAddress = account?.id === id && account.email !== "" ? await directory.findByEmail(account.email) : [];
  const person = sameAddress.find(({ subject }) => accountId(identity, subject) === id);
  if (person) return { kind: "person", organization: slug, subject: person.subject };
  if (account?.id === id) {
    const name = account.displayName === "" ? "" : ` of "${account.displayName}"`;
    return {
      kind: "nobody",
      why: `This is the id of an account${name} in Nextcloud, but nobody with its e-mail address in Clavex has it. Search for the name, or look at: npx clavex-nextcloud unknown list`,
    };
  }
  const group = await ledger.claims.group(nextcloudOrigin, id);
  if (group) return { kind: "nobody", why: `This is no person's id: it is that of the group "${group.name}".` };
  return { kind: "nobody", why: "Neither the ledger nor Nextcloud knows an account of this id." };
}
