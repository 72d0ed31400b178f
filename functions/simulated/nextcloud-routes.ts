import { type Account, type Group, type NextcloudState, type Page, quotaOf } from "./nextcloud-state.ts";
import type { NextcloudVersion } from "./nextcloud-version.ts";
import { InternalServerError, OcsError, WrongType } from "./ocs-answer.ts";

/** A call that got through to a controller. */
export interface Call {
  state: NextcloudState;
  /** The acting account's id and whether it is in the admin group. */
  actor: { id: string; isAdmin: boolean };
  /** Parts of the path in brackets in the route's pattern, decoded once. */
  captured: string[];
  parameters: Map<string, unknown>;
}

/** One call of the API; `pattern` is matched against the path after `/ocs/vN.php`, decoded once. */
export interface Route {
  method: string;
  pattern: RegExp;
  /** What the acting account has to be: logged in, subadmin (there are none here, so: admin), or admin. */
  needs: "login" | "subadmin" | "admin";
  /** Core writes ask for a password confirmation, which a Bearer token cannot give. */
  confirmsPassword?: boolean;
  /** Limited to 50 calls in 600 s for each acting account and method (docs/facts/nextcloud.md 2). */
  rateLimited?: boolean;
  /** The first version that has it; without one, all have. */
  since?: NextcloudVersion;
  /** Does the work and returns the data of the answer. */
  run: (call: Call) => unknown;
}

/** The routes, in the order in which the real router tries them: `x/users` is taken for the members of group `x`. */
export const routes: Route[] = [
  { method: "GET", pattern: /^\/cloud\/users$/, needs: "subadmin", run: listUsers },
  { method: "GET", pattern: /^\/cloud\/users\/details$/, needs: "subadmin", run: listUserDetails },
  { method: "GET", pattern: /^\/cloud\/users\/disabled$/, needs: "subadmin", run: listDisabledUsers, since: 32 },
  core("POST", /^\/cloud\/users$/, "subadmin", createUser),
  {
    method: "GET",
    pattern: /^\/cloud\/user$/,
    needs: "login",
    run: (call) => userData(call, account(call, call.actor.id)),
  },
  { method: "GET", pattern: /^\/cloud\/users\/([^/]+)$/, needs: "login", run: getUser },
  { ...core("PUT", /^\/cloud\/users\/([^/]+)$/, "login", editUser), rateLimited: true },
  { ...core("PATCH", /^\/cloud\/users\/([^/]+)$/, "login", patchUser), rateLimited: true, since: 34 },
  core("DELETE", /^\/cloud\/users\/([^/]+)$/, "subadmin", deleteUser),
  core("PUT", /^\/cloud\/users\/([^/]+)\/enable$/, "subadmin", (call) => setEnabled(call, true)),
  core("PUT", /^\/cloud\/users\/([^/]+)\/disable$/, "subadmin", (call) => setEnabled(call, false)),
  { method: "GET", pattern: /^\/cloud\/users\/([^/]+)\/groups$/, needs: "login", run: groupsOfUser },
  {
    method: "GET",
    pattern: /^\/cloud\/users\/([^/]+)\/groups\/details$/,
    needs: "subadmin",
    run: groupDetailsOfUser,
    since: 32,
  },
  core("POST", /^\/cloud\/users\/([^/]+)\/groups$/, "subadmin", joinGroup),
  core("DELETE", /^\/cloud\/users\/([^/]+)\/groups$/, "subadmin", leaveGroup),
  { method: "GET", pattern: /^\/cloud\/groups$/, needs: "subadmin", run: listGroups },
  { method: "GET", pattern: /^\/cloud\/groups\/details$/, needs: "subadmin", run: listGroupDetails },
  { method: "GET", pattern: /^\/cloud\/groups\/(.+)\/users$/, needs: "login", run: groupUsers },
  { method: "GET", pattern: /^\/cloud\/groups\/(.+)\/users\/details$/, needs: "login", run: groupUserDetails },
  core("POST", /^\/cloud\/groups$/, "admin", createGroup),
  { method: "GET", pattern: /^\/cloud\/groups\/(.+)$/, needs: "login", run: groupUsers },
  core("PUT", /^\/cloud\/groups\/(.+)$/, "admin", editGroup),
  core("DELETE", /^\/cloud\/groups\/(.+)$/, "admin", deleteGroup),
  { method: "POST", pattern: /^\/apps\/user_oidc\/api\/v1\/user$/, needs: "admin", run: preProvision },
  { method: "DELETE", pattern: /^\/apps\/user_oidc\/api\/v1\/user\/([^/]+)$/, needs: "admin", run: deleteOidcUser },
];

