import type { OrganizationClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import {
  allow,
  type Braked,
  type BrakeState,
  type Held,
  hold,
  holdLeaves,
  newBrake,
  type RunNumbers,
} from "../core/brake.ts";
import {
  type DesiredAccount,
  desiredAccount,
  desiredGroups,
  desiredHash,
  isScopeUnknown,
  nextcloudGroup,
  unlistedGroups,
} from "../core/desired.ts";
import { Failure, isServers, PipelineFailure } from "../core/failure.ts";
import { accountId, IdentityChanged, identityFingerprint, schemeOf } from "../core/identity.ts";
import { isActing, mayShareIds, type Organization, OWN_ACCOUNT, UNCLAIMED } from "../core/organization.ts";
import { type Directory, type DirectoryState, type Traits, unknownGroups } from "../core/person.ts";
import { deprovisions, type GroupKnowledge, losesGroup, type Operation } from "../core/plan.ts";
import {
  hasAccess,
  hasToBeLookedAt,
  isAdmitted,
  isKnown,
  isPostponedDue,
  isUnseen,
  type SubjectRecord,
} from "../core/record.ts";
import { counted, printable } from "../core/text.ts";
import type { Claims, GroupClaim } from "../ledger/claims.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { type ForeignListener, findAccounts, getAccount, type Survey, surveyAccounts } from "../nextcloud/accounts.ts";
import { groupExists } from "../nextcloud/groups.ts";
import { requireUserOidc } from "../nextcloud/server.ts";
import { createGroupLookup, type GroupLookup } from "../provision/group-lookup.ts";
import { knownIdentity } from "../provision/identity-guard.ts";
import { createSkeletonIsEmpty } from "../provision/skeleton.ts";
import { type Listed, type Roster, readDirectory, readLedger } from "./roster.ts";
import { type SameAddress, SameAddresses } from "./same-address.ts";
import { Candidates } from "./unknown.ts";

/** `light` reads only Clavex and compares with what the ledger says was applied; `full` reads Nextcloud too. */
export type Mode = "light" | "full";

/** One person whose account is out of sync. */
interface Drifted {
  subject: string;
  accountId: string;
  /** For people to read: the name in Clavex, or the account's. */
  name: string;
  desired: DesiredAccount;
  hash: string;
  record: SubjectRecord | undefined;
  /** Whether they end up in fewer groups; judged by the ledger where the account is not known. */
  losesGroup: boolean;
}

/** Found by comparing with the ledger: what the worker will do is not known, because the account is not. */
export interface LightDrift extends Drifted {
  kind: "create" | "update" | "deprovision";
}

/** Found by comparing with Nextcloud. `adopt`: the account is right, but the ledger does not know it yet. */
export interface FullDrift extends Drifted {
  kind: "create" | "update" | "deprovision" | "delete" | "adopt";
  actual: ActualAccount | undefined;
  /** What the worker will do. */
  operations: Operation[];
}

export type Drift = LightDrift | FullDrift;

/** What a look at a whole organization found. Nothing has been changed by it. */
interface Report<D extends Drift> {
  organization: string;
  /** People in Clavex, and people in the ledger. */
  people: number;
  known: number;
  /** How many of these have an enabled account, as far as the ledger knows. */
  enabled: number;
  /** People who left and whose account Nextcloud refuses to disable, as far as the ledger knows. */
  leaversStillEnabled: number;
  differences: D[];
  /** Set when nobody may be deprovisioned, or nobody who was not read; the differences still list whom it would affect. */
  held: Held | undefined;
  /** The same for groups: nobody must be taken out of one. */
  heldLeaves: Held | undefined;
  /** The names of Clavex groups whose members could not be read; a word for those without a name. */
  unreadGroups: string[];
  /** What stays out of sync, and why. */
  notes: { subject: string; note: string }[];
}

export type LightReport = Report<LightDrift> & { mode: "light" };
export type FullReport = Report<FullDrift> & {
  mode: "full";
  /** How many of the people's accounts Nextcloud has. */
  accounts: number;
  vanished: VanishedGroups;
  lost: LostAccount[];
  /** The document says that new accounts get no files, and one that nobody has logged in to has some. */
  filesInNewAccount: boolean;
  /** The accounts that are nobody's of the organization: some may be unknown. */
  foreign: Candidates;
  /** People who get an account, and have one of another kind with the same e-mail address. Empty unless it was asked for. */
  existing: ({ subject: string } & SameAddress)[];
  /** People who have an account by the pipeline, and another one that is enabled. Empty unless it was asked for. */
  doubled: ({ subject: string; own: string } & SameAddress)[];
  /** What the directory calls those whom the differences and notes are about, by subject, for people to read. */
  named: ReadonlyMap<string, Named>;
};

/** Name and e-mail address of somebody. */
export interface Named {
  name: string;
  email: string;
}

/** Groups of ours that are gone from the directory and from Nextcloud, and the entries that still know of memberships. */
export interface VanishedGroups {
  gids: string[];
  members: SubjectRecord[];
}

/** Somebody who is to lose an account that is gone from Nextcloud, although the ledger knows it. */
export interface LostAccount {
  record: SubjectRecord;
  desired: DesiredAccount;
}
export type DriftReport = LightReport | FullReport;

export interface DriftReportDependencies {
  ledger: Ledger;
  clients: OrganizationClients;
  now?: () => number;
  onProgress?: (phase: string, count: number) => void;
  /** How many more people than the brakes' limits an operator is about to allow. */
  allowing?: Partial<Record<Braked, number>>;
  /** Whether a full look also finds people who are in Nextcloud already: that takes the details of all accounts. */
  sameAddresses?: boolean;
  /** When it passes, the reading fails. */
  deadline?: AbortSignal;
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
        fix: "Nothing was sent. If it happens again, run it without a limit: npx clavex-nextcloud reconcile.",
      },
    );
  }
}

