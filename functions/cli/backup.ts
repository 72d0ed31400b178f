import { statSync } from "node:fs";
import { Command } from "commander";
import { copyDatabase, restoreDatabase } from "../database.ts";
import { lockFolder } from "../local/lock.ts";
import { hasState } from "../local/state.ts";
import { stateOption } from "./options.ts";
import { confirm } from "./prompt.ts";
import { print } from "./terminal.ts";

interface Options {
  state: string;
  yes?: boolean;
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
    .action(async (file: string, { state }: Options) => {
      await copyDatabase(state, file);
      print(`${file}: ${statSync(file).size} bytes`);
    });
}

/** `restore`: puts a copy in place of queue and ledger. */
export function restoreCommand(): Command {
  return new Command("restore")
    .description("Puts a copy that backup has made in place of queue and ledger. The pipeline must not run.")
    .argument("<file>", "the copy")
    .addOption(stateOption())
    .option("--yes", "do not ask")
    .action(async (file: string, { state, yes }: Options) => {
      const unlock = lockFolder(state);
      try {
        if (hasState(state)) await confirm(`Replace the state in ${state}?`, yes);
        restoreDatabase(state, file);
      } finally {
        unlock();
      }
      print(`${state}: restored. What has changed since then is found by the first full reconciliation.`);
    });
}
