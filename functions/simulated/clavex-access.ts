import { randomBytes } from "node:crypto";
import { ApiError } from "./clavex-answer.ts";
import type { RecordedRequest } from "./server.ts";

/** Who asks, and what they may do. */
export interface Actor {
  /** Undefined for a superadmin: every organization, also one that does not exist. */
  organizationId: string | undefined;
  /** Undefined: everything. */
  permissions: readonly string[] | undefined;
  /** Undefined for a key. */
  userId?: string;
}

const RESOURCES = [
  ...["users", "roles", "groups", "clients", "identity_providers", "security", "audit", "sessions", "branding"],
  ...["smtp", "sms", "webhooks", "compliance", "delegated_admins"],
];

/** All permission tokens. */
export const PERMISSIONS = RESOURCES.flatMap((resource) => [`${resource}:read`, `${resource}:write`]);

/** Whether somebody may do it: writing includes reading, and some things need no permission. */
export function holds({ permissions }: Actor, needed: string): boolean {
  if (permissions === undefined || needed === "") return true;
  return permissions.includes(needed) || permissions.includes(needed.replace(/:read$/, ":write"));
}

/** What an administrator logs in with: a password, and roles of which only `admin` and `super_admin` count. */
export interface Account {
  password?: string;
  roles: Set<string>;
  /** What a delegated administrator may do; undefined: everything in the organization. */
  permissions?: string[];
}

/** The cookie with an administrator's token. */
const COOKIE = "clavex_admin";
const LIFETIME_SECONDS = 28_800;

/** The tokens of administrators who have logged in, and superadmins' keys, which belong to no organization. */
export class AdministratorSessions {
  readonly #actors = new Map<string, Actor>();
  readonly #keys = new Set<string>();

  /** A login's token, and the cookie that is the only place where Clavex shows it. */
  open(actor: Actor): { cookie: string; expiresIn: number } {
    const token = `simulated.${randomBytes(24).toString("hex")}`;
    this.#actors.set(token, actor);
    const cookie = `${COOKIE}=${token}; Path=/; Max-Age=${LIFETIME_SECONDS}; HttpOnly; SameSite=Lax`;
    return { cookie, expiresIn: LIFETIME_SECONDS };
  }

  /**
   * The administrator of a request: by bearer token, or by cookie, with which a write needs the header against forged
   * requests as well.
   */
  actorOf({ method, headers }: RecordedRequest): Actor | undefined {
    const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1];
    if (bearer !== undefined) return this.#actors.get(bearer);
    const actor = this.#actors.get(new RegExp(`${COOKIE}=([^;]+)`).exec(headers.cookie ?? "")?.[1] ?? "");
    if (actor !== undefined && method !== "GET" && headers["x-csrf-token"] === undefined) {
      throw new ApiError(403, "invalid CSRF token");
    }
    return actor;
  }

  superadminKey(): string {
    const key = `clv_${randomBytes(24).toString("hex")}`;
    this.#keys.add(key);
    return key;
  }

  isSuperadminKey(key: string): boolean {
    return this.#keys.has(key);
  }

  /** A token that was not got by logging in, but is valid. */
  add(token: string, actor: Actor): void {
    this.#actors.set(token, actor);
  }
}