/** Everything that was read of an organization, and what it is compared with. */
interface Look {
  organization: Organization;
  clients: OrganizationClients;
  roster: Roster;
  lookup: GroupLookup;
  /** The ids of the groups that the organization has claimed; none in a light look. */
  claimed: string[];
  /** Who has claimed an account. */
  claimOf: Claims["account"];
  /** Hundreds of people share a group: whose it is, and whether it exists, is asked once. */
  groups: Map<string, GroupKnowledge>;
  skeletonIsEmpty: boolean;
  notes: Report<Drift>["notes"];
  named: Map<string, Named>;
  wantsSameAddresses: boolean;
  /** How many enabled accounts of the people were seen. */
  enabled: number;
  /** How many people's accounts were asked for one by one because no list showed them. */
  asked: number;
  lost: LostAccount[];
  /** Since when Nextcloud's skeleton is said to be empty (milliseconds since the epoch); undefined while it is not. */
  emptySince: number | undefined;
  now: () => number;
}

/**
 * Looks at all people of an organization and finds those whose account is not as desired, with the same `evaluate` as the
 * worker.
 *
 * @throws {Failure} when Clavex's groups, Nextcloud or the ledger cannot be read, or the deadline passes; an interrupted
 *   listing of the people is tolerated, but then nobody is deprovisioned of whom nothing could be read
 */
export async function driftReport(
  organization: Organization,
  mode: "full",
  dependencies: DriftReportDependencies,
): Promise<FullReport>;
export async function driftReport(
  organization: Organization,
  mode: Mode,
  dependencies: DriftReportDependencies,
): Promise<DriftReport>;
export async function driftReport(
  organization: Organization,
  mode: Mode,
  dependencies: DriftReportDependencies,
): Promise<DriftReport> {
  const { ledger, clients, deadline, now = Date.now } = dependencies;
  const onProgress = (phase: string, count: number): void => {
    if (deadline?.aborted) throw new RunOverTime(organization.slug);
    dependencies.onProgress?.(phase, count);
  };
  const directory = await directoryOf(organization, dependencies);
  const known = await readLedger({ ledger, onProgress }, organization);
  // Nextcloud answers slowly: its lists are read while the directory is.
  const survey = mode === "full" ? surveyAccounts(clients.ocs, known.people) : undefined;
  const onDeadline = (): void => survey?.stop(new RunOverTime(organization.slug));
  deadline?.addEventListener("abort", onDeadline);
  try {
    const roster = await readDirectory({ directory, now, onProgress }, organization, known);
    const look = await begin(organization, mode, roster, { ...dependencies, now });
    const found = survey ? await compareAll(look, survey, onProgress) : compareLightly(look);
    return { ...found, ...(await judge(look, found.differences, dependencies)) };
  } finally {
    deadline?.removeEventListener("abort", onDeadline);
    survey?.stop();
  }
}

