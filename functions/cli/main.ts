#!/usr/bin/env node
import "./node-version.ts";

import { Command } from "commander";
import { VERSION } from "../version.ts";
import { acceptIdentityCommand } from "./accept-identity.ts";
import { backupCommand, restoreCommand } from "./backup.ts";
import { deadLettersCommand } from "./dead-letters.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { explainCommand } from "./explain.ts";
import { pauseCommand, resumeCommand } from "./pause.ts";
import { planCommand } from "./plan.ts";
import { provisionCommand } from "./provision.ts";
import { reconcileCommand } from "./reconcile.ts";
import { rehearseCommand } from "./rehearse.ts";
import { report, watchOutput } from "./report.ts";
import { sendCommand } from "./send.ts";
import { setupCommand } from "./setup.ts";
import { startCommand } from "./start.ts";
import { unknownCommand } from "./unknown.ts";

watchOutput();
const program = new Command("clavex-nextcloud")
  .description("Operates the pipeline that provisions Nextcloud accounts from Clavex.")
  .version(VERSION, "-V, --version", "print the version")
  .showHelpAfterError("(add --help for the options)")
  .addCommand(startCommand())
  .addCommand(demoCommand())
  .addCommand(sendCommand())
  .addCommand(planCommand())
  .addCommand(reconcileCommand())
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

await program.parseAsync().catch(report);
