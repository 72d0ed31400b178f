import { randomUUID } from "node:crypto";
import { ClavexApi } from "./clavex-api.ts";
import type { ClavexDirectory, ClavexGroup, ClavexUser, NewUser, UserChange } from "./clavex-directory.ts";
import type { ManagementState } from "./clavex-management.ts";
import type { ClavexOrganization } from "./clavex-tenant.ts";
import { type RecordedRequest, type SimulatedServer, startServer } from "./server.ts";

export type { ClavexGroup, ClavexUser, NewUser, UserChange } from "./clavex-directory.ts";
export type { ClavexOrganization } from "./clavex-tenant.ts";

export interface SimulatedClavexOptions {
  /** Default: one organization, `DEFAULT_ORGANIZATION`. */
  organizations?: ClavexOrganization[];
  port?: number;
  now?: () => number;
  /** The zone of the timestamps in minutes east of UTC; default 120, so that they carry an offset. */
  zoneMinutes?: number;
  serviceTime?: (request: RecordedRequest) => number;
  /** A superadmin's token, for every organization; default `DEFAULT_ADMIN_TOKEN`. */
  adminToken?: string;
  /** The secret that new webhook subscriptions get; default: a random one each, as the real server does. */
  webhookSecret?: string;
}

export interface NewAdministrator {
  email: string;
  password: string;
  role?: "admin" | "super_admin";
  permissions?: string[];
}

/** The body of a webhook request, before it is turned into JSON. */
export interface WebhookDelivery {
  id: string;
  event: string;
  occurred_at: string;
  data: ClavexUser | { id: string; org_id: string };
}

/**
 * A running simulated Clavex: the server, and what tests and the demo do behind the API's back. `organization` is an id
 * or a slug. Unknown users and groups are errors. All that comes back are copies, so an old one makes a stale delivery.
 */
export interface SimulatedClavex extends SimulatedServer {
  readonly organizations: readonly ClavexOrganization[];
  readonly adminToken: string;
  /** Keys, webhooks, sinks, clients and mappers of an organization; may be changed. */
  management(organization: string): ManagementState;
  addUser(organization: string, user: NewUser): ClavexUser;
  /** A user who can log in to the Admin API. With `permissions` only these are delegated. */
  addAdministrator(organization: string, administrator: NewAdministrator): ClavexUser;
  user(organization: string, userId: string): ClavexUser | undefined;
  updateUser(organization: string, userId: string, change: UserChange): ClavexUser;
  suspend(organization: string, userId: string): ClavexUser;
  deleteUser(organization: string, userId: string): ClavexUser;
  eraseUser(organization: string, userId: string, form: "erased" | "anonymized"): ClavexUser;
  setAttributes(organization: string, userId: string, attributes: Record<string, unknown>): ClavexUser;
  addGroup(organization: string, name: string, description?: string): ClavexGroup;
  groupByName(organization: string, name: string): ClavexGroup | undefined;
  deleteGroup(organization: string, groupId: string): void;
  addMember(organization: string, groupId: string, userId: string): void;
  removeMember(organization: string, groupId: string, userId: string): void;
  /** The envelope that Clavex would send about this user: the whole user, or ids only for `user.deleted`. */
  delivery(event: string, user: ClavexUser): WebhookDelivery;
}

export const DEFAULT_ORGANIZATION: ClavexOrganization = {
  id: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  slug: "acme",
  apiKey: "clv_simulated_0123456789abcdef",
};

/** Protects nothing: a simulated Clavex holds only made-up people. */
export const DEFAULT_ADMIN_TOKEN = "simulated-admin-token-that-protects-nothing";

/**
 * Starts a simulated Clavex: the part of the Admin API that provisioning reads, and enough of its writes to drive it over
 * HTTP. It sends no webhooks itself; `delivery` makes their bodies.
 *
 * @returns the running simulator; the caller has to close it.
 */
export async function startSimulatedClavex(options: SimulatedClavexOptions = {}): Promise<SimulatedClavex> {
  const { organizations = [DEFAULT_ORGANIZATION], now = Date.now, zoneMinutes = 120 } = options;
  const { adminToken = DEFAULT_ADMIN_TOKEN, webhookSecret } = options;
  const clock = databaseClock(now, zoneMinutes);
  const api = new ClavexApi({ organizations, adminToken, clock, now, webhookSecret });
  const server = await startServer({
    answer: (request) => api.answer(request),
    now,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.serviceTime === undefined ? {} : { serviceTime: options.serviceTime }),
  });

  const of = (organization: string): ClavexDirectory => api.tenant(organization).directory;

  return {
    ...server,
    organizations,
    adminToken,
    management: (organization) => api.tenant(organization).management,
    addUser: (organization, user) => of(organization).addUser(user),
    addAdministrator: (organization, { email, password, role = "admin", permissions }) => {
      const user = of(organization).addUser({ email });
      const account = { password, roles: new Set([role]), ...(permissions === undefined ? {} : { permissions }) };
      api.tenant(organization).accounts.set(user.id, account);
      return user;
    },
    user: (organization, userId) => of(organization).user(userId),
    updateUser: (organization, userId, change) => of(organization).updateUser(userId, change),
    suspend: (organization, userId) => of(organization).updateUser(userId, { is_active: false }),
    deleteUser: (organization, userId) => of(organization).deleteUser(userId),
    eraseUser: (organization, userId, form) => of(organization).eraseUser(userId, form),
    setAttributes: (organization, userId, attributes) => of(organization).setAttributes(userId, attributes),
    addGroup: (organization, name, description) => of(organization).addGroup(name, description),
    groupByName: (organization, name) => of(organization).groupByName(name),
    deleteGroup: (organization, groupId) => of(organization).deleteGroup(groupId),
    addMember: (organization, groupId, userId) => of(organization).addMember(groupId, userId),
    removeMember: (organization, groupId, userId) => of(organization).removeMember(groupId, userId),
    delivery: (event, user) => ({
      id: randomUUID(),
      event,
      occurred_at: goTime(BigInt(now()) * 1_000_000n + BigInt(Math.floor(Math.random() * 1_000_000)), 0),
      data:
        event === "user.deleted"
          ? { id: user.id, org_id: user.org_id }
          : { ...user, ...(event === "user.created" ? { required_actions: null } : {}) },
    }),
  };
}

/** The database's clock: microseconds, never the same twice, in the zone of the server. */
function databaseClock(now: () => number, zoneMinutes: number): () => string {
  let last = 0n;
  return () => {
    const microseconds = BigInt(now()) * 1000n;
    last = microseconds > last ? microseconds : last + 1n;
    return goTime(last * 1000n, zoneMinutes);
  };
}

/** A time as Go writes it (RFC 3339 with nanoseconds): no fraction zeros at the end, `Z` for UTC, else the offset. */
function goTime(nanoseconds: bigint, zoneMinutes: number): string {
  const milliseconds = Number(nanoseconds / 1_000_000n) + zoneMinutes * 60_000;
  const seconds = new Date(milliseconds).toISOString().slice(0, 19);
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  const hours = String(Math.trunc(Math.abs(zoneMinutes) / 60)).padStart(2, "0");
  const minutes = String(Math.abs(zoneMinutes) % 60).padStart(2, "0");
  const zone = zoneMinutes === 0 ? "Z" : `${zoneMinutes < 0 ? "-" : "+"}${hours}:${minutes}`;
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}${zone}`;
}
