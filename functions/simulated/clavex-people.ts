import { ApiError, afterOf, invalid, limitOf } from "./clavex-answer.ts";
import type { ClavexDirectory, UserChange } from "./clavex-directory.ts";
import { accountOf, type Tenant } from "./clavex-tenant.ts";
import { type Answer, jsonAnswer } from "./server.ts";

interface Call {
  tenant: Tenant;
  directory: ClavexDirectory;
  ids: string[];
  query: URLSearchParams;
  body: Map<string, unknown>;
}

export interface PeopleRoute {
  method: string;
  /** The path after the organization. */
  pattern: RegExp;
  needs: string;
  run: (call: Call) => Answer;
}

/** The routes of users, groups and memberships (docs/facts/clavex.md 2, 6). */
export const peopleRoutes: PeopleRoute[] = [
  { method: "GET", pattern: /^\/users$/, needs: "users:read", run: listUsers },
  { method: "POST", pattern: /^\/users$/, needs: "users:write", run: createUser },
  { method: "GET", pattern: /^\/users\/([^/]+)$/, needs: "users:read", run: getUser },
  { method: "PATCH", pattern: /^\/users\/([^/]+)$/, needs: "users:write", run: patchUser },
  { method: "DELETE", pattern: /^\/users\/([^/]+)$/, needs: "users:write", run: deleteUser },
  { method: "PUT", pattern: /^\/users\/([^/]+)\/attributes$/, needs: "users:write", run: putAttributes },
  {
    method: "DELETE",
    pattern: /^\/compliance\/gdpr-erasure\/([^/]+)$/,
    needs: "compliance:write",
    run: eraseUser,
  },
  { method: "GET", pattern: /^\/groups$/, needs: "groups:read", run: listGroups },
  { method: "POST", pattern: /^\/groups$/, needs: "groups:write", run: createGroup },
  { method: "GET", pattern: /^\/groups\/([^/]+)$/, needs: "groups:read", run: getGroup },
  { method: "DELETE", pattern: /^\/groups\/([^/]+)$/, needs: "groups:write", run: deleteGroup },
  { method: "GET", pattern: /^\/groups\/([^/]+)\/members$/, needs: "groups:read", run: listMembers },
  { method: "POST", pattern: /^\/groups\/([^/]+)\/members$/, needs: "groups:write", run: addMember },
  { method: "DELETE", pattern: /^\/groups\/([^/]+)\/members\/([^/]+)$/, needs: "groups:write", run: removeMember },
];

function listUsers({ directory, query }: Call): Answer {
  return jsonAnswer(200, directory.listUsers(limitOf(query), afterOf(query), query.get("q") ?? ""));
}

/** A new user's `required_actions` are null in this answer and in its event, and a list ever after. */
function createUser({ tenant, directory, body }: Call): Answer {
  const [email, password] = [body.get("email"), body.get("password")];
  if (typeof email !== "string" || !email.includes("@")) throw invalid("createUserRequest", "Email", "email");
  const names = Object.fromEntries(
    ["first_name", "last_name"].flatMap((field) =>
      typeof body.get(field) === "string" ? [[field, body.get(field)]] : [],
    ),
  );
  const user = directory.addUser({ email, ...names, is_email_verified: false });
  if (typeof password === "string") accountOf(tenant, user.id).password = password;
  return jsonAnswer(201, { ...user, required_actions: null });
}

function getUser({ directory, ids }: Call): Answer {
  const user = directory.user(ids[0] ?? "");
  if (user === undefined) throw new ApiError(404);
  return jsonAnswer(200, user);
}

/** The e-mail address cannot be changed by this route. */
function patchUser({ directory, ids, body }: Call): Answer {
  const change: UserChange = {};
  for (const field of ["first_name", "last_name"] as const) {
    const value = body.get(field);
    if (typeof value === "string") change[field] = value;
  }
  for (const field of ["is_active", "mfa_required", "is_email_verified"] as const) {
    const value = body.get(field);
    if (typeof value === "boolean") change[field] = value;
  }
  return jsonAnswer(200, directory.updateUser(ids[0] ?? "", change));
}

function deleteUser({ directory, ids }: Call): Answer {
  directory.deleteUser(ids[0] ?? "");
  return { status: 204 };
}

function putAttributes({ directory, ids, body }: Call): Answer {
  return jsonAnswer(200, directory.setAttributes(ids[0] ?? "", Object.fromEntries(body)));
}

function eraseUser({ directory, ids: [id = ""] }: Call): Answer {
  const { email, updated_at: erasedAt } = directory.eraseUser(id, "erased");
  return jsonAnswer(200, {
    user_id: id,
    org_id: directory.organizationId,
    erased_at: erasedAt,
    anonymised_email: email,
    login_history_rows_scrubbed: 0,
    credentials_revoked: 0,
    sessions_deleted: 0,
    refresh_tokens_deleted: 0,
    note: ERASURE_NOTE,
  });
}

function listGroups({ directory, query }: Call): Answer {
  return jsonAnswer(200, directory.listGroups(limitOf(query), afterOf(query)));
}

function getGroup({ directory, ids }: Call): Answer {
  const group = directory.group(ids[0] ?? "");
  if (group === undefined) throw new ApiError(404);
  return jsonAnswer(200, group);
}

function createGroup({ directory, body }: Call): Answer {
  const [name, description] = [body.get("name"), body.get("description")];
  if (typeof name !== "string" || name === "") throw invalid("createGroupRequest", "Name", "required");
  return jsonAnswer(201, directory.addGroup(name, typeof description === "string" ? description : undefined));
}

function deleteGroup({ directory, ids }: Call): Answer {
  directory.deleteGroup(ids[0] ?? "");
  return { status: 204 };
}

function listMembers({ directory, ids }: Call): Answer {
  return jsonAnswer(200, directory.members(ids[0] ?? ""));
}

function addMember({ directory, ids, body }: Call): Answer {
  directory.addMember(ids[0] ?? "", String(body.get("user_id")));
  return { status: 204 };
}

function removeMember({ directory, ids }: Call): Answer {
  directory.removeMember(ids[0] ?? "", ids[1] ?? "");
  return { status: 204 };
}

const ERASURE_NOTE =
  "Personal data erased per GDPR Art.17. Login history events are retained for audit continuity (Art.17(3)(e)) with all personally identifiable fields set to NULL. The anonymised email is a deterministic one-way hash and cannot be reversed.";
