import type { ActivityLog } from "../activity/activity-log.ts";
import type { Clients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { ConfigurationError, OrganizationUnknown } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { DoctorOptions } from "../doctor/context.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { DeadLetterQueue, Queue } from "../queue/queue.ts";
import type { Reconcile } from "../reconcile/reconcile.ts";
import type { DeadLetters } from "../replay/dead-letters.ts";
import type { Fields, Log } from "../telemetry/log.ts";

/** What the pages work with: the same that commands work with. */
export interface ConsoleDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  queue: Queue;
  deadLetterQueue: DeadLetterQueue;
  deadLetters: DeadLetters;
  activities: ActivityLog;
  reconcile: Reconcile;
  /** What doctor is run with, and a rehearsal. */
  doctorOptions(organization: Organization): Promise<DoctorOptions>;
  /** Whether organizations that the ledger does not know yet start paused. */
  startsPaused: boolean;
  /** How the servers are, one line per organization, where this process works with them itself. */
  readiness?: (() => Promise<{ lines: string[] }>) | undefined;
  /** Why nobody works on the queue, if so. */
  stopped?: { cause: string; fix: string } | undefined;
  /** The stage on AWS that is shown; undefined on one machine. */
  stage: string | undefined;
  log: Log;
  /** How long a page waits for Clavex and Nextcloud, in milliseconds; see patience.ts. */
  patienceMs?: number | undefined;
  now?: () => number;
}

const SEE = "Write an organization file: see docs/configuration.md.";

/**
 * The organization that a page is about: the one that was asked for, else the first.
 *
 * @throws {ConfigurationError} when no organization has this slug, or its document is invalid
 */
export async function chosenOrganization(
  { organizations }: Pick<ConsoleDependencies, "organizations">,
  asked: string | undefined,
): Promise<Organization> {
  const slug = asked || (await organizations.slugs())[0];
  if (slug === undefined)
    throw new ConfigurationError("no-organizations", ["no organization is configured"], { fix: SEE });
  const organization = await organizations.get(slug);
  if (!organization) throw new OrganizationUnknown(slug);
  return organization;
}

/** Every change is logged. */
export function logChange({ log }: Pick<ConsoleDependencies, "log">, change: string, fields: Fields): void {
  log.info("changed by console", { change, ...fields });
}
