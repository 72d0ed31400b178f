import { randomBytes } from "node:crypto";
import * as z from "zod";
import { type ActualAccount, ATTRIBUTES, anotherAccount, type Profile } from "../core/account.ts";
import { isSilent, isUndecided } from "../core/failure.ts";
import { quick } from "../core/quick.ts";
import { quotaFromAnswer } from "../core/quota.ts";
import { createInterner } from "../core/text.ts";
import { type ReadAhead, readAhead } from "../read-ahead.ts";
import { CODES } from "./codes.ts";
import {
  AccountVanished,
  MethodNotAllowed,
  NextcloudFailure,
  NextcloudForbidden,
  NextcloudMisrouted,
  NextcloudRateLimited,
  NextcloudServerError,
  OcsRefusal,
  UnknownRoute,
} from "./errors.ts";
import { type Ocs, userSegment } from "./ocs.ts";

/** An id is text, however it is written: PHP makes JSON numbers of those that are all digits. */
export const idSchema = z.union([z.string(), z.number().transform(String)]);
/** A list as PHP writes it: one with gaps is an object. */
const listSchema = z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]);
/** What is no id in it is nothing that is known by an id. */
export const idsSchema = listSchema.transform(idsIn);

function idsIn(list: z.output<typeof listSchema>): string[] {
  return Object.values(list).flatMap((each) =>
    typeof each === "string" ? each : (idSchema.safeParse(each).data ?? []),
  );
}

/** The groups of an account, and whether they are all; `null` shows none. */
function shownGroups(list: z.output<typeof listSchema> | null | undefined): { groups: string[]; areAll: boolean } {
  const groups = idsIn(list ?? []);
  return { groups, areAll: list != null && groups.length === Object.keys(list).length };
}

/** A text that no decision depends on: any other type counts as empty. */
const textSchema = z.string().catch("");

// What no decision needs may have any form: `quota` is `[]`, for one, where a person's storage cannot be loaded.
const accountSchema = quick(
  z.object({
    id: idSchema,
    enabled: z.boolean(),
    backend: z.string(),
    displayname: textSchema,
    email: textSchema,
    quota: z
      .object({ quota: z.unknown().optional(), used: z.unknown().optional() })
      .catch({ quota: undefined, used: undefined }),
    lastLogin: z.unknown().optional(),
    groups: listSchema.nullish(),
  }),
).transform((account): ActualAccount => {
  const { groups, areAll } = shownGroups(account.groups);
  return {
    id: account.id,
    enabled: account.enabled,
    backend: account.backend,
    displayName: account.displayname,
    email: account.email,
    quota: quotaFromAnswer(account.quota.quota),
    // Where Nextcloud does not show it, the account is treated as if it held files.
    hasLoggedIn: account.lastLogin !== 0,
    used: typeof account.quota.used === "number" ? account.quota.used : undefined,
    groups,
    showsAllGroups: areAll,
  };
});

const isRefusal = (error: unknown, ...codes: number[]): boolean =>
  error instanceof OcsRefusal && codes.includes(error.status);

/** The account with this id, or undefined. The look-up ignores letter case: compare the answer's `id`. */
export async function getAccount(ocs: Ocs, id: string): Promise<ActualAccount | undefined> {
  const data = await askForAccount(ocs, id);
  if (data === undefined) return undefined;
  const account = accountSchema.safeParse(data);
  if (!account.success) throw new NextcloudMisrouted("Nextcloud's answer for an account has an unexpected form");
  return account.data;
}

async function askForAccount(ocs: Ocs, id: string): Promise<unknown> {
  try {
    return await ocs.call("GET", `cloud/users/${userSegment(id)}`);
  } catch (error) {
    if (isRefusal(error, 404)) return undefined;
    // An account that is not an administrator's sees other people as 998, the same as "not found" elsewhere.
    if (isRefusal(error, 998)) throw new NextcloudForbidden("other people's accounts cannot be read");
    throw error;
  }
}

/** The last moment that a date can name, in milliseconds since the epoch. */
const LATEST = 8.64e15;

const foreignSchema = z.object({
  id: idSchema,
  enabled: z.boolean(),
  backend: z.string(),
  displayname: textSchema,
  lastLogin: z.number().min(0).max(LATEST).optional().catch(undefined),
});

/** What is shown of an account that is nobody's whom the pipeline knows. */
export interface ForeignAccount {
  /** As Nextcloud writes it. */
  accountId: string;
  displayName: string;
  enabled: boolean;
  backend: string;
  /** In milliseconds since the epoch, 0 for never (docs/facts/nextcloud.md 3); undefined where Nextcloud does not show it. */
  lastLogin: number | undefined;
}

