import { Command } from "commander";
import { createClients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { Failure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { type DriftReport, driftReport } from "../reconcile/drift-report.ts";
import { describeDrift, MARKS } from "./describe.ts";
import { type ConnectOptions, openForReading, withConnection } from "./pipeline.ts";
import { CommandError, reportAndExit } from "./report.ts";
import { print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  json?: boolean;
}

/** Exit code when something is not as it should be. */
const DIFFERENT = 2;
const CONNECTIONS = 4;

/** `plan`: what a full reconciliation would do, as a diff for people; changes nothing. */
export function planCommand(): Command {
  return withConnection(new Command("plan"))
    .description(
      "Shows what a full reconciliation would change in Nextcloud. Changes nothing. Exit code 2 when anything differs.",
    )
    .option("--organization <slug>", "only this organization")
    .option("--json", "print JSON")
    .action(plan);
}

async function plan(options: Options): Promise<void> {
  const { organizations, secrets, ledger, close } = await openForReading(options);
  const clients = createClients({ secrets, nextcloudConnections: CONNECTIONS });
  try {
    const slugs = options.organization === undefined ? await organizations.slugs() : [options.organization];
    const reports: DriftReport[] = [];
    const failures = await eachOrganization(slugs, organizations, async (organization) => {
      const { slug, clavex } = organization;
      if (clavex.apiKey === undefined && options.organization === undefined) {
        if (!options.json) print(`${slug}: left out, it has no clavex.apiKey to read the directory with`);
        return;
      }
      const system = clients.of(organization);
      const found = await driftReport(organization, "full", { ledger, system, onProgress: reading(slug) });
      reports.push(found);
      if (!options.json) show(organization, found);
    });
    if (options.json) printJson([...reports.map(forMachines), ...failures]);
    const differs = reports.some(({ differences }) => differences.some(({ kind }) => kind !== "adopt"));
    if (differs && failures.length === 0) process.exitCode = DIFFERENT;
  } finally {
    await clients.close();
    await close();
  }
}

/** What could not be done for an organization. */
export interface OrganizationFailure {
  organization: string;
  error: string;
}

/**
 * Does something for each organization. One that fails is told on stderr and makes the exit code 1; the others go on.
 *
 * @throws {CommandError} when there is none of the name
 */
export async function eachOrganization(
  slugs: string[],
  organizations: Organizations,
  work: (organization: Organization) => Promise<void>,
): Promise<OrganizationFailure[]> {
  const failures: OrganizationFailure[] = [];
  for (const slug of slugs) {
    try {
      const organization = await organizations.get(slug);
      if (!organization) throw new CommandError(`there is no organization ${slug}`);
      await work(organization);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
      console.error(`${slug}:`);
      reportAndExit(error);
      failures.push({ organization: slug, error: error.message });
    }
  }
  return failures;
}

/** Says on stderr how far the reading is, where that is a terminal. */
export function reading(slug: string): (phase: string, count: number) => void {
  return (phase, count) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${slug}: ${phase}: ${count}`);
  };
}

function show({ slug }: Organization, { differences, notes, held, people, accounts }: DriftReport): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  print(`${slug}: ${people} people in Clavex, ${accounts} accounts of theirs in Nextcloud\n`);
  for (const difference of differences) {
    print(`  ${MARKS[difference.kind]} ${printable(difference.name)}  ${difference.subject}`);
    for (const line of describeDrift(difference)) print(`      ${line}`);
  }
  if (differences.length > 0) print();
  if (notes.length > 0) {
    print("Left as it is:");
    for (const { subject, note } of notes) print(`  ! ${subject}: ${printable(note)}`);
    print();
  }
  if (held) print(`Held: ${held.explanation}\n`);
  const count = (kind: string) => differences.filter((difference) => difference.kind === kind).length;
  const changes = differences.length - count("adopt");
  print(
    changes === 0
      ? `Nothing to change${count("adopt") > 0 ? `; ${count("adopt")} accounts are taken note of` : ""}.`
      : `Plan: ${count("create")} to make, ${count("update")} to change, ${count("deprovision")} to disable, ${count("delete")} to delete.`,
  );
}

/** The survey without what only the pipeline needs. */
function forMachines({ differences, ...rest }: DriftReport) {
  return {
    ...rest,
    differences: differences.map(({ subject, accountId, kind, desired, actual, operations }) => ({
      subject,
      accountId,
      kind,
      state: desired.state,
      operations,
      desired: { displayName: desired.displayName, email: desired.email, quota: desired.quota, groups: desired.groups },
      actual,
    })),
  };
}