/** What the report says of all differences together. */
async function judge(
  look: Look,
  differences: readonly Drift[],
  { ledger, allowing: allowed }: DriftReportDependencies,
): Promise<Omit<Report<Drift>, "differences">> {
  const { organization, now } = look;
  const { counts, complete, map } = look.roster;
  const brakeOf = async (braked: Braked): Promise<BrakeState> => {
    const state = (await ledger.brakes.get(organization.slug, braked))?.state ?? newBrake();
    const allowing = allowed?.[braked] ?? 0;
    return allowing > 0 ? allow(state, allowing, now()) : state;
  };
  const admitted = (braked: Braked, losing: readonly Drift[]): number =>
    losing.filter(({ record }) => isAdmitted(record, braked, now())).length;
  const deprovisioned = differences.filter(takesAway);
  const leaving = differences.filter(({ losesGroup }) => losesGroup);
  const run: RunNumbers = {
    ...counts,
    complete,
    groupsEmpty: map.isEmpty,
    enabled: Math.max(counts.active, look.enabled),
    losing: { deprovisions: deprovisioned.length, leaves: leaving.length },
    admitted: { deprovisions: admitted("deprovisions", deprovisioned), leaves: admitted("leaves", leaving) },
    brakes: { deprovisions: await brakeOf("deprovisions"), leaves: await brakeOf("leaves") },
  };
  return {
    organization: organization.slug,
    people: counts.users,
    known: counts.known,
    enabled: counts.active,
    unreadGroups: [...map.unread, ...(map.isComplete ? [] : [UNLISTED])],
    leaversStillEnabled: counts.leavers,
    notes: look.notes,
    held: hold(organization, run, now()),
    heldLeaves: holdLeaves(organization, run, now()),
  };
}

/**
 * The directory of an organization, if a comparison with it is meaningful.
 *
 * @throws {Failure} when there is none to be read, or every account id would be another one than the one that was made
 */
async function directoryOf(
  organization: Organization,
  { ledger, clients }: DriftReportDependencies,
): Promise<Directory> {
  const { slug } = organization;
  const { directory } = clients;
  if (directory.mode === "snapshots") {
    throw new PipelineFailure(
      "configuration",
      "api-key-missing",
      `organization ${slug} has no clavex.apiKey`,
      "organization",
      { fix: "Reconciliation reads the whole directory: give the organization an API key." },
    );
  }
  // The worker could only keep the jobs waiting, for everybody.
  const made = await knownIdentity(ledger.identities, organization);
  if (made !== undefined && made.fingerprint !== identityFingerprint(organization.identity))
    throw new IdentityChanged(slug);
  return directory.directory;
}

/** Reads what the people are compared with, but for their accounts. */
async function begin(
  organization: Organization,
  mode: Mode,
  roster: Roster,
  {
    ledger,
    clients,
    now,
    sameAddresses = false,
  }: DriftReportDependencies & Required<Pick<DriftReportDependencies, "now">>,
): Promise<Look> {
  const { slug } = organization;
  const known =
    mode === "full" ? await allClaims(ledger.claims, clients.nextcloudOrigin) : new Map<string, GroupClaim>();
  const claimed = [...known].flatMap(([gid, { owner }]) => (owner === slug ? [gid] : []));
  const lookup = createGroupLookup(claimsReadAhead(ledger.claims, known), now);
  const { account: claimOf } = ledger.claims;
  const skeletonIsEmpty = mode === "full" && (await createSkeletonIsEmpty(ledger, now)(organization));
  const measured = skeletonIsEmpty ? await ledger.skeletons.get(clients.nextcloudOrigin) : undefined;
  return {
    organization,
    clients,
    roster,
    lookup,
    claimed,
    claimOf,
    groups: new Map(),
    skeletonIsEmpty,
    emptySince: skeletonIsEmpty ? (measured?.at ?? 0) : undefined,
    notes: unreadableNotes(roster),
    named: new Map(),
    wantsSameAddresses: sameAddresses,
    enabled: 0,
    asked: 0,
    lost: [],
    now,
  };
}