/**
 * An account without a known owner; undefined when it does not exist, or its answer cannot be read.
 *
 * @throws {Failure} when Nextcloud does not answer properly
 */
export async function getForeignAccount(ocs: Ocs, id: string): Promise<ForeignAccount | undefined> {
  const { data } = foreignSchema.safeParse(await askForAccount(ocs, id));
  if (!data || data.id.toLowerCase() !== id.toLowerCase()) return undefined;
  const { id: accountId, displayname: displayName, enabled, backend, lastLogin } = data;
  return { accountId, displayName, enabled, backend, lastLogin };
}

/**
 * Creates or updates the account of a subject through user_oidc's pre-provisioning endpoint: one call for the whole profile,
 * which computes the account id itself.
 *
 * @returns the account id that user_oidc computed
 */
export async function upsertOidcAccount(
  ocs: Ocs,
  providerId: number,
  subject: string,
  profile: Profile,
): Promise<string> {
  let data: unknown;
  try {
    data = await ocs.call("POST", "apps/user_oidc/api/v1/user", {
      providerId: String(providerId),
      userId: subject,
      ...parametersOf(profile),
    });
  } catch (error) {
    if (isRefusal(error, ...CODES.missing) || error instanceof UnknownRoute) {
      throw new NextcloudMisrouted(
        "Nextcloud has no user_oidc pre-provisioning endpoint",
        "Enable the app user_oidc in Nextcloud, or choose another identity.scheme.",
        "subject",
      );
    }
    throw error;
  }
  const made = z.object({ user_id: z.string() }).safeParse(data);
  if (!made.success) throw new NextcloudMisrouted("user_oidc's answer names no account id");
  return made.data.user_id;
}

/** What Nextcloud calls the attributes of a profile in the calls that make an account. */
const PARAMETERS: Readonly<Record<keyof Profile, string>> = {
  displayName: "displayName",
  email: "email",
  quota: "quota",
};

function parametersOf(profile: Profile): Record<string, string | undefined> {
  const names = Object.keys(PARAMETERS) as (keyof Profile)[];
  return Object.fromEntries(names.map((name) => [PARAMETERS[name], ATTRIBUTES[name].text(profile)]));
}

/**
 * Deletes an account that was made a moment ago under a wrong id, unless it is, or may be, somebody's: it must belong to
 * user_oidc, never have been logged in to, and be in no group.
 *
 * @returns whether it was deleted
 */
export async function removeFreshAccount(ocs: Ocs, id: string): Promise<boolean> {
  const schema = z.object({
    id: z.literal(id),
    backend: z.literal("user_oidc"),
    lastLogin: z.literal(0),
    groups: z.array(z.string()).max(0),
  });
  try {
    const account = await ocs.call("GET", `cloud/users/${userSegment(id)}`);
    if (!schema.safeParse(account).success) return false;
    await ocs.call("DELETE", `apps/user_oidc/api/v1/user/${userSegment(id)}`);
    return true;
  } catch {
    // The mismatch has to be reported in any case, and says that the account still exists.
    return false;
  }
}

/**
 * Creates a core ("Database") account with its groups in one call. Its password is random and kept nowhere.
 *
 * @returns `exists` when an account of this id already exists (after a race or a half-failed earlier call),
 *   `group-missing` when one of the groups is not there, and nothing was made
 */
export async function createCoreAccount(
  ocs: Ocs,
  id: string,
  profile: Profile,
  groups: string[],
): Promise<"made" | "exists" | "group-missing"> {
  try {
    await ocs.call("POST", "cloud/users", {
      userid: id,
      // Long enough for any password policy, and with every kind of character that one may ask for.
      password: `${randomBytes(30).toString("base64url")}aA1!`,
      ...parametersOf(profile),
      groups,
    });
    return "made";
  } catch (error) {
    if (isRefusal(error, CODES.groupMissing)) return "group-missing";
    // "Bad request" as well as "exists already": only looking tells.
    if (isRefusal(error, ...CODES.refused) && (await getAccount(ocs, id))) return "exists";
    throw error;
  }
}

/** How an edit went; `limited`: Nextcloud takes no more of them for now, and this one was not made. */
export type Edited = "edited" | "limited";

