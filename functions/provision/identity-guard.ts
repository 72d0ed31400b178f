import { setTimeout as sleep } from "node:timers/promises";
import { anotherAccount } from "../core/account.ts";
import { isWithin } from "../core/clock.ts";
import { ConfigurationError, PipelineFailure } from "../core/failure.ts";
import { IdentityChanged, IdentityMismatch, identityFingerprint } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import { isKnown } from "../core/record.ts";
import type { IdentityItem } from "../ledger/identity.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { getAccount, removeFreshAccount } from "../nextcloud/accounts.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import type { Target } from "./group-lookup.ts";

/** Stops an organization whose account ids are not, or no longer, the ones that Nextcloud computes. */
export interface IdentityGuard {
  /**
   * @throws {ConfigurationError} when the organization had another slug before
   * @throws {IdentityChanged} when its accounts were made with another identity
   */
  require(organization: Organization): Promise<void>;
  /** @throws {IdentityMismatch} when another container found it within the last hour, as far as `require` has read */
  requireMatch(organization: Organization): void;
  /**
   * Creates a new account. Until one was made under the right id, an organization's creations go one at a time, over all
   * containers; a first wrong account is deleted again, and nobody tries for an hour.
   *
   * @param expected the id that the organization's identity gives
   * @param make creates the account and returns the id that Nextcloud says it has
   * @throws {IdentityMismatch} when that is another one, or was lately
   * @throws {IdentityChanged} when another container works with another identity by now
   */
  create(organization: Organization, target: Target, expected: string, make: () => Promise<string>): Promise<void>;
  /** Writes to an existing account: without waiting for anybody, but the id is compared as well. */
  check(organization: Organization, target: Target, expected: string, make: () => Promise<string>): Promise<void>;
}

const MISMATCH_MS = 60 * 60_000;
/** Longer than any request may take, so that a killed container does not block the others for long. */
const LOCK_MS = 130_000;
const LOCK_POLL_MS = 200;
const LOCK_POLLS = 100;

type Stores = Pick<Ledger, "identities" | "locks" | "claims" | "subjects">;

export function createIdentityGuard(ledger: Stores, now: () => number): IdentityGuard {
  const { identities } = ledger;
  const required = new Map<string, IdentityItem>();
  const confirmed = new Set<string>();
  const oneAtATime = createTurns();

  async function isUnused({ slug }: Organization): Promise<boolean> {
    for await (const page of ledger.subjects.all(slug)) if (page.some(isKnown)) return false;
    return true;
  }

  /**
   * The identity in force. One that was never confirmed, and by which nobody has an account, gives way to the configured one:
   * correcting it needs no operator.
   */
  async function holding(organization: Organization, fingerprint: string): Promise<IdentityItem> {
    const { slug, organizationId } = organization;
    const holds = (await knownIdentity(identities, organization)) ?? (await identities.ensure(slug, fingerprint));
    await identities.rememberSlug(organizationId, slug);
    if (holds.fingerprint === fingerprint || !holds.mismatch || holds.confirmed) return holds;
    if (await isUnused(organization)) await identities.update(slug, { fingerprint }, holds.fingerprint);
    // Another container may have corrected it first, and made accounts since.
    return identities.ensure(slug, fingerprint);
  }

  function refuse({ mismatch }: IdentityItem): void {
    if (mismatch && isWithin(mismatch.at, MISMATCH_MS, now()))
      throw new IdentityMismatch(mismatch.expected, mismatch.made, "not tried");
  }

  async function makeChecked(
    organization: Organization,
    target: Target,
    expected: string,
    make: () => Promise<string>,
  ): Promise<void> {
    const made = await make();
    const fingerprint = identityFingerprint(organization.identity);
    const id = idOf(organization);
    if (made === expected) {
      if (!confirmed.has(id)) await identities.update(organization.slug, { fingerprint, confirmed: true });
      confirmed.add(id);
      return;
    }
    if (isTheSameButForSpelling(made, expected) || (await belongsToCore(target.ocs, made)))
      throw anotherAccount(expected, made);
    confirmed.delete(id);
    await identities.update(organization.slug, { fingerprint, mismatch: { at: now(), made, expected } });
    const claimed = await ledger.claims.account(target.nextcloudOrigin, made);
    const removed = claimed === undefined && (await removeFreshAccount(target.ocs, made));
    throw new IdentityMismatch(expected, made, removed ? "removed" : "still there");
  }

  return {
    async require(organization) {
      const { slug } = organization;
      const fingerprint = identityFingerprint(organization.identity);
      const id = idOf(organization);
      if (required.has(id)) return;
      const holds = await holding(organization, fingerprint);
      if (holds.fingerprint !== fingerprint) throw new IdentityChanged(slug);
      if (holds.confirmed) confirmed.add(id);
      required.set(id, holds);
    },
    requireMatch(organization) {
      const holds = required.get(idOf(organization));
      if (holds) refuse(holds);
    },
    check: makeChecked,
    async create(organization, target, expected, make) {
      const { slug } = organization;
      const fingerprint = identityFingerprint(organization.identity);
      const id = idOf(organization);
      if (confirmed.has(id)) return makeChecked(organization, target, expected, make);
      await oneAtATime(slug, async () => {
        if (confirmed.has(id)) return makeChecked(organization, target, expected, make);
        const release = await takeLock(ledger.locks, slug, now);
        try {
          const holds = await identities.ensure(slug, fingerprint);
          // Corrected since `require`: this container still has the old configuration.
          if (holds.fingerprint !== fingerprint) throw new IdentityChanged(slug);
          if (holds.confirmed) confirmed.add(id);
          refuse(holds);
          await makeChecked(organization, target, expected, make);
        } finally {
          await release();
        }
      });
    },
  };
}

