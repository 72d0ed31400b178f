import { statSync } from "node:fs";
import { Command } from "commander";
import { counted } from "../core/text.ts";
import { checkCopy, copyDatabase, refuseForeign, restoreDatabase } from "../database.ts";
import { inUse, isLocked, lockFolder } from "../local/lock.ts";
import { hasState } from "../local/state.ts";
import { type LocalOptions, stateOption } from "./options.ts";
import { confirm } from "./prompt.ts";
import { print, printJson } from "./terminal.ts";

interface Options extends Pick<LocalOptions, "state"> {
  yes?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `backup`: a copy of queue and ledger, also while the pipeline runs. */
export function backupCommand(): Command {
  return new Command("backup")
    .description("Copies queue and ledger of this machine into one file, also while the pipeline runs.")
    .argument("<file>", "the copy; an older one of this name is replaced when the new one is complete")
    .addOption(stateOption())
    .addHelpText(
      "after",
      "\nOrganization files and .env are not in it: copy them by themselves. On AWS the table has point-in-time recovery.",
    )
    .option("--json", "print JSON")
    .action(async (file: string, { state, json }: Options) => {
      await copyDatabase(state.path, file);
      const { size: bytes } = statSync(file);
      if (json) printJson({ file, bytes });
      else print(`${file}: ${counted(bytes, "byte")}`);
    });
}

/** `restore`: puts a copy in place of queue and ledger. */
export function restoreCommand(): Command {
  return new Command("restore")
    .description("Replaces queue and ledger by a copy that backup has written. The pipeline must not run.")
    .argument("<file>", "the copy")
    .addOption(stateOption())
    .option("--dry-run", "only check the copy, and say what would be replaced")
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .action(restore);
}

async function restore(file: string, { state: folder, yes, dryRun = false, json }: Options): Promise<void> {
  const { path: state } = folder;
  // Nothing is made in the folder before it is sure that there is something to put there.
  if (isLocked(state)) throw inUse(state);
  refuseForeign(state);
  checkCopy(file);
  if (dryRun) {
    const replaces = hasState(state);
    if (json) return printJson({ dryRun, state, replaces, restored: false });
    const effect = replaces ? `would replace the state in ${state}` : `would become the state in ${state}`;
    return print(`${file}: the copy is sound, and ${effect}. Nothing was changed.`);
  }
  const unlock = lockFolder(state);
  try {
    if (hasState(state)) await confirm(`Replace the state in ${state}?`, yes);
    await restoreDatabase(state, file);
  } finally {
    unlock();
  }
  if (json) printJson({ dryRun, state, restored: true });
  else print(`${state}: restored. The first full reconciliation finds what has changed since the copy was written.`);
}