/** Who is listed in a form that cannot be read is left as they are. */
function unreadableNotes({ people, unidentified, map }: Roster): Report<Drift>["notes"] {
  const unreadable = [...people.values()].filter(({ isUnreadable }) => isUnreadable);
  const note = "Clavex lists this person in a form that cannot be read; nothing of them is compared";
  const notes = unreadable.map(({ subject }) => ({ subject, note }));
  if (unidentified > 0)
    notes.push({
      subject: "unknown",
      note: `Clavex lists ${counted(unidentified, "person", "people")} without a readable id`,
    });
  for (const name of map.unread)
    notes.push({
      subject: "everybody",
      note: `Clavex cannot show who is in group ${printable(name)}: memberships of it stay as they are`,
    });
  if (!map.isComplete)
    notes.push({
      subject: "everybody",
      note: "Clavex's list of groups cannot be read to its end: nobody leaves a group that is not in it",
    });
  return notes;
}

/** What stands for groups that not even the name is known of. */
const UNLISTED = "(some without a readable name)";

/** All claims at once, as it concerns all people. */
async function allClaims(claims: Claims, origin: string): Promise<Map<string, GroupClaim>> {
  const known = new Map<string, GroupClaim>();
  for await (const page of claims.groups(origin)) for (const claim of page) known.set(claim.gid, claim);
  return known;
}

/** A group that is claimed stays so during a look, and one that is not is asked about again. */
function claimsReadAhead(claims: Claims, known: ReadonlyMap<string, GroupClaim>): Claims {
  return { ...claims, group: async (origin, gid) => known.get(gid) ?? claims.group(origin, gid) };
}

/** The most groups that one look asks Nextcloud about because the directory does not have them any more, and accounts that no list has. */
const MOST_ASKED = 200;

/**
 * The groups of ours that are gone on both sides. Our claim has ended with them: somebody may make one of the same id. Not
 * looked for when the directory shows no groups at all.
 */
async function vanishedGroups({ organization, clients, roster, claimed }: Look): Promise<VanishedGroups> {
  const { names, isEmpty, isComplete } = roster.map;
  const current = new Set(
    [...names].flatMap((name) => {
      const found = nextcloudGroup(organization, name);
      return "group" in found ? [found.group.gid] : [];
    }),
  );
  const asked = isEmpty || !isComplete ? [] : claimed.filter((gid) => !current.has(gid)).slice(0, MOST_ASKED);
  const gids: string[] = [];
  for (const gid of asked) {
    // An odd answer about one group is left to the next run.
    const exists = await groupExists(clients.ocs, gid).catch((error) => {
      if (error instanceof Failure && !isServers(error)) return true;
      throw error;
    });
    if (!exists) gids.push(gid);
  }
  const records = gids.length === 0 ? [] : [...roster.people.values()].flatMap(({ record }) => record ?? []);
  return { gids, members: records.filter(({ groups }) => groups.some((gid) => gids.includes(gid))) };
}