/**
 * What the ledger knows of the organization's identity; undefined when the organization is new to it. Only reads.
 *
 * @throws {ConfigurationError} when it is not new but had another slug: all that the ledger knows of its people, who has an
 *   account by us and whose groups are ours, is written down under that one
 */
export async function knownIdentity(
  identities: Pick<Ledger["identities"], "get" | "slugOf">,
  { slug, organizationId }: Organization,
): Promise<IdentityItem | undefined> {
  const known = await identities.get(slug);
  if (known) return known;
  const before = await identities.slugOf(organizationId);
  if (before === undefined || before === slug) return undefined;
  const problem = `organization ${organizationId} has the slug ${before} in the ledger, not ${slug}`;
  throw new ConfigurationError("slug-changed", [problem], {
    fix: `Put "slug": "${before}" back: under another slug nobody's account is known as ours, and leavers would keep theirs.`,
  });
}

/** An account that was there before: how ids are computed has nothing to do with it. */
const isTheSameButForSpelling = (made: string, expected: string): boolean =>
  made.trim().toLowerCase() === expected.trim().toLowerCase();

/** Core's accounts are found by e-mail address as well: no other id was computed, somebody's account came in between. */
async function belongsToCore(ocs: Ocs, id: string): Promise<boolean> {
  const account = await getAccount(ocs, id).catch(() => undefined);
  return account?.id === id && account.backend === "Database";
}

/** One identity of one organization. */
function idOf({ slug, identity }: Organization): string {
  return `${slug} ${identityFingerprint(identity)}`;
}

/** Another container's creation takes less than a second; the job comes again when it hangs. */
async function takeLock(locks: Ledger["locks"], slug: string, now: () => number): Promise<() => Promise<void>> {
  for (let poll = 0; poll < LOCK_POLLS; poll += 1) {
    const release = await locks.take(slug, "identity", now(), now() + LOCK_MS);
    if (release) return release;
    await sleep(LOCK_POLL_MS);
  }
  throw new PipelineFailure(
    "transient",
    "identity-unconfirmed",
    `another worker makes the first account of ${slug}`,
    "subject",
  );
}

/** Lets work of the same name go one by one. */
function createTurns(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return (name, work) => {
    const turn = (last.get(name) ?? Promise.resolve()).then(work, work);
    last.set(
      name,
      turn.catch(() => undefined),
    );
    return turn;
  };
}
