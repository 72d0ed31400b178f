import { mkdirSync, writeFileSync } from "node:fs";
import { bundleProgram, PROGRAM, preparePackage, restoreManifest } from "./program.ts";

/** `npm pack` runs it before and after: with `restore` after. */
if (process.argv[2] === "restore") restoreManifest();
else {
  mkdirSync("dist", { recursive: true });
  writeFileSync(PROGRAM, bundleProgram());
  preparePackage();
}