/**
 * Changes attributes of an account in one call, which Nextcloud has from 34 on. Limited to 50 calls in ten minutes.
 *
 * @param edits by the keys of `editAccount`
 * @returns `unknown` where this Nextcloud has no such call
 * @throws {AccountConflict} when another account answers than the one that was asked for
 */
export async function patchAccount(
  ocs: Ocs,
  id: string,
  edits: readonly { key: string; value: string }[],
): Promise<Edited | "unknown"> {
  const parameters = Object.fromEntries(
    edits.map(({ key, value }) => [key === ATTRIBUTES.displayName.key ? PARAMETERS.displayName : key, value]),
  );
  try {
    const account = await ocs.call("PATCH", `cloud/users/${userSegment(id)}`, parameters);
    const shown = z.object({ id: idSchema }).safeParse(account);
    if (shown.success && shown.data.id !== id) throw anotherAccount(id, shown.data.id);
    return "edited";
  } catch (error) {
    if (error instanceof MethodNotAllowed) return "unknown";
    if (error instanceof NextcloudRateLimited) return "limited";
    throw error;
  }
}

/** Changes one attribute of an account. Limited to 50 calls in ten minutes, apart from those of `patchAccount`. */
export async function editAccount(ocs: Ocs, id: string, key: string, value: string): Promise<Edited> {
  try {
    await ocs.call("PUT", `cloud/users/${userSegment(id)}`, { key, value });
    return "edited";
  } catch (error) {
    if (error instanceof NextcloudRateLimited) return "limited";
    throw error;
  }
}

/** Enables or disables an account; idempotent. Disabling ends live sessions at their next request. */
export async function setAccountEnabled(ocs: Ocs, id: string, enabled: boolean): Promise<void> {
  try {
    await ocs.call("PUT", `cloud/users/${userSegment(id)}/${enabled ? "enable" : "disable"}`);
  } catch (error) {
    throw isRefusal(error, 101) ? new AccountVanished() : error;
  }
}

/**
 * Makes an account a member of a group; idempotent.
 *
 * @returns false when the group does not exist
 */
export async function joinGroup(ocs: Ocs, id: string, gid: string): Promise<boolean> {
  const join = () => ocs.call("POST", `cloud/users/${userSegment(id)}/groups`, { groupid: gid });
  try {
    // Parallel joins of one group sometimes fail with 500; joining again is harmless.
    await join().catch((error) => (error instanceof NextcloudServerError ? join() : Promise.reject(error)));
    return true;
  } catch (error) {
    if (isRefusal(error, 102)) return false;
    throw isRefusal(error, 103) ? new AccountVanished() : error;
  }
}

/** Ends an account's membership of a group; idempotent, also when the group is gone. */
export async function leaveGroup(ocs: Ocs, id: string, gid: string): Promise<void> {
  try {
    await ocs.call("DELETE", `cloud/users/${userSegment(id)}/groups`, { groupid: gid });
  } catch (error) {
    if (isRefusal(error, 102)) return;
    throw isRefusal(error, 103) ? new AccountVanished() : error;
  }
}

/** Deletes an account with its files; one that is gone already is success. */
export async function deleteAccount(ocs: Ocs, id: string): Promise<void> {
  try {
    await ocs.call("DELETE", `cloud/users/${userSegment(id)}`);
  } catch (error) {
    if (!isRefusal(error, ...CODES.missing)) throw error;
  }
}

/**
 * Ids are cheap to list (400 in 42 ms), details are not (4.5 ms each), a GET for one costs 25 to 40 ms. Nextcloud 34 answers
 * a `limit` above 500 with HTTP 500 (docs/facts/nextcloud.md 5).
 */
const IDS_PAGE = 500;
const DETAILS_PAGE = 200;
const GETS_PER_DETAIL = 7;

/** Somebody whose account is looked for. */
export interface Sought {
  accountId: string;
  /** The id by which Nextcloud lists the account, once it has. */
  listedAs: string | undefined;
}

/** Somebody who was sought, and their account. */
export interface FoundAccount<Owner> {
  owner: Owner;
  account: ActualAccount;
}

/** Receives the accounts that were not looked for. Their answers may have any form. */
export interface ForeignListener {
  /** Nextcloud lists this id. */
  listed(id: string): void;
  /** What a page of details shows of an account, where one is read anyhow; of those who were sought, what was parsed of it. */
  detailed(id: string, details: unknown): void;
  /** Asked when all ids were listed: whether the details of all accounts are wanted, also where a few GETs would do. */
  wantsDetails(): boolean;
}

const NOBODY: ForeignListener = { listed: () => undefined, detailed: () => undefined, wantsDetails: () => false };

