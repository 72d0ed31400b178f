import { Command } from "commander";
import { createClients } from "../clients.ts";
import { durationOfEdits, EDITS_AT_ONCE } from "../core/edit-slots.ts";
import { type Organization, withoutEffect } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { describeDrift, desiredForMachines, MARKS } from "../operator/describe.ts";
import { driftReport, type FullReport } from "../reconcile/drift-report.ts";
import { type UnknownAccounts, unknownAccounts } from "../reconcile/unknown.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization } from "./organizations.ts";
import { openForReading } from "./pipeline.ts";
import { clearReading, print, printJson, reading } from "./terminal.ts";
import { describeUnknown, unknownLine } from "./unknown.ts";

interface Options extends ConnectOptions {
  organization?: string;
  json?: boolean;
}

/** Exit code when something is out of sync. */
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
  const { organizations, secrets, ledger, startsPaused, close } = await openForReading(options);
  const isPaused = createAskPaused(ledger, startsPaused);
  const clients = createClients({ secrets, nextcloudConnections: CONNECTIONS });
  try {
    const slugs = await chosenSlugs(organizations, options.organization);
    const reports: (FullReport & { unknown?: UnknownAccounts })[] = [];
    const looked = new Set<string>();
    const failures = await eachOrganization(slugs, organizations, async (organization) => {
      const { slug, clavex } = organization;
      if (clavex.apiKey === undefined && options.organization === undefined) {
        if (!options.json) print(`${slug}: left out, it has no clavex.apiKey to read the directory with`);
        return;
      }
      const found = await driftReport(organization, "full", {
        ledger,
        clients: clients.of(organization),
        onProgress: reading(slug),
      });
      // Once per Nextcloud, whichever organization on it comes first.
      const first = !looked.has(organization.nextcloud.baseUrl);
      looked.add(organization.nextcloud.baseUrl);
      const unknown = first
        ? await unknownAccounts({ organizations, clients, ledger }, organization, found.foreign)
        : undefined;
      reports.push({ ...found, ...(unknown ? { unknown } : {}) });
      if (options.json) return;
      showPlan(organization, found);
      if (unknown) showUnknown(unknown);
      if (await isPaused(organization))
        print(`${slug} is paused, nothing of this is done until: clavex-nextcloud resume --organization ${slug}\n`);
    });
    if (options.json) printJson([...reports.map(forMachines), ...failures]);
    const differs = reports.some(({ differences }) => differences.some(({ kind }) => kind !== "adopt"));
    if (differs && failures.length === 0) process.exitCode = DIFFERENT;
  } finally {
    await clients.close();
    await close();
  }
}

/** Shows a plan as a diff for people. */
export function showPlan(
  organization: Organization,
  { differences, notes, held, heldLeaves, people, accounts }: FullReport,
): void {
  clearReading();
  print(`${organization.slug}: ${people} people in Clavex, ${accounts} accounts of theirs in Nextcloud\n`);
  for (const note of withoutEffect(organization)) print(`  ! ${note}\n`);
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
  for (const each of [held, heldLeaves]) if (each) print(`Held: ${each.explanation}\n`);
  const count = (kind: string) => differences.filter((difference) => difference.kind === kind).length;
  const changes = differences.length - count("adopt");
  const edits = differences.filter(({ operations }) => operations.some(({ kind }) => kind === "edit")).length;
  for (const line of describeEdits(edits)) print(`${line}\n`);
  print(
    changes === 0
      ? `Nothing to change${count("adopt") > 0 ? `; ${count("adopt")} accounts are taken note of` : ""}.`
      : `Plan: ${count("create")} to make, ${count("update")} to change, ${count("deprovision")} to disable, ${count("delete")} to delete.`,
  );
}

/** Not a difference: whose these accounts are only an operator can say. */
function showUnknown(unknown: UnknownAccounts): void {
  const lines = describeUnknown(unknown);
  if (lines.length === 0) return;
  print();
  for (const line of lines) print(line);
  if (unknown.listed) for (const account of unknown.accounts) print(`  ? ${unknownLine(account)}`);
}

const HOUR_MS = 60 * 60_000;

/** How long so many edits of accounts take, where that is worth a word. */
function describeEdits(edits: number): string[] {
  const milliseconds = durationOfEdits(edits);
  if (milliseconds === 0) return [];
  const hours = Math.round(milliseconds / HOUR_MS);
  const time = hours > 1 ? `${hours} hours` : `${Math.ceil(milliseconds / 60_000)} minutes`;
  return [
    `${edits} of the changes are edits of e-mail address or quota, of which Nextcloud takes ${EDITS_AT_ONCE} in ten minutes: they take about ${time}; nothing else waits for them. With an empty skeleton there is no limit: docs/configuration.md.`,
  ];
}

/** The report without what only the pipeline needs. */
function forMachines({
  differences,
  vanished: _,
  lost: __,
  filesInNewAccount: ___,
  foreign: ____,
  ...rest
}: FullReport) {
  return {
    ...rest,
    differences: differences.map(({ subject, accountId, kind, desired, actual, operations }) => {
      const { state, displayName, email, quota, groups } = desiredForMachines(desired);
      return { subject, accountId, kind, state, operations, desired: { displayName, email, quota, groups }, actual };
    }),
  };
}