function core(method: string, pattern: RegExp, needs: Route["needs"], run: Route["run"]): Route {
  return { method, pattern, needs, run, confirmsPassword: true };
}

// Users

function listUsers({ state, parameters }: Call): unknown {
  // PHP makes JSON numbers of the ids that are all digits.
  const ids = state.searchIds(page(state, parameters));
  return { users: ids.map((id) => (/^[1-9]\d{0,15}$/.test(id) ? Number(id) : id)) };
}

function listUserDetails(call: Call): unknown {
  return { users: details(call, call.state.searchIds(page(call.state, call.parameters))) };
}

function listDisabledUsers({ state, parameters }: Call): unknown {
  const { limit, offset } = page(state, parameters);
  const ids = [...state.accounts()].flatMap((each) => (each.enabled ? [] : (state.shown(each)?.row.id ?? [])));
  return { users: ids.sort().slice(offset, limit === undefined ? undefined : offset + limit) };
}

function createUser({ state, parameters }: Call): unknown {
  const id = text(parameters, "userid");
  const groups = parameters.get("groups") ?? [];
  if (!Array.isArray(groups) || groups.some((gid) => typeof gid !== "string")) throw new WrongType();
  state.createDatabaseAccount({
    id,
    password: text(parameters, "password", ""),
    displayName: text(parameters, "displayName", ""),
    email: text(parameters, "email", ""),
    groups,
    quota: text(parameters, "quota", ""),
    language: text(parameters, "language", ""),
    manager: text(parameters, "manager", ""),
  });
  return { id };
}

function getUser(call: Call): unknown {
  const [id = ""] = call.captured;
  const found = call.state.lookUp(id);
  if (found === undefined) throw call.actor.isAdmin ? new OcsError(404, "User does not exist") : new OcsError(998);
  if (!call.actor.isAdmin && !isActor(call, found)) throw new OcsError(998);
  return userData(call, found);
}

function editUser(call: Call): unknown {
  const key = text(call.parameters, "key");
  const value = text(call.parameters, "value");
  const target = account(call);
  if (!call.actor.isAdmin && !isActor(call, target)) throw new OcsError(998);
  call.state.edit(target, key, value);
  return [];
}

const PATCHED = ["displayName", "email", "quota", "language", "manager"];

function patchUser(call: Call): unknown {
  const target = account(call);
  if (!call.actor.isAdmin && !isActor(call, target)) throw new OcsError(998);
  const sent = PATCHED.filter((name) => call.parameters.has(name));
  const groups = call.parameters.get("groups");
  if (groups !== undefined && !Array.isArray(groups)) throw new WrongType();
  call.state.patch(target, new Map(sent.map((name) => [name, text(call.parameters, name)])), groups?.map(String));
  return userData(call, target);
}

function deleteUser(call: Call): unknown {
  const target = account(call);
  if (isActor(call, target)) throw new OcsError(101);
  call.state.deleteAccount(idOf(call, target));
  return [];
}

function setEnabled(call: Call, enabled: boolean): unknown {
  const target = call.state.lookUp(call.captured[0] ?? "");
  if (target === undefined || isActor(call, target)) throw new OcsError(101);
  target.enabled = enabled;
  return [];
}

function groupsOfUser(call: Call): unknown {
  const target = account(call);
  if (!call.actor.isAdmin && !isActor(call, target)) throw new OcsError(998);
  return { groups: [...target.groups].sort() };
}

function joinGroup(call: Call): unknown {
  const { target, gid } = membership(call);
  call.state.addMember(idOf(call, target), gid);
  return [];
}

