import { Command } from "commander";
import type { Organization } from "../core/organization.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { effectOfPause, setPaused } from "../operator/pause.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization } from "./organizations.ts";
import { connect } from "./pipeline.ts";
import { confirm } from "./prompt.ts";
import { now, print, printJson } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  yes?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `pause`: nothing is provisioned or deprovisioned until `resume`. */
export function pauseCommand(): Command {
  return pausing("pause", "Stops provisioning and deprovisioning until resume; deliveries are still accepted.", true);
}

/** `resume`: ends a pause, also the one in which a new organization starts on AWS. */
export function resumeCommand(): Command {
  return pausing("resume", "Ends a pause and starts a full reconciliation. Look at plan first.", false);
}

function pausing(name: "pause" | "resume", description: string, paused: boolean): Command {
  return withConnection(new Command(name))
    .description(description)
    .option("--organization <slug>", "only this organization")
    .option("--dry-run", "only say what would be done")
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .action((options: Options) => say(options, paused));
}

async function say(options: Options, paused: boolean): Promise<void> {
  const connection = await connect(options);
  const { organizations, ledger, startsPaused } = connection;
  const isPaused = createAskPaused(ledger, startsPaused);
  const { json, dryRun = false } = options;
  const tell = json ? () => undefined : print;
  try {
    const concerned: Organization[] = [];
    const slugs = await chosenSlugs(organizations, options.organization);
    const failures = await eachOrganization(slugs, organizations, async (organization) => {
      if ((await isPaused(organization)) !== paused) concerned.push(organization);
      else tell(`${organization.slug}: ${paused ? "is paused already" : "is not paused"}`);
    });
    for (const organization of concerned) tell(`${organization.slug}: ${effectOfPause(organization, paused)}`);
    if (concerned.length > 0 && !dryRun) {
      await confirm(paused ? "Pause now?" : "Resume now?", options.yes);
      for (const organization of concerned)
        await setPaused({ pauses: ledger.pauses, isPaused, now }, organization, paused);
      tell(paused ? "Paused." : "Resumed.");
      if (!paused) connection.sayIfItWaits();
    }
    if (json) printJson({ dryRun, paused, changed: concerned.map(({ slug }) => slug), failures });
  } finally {
    await connection.close();
  }
}
