import { createHash } from "node:crypto";
import { computerFileSize, effectiveQuota, humanFileSize } from "./nextcloud-quota.ts";
import { type NextcloudVersion, TRAITS, type Traits } from "./nextcloud-version.ts";
import { InternalServerError, OcsError } from "./ocs-answer.ts";

export type Backend = "Database" | "user_oidc";

/** A provider of user_oidc with the settings that decide ids and logins (docs/facts/nextcloud.md 1 and 7). */
export interface Provider {
  id: number;
  identifier: string;
  uniqueUid: boolean;
  providerBasedId: boolean;
  groupProvisioning?: boolean;
  restrictLoginToGroups?: boolean;
  groupWhitelistRegex?: string;
  clientId?: string;
  clientSecret?: string;
  discoveryEndpoint?: string;
  scope?: string;
  /** Names of claims; what is not set is user_oidc's default. */
  mappingUid?: string;
  mappingDisplayName?: string;
  mappingEmail?: string;
  mappingQuota?: string;
  mappingGroups?: string;
  mappingAvatar?: string;
}

/** config.php's `user_oidc` flags (docs/facts/nextcloud.md 7). */
export interface LoginFlags {
  autoProvision: boolean;
  softAutoProvision: boolean;
  disableAccountCreation: boolean;
}

/** The row of an account in the users table of one backend. */
export interface Row {
  id: string;
  displayName: string;
  /** Database only; an empty one cannot log in. */
  password: string;
}

/**
 * All that belongs to one account id. Preferences, groups and the home belong to the id and not to a backend's row:
 * that is why a second row of the same id ("shadow") shares them.
 */
export interface Account {
  rows: Map<Backend, Row>;
  email: string | null;
  /** As the server writes it down: human-readable, `none`, `default`, or empty. */
  quota: string;
  enabled: boolean;
  language: string;
  locale: string;
  manager: string;
  profile: Record<string, string>;
  lastLogin: number;
  homeExists: boolean;
  /** What is in the home: paths and texts; those of folders end in a slash. */
  files: Map<string, string>;
  /** What address book and contacts menu call the person; undefined while they have no card. */
  card: string | undefined;
  groups: Set<string>;
}

export interface Group {
  gid: string;
  displayName: string;
  /** Keys of accounts: lower-case ids. */
  members: Set<string>;
}

export interface Page {
  search: string;
  limit?: number | undefined;
  offset: number;
}

const PASSWORD_TOO_COMMON = "Password is among the 1,000,000 most common ones. Please make it unique.";
const PASSWORD_TOO_SHORT = "Password needs to be at least 10 characters long.";
const COMMON_PASSWORDS = new Set(["abc", "12345678", "1234567890", "password", "password123", "qwertyuiop"]);
const LANGUAGES = new Set(
  "ca cs da de de_DE el en en_GB es eu fi fr gl hu is it ja ko lt_LT nb nl pl pt_BR pt_PT ru sk sl sr sv tr uk".split(
    " ",
  ),
);
const PROFILE_FIELDS = [
  "phone",
  "address",
  "website",
  "twitter",
  "fediverse",
  "organisation",
  "role",
  "headline",
  "biography",
];

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * The accounts and groups of a simulated Nextcloud: what the database of the real one holds, and the rules that
 * the controllers and user_oidc apply to it. Refusals are thrown as OcsError or InternalServerError.
 */
export class NextcloudState {
  readonly version: NextcloudVersion;
  readonly traits: Traits;
  readonly providers: Provider[];
  readonly flags: LoginFlags;
  /** Whose copy a new home gets, and an old one again with each POST of user_oidc; may be changed. */
  readonly skeleton: Map<string, string>;
  /** Accounts of a backend are not seen while its app is disabled. */
  isEnabled: (backend: Backend) => boolean = () => true;
  readonly #accounts = new Map<string, Account>();
  readonly #groups = new Map<string, Group>();
  /** Every e-mail address that was ever set: most look-ups need not search for one. */
  readonly #emails = new Set<string>();
  /** Sorted ids, made when first needed and dropped when an id comes or goes. */
  readonly #sortedIds = new Map<Backend, string[]>();
  #sortedGids: string[] | undefined;

  constructor(
    version: NextcloudVersion,
    providers: Provider[],
    flags: LoginFlags,
    skeleton: ReadonlyMap<string, string>,
  ) {
    this.version = version;
    this.traits = TRAITS[version];
    this.providers = providers;
    this.flags = flags;
    this.skeleton = new Map(skeleton);
    this.createGroup("admin");
  }

  // Accounts