function leaveGroup(call: Call): unknown {
  const { target, gid } = membership(call);
  if (gid === "admin" && isActor(call, target)) throw new OcsError(105, "Cannot remove yourself from the admin group");
  call.state.removeMember(idOf(call, target), gid);
  return [];
}

const idOf = ({ state }: Call, target: Account): string => state.shown(target)?.row.id ?? "";

function membership(call: Call): { gid: string; target: Account } {
  const gid = text(call.parameters, "groupid", "");
  const target = call.state.lookUp(call.captured[0] ?? "");
  if (gid.trim() === "") throw new OcsError(101);
  if (call.state.group(gid) === undefined) throw new OcsError(102);
  if (target === undefined) throw new OcsError(103);
  return { gid, target };
}

// Groups

function listGroups({ state, parameters }: Call): unknown {
  return { groups: state.searchGroups(page(state, parameters)).map(({ gid }) => gid) };
}

function listGroupDetails({ state, parameters }: Call): unknown {
  return { groups: state.searchGroups(page(state, parameters)).map((group) => groupData(state, group)) };
}

function groupDetailsOfUser(call: Call): unknown {
  const groups = [...account(call).groups].sort().flatMap((gid) => call.state.group(gid) ?? []);
  return { groups: groups.map((group) => groupData(call.state, group)) };
}

function groupData(state: NextcloudState, group: Group): Record<string, unknown> {
  return {
    id: group.gid,
    displayname: group.displayName,
    usercount: group.members.size,
    disabled: [...group.members].filter((key) => state.account(key)?.enabled === false).length,
    canAdd: true,
    canRemove: true,
  };
}

function groupUsers(call: Call): unknown {
  return { users: call.state.memberIds(visibleGroup(call)) };
}

function groupUserDetails(call: Call): unknown {
  const { search, limit, offset } = page(call.state, call.parameters);
  const ids = call.state.memberIds(visibleGroup(call)).filter((id) => id.toLowerCase().includes(search.toLowerCase()));
  return { users: details(call, ids.slice(offset, limit === undefined ? undefined : offset + limit)) };
}

function visibleGroup(call: Call): Group {
  const group = call.state.group(gidOf(call));
  if (group === undefined) throw new OcsError(404, "The requested group could not be found");
  if (!call.actor.isAdmin) throw new OcsError(403);
  return group;
}

function createGroup({ state, parameters }: Call): unknown {
  state.createGroup(text(parameters, "groupid"), text(parameters, "displayname", ""));
  return [];
}

function editGroup(call: Call): unknown {
  const key = text(call.parameters, "key");
  const value = text(call.parameters, "value");
  const group = call.state.group(gidOf(call));
  if (group === undefined) throw new OcsError(998, "Group does not exist");
  if (key !== "displayname") throw new OcsError(101);
  group.displayName = value;
  return [];
}

function deleteGroup(call: Call): unknown {
  call.state.deleteGroup(gidOf(call));
  return [];
}

/** The groups controller decodes the id of the path a second time, as a form value: `+` becomes a space. */
function gidOf({ captured }: Call): string {
  const [once = ""] = captured;
  return decode(once.replaceAll("+", " "));
}

// user_oidc

function preProvision({ state, parameters }: Call): unknown {
  const providerId = Number(parameters.get("providerId"));
  if (!parameters.has("providerId") || !Number.isInteger(providerId)) throw new WrongType();
  const userId = state.upsertOidcAccount({
    providerId,
    sub: text(parameters, "userId"),
    displayName: text(parameters, "displayName", ""),
    email: text(parameters, "email", ""),
    quota: text(parameters, "quota", ""),
  });
  return { user_id: userId };
}

/** Takes the local id, not the subject, and only accounts of user_oidc. */
function deleteOidcUser({ state, captured }: Call): unknown {
  const [id = ""] = captured;
  const found = state.account(id);
  const shown = found && state.shown(found);
  if (shown?.backend !== "user_oidc") throw new OcsError(404, "", { message: "User not found" });
  state.deleteAccount(id);
  return { user_id: shown.row.id };
}

// What they share