/**
 * Nextcloud's lists, read ahead: the ids of all accounts and, as soon as it is certain that they are needed, the details. Both may
 * begin before it is known of everybody whether they are sought.
 */
export interface Survey {
  /** What the ids that were read so far have shown. */
  listing: Listing;
  /** Pages of ids, without those that were sought when the page came. */
  ids: ReadAhead<string[]>;
  /** The pages of details, begun now if they have not been. */
  details(): ReadAhead<Detailed[]>;
  /** Reads nothing more. Whoever walks on gets the reason as a failure. */
  stop(reason?: unknown): void;
}

/** What a list of ids has shown. */
interface Listing {
  /** How many accounts there are, and how many of them are those of people who are sought. */
  total: number;
  listed: number;
  /** How many places of the list could not be read: somebody's account may be there. */
  unread: number;
}

/** An account on a page of details: parsed where it was sought when the page came, else as it is shown. */
interface Detailed {
  /** The name under which the page shows it. */
  id: string;
  account?: ActualAccount | undefined;
  details?: unknown;
}

/** How many ids, and accounts, are held until somebody asks for them: a few megabytes. */
const MOST_HELD = 10_000;

/** Begins to read Nextcloud's lists. People may still be added to those who are sought, until `findAccounts` gets the survey. */
export function surveyAccounts(ocs: Ocs, sought: ReadonlyMap<string, Sought>): Survey {
  const listing: Listing = { total: 0, listed: 0, unread: 0 };
  const weighing = { most: MOST_HELD, weigh: ({ length }: unknown[]) => length };
  let isStopped = false;
  // A page that fails is read in parts: none is begun any more either.
  const call: Ocs["call"] = async (...wanted) => {
    if (isStopped) throw new Error("nobody waits for this list any more");
    return ocs.call(...wanted);
  };
  const ids = readAhead(idsPages({ call }, sought, listing), weighing);
  let begun: ReadAhead<Detailed[]> | undefined;
  const details = (): ReadAhead<Detailed[]> => {
    begun ??= readAhead(detailsPages({ call }, sought, listing.total), weighing);
    return begun;
  };
  // Whoever else is sought makes them no dearer.
  void ids.done.then(
    (isWhole) => isWhole && !isStopped && listing.total > 0 && areDetailsCheaper(listing) && details(),
  );
  return {
    listing,
    ids,
    details,
    stop(reason) {
      isStopped = true;
      ids.stop(reason);
      begun?.stop(reason);
    },
  };
}

function areDetailsCheaper({ listed, total }: Listing): boolean {
  return listed * GETS_PER_DETAIL >= total;
}

/**
 * Looks for accounts, in the cheaper of two ways: all accounts' details page by page, or, where only a few of many are sought,
 * one GET each. As in a look-up, letter case is ignored: compare the account's own `id`.
 *
 * @param sought those who are looked for, by account id in lower case; whoever's account is found is taken out, so that in
 *   the end only those without one are left
 * @param unreadable called for whoever has an account that cannot be read, and is taken out as well
 * @param foreign receives the accounts that were not looked for
 * @param survey of the same people, where it was begun before
 * @returns the accounts, as many at a time as Nextcloud shows; each person's once
 */
export async function* findAccounts<Owner extends Sought>(
  ocs: Ocs,
  sought: Map<string, Owner>,
  unreadable: (owner: Owner) => void = () => undefined,
  foreign: ForeignListener = NOBODY,
  survey: Survey = surveyAccounts(ocs, sought),
): AsyncGenerator<FoundAccount<Owner>[]> {
  let found = 0;
  const take = (account: ActualAccount | undefined): FoundAccount<Owner>[] => {
    const key = account?.id.toLowerCase();
    const owner = key === undefined ? undefined : sought.get(key);
    if (!account || key === undefined || !owner) return [];
    sought.delete(key);
    found += 1;
    return [{ owner, account }];
  };
  try {
    await walkIds(survey, sought, foreign);
    if (survey.listing.unread > 0) askForUnlisted(sought, unreadable);
    const needed = areDetailsCheaper(survey.listing);
    if (needed || foreign.wantsDetails()) {
      try {
        for await (const page of survey.details()) {
          yield page.flatMap(({ id, account, details }) => {
            foreign.detailed(id, details ?? account);
            if (details === undefined) return take(account);
            return take(sought.has(id.toLowerCase()) ? accountSchema.safeParse(details).data : undefined);
          });
        }
      } catch (error) {
        // Only the listener misses them: whoever is sought is asked for one by one.
        if (needed || !isPageFault(error)) throw error;
      }
    }
    yield* askOneByOne(ocs, sought, unreadable, take, () => found);
  } finally {
    survey.stop();
  }
}