async function compareAll(
  look: Look,
  survey: Survey,
  onProgress: (phase: string, count: number) => void,
): Promise<Omit<FullReport, keyof Report<FullDrift>> & Pick<FullReport, "differences">> {
  const { people, counts } = look.roster;
  const vanished = await vanishedGroups(look);
  const differences: FullDrift[] = [];
  const { backend } = schemeOf(look.organization.identity);
  let [accounts, ofBackend] = [0, 0];
  let filesInNewAccount = false;
  const compare = async (listed: Listed, actual: ActualAccount | undefined): Promise<void> => {
    const drift = await compareWithNextcloud(look, listed, actual);
    if (!drift) return;
    differences.push(drift);
    remember(look, listed);
  };
  const unreadable = (listed: Listed): void => {
    accounts += 1;
    addNote(look, listed, "Nextcloud's answer for the account cannot be read; nothing of it is compared");
  };
  const foreign = new Candidates();
  const addresses = look.wantsSameAddresses ? new SameAddresses(look.organization, addressesOf(people)) : undefined;
  const noteTaken = createTakenNotes(look);
  const listener: ForeignListener = {
    listed(id) {
      noteTaken(id);
      foreign.listed(id);
    },
    detailed(id, details) {
      foreign.detailed(id, details);
      addresses?.detailed(id, details);
    },
    wantsDetails: () =>
      addresses !== undefined &&
      people.values().some(({ person, listedAs }) => person?.active || listedAs !== undefined),
  };
  for await (const page of findAccounts(look.clients.ocs, people, unreadable, listener, survey)) {
    for (const { owner, account } of page) {
      if (account.enabled) look.enabled += 1;
      if (backend === undefined || account.backend === backend) ofBackend += 1;
      filesInNewAccount ||= hasFilesFromSkeleton(look, owner, account);
      await compare(owner, account);
    }
    accounts += page.length;
    onProgress("accounts in Nextcloud", accounts);
  }
  // A backend that shows nobody at all proves nothing about anybody.
  if (ofBackend === 0 && counts.active > 0) await requireBackend(look);
  let without = 0;
  for (const listed of people.values()) {
    await compare(listed, undefined);
    without += 1;
    if (without % 1_000 === 0) onProgress("people without an account", without);
  }
  if (look.lost.length > 0) await requireBackend(look);
  return {
    mode: "full",
    accounts,
    vanished,
    lost: look.lost,
    filesInNewAccount,
    foreign,
    ...othersOf(look, addresses, differences),
    named: look.named,
    // Nextcloud's pages come in the order of ids, which are hashes.
    differences: differences.sort(byName),
  };
}

/** @throws {Failure} while the app is disabled whose accounts ours are: they exist, and are not shown */
async function requireBackend({ organization, clients }: Look): Promise<void> {
  if (schemeOf(organization.identity).making.by === "user_oidc") await requireUserOidc(clients.ocs);
}

/**
 * Asks for an account that no list has shown and that is to be taken away: a list misses somebody when an account before them is
 * deleted meanwhile.
 *
 * @returns undefined when Nextcloud has none, `unknown` where nobody could tell now
 */
async function askAgain(look: Look, { accountId }: Listed): Promise<ActualAccount | "unknown" | undefined> {
  look.asked += 1;
  if (look.asked > MOST_ASKED) return "unknown";
  return getAccount(look.clients.ocs, accountId).catch((error) => {
    if (error instanceof Failure && !isServers(error)) return "unknown";
    throw error;
  });
}

const TAKEN =
  "an account has the bare subject as its id: a login opens that one instead of the pre-provisioned one. Delete it if nobody needs it, and transfer its files first (docs/existing-people.md)";

/**
 * Notes the people of whose bare subject there is an account: user_oidc looks for one before it computes an id
 * (docs/facts/nextcloud.md 2 B).
 */
function createTakenNotes(look: Look): (id: string) => void {
  const { organization, roster } = look;
  if (schemeOf(organization.identity).making.by !== "user_oidc") return () => undefined;
  const noted = new Set<string>();
  return (id) => {
    const subject = id.toLowerCase();
    if (noted.has(subject)) return;
    const listed = roster.people.get(accountId(organization.identity, subject).toLowerCase());
    // Where the bare subject is the account's id, the account is sought, and does not come here.
    if (listed?.person === undefined || listed.subject !== subject) return;
    noted.add(subject);
    addNote(look, listed, TAKEN);
  };
}

interface Addressed {
  subject: string;
  email: string;
  person: Traits;
}

function* addressesOf(people: ReadonlyMap<string, Listed>): Generator<Addressed> {
  for (const { subject, person } of people.values()) if (person) yield { subject, email: person.email, person };
}

/** Who has an account of another kind, after the accounts were read: whoever is still sought has none by the pipeline. */
function othersOf(
  look: Look,
  addresses: SameAddresses<Addressed> | undefined,
  differences: readonly FullDrift[],
): Pick<FullReport, "existing" | "doubled"> {
  const created = new Set(differences.flatMap(({ kind, subject }) => (kind === "create" ? [subject] : [])));
  const found = addresses?.split(
    (own) => look.roster.people.has(own.toLowerCase()),
    ({ subject }) => created.has(subject),
  );
  const { existing, doubled } = found ?? { existing: [], doubled: [] };
  for (const { person } of [...existing, ...doubled]) remember(look, person);
  return {
    existing: existing.map(({ person: { subject }, other }) => ({ subject, ...other })),
    doubled: doubled.map(({ person: { subject }, own, other }) => ({ subject, own, ...other })),
  };
}

