import { type Account, type Backend, type NextcloudState, quotaOf } from "./nextcloud-state.ts";

/** An account as tests look at it. `id` and `backend` are those that look-ups show; `backends` has all rows. */
export interface AccountView {
  id: string;
  backend: Backend;
  backends: Backend[];
  displayName: string;
  email: string | null;
  /** Effective, in bytes, after the server's own rounding. */
  quota: number | "none";
  enabled: boolean;
  language: string;
  manager: string;
  /** Milliseconds, 0 for never. */
  lastLogin: number;
  homeExists: boolean;
  groups: string[];
}

export interface GroupView {
  gid: string;
  displayName: string;
  members: string[];
}

/** An account of the Database backend, as an administrator of Nextcloud would have made it. */
export interface LocalUser {
  id: string;
  /** Without one, the account cannot be used for Basic auth. */
  password?: string;
  displayName?: string;
  email?: string;
  quota?: string;
  language?: string;
  groups?: string[];
  enabled?: boolean;
}

/** Looks at an account behind the API's back. */
export function accountView(state: NextcloudState, account: Account): AccountView {
  const shown = state.shown(account);
  return {
    id: shown?.row.id ?? "",
    backend: shown?.backend ?? "Database",
    backends: [...account.rows.keys()].sort(),
    displayName: state.displayNameOf(account),
    email: account.email,
    quota: quotaOf(account),
    enabled: account.enabled,
    language: account.language,
    manager: account.manager,
    lastLogin: account.lastLogin,
    homeExists: account.homeExists,
    groups: [...account.groups].sort(),
  };
}

/** Looks at a group; undefined when none has this id. */
export function groupView(state: NextcloudState, gid: string): GroupView | undefined {
  const group = state.group(gid);
  return group && { gid, displayName: group.displayName, members: state.memberIds(group) };
}

/** Creates an account as an administrator of Nextcloud would. */
export function addLocalUser(state: NextcloudState, user: LocalUser): AccountView {
  const { id, password = "", displayName = id, email = "", quota = "" } = user;
  const { language = "en", groups = [], enabled = true } = user;
  const account = state.addRow(id, "Database", { displayName, password });
  state.setEmail(account, email);
  if (quota !== "") state.edit(account, "quota", quota);
  state.setLanguage(account, language);
  for (const gid of groups) state.addMember(id, gid);
  account.enabled = enabled;
  return accountView(state, account);
}

/** The account of this id, which has to be there. */
export function existingAccount(state: NextcloudState, id: string): Account {
  const account = state.account(id);
  if (account === undefined) throw new Error(`the simulated Nextcloud has no user ${id}`);
  return account;
}
