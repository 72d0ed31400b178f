#!/usr/bin/env node
import "./node-version.ts";

import { createProgram } from "./program.ts";
import { endWith, watchOutput } from "./report.ts";

watchOutput();
await createProgram().parseAsync().catch(endWith);
