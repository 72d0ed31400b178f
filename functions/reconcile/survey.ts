import type { DirectoryUser } from "../clavex/user.ts";
import type { Organization } from "../config/organization.ts";
import { Failure } from "../failure.ts";
import { allowance, deprovisionLimit } from "../ledger/brake.ts";
import { IdentityChanged } from "../ledger/errors.ts";
import type { Ledger, SubjectEntry } from "../ledger/ledger.ts";
import { type ActualAccount, listAccounts } from "../nextcloud/accounts.ts";
import { accountId, identityFingerprint } from "../nextcloud/identity.ts";
import { type DesiredAccount, desiredAccount, desiredHash } from "../provision/desired.ts";
import { isDeletable } from "../provision/grace.ts";
import { createOwnership } from "../provision/ownership.ts";
import { type Operation, plan } from "../provision/plan.ts";
import type { OrganizationSystems } from "../systems.ts";
import { type Directory, readDirectory } from "./directory.ts";

/** `light` reads only Clavex and compares with what the ledger says was applied; `full` reads Nextcloud too. */
export type Mode = "light" | "full";

/** One person whose account is not as it should be. */
export interface Difference {
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
export interface Survey {
  organization: string;
  mode: Mode;
  /** People in Clavex, people in the ledger, and those of their accounts that Nextcloud has (full only). */
  people: number;
  known: number;
  accounts: number;
  differences: Difference[];
  /** Set when deprovisioning must not go ahead; the differences still list who it would be. */
  held: Held | undefined;
  /** What stays as it is although it is not as desired, and why. */
  notes: { subject: string; note: string }[];
}

export interface SurveyDependencies {
  ledger: Ledger;
  system: OrganizationSystems;
  now?: () => number;
  onProgress?: (phase: string, count: number) => void;
  /** How many more people than the brake's limit an operator is about to allow. */
  allowing?: number;
  /** Asked again and again; see `ReconcileOptions`. */
  hasTime?: () => boolean;
}

/** The organization is too large, or a server too slow, for one run. */
export class RunOverTime extends Failure {
  constructor(organization: string) {
    super(
      "transient",
      "reconcile-over-time",
      `the time of the run was over before ${organization} had been looked at`,
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
export async function survey(
  organization: Organization,
  mode: Mode,
  dependencies: SurveyDependencies,
): Promise<Survey> {
  const { ledger, system, now = Date.now, onProgress = () => undefined, hasTime = () => true } = dependencies;
  const requireTime = (): void => {
    if (!hasTime()) throw new RunOverTime(organization.slug);
  };
  if (!system.clavex) {
    throw new Failure("configuration", "api-key-missing", `organization ${organization.slug} has no clavex.apiKey`, {
      fix: "Reconciliation reads the whole directory: give the organization an API key.",
    });
  }
  // Every id would be another one: the worker could only keep the jobs waiting, for everybody.
  const made = await ledger.identityOf(organization.slug);
  if (made !== undefined && made !== identityFingerprint(organization.identity))
    throw new IdentityChanged(organization.slug);
  // The ledger first: whoever joins during the reading must not be in it and look as if they were gone from Clavex.
  const entries = new Map<string, SubjectEntry>();
  for await (const page of ledger.subjects(organization.slug)) {
    requireTime();
    for (const entry of page) entries.set(entry.subject, entry);
  }
  onProgress("people in the ledger", entries.size);
  const directory = await readDirectory(system.clavex, organization, now, (count) => {
    requireTime();
    onProgress("people in Clavex", count);
  });

  const subjects = new Set([...directory.users.keys(), ...entries.keys()]);
  const ids = new Map(Array.from(subjects, (subject) => [subject, accountId(organization.identity, subject)]));
  const accounts = mode === "full" ? await listAccounts(system.ocs, new Set(ids.values())) : undefined;
  if (accounts) onProgress("accounts in Nextcloud", accounts.size);

  // Hundreds of people share a group: whose it is, and whether it exists, is asked once.
  const ownership = createOwnership({ ...ledger, group: once(ledger.group) }, now);
  const asked = { ...system, ocs: { call: once(system.ocs.call) } };
  const result: Survey = {
    organization: organization.slug,
    mode,
    people: directory.users.size,
    known: entries.size,
    accounts: accounts?.size ?? 0,
    differences: [],
    held: undefined,
    notes: [],
  };
  for (const [subject, id] of ids) {
    requireTime();
    const user = directory.users.get(subject);
    // Missing from an incomplete list says nothing of a person.
    if (!user && !directory.complete) continue;
    const desired = desiredAccount(organization, subject, { user, groups: user ? directory.map.of(subject) : [] });
    const person: Person = { subject, user, desired, hash: desiredHash(desired), entry: entries.get(subject) };
    const found = accounts
      ? await compareWithNextcloud(person, accounts.get(id))
      : compareWithLedger(organization, person);
    if (found)
      result.differences.push({ ...found, subject, accountId: id, hash: person.hash, entry: person.entry, desired });
  }
  result.held = hold(
    organization,
    directory,
    entries,
    result.differences,
    allowance(await ledger.brake(organization.slug), now()) + (dependencies.allowing ?? 0),
  );
  return result;

  async function compareWithNextcloud(person: Person, actual: ActualAccount | undefined): Promise<Found | undefined> {
    const { subject, desired, entry } = person;
    const name = nameOf(person, actual);
    try {
      const groups = await ownership.resolve(organization, asked, desired, actual, directory.map.names);
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
}

/** Remembers each answer. */
function once<A extends unknown[], T>(ask: (...about: A) => Promise<T>): (...about: A) => Promise<T> {
  const answers = new Map<string, Promise<T>>();
  return (...about) => {
    const key = JSON.stringify(about);
    const answer = answers.get(key) ?? ask(...about);
    answers.set(key, answer);
    return answer;
  };
}

interface Person {
  subject: string;
  user: DirectoryUser | undefined;
  desired: DesiredAccount;
  hash: string;
  entry: SubjectEntry | undefined;
}

type Found = Pick<Difference, "kind" | "operations" | "actual" | "name">;

/** A light look: whoever shall have something else than what was applied last. */
function compareWithLedger(organization: Organization, person: Person): Found | undefined {
  const { desired, entry, hash } = person;
  if (entry?.desiredHash === hash || (!entry && desired.state !== "active")) return undefined;
  const found = { operations: [], actual: undefined, name: nameOf(person, undefined) };
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

function nameOf({ user, desired }: Person, actual: ActualAccount | undefined): string {
  if (desired.displayName !== "") return desired.displayName;
  return actual?.displayName || (user ? `${user.firstName} ${user.lastName}`.trim() : "") || desired.subject;
}

function kindOf(operations: Operation[], actual: ActualAccount | undefined): Difference["kind"] {
  if (operations.some((operation) => operation.kind === "delete")) return "delete";
  if (operations.some((operation) => operation.kind === "disable")) return "deprovision";
  return actual ? "update" : "create";
}

/** Whether a difference takes access or an account away. */
export function takesAway({ kind }: Difference): boolean {
  return kind === "deprovision" || kind === "delete";
}

function hold(
  organization: Organization,
  directory: Directory,
  entries: ReadonlyMap<string, SubjectEntry>,
  differences: Difference[],
  allowed: number,
): Held | undefined {
  const people = differences.filter(takesAway).length;
  if (!directory.complete) {
    return {
      reason: "partial-read",
      people,
      explanation: "the list of people could not be read to its end: nobody is deprovisioned by this run",
    };
  }
  if (people === 0) return undefined;
  if (directory.users.size === 0) {
    return {
      reason: "empty-directory",
      people,
      explanation: `Clavex shows no people, but the ledger knows ${entries.size}: nobody is deprovisioned`,
    };
  }
  const known = Array.from(entries.values()).filter((entry) => entry.state === "active").length;
  const limit = deprovisionLimit(organization, known);
  if (people <= limit + allowed) return undefined;
  return {
    reason: "brake",
    people,
    explanation: `${people} people would lose access, more than the ${limit} that may at once: nobody is deprovisioned. If that is right: clavex-nextcloud reconcile --organization ${organization.slug} --allow-deprovisions ${people}`,
  };
}
