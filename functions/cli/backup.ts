import { statSync } from "node:fs";
import { Command } from "commander";
import { counted } from "../core/text.ts";
import { copyDatabase, restoreDatabase } from "../database.ts";
import { lockFolder } from "../local/lock.ts";
import { hasState } from "../local/state.ts";
import { stateOption } from "./options.ts";
import { confirm } from "./prompt.ts";
import { print, printJson } from "./terminal.ts";

interface Options {
  state: string;
  yes?: boolean;
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
      await copyDatabase(state, file);
      const { size: bytes } = statSync(file);
      if (json) printJson({ file, bytes });
      else print(`${file}: ${counted(bytes, "byte")}`);
    });
}

/** `restore`: puts a copy in place of queue and ledger. */
export function restoreCommand(): Command {
  return new Command("restore")
    .description("Puts a copy that backup has made in place of queue and ledger. The pipeline must not run.")
    .argument("<file>", "the copy")
    .addOption(stateOption())
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .action(async (file: string, { state, yes, json }: Options) => {
      const unlock = lockFolder(state);
      try {
        if (hasState(state)) await confirm(`Replace the state in ${state}?`, yes);
        restoreDatabase(state, file);
      } finally {
        unlock();
      }
      if (json) printJson({ state, restored: true });
      else print(`${state}: restored. What has changed since then is found by the first full reconciliation.`);
    });
}
