#!/usr/bin/env node
import { Command } from "commander";
import { reportAndExit } from "./report.ts";
import { sendCommand } from "./send.ts";

const program = new Command("clavex-nextcloud")
  .description("Operates the pipeline that provisions Nextcloud accounts from Clavex.")
  .showHelpAfterError("(add --help for the options)")
  .addCommand(sendCommand());

await program.parseAsync().catch(reportAndExit);
