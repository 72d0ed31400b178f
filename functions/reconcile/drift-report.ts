import type { OrganizationClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import { type DesiredAccount, desiredAccount, desiredHash } from "../core/desired.ts";
import { Failure, PipelineFailure } from "../core/failure.ts";
import { isDeletable } from "../core/grace.ts";
import { identityFingerprint } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import { type GroupKnowledge, type Operation, plan } from "../core/plan.ts";
import { IdentityChanged } from "../ledger/errors.ts";
import type { GroupEntry, Ledger, SubjectEntry } from "../ledger/ledger.ts";
import { findAccounts } from "../nextcloud/accounts.ts";
import { allowance, deprovisionLimit } from "../provision/brake.ts";
import { createGroupLookup } from "../provision/group-lookup.ts";
import { type Directory, type Person, readDirectory } from "./directory.ts";

/** `light` reads only Clavex and compares with what the ledger says was applied; `full` reads Nextcloud too. */
export type Mode = "light" | "full";

/** One person whose account is not as it should be. */
export interface Drift {
  subject: string;
  accountId: string;
  /** For people to read: the name in Clavex, or the account's. */
  name: string;
  /** `adopt`: the account is right, but the ledger does not know it yet. */
  kind: "create" | "update" | "deprovision" | "delete" | "adopt";
  desired: DesiredAccount;
  actual: ActualAccount | undefined;
  /** What the worker will do. Empty in a light survey, which does not know the account. */
  operations: Operation[];
  hash: string;
  entry: SubjectEntry | undefined;
}

/** Why nobody is deprovisioned by this run. */
export interface Held {
  reason: "brake" | "empty-directory" | "partial-read" | "time-over";
  /** One sentence. */
  explanation: string;
  people: number;
}

/** What a look at a whole organization found. Nothing has been changed by it. */
export interface DriftReport {
  organization: string;
  mode: Mode;
  /** People in Clavex, people in the ledger, and those of their accounts that Nextcloud has (full only). */
  people: number;
  known: number;
  accounts: number;
  differences: Drift[];
  /** Set when deprovisioning must not go ahead; the differences still list who it would be. */
  held: Held | undefined;
  /** What stays as it is although it is not as desired, and why. */
  notes: { subject: string; note: string }[];
}

export interface DriftReportDependencies {
  ledger: Ledger;
  system: OrganizationClients;
  now?: () => number;
  onProgress?: (phase: string, count: number) => void;
  /** How many more people than the brake's limit an operator is about to allow. */
  allowing?: number;
  /** Asked again and again; see `ReconcileOptions`. */
  hasTime?: () => boolean;
}

/** The organization is too large, or a server too slow, for one run. */
export class RunOverTime extends PipelineFailure {
  constructor(organization: string) {
    super(
      "transient",
      "reconcile-over-time",
      `the time of the run was over before ${organization} had been looked at`,
      "organization",
      {
        fix: "Nothing was sent. If it happens again, run it without a limit: clavex-nextcloud reconcile.",
      },
    );
  }
}

/**
 * Looks at all people of an organization and finds those whose account is not as it should be, with the same `desired` and
 * `plan` as the worker.
 *
 * @throws {Failure} when Clavex's groups, Nextcloud or the ledger cannot be read, or the time is over; a broken walk
 *   through the users is survived, but then nobody is deprovisioned
 */
export async function driftReport(
  organization: Organization,
  mode: Mode,
  dependencies: DriftReportDependencies,
): Promise<DriftReport> {
  const { ledger, system, now = Date.now, onProgress = () => undefined, hasTime = () => true } = dependencies;
  const requireTime = (): void => {
    if (!hasTime()) throw new RunOverTime(organization.slug);
  };
  if (!system.clavex) {
    throw new PipelineFailure(
      "configuration",
      "api-key-missing",
      `organization ${organization.slug} has no clavex.apiKey`,
      "organization",
      {
        fix: "Reconciliation reads the whole directory: give the organization an API key.",
      },
    );
  }
  // Every id would be another one: the worker could only keep the jobs waiting, for everybody.
  const made = await ledger.identityOf(organization.slug);
  if (made !== undefined && made !== identityFingerprint(organization.identity))
    throw new IdentityChanged(organization.slug);
  const { people, counts, map, complete } = await readDirectory(
    { ledger, clavex: system.clavex },
    organization,
    now,
    (phase, count) => {
      requireTime();
      onProgress(phase, count);
    },
  );

  // All at once, as it concerns all people; a group that is claimed stays so, and one that is not is asked about again.
  const claims = new Map<string, GroupEntry>();
  if (mode === "full") {
    for await (const page of ledger.groups(system.nextcloudOrigin))
      for (const entry of page) claims.set(entry.gid, entry);
  }
  const group: Ledger["group"] = async (origin, gid) => claims.get(gid) ?? ledger.group(origin, gid);
  const ownership = createGroupLookup({ ...ledger, group }, now);
  /** Hundreds of people share a group: whose it is, and whether it exists, is asked once. */
  const groups = new Map<string, GroupKnowledge>();
  const result: DriftReport = {
    organization: organization.slug,
    mode,
    people: counts.users,
    known: counts.known,
    accounts: 0,
    differences: [],
    held: undefined,
    notes: [],
  };
  if (mode === "full") {
    for await (const page of findAccounts(system.ocs, people)) {
      requireTime();
      for (const { owner, account } of page) await look(owner, account);
      result.accounts += page.length;
      onProgress("accounts in Nextcloud", result.accounts);
    }
  }
  for (const person of people.values()) {
    requireTime();
    await look(person, undefined);
  }
  // Nextcloud's pages come in the order of ids, which are hashes.
  result.differences.sort((a, b) => compareTexts(a.name, b.name) || compareTexts(a.subject, b.subject));
  result.held = hold(
    organization,
    { counts, complete },
    result.differences,
    allowance(await ledger.brake(organization.slug), now()) + (dependencies.allowing ?? 0),
  );
  return result;

  async function look(person: Person, actual: ActualAccount | undefined): Promise<void> {
    const { subject, user, entry } = person;
    // Missing from an incomplete list says nothing of a person.
    if (!user && !complete) return;
    const desired = desiredAccount(organization, subject, { user, groups: user ? map.of(subject) : [] });
    const found =
      mode === "full"
        ? await compareWithNextcloud(person, desired, actual)
        : compareWithLedger(organization, person, desired);
    if (!found) return;
    const { accountId } = person;
    result.differences.push({ ...found, subject, accountId, hash: desiredHash(desired), entry, desired });
  }

  async function compareWithNextcloud(
    person: Person,
    desired: DesiredAccount,
    actual: ActualAccount | undefined,
  ): Promise<Found | undefined> {
    const { subject, entry } = person;
    const name = nameOf(person, desired, actual);
    try {
      await learnGroups(desired, actual);
      const deletable = isDeletable(organization, desired, entry, now());
      const { operations, notes } = plan({ organization, desired, actual, entry, groups, deletable });
      for (const note of notes) result.notes.push({ subject, note });
      if (operations.length > 0) return { kind: kindOf(operations, actual), operations, actual, name };
      const adopted = actual !== undefined && desired.state === "active" && entry?.desiredHash === undefined;
      return adopted ? { kind: "adopt", operations, actual, name } : undefined;
    } catch (error) {
      // A conflict, or data that Nextcloud cannot hold: reported, untouched.
      if (!(error instanceof Failure && error.failureClass === "permanent")) throw error;
      result.notes.push({ subject, note: error.message });
      return undefined;
    }
  }

  async function learnGroups(desired: DesiredAccount, actual: ActualAccount | undefined): Promise<void> {
    const wanted = desired.groups.filter(({ gid }) => !groups.has(gid));
    const held = actual?.groups.filter((gid) => !groups.has(gid)) ?? [];
    if (wanted.length === 0 && held.length === 0) return;
    const [newDesired, newActual] = [{ ...desired, groups: wanted }, actual && { ...actual, groups: held }];
    const learnt = await ownership.resolve(organization, system, newDesired, newActual, map.names);
    for (const [gid, knowledge] of learnt) groups.set(gid, knowledge);
  }
}

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

type Found = Pick<Drift, "kind" | "operations" | "actual" | "name">;

/** A light look: whoever shall have something else than what was applied last. */
function compareWithLedger(organization: Organization, person: Person, desired: DesiredAccount): Found | undefined {
  const { entry } = person;
  if (entry?.desiredHash === desiredHash(desired) || (!entry && desired.state !== "active")) return undefined;
  const found = { operations: [], actual: undefined, name: nameOf(person, desired, undefined) };
  if (desired.state !== "active") {
    const takesAccess = organization.deprovision[desired.state] !== "keep" && hasAccess(organization, entry);
    return { ...found, kind: takesAccess ? "deprovision" : "update" };
  }
  return { ...found, kind: entry?.desiredHash === undefined ? "create" : "update" };
}

/** Whether the person can use the account, as far as the ledger knows: they are active, or what they are now lets them keep it. */
function hasAccess({ deprovision }: Organization, entry: SubjectEntry | undefined): boolean {
  if (!entry || entry.state === "new") return false;
  return entry.state === "active" || (deprovision[entry.state] === "keep" && !entry.disabledByUs);
}

function nameOf({ user }: Person, desired: DesiredAccount, actual: ActualAccount | undefined): string {
  if (desired.displayName !== "") return desired.displayName;
  return actual?.displayName || (user ? `${user.firstName} ${user.lastName}`.trim() : "") || desired.subject;
}

function kindOf(operations: Operation[], actual: ActualAccount | undefined): Drift["kind"] {
  if (operations.some((operation) => operation.kind === "delete")) return "delete";
  if (operations.some((operation) => operation.kind === "disable")) return "deprovision";
  return actual ? "update" : "create";
}

/** Whether a difference takes access or an account away. */
export function takesAway({ kind }: Drift): boolean {
  return kind === "deprovision" || kind === "delete";
}

function hold(
  organization: Organization,
  { counts, complete }: Pick<Directory, "counts" | "complete">,
  differences: Drift[],
  allowed: number,
): Held | undefined {
  const people = differences.filter(takesAway).length;
  if (!complete) {
    return {
      reason: "partial-read",
      people,
      explanation: "the list of people could not be read to its end: nobody is deprovisioned by this run",
    };
  }
  if (people === 0) return undefined;
  if (counts.users === 0) {
    return {
      reason: "empty-directory",
      people,
      explanation: `Clavex shows no people, but the ledger knows ${counts.known}: nobody is deprovisioned`,
    };
  }
  const limit = deprovisionLimit(organization, counts.active);
  if (people <= limit + allowed) return undefined;
  return {
    reason: "brake",
    people,
    explanation: `${people} people would lose access, more than the ${limit} that may at once: nobody is deprovisioned. If that is right: clavex-nextcloud reconcile --organization ${organization.slug} --allow-deprovisions ${people}`,
  };
}
