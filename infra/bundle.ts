import { stat } from "node:fs/promises";
import { build } from "esbuild";
import { BUNDLING, FUNCTIONS, handlerFile } from "./bundling.ts";

/** `npm run build`: bundles every handler into dist/NAME/index.mjs, as the stack deploys it. */
for (const name of FUNCTIONS) {
  const outfile = `dist/${name}/index.mjs`;
  await build({ ...BUNDLING, entryPoints: [handlerFile(name)], outfile });
  console.log(`${outfile}  ${Math.round((await stat(outfile)).size / 1000)} kB`);
}
