import { mkdirSync, writeFileSync } from "node:fs";
import { bundleProgram, PROGRAM, preparePackage, restoreManifest } from "./program.ts";

/** `npm pack` runs it twice: before packing, and afterwards with `restore`. */
if (process.argv[2] === "restore") restoreManifest();
else {
  mkdirSync("dist", { recursive: true });
  writeFileSync(PROGRAM, bundleProgram());
  preparePackage();
}