/** Moved from page to page meanwhile, or shown without details: nobody may look as if they had no account. */
async function* askOneByOne<Owner extends Sought>(
  ocs: Ocs,
  sought: Map<string, Owner>,
  unreadable: (owner: Owner) => void,
  take: (account: ActualAccount | undefined) => FoundAccount<Owner>[],
  found: () => number,
): AsyncGenerator<FoundAccount<Owner>[]> {
  let [failed, silent] = [0, 0];
  for (const [key, owner] of sought) {
    if (owner.listedAs === undefined) continue;
    try {
      yield take(await getAccount(ocs, owner.listedAs));
    } catch (error) {
      if (!(error instanceof NextcloudFailure && isUndecided(error))) throw error;
      failed += 1;
      if (isSilent(error)) silent += 1;
      // A server that has shown somebody answers; but each that hangs takes its time.
      if (silent > MOST_UNREADABLE || (failed > MOST_UNREADABLE && found() === 0)) throw error;
      sought.delete(key);
      unreadable(owner);
    }
  }
}

/** How many are asked for one by one because the list of ids has gaps. */
const MOST_UNLISTED = 500;

/** Where the list of ids has gaps, nobody may look as if they had no account. */
function askForUnlisted<Owner extends Sought>(sought: Map<string, Owner>, unreadable: (owner: Owner) => void): void {
  let asked = 0;
  for (const [key, owner] of sought) {
    if (owner.listedAs !== undefined) continue;
    asked += 1;
    if (asked <= MOST_UNLISTED) owner.listedAs = owner.accountId;
    else {
      sought.delete(key);
      unreadable(owner);
    }
  }
}

/** Reads the list of ids to its end, and marks those that are sought by now as existing. */
async function walkIds(
  { listing, ids }: Pick<Survey, "listing" | "ids">,
  sought: ReadonlyMap<string, Sought>,
  foreign: ForeignListener,
): Promise<void> {
  for await (const others of ids) {
    for (const id of others) {
      if (mark(sought, id)) listing.listed += 1;
      else foreign.listed(id);
    }
  }
}

/** Notes that somebody's account exists; returns false for an id of nobody who is sought. */
function mark(sought: ReadonlyMap<string, Sought>, id: string): boolean {
  const owner = sought.get(id.toLowerCase());
  if (!owner) return false;
  // The text of the page would be held for as long as the person is.
  owner.listedAs = id === owner.accountId ? owner.accountId : id;
  return true;
}

async function* idsPages(ocs: Ocs, sought: ReadonlyMap<string, Sought>, listing: Listing): AsyncGenerator<string[]> {
  const unreadable = (): void => {
    listing.unread += 1;
    listing.total += 1;
  };
  for await (const page of pages(ocs, { path: "cloud/users", limit: IDS_PAGE, smallest: 1, unreadable })) {
    // Foreign accounts are not read: what is no id is nobody who is sought.
    const ids = idsIn(page);
    const others = ids.filter((id) => !mark(sought, id));
    listing.total += Object.keys(page).length;
    listing.listed += ids.length - others.length;
    yield others;
  }
}

async function* detailsPages(ocs: Ocs, sought: ReadonlyMap<string, Sought>, total: number): AsyncGenerator<Detailed[]> {
  const intern = createInterner();
  for await (const page of pages(ocs, {
    path: "cloud/users/details",
    limit: DETAILS_PAGE,
    smallest: SMALLEST_PAGE,
    total,
  })) {
    yield Object.entries(page).map(([id, details]) => {
      const owner = sought.get(id.toLowerCase());
      if (!owner) return { id, details };
      return { id: owner.accountId, account: compact(accountSchema.safeParse(details).data, owner, intern) };
    });
  }
}

/** Holds no text twice, in place: thousands of accounts may wait. */
function compact(
  account: ActualAccount | undefined,
  { accountId }: Sought,
  intern: (text: string) => string,
): ActualAccount | undefined {
  if (!account) return undefined;
  if (account.id === accountId) account.id = accountId;
  account.backend = intern(account.backend);
  account.groups = account.groups.map(intern);
  return account;
}

