#!/usr/bin/env node
import "./node-version.ts";

import { EXIT } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { endWith, watchOutput } from "./report.ts";

watchOutput();
await createProgram().parseAsync().catch(endWith);
// Whoever pressed Ctrl-C does not wait for answers that are still under way.
if (process.exitCode === EXIT.interrupted) process.exit();
