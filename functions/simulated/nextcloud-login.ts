import type { Account, NextcloudState } from "./nextcloud-state.ts";
import { InternalServerError } from "./ocs-answer.ts";

/** A first or later login over OpenID Connect, with the claims of the ID token. */
export interface Login {
  providerId: number;
  sub: string;
  claims?: { name?: string; email?: string; quota?: string | number; groups?: unknown };
}

/** What came of it: 303 to the dashboard, or the HTTP status of the refusal. */
export interface LoginResult {
  status: number;
  userId?: string;
}

/**
 * What user_oidc does when somebody logs in (docs/facts/nextcloud.md 7): finds an account by the raw subject
 * in any backend, else finds or makes its own; overwrites name, e-mail and quota by the claims that are there; with
 * group-provisioning makes the groups those of the claim. A disabled account is updated anyway, then refused.
 */
export function login(state: NextcloudState, { providerId, sub, claims = {} }: Login, now: number): LoginResult {
  const { autoProvision, softAutoProvision, disableAccountCreation } = state.flags;
  const existing = state.lookUp(sub);
  if (autoProvision && !softAutoProvision && existing !== undefined) return { status: 400 };
  if (existing === undefined && (!autoProvision || disableAccountCreation)) return { status: 400 };

  const id = existing === undefined ? state.accountIdOf(providerId, sub) : (state.shown(existing)?.row.id ?? sub);
  const account = existing ?? state.addRow(id, "user_oidc", { displayName: "", password: "" });
  try {
    if (autoProvision) applyClaims(state, account, id, providerId, claims, existing === undefined);
  } catch (error) {
    if (error instanceof InternalServerError) return { status: 500 };
    throw error;
  }
  if (!account.enabled) return { status: 401 };
  // The first login copies the skeleton once more (docs/facts/nextcloud.md 2 A).
  if (account.lastLogin === 0) state.copySkeleton(account);
  account.card = state.displayNameOf(account);
  account.lastLogin = Math.floor(now / 1000) * 1000;
  return { status: 303, userId: id };
}

function applyClaims(
  state: NextcloudState,
  account: Account,
  id: string,
  providerId: number,
  { name, email, quota, groups }: NonNullable<Login["claims"]>,
  ownRow: boolean,
): void {
  // An adopted account shows the name of its own backend's row; otherwise user_oidc writes to the row that it made.
  const row = ownRow ? account.rows.get("user_oidc") : state.shown(account)?.row;
  if (name !== undefined && name !== "" && row !== undefined) row.displayName = name;
  if (email !== undefined && email !== "") state.setEmail(account, email);
  if (quota !== undefined && quota !== "") state.setOidcQuota(account, String(quota));
  applyGroups(state, id, account, providerId, groups);
}

/** Group-provisioning: joins the groups of the claim, leaves all others that the whitelist does not spare. */
function applyGroups(state: NextcloudState, id: string, account: Account, providerId: number, claim: unknown): void {
  const provider = state.providers.find((candidate) => candidate.id === providerId);
  if (!provider?.groupProvisioning) return;
  const whitelist = provider.groupWhitelistRegex ? new RegExp(provider.groupWhitelistRegex) : undefined;
  const wanted = new Map<string, string>();
  for (const { gid: name, displayName } of claimedGroups(claim)) {
    if (whitelist?.test(name) ?? true) wanted.set(state.groupIdOf(providerId, name), displayName);
  }
  for (const gid of [...account.groups]) {
    if (!wanted.has(gid) && (whitelist?.test(gid) ?? true)) state.removeMember(id, gid);
  }
  for (const [gid, displayName] of wanted) {
    if (state.group(gid) === undefined) state.createGroup(gid, displayName);
    state.addMember(id, gid);
  }
}

/** The claim may be a list of names, of objects, or a text with commas; anything else is no group at all. */
function claimedGroups(claim: unknown): { gid: string; displayName: string }[] {
  const entries: unknown[] = typeof claim === "string" ? claim.split(",") : Array.isArray(claim) ? claim : [];
  return entries.flatMap((entry) => {
    if (typeof entry === "string") return [{ gid: entry, displayName: entry }];
    if (typeof entry !== "object" || entry === null || !("gid" in entry)) return [];
    const gid = String(entry.gid);
    return [{ gid, displayName: "displayName" in entry ? String(entry.displayName) : gid }];
  });
}