  /** The account of an id in any letter case. */
  account(id: string): Account | undefined {
    return this.#accounts.get(id.toLowerCase());
  }

  /**
   * What a path or a subject names: the account of this id or, as the Database backend is asked first, the first core account
   * with this e-mail address.
   */
  lookUp(name: string): Account | undefined {
    const known = this.account(name);
    const found = known && this.shown(known) ? known : undefined;
    const email = name.toLowerCase();
    if (this.version < 32 || !this.#emails.has(email) || found?.rows.has("Database")) return found;
    return [...this.accounts()].find((account) => account.email === email && account.rows.has("Database")) ?? found;
  }

  accounts(): IterableIterator<Account> {
    return this.#accounts.values();
  }

  /** The row that look-ups see; on 27 it depends on a cache which that is (docs/facts/nextcloud.md 2). */
  shown(account: Account): { backend: Backend; row: Row } | undefined {
    const { firstBackend } = this.traits;
    for (const backend of [firstBackend, firstBackend === "Database" ? "user_oidc" : "Database"] as const) {
      const row = this.isEnabled(backend) ? account.rows.get(backend) : undefined;
      if (row !== undefined) return { backend, row };
    }
    return undefined;
  }

  /**
   * Core's list of ids: every backend is searched with the same limit and offset, then the lists are merged and sorted;
   * so a page can hold twice the limit (docs/facts/nextcloud.md 5).
   */
  searchIds({ search, limit, offset }: Page): string[] {
    const found = new Set<string>();
    for (const backend of (["Database", "user_oidc"] as const).filter(this.isEnabled)) {
      const all = this.#idsOf(backend);
      const ids = search === "" ? all : all.filter((id) => this.#matches(id, backend, search.toLowerCase()));
      for (const id of ids.slice(offset, limit === undefined ? undefined : offset + limit)) found.add(id);
    }
    return [...found].sort((a, b) => byText(a.toLowerCase(), b.toLowerCase()));
  }

  /** Core's POST of a user (docs/facts/nextcloud.md 2 B): a refusal after the account was made leaves it behind. */
  createDatabaseAccount(fields: {
    id: string;
    password: string;
    displayName: string;
    email: string;
    groups: string[];
    quota: string;
    language: string;
    manager: string;
  }): void {
    const { id, password, displayName, email, groups, quota, language, manager } = fields;
    if (id !== "" && this.account(id) !== undefined) throw new OcsError(102, "User already exists");
    const missing = groups.find((gid) => !this.#groups.has(gid));
    if (missing !== undefined)
      throw new OcsError(104, `${this.version < 32 ? "g" : "G"}roup ${missing} does not exist`);
    if (password.length > 469) throw new OcsError(101, "Invalid password value");
    if (password === "" && email === "") {
      throw new OcsError(
        108,
        this.version < 32
          ? "To send a password link to the user an email address is required."
          : "An email address is required, to send a password link to the user.",
      );
    }
    const problem = idProblem(id, this.traits.noun);
    if (problem !== undefined) throw new OcsError(101, problem);
    const weakness = password === "" ? undefined : passwordProblem(password);
    if (weakness !== undefined) throw new OcsError(107, weakness);
    if (id.length > 64) throw new OcsError(101, this.version < 32 ? "Bad request" : "Username is too long");

    const account = this.addRow(id, "Database", { displayName: id, password });
    for (const gid of groups) this.addMember(id, gid);
    if (displayName.length > 64) {
      this.deleteAccount(id);
      throw new OcsError(101, "Invalid displayname");
    }
    if (displayName !== "") this.#row(account, "Database").displayName = displayName;
    if (quota !== "") this.setCoreQuota(account, quota, (message) => new OcsError(101, message));
    if (language !== "") this.setLanguage(account, language);
    account.manager = manager;
    if (email !== "") this.setEmail(account, email);
  }

  /**
   * user_oidc's pre-provisioning POST (docs/facts/nextcloud.md 2 A): an upsert that ignores empty values, and copies the
   * skeleton each time. Where the subject names somebody else's account, that is the one it answers with and changes, but for
   * the name. Returns the id.
   */
  upsertOidcAccount(fields: {
    providerId: number;
    sub: string;
    displayName: string;
    email: string;
    quota: string;
  }): string {
    const id = this.accountIdOf(fields.providerId, fields.sub);
    const isNew = this.account(id)?.rows.has("user_oidc") !== true;
    const own = this.addRow(id, "user_oidc", { displayName: "", password: "" });
    // The real one cannot load an account with an empty id: the row stays behind.
    if (id === "") throw new InternalServerError();
    if (isSet(fields.displayName)) {
      if (fields.displayName.length > 255) throw new InternalServerError();
      this.#row(own, "user_oidc").displayName = fields.displayName;
    }
    const account = this.lookUp(id) ?? own;
    const before = [account.email, account.quota];
    if (isSet(fields.email)) this.setEmail(account, fields.email);
    if (isSet(fields.quota)) this.setOidcQuota(account, fields.quota);
    // The event by which the card is written comes before the name of a new row.
    if (account.email !== before[0] || account.quota !== before[1])
      account.card = isNew ? id : this.displayNameOf(account);
    // The home cannot be made for an id with a slash; all else has been done by then.
    if (id.includes("/")) throw new InternalServerError();
    this.copySkeleton(account);
    return this.shown(account)?.row.id ?? id;
  }

  /** Makes the home, or puts what is in the skeleton over what the person has made of it. */
  copySkeleton(account: Account): void {
    account.homeExists = true;
    for (const [path, text] of this.skeleton) account.files.set(path, text);
  }

  /** Adds a backend's row to an id, or finds it; a new id gets empty preferences. */
  addRow(id: string, backend: Backend, row: Omit<Row, "id">): Account {
    const account = this.account(id) ?? emptyAccount();
    if (!account.rows.has(backend)) {
      account.rows.set(backend, { id, ...row });
      this.#accounts.set(id.toLowerCase(), account);
      this.#sortedIds.delete(backend);
    }
    return account;
  }

  /**
   * Deletes the row that look-ups see, with the preferences, groups and home of the id; the row of another backend comes
   * to light again (recordings shadow-*).
   */
  deleteAccount(id: string): void {
    const account = this.account(id);
    const shown = account && this.shown(account);
    if (account === undefined || shown === undefined) return;
    const key = id.toLowerCase();
    for (const gid of account.groups) this.#groups.get(gid)?.members.delete(key);
    account.rows.delete(shown.backend);
    this.#sortedIds.delete(shown.backend);
    if (account.rows.size === 0) this.#accounts.delete(key);
    else this.#accounts.set(key, { ...emptyAccount(), rows: account.rows });
  }

  displayNameOf(account: Account): string {
    const row = this.shown(account)?.row;
    return row === undefined || row.displayName === "" ? (row?.id ?? "") : row.displayName;
  }

  /** One key of core's PUT (docs/facts/nextcloud.md 2): OcsError 103 for what may not be set, 102 for a bad value. */
  edit(account: Account, key: string, value: string): void {
    const isDatabase = this.shown(account)?.backend === "Database";
    switch (key) {
      case "display":
      case "displayname":
        if (!isDatabase) throw new OcsError(this.traits.codes.notEditable);
        if (value.length > 64) throw new OcsError(101, "Invalid displayname");
        if (value !== "") this.#row(account, "Database").displayName = value;
        return;
      case "email":
        if (!isEmail(value)) throw new OcsError(this.traits.codes.badValue);
        this.setEmail(account, value);
        account.card = this.displayNameOf(account);
        return;
      case "quota":
        this.setCoreQuota(account, value, () => new InternalServerError());
        account.card = this.displayNameOf(account);
        return;
      case "language":
        this.setLanguage(account, value);
        return;
      case "locale":
        account.locale = value;
        return;
      case "manager":
        account.manager = value;
        return;
      case "password":
        this.#setPassword(account, value);
        return;
      case "additional_mail":
      case "notify_email":
        throw new OcsError(this.traits.codes.badValue);
      default:
        if (!PROFILE_FIELDS.includes(key)) throw new OcsError(this.traits.codes.notEditable);
        // A value that cannot be parsed is accepted and dropped (recording user-put-phone-abc).
        if (key !== "phone" || /^\+\d+$/.test(value)) account.profile[key] = value;
    }
  }

  /** Core's PATCH (docs/facts/nextcloud.md 2): all is checked before anything is written. `groups` is the whole list. */
  patch(account: Account, changes: ReadonlyMap<string, string>, groups?: string[]): void {
    const { email, quota, language } = Object.fromEntries(changes);
    const missing = groups?.find((gid) => !this.#groups.has(gid));
    const errors = {
      ...(changes.has("displayName") && this.shown(account)?.backend !== "Database"
        ? { displayName: "Cannot change display name for this user" }
        : {}),
      ...(email !== undefined && !isEmail(email) ? { email: "Invalid email address" } : {}),
      ...(quota !== undefined && !isCoreQuota(quota) ? { quota: `Invalid quota value: ${quota}` } : {}),
      ...(language !== undefined && !LANGUAGES.has(language) ? { language: "Invalid language" } : {}),
      ...(missing === undefined ? {} : { groups: `Group ${missing} does not exist` }),
    };
    if (Object.keys(errors).length > 0) throw new OcsError(422, "", { errors });
    const keys: Record<string, string> = { displayName: "displayname" };
    for (const [key, value] of changes) this.edit(account, keys[key] ?? key, value);
    if (groups === undefined) return;
    const id = this.shown(account)?.row.id ?? "";
    for (const gid of [...account.groups]) this.removeMember(id, gid);
    for (const gid of groups) this.addMember(id, gid);
  }

  /** Core lowers the case of e-mail addresses and takes anything here; only its PUT validates. */
  setEmail(account: Account, email: string): void {
    account.email = email === "" ? null : email.trim().toLowerCase();
    if (account.email !== null) this.#emails.add(account.email);
  }

  /**
   * Core's quota (docs/facts/nextcloud.md 3). `negative` makes the error for a value below zero: the POST turns it into 101, the PUT
   * fails with it.
   */
  setCoreQuota(account: Account, value: string, negative: (message: string) => Error): void {
    if (value === "none" || value === "default") {
      account.quota = value;
      return;
    }
    const bytes = computerFileSize(value);
    if (bytes === undefined) {
      throw new OcsError(this.traits.codes.badValue, `Invalid quota value${this.version < 32 ? "" : ":"} ${value}`);
    }
    if (bytes < 0) throw negative("Failed to set quota to invalid value ?");
    account.quota = humanFileSize(bytes);
  }

  /** user_oidc's quota: what is not understood fails, on 27 what is only half understood too (docs/facts/nextcloud.md 3). */
  setOidcQuota(account: Account, value: string): void {
    if (value === "none" || value === "default") {
      account.quota = value;
      return;
    }
    const bytes = computerFileSize(value);
    const halfUnderstood = !/^-?[\d.]+\s*([kmgtp]?b?)$/i.test(value);
    if (bytes === undefined || (this.version < 32 && halfUnderstood)) throw new InternalServerError();
    account.quota = bytes < 0 ? this.traits.negativeQuota : humanFileSize(bytes);
  }

  setLanguage(account: Account, language: string): void {
    if (!LANGUAGES.has(language)) throw new OcsError(this.traits.codes.badValue, "Invalid language");
    account.language = language;
  }

  #setPassword(account: Account, password: string): void {
    const row = this.shown(account)?.backend === "Database" ? account.rows.get("Database") : undefined;
    const code = this.traits.codes.noPassword;
    if (row === undefined) throw new OcsError(code, "Setting the password is not supported by the users backend");
    const weakness = passwordProblem(password);
    if (weakness !== undefined) throw new OcsError(103, weakness);
    row.password = password;
  }

  #row(account: Account, backend: Backend): Row {
    const row = account.rows.get(backend);
    if (row === undefined) throw new Error(`no ${backend} row`);
    return row;
  }

  #idsOf(backend: Backend): string[] {
    const known = this.#sortedIds.get(backend);
    if (known !== undefined) return known;
    const ids = [...this.#accounts.values()].flatMap((account) => account.rows.get(backend)?.id ?? []);
    ids.sort((a, b) => byText(a.toLowerCase(), b.toLowerCase()));
    this.#sortedIds.set(backend, ids);
    return ids;
  }

  #matches(id: string, backend: Backend, search: string): boolean {
    const account = this.account(id);
    const texts = [id, account?.rows.get(backend)?.displayName, backend === "Database" ? account?.email : null];
    return texts.some((text) => text?.toLowerCase().includes(search));
  }

  // Groups

  /** Group ids are compared exactly, letter case included. */
  group(gid: string): Group | undefined {
    return this.#groups.get(gid);
  }

  searchGroups({ search, limit, offset }: Page): Group[] {
    this.#sortedGids ??= [...this.#groups.keys()].sort(byText);
    const wanted = search.toLowerCase();
    const found = this.#sortedGids.flatMap((gid) => {
      const group = this.#groups.get(gid);
      const matches = group && (gid.toLowerCase().includes(wanted) || group.displayName.toLowerCase().includes(wanted));
      return matches ? [group] : [];
    });
    return found.slice(offset, limit === undefined ? undefined : offset + limit);
  }

  /** The ids of a group's members, sorted. */
  memberIds(group: Group): string[] {
    const ids = [...group.members].flatMap((key) => {
      const account = this.#accounts.get(key);
      return (account && this.shown(account)?.row.id) ?? [];
    });
    return ids.sort((a, b) => byText(a.toLowerCase(), b.toLowerCase()));
  }

  createGroup(name: string, displayName = name): void {
    if (name === "" || name === "0") throw new OcsError(101, "Invalid group name");
    const gid = this.#storedGroupId(name);
    // The look-up is by the long name, which no group has as its id; making it again then fails.
    if (gid !== name && this.#groups.has(gid)) throw new OcsError(103, "Not supported by backend");
    if (this.#groups.has(gid)) throw new OcsError(102, "group exists");
    if ([...gid].length > 64) throw new InternalServerError();
    this.#groups.set(gid, { gid, displayName: displayName === "" ? name : displayName, members: new Set() });
    this.#sortedGids = undefined;
  }

  deleteGroup(gid: string): void {
    const group = this.#groups.get(gid);
    if (group === undefined) throw new OcsError(101);
    if (gid === "admin") throw new OcsError(102);
    for (const key of group.members) this.#accounts.get(key)?.groups.delete(gid);
    this.#groups.delete(gid);
    this.#sortedGids = undefined;
  }

  addMember(id: string, gid: string): void {
    this.#groups.get(gid)?.members.add(id.toLowerCase());
    this.account(id)?.groups.add(gid);
  }

  removeMember(id: string, gid: string): void {
    this.#groups.get(gid)?.members.delete(id.toLowerCase());
    this.account(id)?.groups.delete(gid);
  }

  // Identity and login

  /** user_oidc's account id of a subject (docs/facts/nextcloud.md 1). */
  accountIdOf(providerId: number, sub: string): string {
    const id = this.#localId(providerId, sub);
    return Buffer.byteLength(id) > 64 ? sha256(id) : id;
  }

  /** user_oidc's group id of a name in the `groups` claim: the same, but shortened only by core, from 32 on. */
  groupIdOf(providerId: number, name: string): string {
    return this.#storedGroupId(this.#localId(providerId, name));
  }

  #storedGroupId(name: string): string {
    return this.traits.longGroupNames && [...name].length > 64 ? sha256(name) : name;
  }

  /** A provider that does not exist has the default settings, so its ids are hashed. */
  #localId(providerId: number, value: string): string {
    const provider = this.providers.find(({ id }) => id === providerId);
    if (provider?.uniqueUid ?? true) return sha256(`${providerId}_0_${value}`);
    return provider?.providerBasedId ? `${provider.identifier}-${value}` : value;
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** What core's PUT and PATCH take for an e-mail address; an empty one clears it. */
const isEmail = (text: string): boolean => text === "" || /^[^@\s]+@[^@\s]+\.[^@\s.]+$/.test(text);

const isCoreQuota = (text: string): boolean =>
  text === "none" || text === "default" || (computerFileSize(text) ?? -1) >= 0;

/** What PHP considers a set value: `"0"` is not. */
const isSet = (value: string): boolean => value !== "" && value !== "0";

/** The effective quota of an account: bytes, or `none` for unlimited. */
export function quotaOf(account: Account): number | "none" {
  return effectiveQuota(account.quota);
}

function emptyAccount(): Account {
  return {
    rows: new Map(),
    email: null,
    quota: "",
    enabled: true,
    language: "en",
    locale: "",
    manager: "",
    profile: Object.fromEntries(PROFILE_FIELDS.map((field) => [field, ""])),
    lastLogin: 0,
    homeExists: false,
    files: new Map(),
    card: undefined,
    groups: new Set(),
  };
}

/** Why core refuses an id for a new account; texts of the real server, which calls it a `noun`. */
function idProblem(id: string, noun: Traits["noun"]): string | undefined {
  const article = noun === "Login" ? "an" : "a";
  const capital = `${noun.charAt(0).toUpperCase()}${noun.slice(1)}`;
  if (/[^a-zA-Z0-9 _.@'-]/.test(id)) {
    return `Only the following characters are allowed in ${article} ${noun}: "a-z", "A-Z", "0-9", spaces and "_.@-'"`;
  }
  if (id.trim() === "") return `A valid ${noun} must be provided`;
  if (id !== id.trim()) return `${capital} contains whitespace at the beginning or at the end`;
  if (/^\.+$/.test(id)) return `${capital} must not consist of dots only`;
  if (id === "files_external") return `${capital} is invalid because files already exist for this user`;
  return undefined;
}

/** What the password policy says; the list of common passwords is a very short one here. */
function passwordProblem(password: string): string | undefined {
  const problems = [
    ...(COMMON_PASSWORDS.has(password.toLowerCase()) ? [PASSWORD_TOO_COMMON] : []),
    ...(password.length < 10 ? [PASSWORD_TOO_SHORT] : []),
  ];
  return problems.length === 0 ? undefined : problems.join(" ");
}
