import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, buildSync } from "esbuild";

/** The Lambda functions; each has its handler in `functions/NAME/handler.ts`. */
export const FUNCTIONS = ["receive", "provision", "reconcile", "replay"] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Some dependencies are CommonJS and ask for Node's own modules with `require`, which an ES module does not have. */
const REQUIRE_BANNER = 'import{createRequire as __r}from"node:module";const require=__r(import.meta.url);';

/** How everything is bundled: one minified ES module for Node 24, dependencies and SDK clients included. */
export const BUNDLING = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minify: true,
  keepNames: true,
  sourcemap: "linked",
  sourcesContent: false,
  mainFields: ["module", "main"],
  banner: { js: REQUIRE_BANNER },
  logLevel: "warning",
} satisfies BuildOptions;

/** What is bundled in place of packages that do more than a function on Lambda needs. */
export const ALIASES = { "@aws-sdk/credential-provider-node": join(ROOT, "infra/lambda-credentials.ts") };

/** A file of a bundle: its name in the function's folder, and its bytes. */
export interface BundledFile {
  name: string;
  contents: Uint8Array;
}

/**
 * Bundles a function's handler into `index.mjs` and its source map. The bytes do not depend on where the repository is or
 * where they will be written, so that the same source is the same deployment everywhere.
 */
export function bundle(name: FunctionName): BundledFile[] {
  const { outputFiles } = buildSync({
    ...BUNDLING,
    alias: ALIASES,
    absWorkingDir: ROOT,
    entryPoints: [`functions/${name}/handler.ts`],
    outfile: `dist/${name}/index.mjs`,
    write: false,
  });
  return outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
}

/** Writes a bundle's files into a folder, which is made when it is missing. */
export function writeBundle(files: BundledFile[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, contents } of files) writeFileSync(join(folder, name), contents);
}