/** Reports every account that Nextcloud has. */
export async function listForeignAccounts(ocs: Ocs, foreign: ForeignListener): Promise<void> {
  const nobody = new Map<string, Sought>();
  const listing: Listing = { total: 0, listed: 0, unread: 0 };
  await walkIds({ listing, ids: readAhead(idsPages(ocs, nobody, listing)) }, nobody, foreign);
}

/**
 * The accounts of the given ids, by the wanted id; see `findAccounts`.
 *
 * @param wanted the ids that matter; other accounts are not looked at
 */
export async function listAccounts(ocs: Ocs, wanted: ReadonlySet<string>): Promise<Map<string, ActualAccount>> {
  const sought = new Map<string, Sought>();
  for (const id of wanted) sought.set(id.toLowerCase(), { accountId: id, listedAs: undefined });
  const accounts = new Map<string, ActualAccount>();
  for await (const page of findAccounts(ocs, sought)) {
    for (const { owner, account } of page) accounts.set(owner.accountId, account);
  }
  return accounts;
}

/** A longer list comes from a server that pages for ever. */
const MOST_ACCOUNTS = 1_000_000;

type Page = Record<string, unknown> | unknown[];

interface Walk {
  path: string;
  limit: number;
  /** A page of this size that fails is left out. */
  smallest: number;
  /** Called for each page that is left out. */
  unreadable?: () => void;
  /** How many accounts there are, if that is known: beyond them an unreadable page is the end. */
  total?: number;
}

/** Whoever is on an unreadable page of details of this size or smaller is asked for one by one. */
const SMALLEST_PAGE = 12;
/** One account breaks one smallest page; when more than these break in a row, the server is at fault. */
const MOST_UNREADABLE = 8;

/**
 * Walks a list that Nextcloud pages per backend: the offset advances by the limit, and only an empty page is the end, or one
 * that was shown before by a server that does not page. One account, even a foreign one, can make its whole page fail:
 * such a page is read in smaller parts, and what is on the smallest that fails is left out.
 *
 * @throws {NextcloudMisrouted} when a full page comes again, or the list does not end
 */
async function* pages(
  ocs: Ocs,
  { path, limit, smallest, unreadable = () => undefined, total }: Walk,
): AsyncGenerator<Page> {
  let [leftOut, inARow] = [0, 0];
  async function* parts(size: number, offset: number): AsyncGenerator<Page> {
    try {
      const page = await readPage(ocs, path, size, offset);
      if (Object.keys(page).length > 0) inARow = 0;
      yield page;
    } catch (error) {
      if (!isPageFault(error)) throw error;
      if (size > smallest) {
        const half = Math.ceil(size / 2);
        yield* parts(half, offset);
        yield* parts(size - half, offset + half);
        return;
      }
      leftOut += 1;
      inARow += 1;
      if (inARow > MOST_UNREADABLE) throw error;
      unreadable();
    }
  }
  let previous = "";
  // Accounts are created meanwhile: allows for a few more than before.
  const end = total === undefined ? MOST_ACCOUNTS : total + 2 * limit;
  for (let offset = 0; offset <= end; offset += limit) {
    const before = leftOut;
    const shown: Page[] = [];
    for await (const page of parts(limit, offset)) shown.push(page);
    const listed = shown.map(idsOf);
    const ids = JSON.stringify(listed);
    const count = listed.reduce((sum, { length }) => sum + length, 0);
    if (count === 0 && (leftOut === before || offset >= (total ?? MOST_ACCOUNTS))) return;
    if (ids === previous && count < limit) return;
    if (ids === previous) throw new NextcloudMisrouted("Nextcloud's list of accounts does not advance");
    previous = ids;
    yield* shown;
  }
  if (total === undefined) throw new NextcloudMisrouted("Nextcloud's list of accounts does not end");
}

/** Of whom a page is: a list of ids, or details by id. */
function idsOf(page: Page): unknown[] {
  return Object.entries(page).map(([key, value]) => (typeof value === "object" ? key : value));
}

const pageSchema = z.object({ users: listSchema });

async function readPage(ocs: Ocs, path: string, limit: number, offset: number): Promise<Page> {
  const data = await ocs.call("GET", path, { limit: String(limit), offset: String(offset) });
  const parsed = pageSchema.safeParse(data);
  if (!parsed.success) throw new NextcloudMisrouted("Nextcloud's list of accounts has an unexpected form");
  return parsed.data.users;
}

/** What one account can do to its page: 500, on old servers 404, or an answer of another form. */
function isPageFault(error: unknown): boolean {
  return error instanceof NextcloudServerError || error instanceof NextcloudMisrouted || isRefusal(error, 404);
}
