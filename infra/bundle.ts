import { writeFileSync } from "node:fs";
import { bundle, FUNCTIONS, writeBundle } from "./bundling.ts";
import { bundleProgram, PROGRAM } from "./program.ts";

/**
 * `npm run build`: bundles every handler into dist/NAME/, byte for byte as the stack deploys it, and the command line into one
 * file.
 */
for (const name of FUNCTIONS) {
  const files = bundle(name);
  writeBundle(files, `dist/${name}`);
  const size = files.find((file) => file.name === "index.mjs")?.contents.length ?? 0;
  console.log(`dist/${name}/index.mjs  ${Math.round(size / 1000)} kB`);
}

const program = bundleProgram();
writeFileSync(PROGRAM, program);
console.log(`${PROGRAM}  ${Math.round(program.length / 1000)} kB`);
