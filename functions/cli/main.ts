#!/usr/bin/env node
import "./node-version.ts";

import { EXIT } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { endWith, watchOutput } from "./report.ts";

watchOutput();
await createProgram().parseAsync().catch(endWith);
// After Ctrl-C, answers still in progress are not waited for.
if (process.exitCode === EXIT.interrupted) process.exit();