/** Whoever has never logged in has no files of their own: those in an account made since then are the skeleton's. */
function hasFilesFromSkeleton({ emptySince }: Look, { record }: Listed, account: ActualAccount): boolean {
  const { backend, hasLoggedIn, used = 0 } = account;
  if (emptySince === undefined || record?.madeAt === undefined || record.madeAt < emptySince) return false;
  return backend === "user_oidc" && !hasLoggedIn && used > 0;
}

function compareLightly(look: Look): Pick<LightReport, "mode" | "differences"> {
  const differences: LightDrift[] = [];
  for (const listed of look.roster.people.values()) {
    const drift = compareWithLedger(look, listed);
    if (drift) differences.push(drift);
  }
  return { mode: "light", differences: differences.sort(byName) };
}

/** Notes something about somebody; keeps what people call them. */
function addNote(look: Look, listed: Listed, note: string): void {
  look.notes.push({ subject: listed.subject, note });
  remember(look, listed);
}

function remember({ named }: Look, { subject, person }: Pick<Listed, "subject" | "person">): void {
  if (person) named.set(subject, { name: `${person.firstName} ${person.lastName}`.trim(), email: person.email });
}

/** What the directory says of somebody; undefined where an incomplete listing, or a group that decides, says nothing. */
function directoryState({ roster, organization }: Look, listed: Listed): DirectoryState | undefined {
  const { subject, person, isUnreadable, isGone, record } = listed;
  if (isUnreadable || (!person && !roster.complete && !isGone)) return undefined;
  const directory = { person, groups: person ? roster.map.of(subject) : [], ...unknownGroups(roster.map) };
  return isScopeUnknown(organization, directory, record?.state) ? undefined : directory;
}

async function compareWithNextcloud(
  look: Look,
  listed: Listed,
  account: ActualAccount | undefined,
): Promise<FullDrift | undefined> {
  const directory = directoryState(look, listed);
  if (!directory) return undefined;
  const { organization, clients, roster, lookup, groups, skeletonIsEmpty } = look;
  const { subject, record } = listed;
  if (isActing(organization, listed.accountId)) {
    addNote(look, listed, OWN_ACCOUNT);
    return undefined;
  }
  const decision = await lookup.evaluate(
    {
      organization,
      subject,
      directory,
      account,
      record,
      mayPurge: true,
      skeletonIsEmpty,
      now: clients.clocks.earliest(),
    },
    clients,
    roster.map.names,
    groups,
  );
  const { desired, plan } = decision;
  if (isUnseen(organization, record, desired, account)) {
    const found = await askAgain(look, listed);
    if (found === undefined) look.lost.push({ record, desired });
    else if (found !== "unknown") return compareWithNextcloud(look, listed, found);
  }
  if (plan.operations.length > 0 && (await isUnclaimed(look, listed))) {
    addNote(look, listed, UNCLAIMED);
    return undefined;
  }
  for (const note of plan.notes) addNote(look, listed, note);
  // A conflict, or data that Nextcloud cannot hold: reported, and only what takes access away is a difference.
  if (plan.refusal) addNote(look, listed, plan.refusal.message);
  if (plan.refusal && plan.operations.length === 0) return undefined;
  const kind = kindOf(plan.operations, desired, account, record);
  if (!kind) return undefined;
  const { operations } = plan;
  return {
    ...drifted(listed, desired, account),
    kind,
    operations,
    losesGroup: losesGroup(operations),
    actual: account,
  };
}

/** Whether the account may be another organization's, as the directory does not know the person and nobody has claimed it. */
async function isUnclaimed({ organization, clients, claimOf }: Look, { person, accountId }: Listed): Promise<boolean> {
  if (person || !mayShareIds(organization)) return false;
  return (await claimOf(clients.nextcloudOrigin, accountId)) !== organization.slug;
}