/** The target of the call; core says 998 for one that does not exist. */
function account({ state, captured }: Call, id = captured[0] ?? ""): Account {
  const found = state.lookUp(id);
  if (found === undefined) throw new OcsError(998);
  return found;
}

function isActor({ state, actor }: Call, target: Account): boolean {
  return state.account(actor.id) === target;
}

/** A text parameter. A missing one without a default and a value of another type fail as in PHP with strict types. */
function text(parameters: Map<string, unknown>, name: string, otherwise?: string): string {
  const value = parameters.get(name) ?? otherwise;
  if (typeof value !== "string") throw new WrongType();
  return value;
}

/** A list's page; no limit means all. From 34 on there is a highest one, a negative one was never taken (docs/facts/nextcloud.md 5). */
function page({ traits: { highestLimit } }: NextcloudState, parameters: Map<string, unknown>): Page {
  const sent = parameters.get("limit");
  const limit = sent === undefined || sent === "" ? undefined : Number(sent);
  const least = Number.isFinite(highestLimit) ? 1 : 0;
  if (limit !== undefined && (limit < least || limit > highestLimit)) throw new InternalServerError();
  return {
    search: text(parameters, "search", ""),
    limit,
    offset: Number(parameters.get("offset") ?? 0),
  };
}

/** PHP turns an empty map into an empty list. An account without an id, which a bad POST left, cannot be shown. */
function details(call: Call, ids: string[]): unknown {
  if (ids.length === 0) return [];
  if (ids.includes("") && call.state.version < 32) throw new OcsError(404, "User does not exist");
  return Object.fromEntries(ids.map((id) => [id, id === "" ? { id } : userData(call, account(call, id))]));
}

/** Everything the API shows of an account; `enabled` and the storage for admins only. */
function userData(call: Call, target: Account): Record<string, unknown> {
  const { state, actor } = call;
  const shown = state.shown(target);
  const id = shown?.row.id ?? "";
  const isDatabase = shown?.backend === "Database";
  const displayName = state.displayNameOf(target);
  return {
    ...(actor.isAdmin ? { enabled: target.enabled, storageLocation: `/var/www/html/data/${id}` } : {}),
    id,
    ...(state.traits.newFields ? timestamps(target) : {}),
    lastLogin: target.lastLogin,
    backend: shown?.backend,
    subadmin: [],
    quota: quotaData(state, target),
    manager: target.manager,
    email: target.email,
    additional_mail: [],
    displayname: displayName,
    "display-name": displayName,
    ...target.profile,
    ...(state.traits.newFields ? { bluesky: "", pronouns: "", timezone: "" } : {}),
    profile_enabled: "1",
    groups: [...target.groups].sort(),
    language: target.language,
    locale: target.locale,
    notify_email: null,
    backendCapabilities: { setDisplayName: isDatabase, setPassword: isDatabase },
  };
}

const FREE_DISK_SPACE = 83_170_000_000;

function timestamps({ lastLogin }: Account): Record<string, number> {
  const seconds = lastLogin / 1000;
  return { firstLoginTimestamp: seconds, lastLoginTimestamp: seconds };
}

/**
 * The storage, where unlimited is -3; from 32 on in every number. Before the home exists, 27 shows only the quota
 * (docs/facts/nextcloud.md 3).
 */
function quotaData({ traits }: NextcloudState, target: Account): Record<string, number | string> {
  const quota = quotaOf(target);
  if (!target.homeExists && !traits.newFields) return { quota, used: 0 };
  const used = [...target.files.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (quota === "none") {
    const [free, total] = traits.newFields ? [-3, -3] : [FREE_DISK_SPACE, FREE_DISK_SPACE + used];
    return { free, used, total, relative: 0, quota: -3 };
  }
  const relative = quota === 0 ? 0 : Math.round((used / quota) * 10_000) / 100;
  return { free: Math.max(0, quota - used), used, total: quota, relative, quota };
}

/** Percent-decoding that leaves alone what is not encoded properly. */
export function decode(path: string): string {
  const bytes = path.replace(/%(?![0-9a-fA-F]{2})/g, "%25");
  try {
    return decodeURIComponent(bytes);
  } catch {
    return path;
  }
}
