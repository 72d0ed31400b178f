import type { Account } from "./clavex-access.ts";
import { ApiError } from "./clavex-answer.ts";
import { ClavexDirectory } from "./clavex-directory.ts";
import { emptyManagement, type ManagementState } from "./clavex-management.ts";

export interface ClavexOrganization {
  id: string;
  slug: string;
  name?: string;
  /** The value of `X-API-Key` that belongs to this organization; empty for none. */
  apiKey: string;
  /** What the key may do; the server enforces it. Default: everything. */
  permissions?: string[];
}

/** When every organization was made; its own time plays no part. */
const MADE = "2026-01-01T00:00:00Z";

/** An organization with everything in it. */
export interface Tenant {
  organization: ClavexOrganization;
  createdAt: string;
  directory: ClavexDirectory;
  management: ManagementState;
  /** By user. */
  accounts: Map<string, Account>;
}

export function tenantOf(organization: ClavexOrganization, clock: () => string): Tenant {
  const directory = new ClavexDirectory(organization.id, clock);
  return { organization, createdAt: MADE, directory, management: emptyManagement(), accounts: new Map() };
}

/** What a user logs in with; an empty one where nothing is known yet. */
export function accountOf({ accounts, directory }: Tenant, userId: string): Account {
  if (directory.user(userId) === undefined) throw new ApiError(404);
  const account = accounts.get(userId) ?? { roles: new Set() };
  accounts.set(userId, account);
  return account;
}

export function shownOrganization({
  organization: { id, slug, name = slug },
  createdAt,
}: Tenant): Record<string, unknown> {
  return {
    id,
    name,
    slug,
    settings: {},
    is_active: true,
    mfa_required: false,
    auto_enroll_domains: null,
    email_blocklist: null,
    email_allowlist: null,
    agent_token_allowed_audiences: null,
    conformance_mode: false,
    created_at: createdAt,
    updated_at: createdAt,
  };
}
