import { rmSync, writeFileSync } from "node:fs";
import { bundle, FUNCTIONS, loadedAtOnce, writeBundle } from "./bundling.ts";
import { bundleProgram, PROGRAM } from "./program.ts";

/**
 * `npm run build`: bundles every handler into dist/NAME/, byte for byte as the stack deploys it, and the command line into one
 * file.
 */
for (const name of FUNCTIONS) {
  const files = bundle(name);
  rmSync(`dist/${name}`, { recursive: true, force: true });
  writeBundle(files, `dist/${name}`);
  const size = loadedAtOnce(files).reduce((sum, { contents }) => sum + contents.length, 0);
  console.log(`dist/${name}  ${Math.round(size / 1000)} kB at a cold start`);
}

const program = bundleProgram();
writeFileSync(PROGRAM, program);
console.log(`${PROGRAM}  ${Math.round(program.length / 1000)} kB`);