/** A light look: whoever is to have something else than what was applied last. */
function compareWithLedger(look: Look, listed: Listed): LightDrift | undefined {
  const directory = directoryState(look, listed);
  if (!directory) return undefined;
  const { organization } = look;
  const { record } = listed;
  if (isActing(organization, listed.accountId)) return undefined;
  const desired = desiredAccount(organization, listed.subject, directory, mayHaveAccount(record));
  const hash = desiredHash(desired);
  // What was taken away only in part is not what was applied, even if that is desired again.
  const partial = record?.refused !== undefined && record.refused.unrevoked !== "nothing";
  const due = partial || isPostponedDue(record, look.now()) || hasToBeLookedAt(record, look.now());
  if ((record?.applied?.desiredHash === hash && !due) || (!record && desired.state !== "active")) return undefined;
  const drift = {
    ...drifted(listed, desired, undefined, hash),
    losesGroup: leavesMoreThanJoins(organization, directory, desired, record),
  };
  if (desired.state === "active") return { ...drift, kind: isKnown(record) ? "update" : "create" };
  const takesAccess = organization.deprovision[desired.state] !== "keep" && hasAccess(organization, record);
  return { ...drift, kind: takesAccess ? "deprovision" : "update" };
}

function drifted(
  { subject, accountId, person, record }: Listed,
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
  hash = desiredHash(desired),
): Omit<Drifted, "losesGroup"> {
  const ofDesired = desired.state === "active" ? desired.profile.displayName : "";
  const ofPerson = person ? `${person.firstName} ${person.lastName}`.trim() : "";
  const name = ofDesired || actual?.displayName || ofPerson || subject;
  return { subject, accountId, name, desired, hash, record };
}

/** The same as `losesGroup`, as far as the ledger knows the memberships. */
function leavesMoreThanJoins(
  organization: Organization,
  directory: DirectoryState,
  desired: DesiredAccount,
  record: SubjectRecord | undefined,
): boolean {
  if (desired.state !== "active" || desired.directoryGroups === "unknown") return false;
  const unread = new Set([...desired.unreadGroups, ...unlistedGroups(organization, directory, record?.groups ?? [])]);
  const before = new Set(record?.groups).difference(unread);
  const after = new Set(desired.directoryGroups.map(({ gid }) => gid));
  return before.difference(after).size > after.difference(before).size;
}

/** Whether there may be an account, as far as the ledger knows: somebody who is out of scope, and never had one, has none. */
function mayHaveAccount(record: SubjectRecord | undefined): boolean {
  if (!record || record.state === "new") return false;
  return record.state !== "outOfScope" || record.disabledByUs || record.groups.length > 0;
}

function kindOf(
  operations: Operation[],
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
  record: SubjectRecord | undefined,
): FullDrift["kind"] | undefined {
  if (operations.length === 0) return actual && desired.state === "active" && !isKnown(record) ? "adopt" : undefined;
  if (operations.some(({ effect }) => effect === "deletes")) return "delete";
  if (deprovisions(operations)) return "deprovision";
  return actual ? "update" : "create";
}

/** Whether the job would only take the person out of groups, as far as is known. */
export function onlyLeaves(drift: Drift): boolean {
  if (!drift.losesGroup) return false;
  return !("operations" in drift) || drift.operations.every(({ kind }) => kind === "leave");
}

/** Whether anything that the person can reach depends on it: all but names, e-mail addresses and quotas. */
export function isUrgent(drift: Drift): boolean {
  if ("operations" in drift) return drift.operations.some(({ effect }) => effect !== "neutral");
  const { kind, losesGroup, desired, record } = drift;
  if (kind !== "update" || losesGroup || record?.state !== desired.state) return true;
  return desiredGroups(desired).some(({ gid, source }) => source === "clavex" && !record.groups.includes(gid));
}

/** Whether an account is closed: what the brake counts. */
export function takesAway({ kind }: Drift): boolean {
  return kind === "deprovision" || kind === "delete";
}

function byName(a: Drift, b: Drift): number {
  return compareTexts(a.name, b.name) || compareTexts(a.subject, b.subject);
}

const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
