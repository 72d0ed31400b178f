import type { Clients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { Failure, isServers } from "../core/failure.ts";
import { accountId, schemeOf } from "../core/identity.ts";
import { isActing, type Organization } from "../core/organization.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { type ForeignAccount, type ForeignListener, getForeignAccount } from "../nextcloud/accounts.ts";
import type { Ocs } from "../nextcloud/ocs.ts";

/*
 * Accounts of user_oidc that no organization of a Nextcloud computes or claims. When the ledger was lost, people who left
 * meanwhile are among them, and nothing else shows it: only an operator can say whose they are.
 */

/** What the unknown accounts of a Nextcloud are found with. */
export interface UnknownDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Pick<Ledger, "subjects" | "claims">;
  /** When it passes, nothing is listed. */
  deadline?: AbortSignal | undefined;
}

export type UnknownAccounts =
  | {
      listed: true;
      /** Those that are enabled: nothing is left to take away from the others. */
      accounts: ForeignAccount[];
      /** How many more accounts were not asked about, or could not be read. */
      unread: number;
    }
  | { listed: false; reason: string };

/** How many accounts a full run and `plan` ask about, one GET each. */
export const MOST_OF_A_RUN = 100;
/** Ids are kept until the end of a run: these are two megabytes. */
const MOST_LISTED = 10_000;
/** What ids look like that an organization could compute; such are asked about first. */
const COMPUTED = /^[0-9a-f]{64}$|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const BACKEND = "user_oidc";

/** The ids of accounts that may be unknown, by the id in lower case. */
export class Candidates implements ForeignListener {
  #likely = new Map<string, string>();
  #others = new Map<string, string>();
  /** How many did not fit. */
  #left = 0;

  listed(id: string): void {
    const ids = COMPUTED.test(id) ? this.#likely : this.#others;
    if (ids.size < MOST_LISTED) ids.set(id.toLowerCase(), id);
    else this.#left += 1;
  }

  /** What is of another backend, or disabled, needs no GET. */
  detailed(id: string, details: unknown): void {
    if (typeof details !== "object" || details === null) return;
    const { backend, enabled } = details as Record<string, unknown>;
    if ((typeof backend === "string" && backend !== BACKEND) || enabled === false) this.forget(id);
  }

  /** A GET each is cheaper. */
  wantsDetails(): boolean {
    return false;
  }

  forget(id: string): void {
    const key = id.toLowerCase();
    this.#likely.delete(key);
    this.#others.delete(key);
  }

  get size(): number {
    return this.#likely.size + this.#others.size + this.#left;
  }

