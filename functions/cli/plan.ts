import { Command } from "commander";
import { createClients } from "../clients.ts";
import { durationOfEdits, EDITS_AT_ONCE } from "../core/edit-slots.ts";
import { type Organization, withoutEffect } from "../core/organization.ts";
import { counted, printable } from "../core/text.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { describeDrift, desiredForMachines, MARKS } from "../operator/describe.ts";
import { driftReport, type FullDrift, type FullReport } from "../reconcile/drift-report.ts";
import { type UnknownAccounts, unknownAccounts } from "../reconcile/unknown.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization } from "./organizations.ts";
import { personLabel } from "./people.ts";
import { openForReading } from "./pipeline.ts";
import { clearReading, now, paint, print, printJson, reading, type Style } from "./terminal.ts";
import { describeUnknown, unknownLine } from "./unknown.ts";

interface Options extends ConnectOptions {
  organization?: string;
  json?: boolean;
}

const CONNECTIONS = 4;
const EXISTING_PAGE = "docs/existing-people.md";

/** The colours of the marks. */
const STYLES: Record<FullDrift["kind"], Style> = {
  create: "good",
  update: "warning",
  adopt: "quiet",
  deprovision: "bad",
  delete: "bad",
};

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
        now,
        sameAddresses: true,
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
        print(`${slug} is paused, nothing of this is done until: npx clavex-nextcloud resume --organization ${slug}\n`);
    });
    if (options.json) printJson([...reports.map(planForMachines), ...failures]);
    const differs = reports.some(({ differences }) => differences.some(({ kind }) => kind !== "adopt"));
    if (differs && failures.length === 0) process.exitCode = EXIT.found;
  } finally {
    await clients.close();
    await close();
  }
}

/** Shows a plan as a diff for people. */
export function showPlan(
  organization: Organization,
  { differences, notes, held, heldLeaves, people, accounts, named, existing, doubled }: FullReport,
): void {
  clearReading();
  print(
    `${organization.slug}: ${counted(people, "person", "people")} in Clavex, ${counted(accounts, "account")} of theirs in Nextcloud\n`,
  );
  const label = (subject: string) => personLabel({ subject, ...named.get(subject) });
  for (const note of withoutEffect(organization)) print(`  ! ${note}\n`);
  for (const difference of differences) {
    const who = personLabel({ ...difference, email: named.get(difference.subject)?.email });
    print(`  ${paint(STYLES[difference.kind], `${MARKS[difference.kind]} ${who}`)}`);
    for (const line of describeDrift(difference)) print(`      ${line}`);
  }
  if (differences.length > 0) print();
  if (notes.length > 0) {
    print("Left as it is:");
    for (const { subject, note } of notes) print(`  ! ${label(subject)}: ${printable(note)}`);
    print();
  }
  if (existing.length > 0) {
    print(paint("warning", "In Nextcloud already, with another account of the same e-mail address:"));
    for (const { subject, accountId, backend } of existing)
      print(`  ! ${label(subject)}: ${printable(`account ${accountId} of the backend ${backend}`)}`);
    print(`A login will open the new account, without the files of the other one. What to do: ${EXISTING_PAGE}\n`);
  }
  if (doubled.length > 0) {
    print(paint("warning", "With two accounts of one e-mail address, the old one still enabled:"));
    for (const { subject, own, accountId, backend } of doubled)
      print(
        `  ! ${label(subject)}: ${printable(`account ${accountId} of the backend ${backend}, beside the pipeline's ${own}`)}`,
      );
    print(`The pipeline leaves the old one alone, and it can still be logged in to. What to do: ${EXISTING_PAGE}\n`);
  }
  for (const each of [held, heldLeaves]) if (each) print(paint("warning", `Held: ${each.explanation}\n`));
  const count = (kind: string) => differences.filter((difference) => difference.kind === kind).length;
  const changes = differences.length - count("adopt");
  const edits = differences.filter(({ operations }) => operations.some(({ kind }) => kind === "edit")).length;
  for (const line of describeEdits(edits)) print(`${line}\n`);
  print(
    changes === 0
      ? `Nothing to change${count("adopt") > 0 ? `; the ledger will record ${counted(count("adopt"), "account")}` : ""}.`
      : `Plan: ${count("create")} to create, ${count("update")} to change, ${count("deprovision")} to disable, ${count("delete")} to delete.`,
  );
}

/** Not a difference: only an operator can say whose accounts these are. */
function showUnknown(unknown: UnknownAccounts): void {
  const lines = describeUnknown(unknown);
  if (lines.length === 0) return;
  print();
  for (const line of lines) print(line);
  if (unknown.listed) for (const account of unknown.accounts) print(`  ? ${unknownLine(account)}`);
}

const HOUR_MS = 60 * 60_000;

/** How long this many account edits take, where that is worth mentioning. */
function describeEdits(edits: number): string[] {
  const milliseconds = durationOfEdits(edits);
  if (milliseconds === 0) return [];
  const hours = Math.round(milliseconds / HOUR_MS);
  const time = hours > 1 ? `${hours} hours` : `${Math.ceil(milliseconds / 60_000)} minutes`;
  return [
    `${edits} of the changes ${edits === 1 ? "is an edit" : "are edits"} of e-mail address or quota, of which Nextcloud takes ${EDITS_AT_ONCE} in ten minutes: they take about ${time}; nothing else waits for them. With an empty skeleton there is no limit: docs/configuration.md.`,
  ];
}

/** The report without what only the pipeline needs, for `--json`. */
export function planForMachines({
  differences,
  vanished: _,
  lost: __,
  filesInNewAccount: ___,
  foreign: ____,
  named: _____,
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
