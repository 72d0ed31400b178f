import { Command, Option } from "commander";
import { VERSION } from "../version.ts";
import { acceptIdentityCommand } from "./accept-identity.ts";
import { activityCommand } from "./activity.ts";
import { applyCommand } from "./apply.ts";
import { backupCommand, restoreCommand } from "./backup.ts";
import { consoleCommand } from "./console.ts";
import { deadLettersCommand } from "./dead-letters.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { explainCommand } from "./explain.ts";
import { pauseCommand, resumeCommand } from "./pause.ts";
import { planCommand } from "./plan.ts";
import { provisionCommand } from "./provision.ts";
import { reconcileCommand } from "./reconcile.ts";
import { rehearseCommand } from "./rehearse.ts";
import { sendCommand } from "./send.ts";
import { setupCommand } from "./setup.ts";
import { startCommand } from "./start.ts";
import { statusCommand } from "./status.ts";
import { terminalOfHelp, withoutColour } from "./terminal.ts";
import { unknownCommand } from "./unknown.ts";

/** Every command, as `clavex-nextcloud` reads it from its arguments. */
export function createProgram(): Command {
  const program = new Command("clavex-nextcloud")
    .description("Operates the pipeline that provisions Nextcloud accounts from Clavex.")
    .version(VERSION, "-V, --version", "print the version")
    .option("--no-color", "never colour the output; the environment variables NO_COLOR and FORCE_COLOR count too")
    .addCommand(startCommand())
    .addCommand(consoleCommand())
    .addCommand(demoCommand())
    .addCommand(sendCommand())
    .addCommand(statusCommand())
    .addCommand(planCommand())
    .addCommand(applyCommand())
    .addCommand(reconcileCommand())
    .addCommand(activityCommand())
    .addCommand(pauseCommand())
    .addCommand(resumeCommand())
    .addCommand(explainCommand())
    .addCommand(provisionCommand())
    .addCommand(deadLettersCommand())
    .addCommand(unknownCommand())
    .addCommand(acceptIdentityCommand())
    .addCommand(setupCommand())
    .addCommand(doctorCommand())
    .addCommand(rehearseCommand())
    .addCommand(backupCommand())
    .addCommand(restoreCommand());
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput(terminalOfHelp).showHelpAfterError("(add --help for the options)");
    // People write it where the other options are.
    if (command !== program) command.addOption(new Option("--no-color").hideHelp());
  }
  return program.hook("preAction", (_program, action) => {
    if ([program, action].some((each) => each.opts<{ color: boolean }>().color === false)) withoutColour();
  });
}

/** A command and all below it. */
export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