  /** Those that look like computed ones first. */
  ids(): string[] {
    return [...this.#likely.values(), ...this.#others.values()];
  }
}

/** Why it cannot be said whom an account belongs to. */
class NotListed extends Error {}

/**
 * The organizations on the same Nextcloud, this one included, by slug.
 *
 * @throws {NotListed} when the document of some organization is wrong: which Nextcloud it is about is not known
 */
async function sharersOf(organizations: Organizations, { nextcloud }: Organization): Promise<Organization[]> {
  const sharers: Organization[] = [];
  for (const slug of await organizations.slugs()) {
    const organization = await organizations.get(slug).catch((error) => {
      if (error instanceof Failure) throw new NotListed(`the configuration of ${slug} cannot be read`);
      throw error;
    });
    if (organization?.nextcloud.baseUrl === nextcloud.baseUrl) sharers.push(organization);
  }
  return sharers;
}

/**
 * The unknown accounts of an organization's Nextcloud, unless another organization's run lists them: the first one's that has
 * runs does.
 *
 * @param isLeftOut organizations that have no runs now
 */
export async function unknownOfRun(
  dependencies: UnknownDependencies,
  organization: Organization,
  candidates: Candidates,
  isLeftOut: (other: Organization) => Promise<boolean>,
): Promise<UnknownAccounts | undefined> {
  try {
    for (const each of await sharersOf(dependencies.organizations, organization)) {
      if (await isLeftOut(each)) continue;
      if (each.slug !== organization.slug) return undefined;
      break;
    }
  } catch (error) {
    return orReason(error);
  }
  return unknownAccounts(dependencies, organization, candidates);
}

function orReason(error: unknown): { listed: false; reason: string } {
  if (error instanceof NotListed || error instanceof Failure) return { listed: false, reason: error.message };
  throw error;
}

/**
 * Finds the unknown accounts of an organization's Nextcloud. An account is looked at with a GET of its own, and nothing of it is
 * stored.
 *
 * @param candidates accounts of that Nextcloud, as a listing before gave them; those that are known are taken out
 * @param most how many are asked about
 * @returns nothing but the reason where the directory of an organization on that Nextcloud cannot be read to its end
 */
export async function unknownAccounts(
  dependencies: UnknownDependencies,
  organization: Organization,
  candidates: Candidates,
  most = MOST_OF_A_RUN,
): Promise<UnknownAccounts> {
  try {
    const sharers = await sharersOf(dependencies.organizations, organization);
    const { ocs } = dependencies.clients.of(organization);
    // Where nobody's account is of that backend, none of ours can be lost among them.
    if (!sharers.some(({ identity }) => schemeOf(identity).backend === BACKEND))
      return { listed: true, accounts: [], unread: 0 };
    for (const each of sharers) candidates.forget(each.nextcloud.username);
    // As a rule nobody is left by now, and nothing has to be read.
    if (candidates.size > 0)
      for (const each of sharers) await knownToLedger(dependencies, each, (id) => candidates.forget(id));
    if (candidates.size > 0)
      for (const each of sharers) await knownToDirectory(dependencies, each, (id) => candidates.forget(id));
    const accounts: ForeignAccount[] = [];
    const ids = candidates.ids().slice(0, most);
    let unread = candidates.size - ids.length;
    for (const id of ids) {
      inTime(dependencies);
      const account = await lookAt(ocs, id);
      if (account === "odd") unread += 1;
      else if (account?.backend !== BACKEND || !account.enabled) continue;
      else if ((await claimant(dependencies, organization, account)) === undefined) accounts.push(account);
    }
    return { listed: true, accounts, unread };
  } catch (error) {
    return orReason(error);
  }
}

/** An account, undefined where it does not exist, or `odd` where the server answers for others but not for this one. */
async function lookAt(ocs: Ocs, id: string): Promise<ForeignAccount | "odd" | undefined> {
  return getForeignAccount(ocs, id).catch((error) => {
    if (error instanceof Failure && !isServers(error)) return "odd" as const;
    throw error;
  });
}

function inTime({ deadline }: UnknownDependencies): void {
  if (deadline?.aborted) throw new NotListed("the time of the run was over");
}

/**
 * Which configured organization has claimed an account. A claim for somebody whose account has another id by now, after
 * `accept-identity`, says nothing: no run looks at the old one.
 */
async function claimant(
  { organizations, clients, ledger }: UnknownDependencies,
  organization: Organization,
  { accountId: id }: ForeignAccount,
): Promise<string | undefined> {
  const claim = await ledger.claims.accountClaim(clients.of(organization).nextcloudOrigin, id);
  const owner = claim && (await organizations.get(claim.owner));
  if (!owner) return undefined;
  const { subject } = claim;
  const isOld = subject !== undefined && accountId(owner.identity, subject).toLowerCase() !== id.toLowerCase();
  return isOld ? undefined : owner.slug;
}

async function knownToLedger(
  dependencies: UnknownDependencies,
  { slug, identity }: Organization,
  onKnown: (id: string) => void,
): Promise<void> {
  for await (const page of dependencies.ledger.subjects.all(slug)) {
    inTime(dependencies);
    for (const record of page) {
      onKnown(record.accountId);
      onKnown(accountId(identity, record.subject));
    }
  }
}

/** @throws {NotListed} when somebody may be missing: then an account that is somebody's would look unknown */
async function knownToDirectory(
  dependencies: UnknownDependencies,
  organization: Organization,
  onKnown: (id: string) => void,
): Promise<void> {
  const { slug, identity } = organization;
  const { directory } = dependencies.clients.of(organization);
  if (directory.mode === "snapshots") throw new NotListed(`${slug} has no clavex.apiKey to read its people with`);
  let [people, unidentified] = [0, 0];
  const known = (subject: string) => {
    people += 1;
    onKnown(accountId(identity, subject));
  };
  const unreadable = (subject: string | undefined) => {
    if (subject === undefined) unidentified += 1;
    else known(subject);
  };
  try {
    for await (const page of directory.directory.people(unreadable)) {
      inTime(dependencies);
      for (const { subject } of page) known(subject);
    }
  } catch (error) {
    throw error instanceof Failure ? new NotListed(`the people of ${slug} cannot be read: ${error.message}`) : error;
  }
  if (unidentified > 0) throw new NotListed(`the directory of ${slug} lists people without a readable id`);
  if (people === 0) throw new NotListed(`the directory of ${slug} shows nobody`);
}

/** An account that an operator has named, and why it is not theirs to take away here, if so. */
export interface Named {
  id: string;
  account: ForeignAccount | undefined;
  refusal: string | undefined;
}

/**
 * Looks at accounts that an operator has named: only one that is unknown may be taken away.
 *
 * @throws {Failure} when Nextcloud or the ledger cannot be read
 */
export async function judgeNamed(
  dependencies: UnknownDependencies,
  organization: Organization,
  ids: readonly string[],
): Promise<Named[] | { listed: false; reason: string }> {
  const { ocs } = dependencies.clients.of(organization);
  // The accounts first: whoever comes into a directory later has an account that is made later.
  const named: Named[] = [];
  for (const id of new Set(ids)) named.push({ id, account: await getForeignAccount(ocs, id), refusal: undefined });
  try {
    const sharers = await sharersOf(dependencies.organizations, organization);
    const owners = new Map<string, string>();
    for (const each of sharers) {
      const note = (id: string) => void owners.set(id.toLowerCase(), each.slug);
      await knownToLedger(dependencies, each, note);
      await knownToDirectory(dependencies, each, note);
    }
    for (const each of named) each.refusal = await refusalOf(dependencies, organization, sharers, owners, each);
    return named;
  } catch (error) {
    if (error instanceof NotListed) return orReason(error);
    throw error;
  }
}

async function refusalOf(
  dependencies: UnknownDependencies,
  organization: Organization,
  sharers: readonly Organization[],
  owners: ReadonlyMap<string, string>,
  { id, account }: Named,
): Promise<string | undefined> {
  if (sharers.some((each) => isActing(each, id))) return "the pipeline works with this account";
  if (!account || account.accountId !== id) return "Nextcloud has no account of exactly this id";
  const owner = owners.get(id.toLowerCase()) ?? (await claimant(dependencies, organization, account));
  if (owner !== undefined) return `it is of ${owner}, whose reconciliation decides about it`;
  if (account.backend !== BACKEND) return `it is of the backend ${account.backend}, not of ${BACKEND}`;
  return account.enabled ? undefined : "it is disabled already";
}
